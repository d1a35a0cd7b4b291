import JSON

/// What the object of a concurrency group says. Its limit goes before those of all jobs that name the group; a group needs
/// no object.
public struct GroupSpec: Hashable, Sendable {
  /// How many runs of the group may be with agents at once.
  public var limit: Int
  /// What it is for.
  public var description = ""
  /// What people file it under, by name.
  public var labels: [String: String] = [:]

  /// Makes a specification.
  public init(limit: Int) { self.limit = limit }
}

/// Names a concurrency group within the cluster.
public struct GroupKey: Hashable, Sendable, Comparable {
  /// The namespace of the jobs whose runs it holds.
  public let namespace: String
  /// Its name: what comes of the jobs' key.
  public let name: String

  /// Makes a key; the parts are taken as they are.
  public init(namespace: String, name: String) {
    self.namespace = namespace
    self.name = name
  }

  /// By namespace, then name.
  public static func < (left: GroupKey, right: GroupKey) -> Bool {
    (left.namespace, left.name) < (right.namespace, right.name)
  }
}

/// The object of a group as etcd holds it.
public struct GroupRecord: Hashable, Sendable {
  /// Which group.
  public var key: GroupKey
  /// What it says.
  public var spec: GroupSpec
  /// Rises with each change, from 1.
  public var generation = 1
  /// Names the change that made this generation: tells a change whose answer was lost from the same change made by
  /// somebody else.
  public var changeID: String?
  /// When it was created.
  public var createdAt: Timestamp
  /// When it was written last.
  public var updatedAt: Timestamp

  /// Makes a record of a new object.
  public init(key: GroupKey, spec: GroupSpec, createdAt: Timestamp) {
    self.key = key
    self.spec = spec
    self.createdAt = createdAt
    self.updatedAt = createdAt
  }
}

extension RunRecord {
  /// The concurrency group of a run that has not ended; nil where it has none.
  var unendedGroup: GroupKey? {
    guard let group, !state.isTerminal else { return nil }
    return GroupKey(namespace: key.job.namespace, name: group)
  }
}

extension ClusterCache {
  /// How many runs of a group are with agents, and how many others of it have not ended.
  public func use(of group: GroupKey) -> (running: Int, waiting: Int) {
    let unended = runsByGroup[group] ?? []
    let running = unended.count { runs[$0]?.record.state.isOwned ?? false }
    return (running, unended.count - running)
  }
}

// MARK: - JSON

extension GroupSpec {
  /// The members of a group's object.
  public static let names = ["limit", "description", "labels"]

  /// Reads what a user sent, strictly; `validate` checks the bounds. What is wrong with the text as a whole is
  /// said of `body`.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    self = try FieldError.ofBody {
      try JSONReader.read(bytes) { try SpecDecoder(isStrict: true).group(&$0) }
    }
  }

  /// Writes the members into the object that is open. Defaults are not written.
  public func writeJSON(to json: inout JSONWriter) {
    json.member("limit", limit)
    if !description.isEmpty { json.member("description", description) }
    if !labels.isEmpty { json.member("labels", labels) }
  }

  /// Checks the bounds.
  public func validate() throws(FieldError) {
    try JobSpec.check(limit, in: SpecLimits.groupLimit, field: "limit")
    let check = TextCheck(field: "description")
    try check.length(description, atMost: SpecLimits.calendarDescriptionBytes)
    try Labels.validate(labels)
  }
}

extension GroupRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 256)
    json.beginObject()
    json.member("namespace", key.namespace)
    json.member("name", key.name)
    json.key("spec")
    json.beginObject()
    spec.writeJSON(to: &json)
    json.endObject()
    if generation != 1 { json.member("generation", generation) }
    json.optionalMember("change_id", changeID)
    json.member("created_at", createdAt)
    json.member("updated_at", updatedAt)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no record of a group.
  public init(decoding bytes: [UInt8], key: GroupKey) throws {
    var spec: GroupSpec?
    var generation = 1
    var changeID: String?
    var createdAt: Timestamp?
    var updatedAt: Timestamp?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "spec": spec = try SpecDecoder(isStrict: false).group(&reader)
      case "generation": generation = try reader.wholeNumber()
      case "change_id": changeID = try reader.string()
      case "created_at": createdAt = try reader.timestamp()
      case "updated_at": updatedAt = try reader.timestamp()
      default: try reader.skip()
      }
    }
    self.init(
      key: key, spec: try required(spec, "spec"), createdAt: try required(createdAt, "created_at"))
    self.generation = generation
    self.changeID = changeID
    self.updatedAt = updatedAt ?? self.createdAt
  }
}

extension SpecDecoder {
  /// Reads the object of a group.
  fileprivate func group(_ reader: inout JSONReader) throws -> GroupSpec {
    var limit: Int?
    var group = GroupSpec(limit: 0)
    try object(&reader, known: GroupSpec.names) { name, reader in
      switch name {
      case "limit": limit = try reader.wholeNumber()
      case "description": group.description = try reader.string()
      default: group.labels = try stringMap(&reader)
      }
    }
    guard let limit else { throw FieldError(field: "limit", message: "is required") }
    group.limit = limit
    return group
  }
}
