import JSON

/// Names an earlier version of a job within the cluster.
public struct VersionKey: Hashable, Sendable, Comparable {
  /// The job.
  public let job: JobKey
  /// The generation that it was.
  public let generation: Int

  /// Makes a key; the parts are taken as they are.
  public init(job: JobKey, generation: Int) {
    self.job = job
    self.generation = generation
  }

  /// By job, then generation.
  public static func < (left: VersionKey, right: VersionKey) -> Bool {
    (left.job, left.generation) < (right.job, right.generation)
  }
}

/// How a generation of a job came to be.
public struct VersionOrigin: Hashable, Sendable {
  /// When.
  public var at: Timestamp
  /// Who asked for it, where that is known.
  public var by: String?
  /// The generation whose specification it took again.
  public var revertOf: Int?

  /// Makes an origin.
  public init(at: Timestamp, by: String? = nil, revertOf: Int? = nil) {
    self.at = at
    self.by = by
    self.revertOf = revertOf
  }
}

/// A specification that a job had until it was given another. Written in the transaction of the change that replaced it.
public struct VersionRecord: Hashable, Sendable {
  /// The bounds of what is kept.
  public enum Limits {
    /// How many earlier versions a job keeps.
    public static let kept = 10
    /// Two specifications are put into one transaction up to so many bytes: etcd takes requests of 1.5 MiB.
    public static let pairBytes = 1_280 << 10
    /// The longest name of who asked for a change.
    public static let authorBytes = 128
  }

  /// Which version.
  public var key: VersionKey
  /// The `uid` of the job: tells it from another that had the same id.
  public var uid: String
  /// The specification; nil of one that was too large to be kept beside its successor.
  public var spec: JobSpec?
  /// How it came to be.
  public var origin: VersionOrigin
  /// When it was replaced.
  public var replacedAt: Timestamp
  /// Who asked for that, where it is known.
  public var replacedBy: String?

  /// Makes a record.
  public init(
    key: VersionKey, uid: String, spec: JobSpec?, origin: VersionOrigin, replacedAt: Timestamp,
    replacedBy: String? = nil
  ) {
    self.key = key
    self.uid = uid
    self.spec = spec
    self.origin = origin
    self.replacedAt = replacedAt
    self.replacedBy = replacedBy
  }

  /// The etag that the job had: see `JobRecord.etag`.
  public var etag: String { "\(uid)-\(key.generation)" }
}

extension JobRecord {
  /// How the present generation came to be. The first one is of whom the job is.
  public var origin: VersionOrigin {
    get { updated ?? VersionOrigin(at: createdAt, by: spec.userID.isEmpty ? nil : spec.userID) }
    set { updated = newValue }
  }

  /// The earlier generations that are kept, for as long as the job is there; some of them may never have been written,
  /// by a program that knew of no versions.
  public var keptGenerations: Range<Int> {
    max(1, generation - VersionRecord.Limits.kept)..<max(1, generation)
  }

  /// What a change of this record's specification writes beside the record itself: what `old` was, and the removal of
  /// what is too many then.
  public func versionWrites(replacing old: JobRecord) -> [Proposal.Write] {
    guard generation != old.generation else { return [] }
    let size = encoded().count + old.encoded().count
    let version = VersionRecord(
      key: VersionKey(job: key, generation: old.generation), uid: uid,
      spec: size <= VersionRecord.Limits.pairBytes ? old.spec : nil, origin: old.origin,
      replacedAt: origin.at, replacedBy: origin.by)
    let kept = keptGenerations
    return [.version(version)]
      + old.keptGenerations.filter { !kept.contains($0) }.map {
        .deleteVersion(VersionKey(job: key, generation: $0))
      }
  }
}

extension VersionRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512)
    json.beginObject()
    json.keyMembers(key.job)
    json.member("generation", key.generation)
    json.member("uid", uid)
    if let spec {
      json.key("spec")
      json.beginObject()
      spec.writeJSON(to: &json)
      json.endObject()
    }
    json.member("created_at", origin.at)
    json.optionalMember("created_by", origin.by)
    json.optionalMember("revert_of", origin.revertOf)
    json.member("replaced_at", replacedAt)
    json.optionalMember("replaced_by", replacedBy)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no version.
  public init(decoding bytes: [UInt8], key: VersionKey) throws {
    var uid: String?
    var spec: JobSpec?
    var createdAt: Timestamp?
    var replacedAt: Timestamp?
    var (createdBy, replacedBy): (String?, String?)
    var revertOf: Int?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "uid": uid = try reader.string()
      case "spec": spec = try JobSpec(from: &reader)
      case "created_at": createdAt = try reader.timestamp()
      case "created_by": createdBy = try reader.string()
      case "revert_of": revertOf = try reader.wholeNumber()
      case "replaced_at": replacedAt = try reader.timestamp()
      case "replaced_by": replacedBy = try reader.string()
      default: try reader.skip()
      }
    }
    let origin = VersionOrigin(
      at: try required(createdAt, "created_at"), by: createdBy, revertOf: revertOf)
    self.init(
      key: key, uid: try required(uid, "uid"), spec: spec, origin: origin,
      replacedAt: try required(replacedAt, "replaced_at"), replacedBy: replacedBy)
  }
}

extension JobSpec {
  /// The names of the fields that differ from another specification's, as JSON has them; sorted.
  public func fields(changedFrom old: JobSpec) -> [String] {
    let (before, after) = (old.members, members)
    return Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }.sorted()
  }

  /// Its members as JSON has them.
  private var members: [String: JSONValue] {
    guard case .object(let members) = asJSON else { return [:] }
    return Dictionary(members.map { ($0.name, $0.value) }) { $1 }
  }

  /// It as a tree, to be compared field by field. A payload that no tree holds exactly, since a number in it has more than
  /// 64 bits, stands there as a text.
  public var asJSON: JSONValue {
    if let tree { return tree }
    guard case .task(let name, let payload) = task else { return .null }
    var other = self
    other.task = .task(name: name, payload: TaskSpec.defaultPayload)
    guard case .object(let members) = other.tree else { return .null }
    let task = JSONValue.object([.init("name", .string(name)), .init("payload", .string(payload))])
    return .object(members.map { $0.name == "task" ? .init("task", task) : $0 })
  }

  /// It as a tree that says exactly the same; nil where none does.
  public var tree: JSONValue? {
    var json = JSONWriter()
    json.object { writeJSON(to: &$0) }
    return try? JSONValue(parsing: json.bytes)
  }
}
