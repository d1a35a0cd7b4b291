import JSON

/// A queue that somebody has put or paused, as etcd holds it. One that has no record exists all the same, with the
/// defaults.
public struct QueueRecord: Hashable, Sendable {
  /// Its name: cluster-wide, whatever the namespace of a job.
  public var name: String
  /// How it gives its runs out.
  public var spec: QueueSpec
  /// Rises with each change, pauses included, from 1.
  public var generation = 1
  /// Names the change that made this generation: tells a change whose answer was lost from the same change made by
  /// somebody else.
  public var changeID: String?
  /// When it was put or paused first.
  public var createdAt: Timestamp
  /// When it was written last.
  public var updatedAt: Timestamp
  /// Set while it is paused: none of its runs is given to an agent.
  public var pausedAt: Timestamp?
  /// Why, in the words of who paused it.
  public var pauseNote: String?

  /// Makes a record of a new queue.
  public init(name: String, spec: QueueSpec = QueueSpec(), createdAt: Timestamp) {
    self.name = name
    self.spec = spec
    self.createdAt = createdAt
    self.updatedAt = createdAt
  }
}

extension QueueRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 256)
    json.beginObject()
    json.member("name", name)
    json.key("spec")
    json.object { spec.writeJSON(to: &$0) }
    if generation != 1 { json.member("generation", generation) }
    json.optionalMember("change_id", changeID)
    json.member("created_at", createdAt)
    json.member("updated_at", updatedAt)
    if let pausedAt { json.member("paused_at", pausedAt) }
    json.optionalMember("pause_note", pauseNote)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its name is taken from the key, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no queue record.
  public init(decoding bytes: [UInt8], name: String) throws {
    var spec: QueueSpec?
    var generation = 1
    var changeID: String?
    var createdAt: Timestamp?
    var updatedAt: Timestamp?
    var pausedAt: Timestamp?
    var pauseNote: String?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "spec": spec = try QueueSpec(decoding: &reader, with: SpecDecoder(isStrict: false))
      case "generation": generation = try reader.wholeNumber()
      case "change_id": changeID = try reader.string()
      case "created_at": createdAt = try reader.timestamp()
      case "updated_at": updatedAt = try reader.timestamp()
      case "paused_at": pausedAt = try reader.timestamp()
      case "pause_note": pauseNote = try reader.string()
      default: try reader.skip()
      }
    }
    self.init(
      name: name, spec: try required(spec, "spec"), createdAt: try required(createdAt, "created_at"))
    self.generation = generation
    self.changeID = changeID
    self.updatedAt = updatedAt ?? self.createdAt
    self.pausedAt = pausedAt
    self.pauseNote = pauseNote
  }
}

/// How a queue stands, by the leader.
public struct QueueFigures: Hashable, Sendable {
  /// Why a queue gives out nothing now.
  public enum Block: String, Hashable, Sendable, CaseIterable {
    /// Somebody has paused it.
    case paused
    /// As many of its runs have an agent as may.
    case full
    /// Its rate of dispatches is used up for now.
    case rateLimited = "rate_limited"
  }

  /// Runs that wait for an agent.
  public var waiting = 0
  /// Runs that have one.
  public var running = 0
  /// Runs that this leader has given to agents since there was something of the queue.
  public var dispatched = 0
  /// Since when the oldest of those that wait does.
  public var waitingSince: Timestamp?
  /// Why it gives out nothing now; nil while it may.
  public var block: Block?
  /// Of a rate: until when.
  public var blockedUntil: Timestamp?

  /// Makes zeros.
  public init() {}
}
