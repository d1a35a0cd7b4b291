import JSON

/// Names a backfill within the cluster.
public struct BackfillKey: Hashable, Sendable, Comparable {
  /// The job that it makes runs of.
  public let job: JobKey
  /// Its id, unique in its job.
  public let backfillID: String

  /// Makes a key; the parts are taken as they are.
  public init(job: JobKey, backfillID: String) {
    self.job = job
    self.backfillID = backfillID
  }

  /// By job, then id.
  public static func < (left: BackfillKey, right: BackfillKey) -> Bool {
    (left.job, left.backfillID) < (right.job, right.backfillID)
  }
}

/// Runs for the occurrences of a past range, made a few at a time. Its runs have the ids that the occurrences'
/// own runs have, so what has run already is not run again.
public struct BackfillRecord: Hashable, Sendable {
  /// In which order the occurrences are taken.
  public enum Order: String, Hashable, Sendable, CaseIterable {
    /// From the oldest to the newest.
    case oldestFirst = "oldest_first"
    /// From the newest to the oldest.
    case newestFirst = "newest_first"
  }

  /// How a backfill stands.
  public enum State: String, Hashable, Sendable, CaseIterable {
    /// It has occurrences left to look at.
    case running
    /// It has looked at all; its last runs may still be under way.
    case completed
    /// Somebody cancelled it, or its job.
    case cancelled
  }

  /// Which backfill.
  public var key: BackfillKey
  /// The first instant of the range.
  public var from: Timestamp
  /// The last.
  public var to: Timestamp
  /// The order.
  public var order: Order
  /// How many of its runs may be unfinished at a time.
  public var parallelism: Int
  /// Values for its runs.
  public var params: [String: String] = [:]
  /// How it stands.
  public var state = State.running
  /// When it was accepted.
  public var createdAt: Timestamp
  /// When it was completed or cancelled.
  public var finishedAt: Timestamp?
  /// The occurrence that it looked at last; nil before the first.
  public var position: Timestamp?
  /// How many occurrences the range had when it was accepted.
  public var occurrences = 0
  /// Runs that it has created.
  public var created = 0
  /// Occurrences that had a run already.
  public var existing = 0

  /// Makes a record of a new backfill.
  public init(
    key: BackfillKey, from: Timestamp, to: Timestamp, order: Order, parallelism: Int, createdAt: Timestamp
  ) {
    self.key = key
    self.from = from
    self.to = to
    self.order = order
    self.parallelism = parallelism
    self.createdAt = createdAt
  }
}

extension BackfillRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512)
    json.beginObject()
    json.keyMembers(key.job)
    json.member("backfill_id", key.backfillID)
    json.member("from", from)
    json.member("to", to)
    json.member("order", order.rawValue)
    json.member("parallelism", parallelism)
    if !params.isEmpty { json.member("params", params) }
    json.member("state", state.rawValue)
    json.member("created_at", createdAt)
    json.optionalMember("finished_at", finishedAt)
    json.optionalMember("position", position)
    json.member("occurrences", occurrences)
    json.member("created", created)
    json.member("existing", existing)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no backfill record.
  public init(decoding bytes: [UInt8], key: BackfillKey) throws {
    var from: Timestamp?
    var to: Timestamp?
    var createdAt: Timestamp?
    let epoch = Timestamp(microseconds: 0)
    // What has no default is put in at the end.
    var record = BackfillRecord(
      key: key, from: epoch, to: epoch, order: .oldestFirst, parallelism: 1, createdAt: epoch)
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "from": from = try reader.timestamp()
      case "to": to = try reader.timestamp()
      case "created_at": createdAt = try reader.timestamp()
      default: try record.readOptionalMember(name, from: &reader)
      }
    }
    record.from = try required(from, "from")
    record.to = try required(to, "to")
    record.createdAt = try required(createdAt, "created_at")
    self = record
  }

  private mutating func readOptionalMember(_ name: String, from reader: inout JSONReader) throws {
    switch name {
    case "order": order = try reader.word(Order.self)
    case "parallelism": parallelism = try reader.wholeNumber()
    case "params": params = try reader.stringMap()
    case "state": state = try reader.word(State.self)
    case "finished_at": finishedAt = try reader.timestamp()
    case "position": position = try reader.timestamp()
    case "occurrences": occurrences = try reader.wholeNumber()
    case "created": created = try reader.wholeNumber()
    case "existing": existing = try reader.wholeNumber()
    default: try reader.skip()
    }
  }
}
