import JSON

/// An agent that somebody has taken out of service. It is about the agent's id, not about one process: the key has no
/// lease, so that an agent that comes back stays drained until somebody takes the drain back.
public struct DrainRecord: Hashable, Sendable {
  /// When somebody asked for it.
  public var requestedAt: Timestamp
  /// When what still runs is stopped and given to other agents; nil for never.
  public var deadline: Timestamp?
  /// Why, in the words of who asked; at most `DrainLimits.noteBytes`.
  public var note: String?

  /// Makes a record.
  public init(requestedAt: Timestamp, deadline: Timestamp? = nil, note: String? = nil) {
    self.requestedAt = requestedAt
    self.deadline = deadline
    self.note = note
  }
}

/// The bounds of drains.
public enum DrainLimits {
  /// The longest note, bytes.
  public static let noteBytes = 1_024
  /// Agents that are drained at a time, those that hold no lease included; every server keeps all of them.
  public static let drains = 20_000
}

extension DrainRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 128)
    json.beginObject()
    json.member("requested_at", requestedAt)
    if let deadline { json.member("deadline", deadline) }
    if let note { json.member("note", note) }
    json.endObject()
    return json.bytes
  }

  /// Reads a record.
  /// - Throws: `JSONError` or `FieldError` for a value that is no drain record.
  public init(decoding bytes: [UInt8]) throws {
    var requestedAt: Timestamp?
    var deadline: Timestamp?
    var note: String?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "requested_at": requestedAt = try reader.timestamp()
      case "deadline": deadline = try reader.timestamp()
      case "note": note = try reader.string()
      default: try reader.skip()
      }
    }
    self.init(requestedAt: try required(requestedAt, "requested_at"), deadline: deadline, note: note)
  }
}
