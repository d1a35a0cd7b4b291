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
    if !isolation.isEmpty { json.member("isolation", isolation) }
    if !runAsUsers.isEmpty { json.member("run_as_users", runAsUsers) }
    if draining { json.member("draining", true) }
    if !resources.isEmpty {
      json.key("resources")
      resources.write(to: &json)
    }
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
    var isolation = ""
    var runAsUsers: [String] = []
    var resources = Resources()
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
      case "resources": resources = try Resources(record: &reader)
      case "isolation": isolation = try reader.string().cut(toBytes: AgentRecordLimits.textBytes)
      case "run_as_users":
        runAsUsers = try reader.strings().prefix(AgentRecordLimits.users).map {
          $0.cut(toBytes: AgentRecordLimits.textBytes)
        }
      default: try reader.skip()
      }
    }
    self.init(
      agentID: agentID, host: host, labels: labels, slots: try required(slots, "slots"), version: version,
      startedAt: try required(startedAt, "started_at"), kinds: kinds, tasks: tasks)
    self.draining = draining
    self.isolation = isolation
    self.runAsUsers = runAsUsers
    self.resources = resources
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
    if lease != 0 { json.member("lease", lease) }
    if draining { json.member("draining", true) }
    if let figures {
      json.key("figures")
      figures.write(to: &json)
    }
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
    var lease: Int64 = 0
    var draining = false
    var figures: ServerFigures?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "lease": lease = try reader.int()
      case "draining": draining = try reader.bool()
      case "figures": figures = try ServerFigures(from: &reader)
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
    self.lease = lease
    self.draining = draining
    self.figures = figures
  }
}

extension ServerFigures {
  fileprivate func write(to json: inout JSONWriter) {
    json.beginObject()
    json.member("reported_at", reportedAt)
    json.member("fires", fires)
    json.member("lateness_p50_milliseconds", latenessP50Millis)
    json.member("lateness_p99_milliseconds", latenessP99Millis)
    json.member("lateness_max_milliseconds", latenessMaxMillis)
    json.member("scheduled_jobs", scheduledJobs)
    json.member("overdue", overdue)
    json.endObject()
  }

  fileprivate init(from reader: inout JSONReader) throws {
    var figures = ServerFigures(reportedAt: Timestamp(microseconds: 0))
    var reportedAt: Timestamp?
    try reader.object { name, reader in
      switch name {
      case "reported_at": reportedAt = try reader.timestamp()
      case "fires": figures.fires = try reader.wholeNumber()
      case "lateness_p50_milliseconds": figures.latenessP50Millis = try reader.int()
      case "lateness_p99_milliseconds": figures.latenessP99Millis = try reader.int()
      case "lateness_max_milliseconds": figures.latenessMaxMillis = try reader.int()
      case "scheduled_jobs": figures.scheduledJobs = try reader.wholeNumber()
      case "overdue": figures.overdue = try reader.wholeNumber()
      default: try reader.skip()
      }
    }
    figures.reportedAt = try required(reportedAt, "figures.reported_at")
    self = figures
  }
}

extension SegmentRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 64)
    json.beginObject()
    json.member("server_id", serverID)
    json.endObject()
    return json.bytes
  }

  /// Reads a record.
  /// - Throws: `JSONError` or `FieldError` for a value that is no segment record.
  public init(decoding bytes: [UInt8]) throws {
    var serverID: String?
    try JSONReader.readRecord(bytes) { name, reader in
      if name == "server_id" { serverID = try reader.string() } else { try reader.skip() }
    }
    self.init(serverID: try required(serverID, "server_id"))
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
