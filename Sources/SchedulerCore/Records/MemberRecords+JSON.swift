import JSON

// The records of the cluster's members: agents, servers, and what the data is.

extension AgentRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 256)
    json.beginObject()
    json.member("worker_id", agentID)
    json.member("host", host)
    if !labels.isEmpty { json.member("labels", labels) }
    json.member("slots", slots)
    json.member("version", version)
    json.member("started_at", startedAt)
    json.member("kinds", kinds)
    if !tasks.isEmpty { json.member("tasks", tasks) }
    if draining { json.member("draining", true) }
    json.endObject()
    return json.bytes
  }

  /// Reads a record; the agent's id is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no agent record.
  public init(decoding bytes: [UInt8], key agentID: String) throws {
    var slots: Int?
    var startedAt: Timestamp?
    var host = ""
    var labels: [String: String] = [:]
    var version = ""
    var kinds = TaskKind.builtIn.map(\.rawValue)
    var tasks: [String] = []
    var draining = false
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "host": host = try reader.string()
      case "labels": labels = try reader.stringMap()
      case "slots": slots = try reader.wholeNumber()
      case "version": version = try reader.string()
      case "started_at": startedAt = try reader.timestamp()
      case "kinds": kinds = try reader.identifiers(atMost: AgentRecordLimits.kinds)
      case "tasks": tasks = try reader.identifiers(atMost: AgentRecordLimits.tasks)
      case "draining": draining = try reader.bool()
      default: try reader.skip()
      }
    }
    self.init(
      agentID: agentID, host: host, labels: labels, slots: try required(slots, "slots"), version: version,
      startedAt: try required(startedAt, "started_at"), kinds: kinds, tasks: tasks)
    self.draining = draining
  }
}

extension JSONReader {
  /// Reads an array of identifiers. What is none is passed over: no job can ask for it.
  fileprivate mutating func identifiers(atMost limit: Int) throws -> [String] {
    var names: [String] = []
    try array { reader in
      let name = try reader.string()
      if names.count < limit, Identifier.isValid(name) { names.append(name) }
    }
    return names
  }
}

extension ServerRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 256)
    json.beginObject()
    json.member("server_id", serverID)
    json.member("grpc_address", grpcAddress)
    json.member("http_address", httpAddress)
    json.member("version", version)
    json.member("started_at", startedAt)
    json.endObject()
    return json.bytes
  }

  /// Reads a record.
  /// - Parameter serverID: The id that the key names; nil for a leader's key, which names its lease, so
  ///   that the id is taken from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no server record.
  public init(decoding bytes: [UInt8], key serverID: String? = nil) throws {
    var writtenID: String?
    var startedAt: Timestamp?
    var grpcAddress = ""
    var httpAddress = ""
    var version = ""
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "server_id": writtenID = try reader.string()
      case "grpc_address": grpcAddress = try reader.string()
      case "http_address": httpAddress = try reader.string()
      case "version": version = try reader.string()
      case "started_at": startedAt = try reader.timestamp()
      default: try reader.skip()
      }
    }
    self.init(
      serverID: try required(serverID ?? writtenID, "server_id"), grpcAddress: grpcAddress,
      httpAddress: httpAddress, version: version, startedAt: try required(startedAt, "started_at"))
  }
}

extension MetaRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 64)
    json.beginObject()
    json.member("format_version", formatVersion)
    json.member("segment_count", segmentCount)
    json.endObject()
    return json.bytes
  }

  /// Reads a record.
  /// - Throws: `JSONError` or `FieldError` for a value that is no meta record.
  public init(decoding bytes: [UInt8]) throws {
    var formatVersion: Int?
    var segmentCount: Int?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "format_version": formatVersion = try reader.wholeNumber()
      case "segment_count": segmentCount = try reader.wholeNumber()
      default: try reader.skip()
      }
    }
    self.init(
      formatVersion: try required(formatVersion, "format_version"),
      segmentCount: try required(segmentCount, "segment_count"))
    guard self.segmentCount > 0 else {
      throw FieldError(field: "segment_count", message: "has to be at least 1")
    }
  }
}
