import JSON

// What a task says of itself while it runs, as records hold it.

/// How far a task says that it is.
public struct Progress: Hashable, Sendable {
  /// Done, 0 to 1.
  public var fraction: Double
  /// In words; at most `RunLimits.progressMessageBytes`.
  public var message: String
  /// When it said so, by the agent's clock.
  public var at: Timestamp

  /// Takes what a task says, within bounds: what is no share counts as nothing done, a long text is cut.
  public init(fraction: Double, message: String = "", at: Timestamp) {
    self.fraction = fraction.isNaN ? 0 : min(max(fraction, 0), 1)
    self.message = message.cut(toBytes: RunLimits.progressMessageBytes)
    self.at = at
  }
}

extension String {
  /// The longest beginning of so many bytes at most that ends with a whole character.
  func cut(toBytes limit: Int) -> String {
    guard utf8.count > limit else { return self }
    var text = ""
    var bytes = 0
    for scalar in unicodeScalars {
      bytes += UTF8.width(scalar)
      if bytes > limit { break }
      text.unicodeScalars.append(scalar)
    }
    return text
  }
}

/// What a run's record says of the run's checkpoint, whose data has a key of its own.
public struct CheckpointNote: Hashable, Sendable {
  /// When it was accepted, by the leader's clock.
  public var savedAt: Timestamp
  /// The size of its data, bytes.
  public var bytes: Int
  /// The attempt that saved it.
  public var attempt: Int
  /// Its number within that attempt, as the agent chose it.
  public var sequence: Int64

  /// Makes a note.
  public init(savedAt: Timestamp, bytes: Int, attempt: Int, sequence: Int64) {
    self.savedAt = savedAt
    self.bytes = bytes
    self.attempt = attempt
    self.sequence = sequence
  }
}

/// What a run's next attempt is to start from, as etcd holds it.
public struct CheckpointRecord: Hashable, Sendable {
  /// The attempt that saved it.
  public var attempt: Int
  /// That attempt's fencing token.
  public var fence: Int64
  /// Who ran that attempt.
  public var agent: Incarnation
  /// Its number within that attempt.
  public var sequence: Int64
  /// When it was accepted, by the leader's clock.
  public var savedAt: Timestamp
  /// The task's own; at most `RunLimits.checkpointBytes`.
  public var data: [UInt8]

  /// Makes a record.
  public init(
    attempt: Int, fence: Int64, agent: Incarnation, sequence: Int64, savedAt: Timestamp, data: [UInt8]
  ) {
    self.attempt = attempt
    self.fence = fence
    self.agent = agent
    self.sequence = sequence
    self.savedAt = savedAt
    self.data = data
  }

  /// What the run's record says of it.
  public var note: CheckpointNote {
    CheckpointNote(savedAt: savedAt, bytes: data.count, attempt: attempt, sequence: sequence)
  }

  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 256 + data.count / 3 * 4)
    json.beginObject()
    json.member("attempt", attempt)
    json.member("fence", fence)
    json.member("worker_id", agent.agentID)
    json.member("incarnation", agent.createRevision)
    json.member("sequence", sequence)
    json.member("saved_at", savedAt)
    json.member("data", Base64.encode(data))
    json.endObject()
    return json.bytes
  }

  /// Reads a record.
  /// - Throws: `JSONError` or `FieldError` for a value that is no checkpoint.
  public init(decoding bytes: [UInt8]) throws {
    var attempt: Int?
    var fence: Int64?
    var agentID: String?
    var incarnation: Int64?
    var sequence: Int64?
    var savedAt: Timestamp?
    var data: [UInt8]?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "attempt": attempt = try reader.wholeNumber()
      case "fence": fence = try reader.int()
      case "worker_id": agentID = try reader.string()
      case "incarnation": incarnation = try reader.int()
      case "sequence": sequence = try reader.int()
      case "saved_at": savedAt = try reader.timestamp()
      case "data":
        guard let bytes = Base64.decode(try reader.string()) else {
          throw reader.error("Base64 was expected")
        }
        data = bytes
      default: try reader.skip()
      }
    }
    self.init(
      attempt: try required(attempt, "attempt"), fence: try required(fence, "fence"),
      agent: Incarnation(
        agentID: try required(agentID, "worker_id"), createRevision: try required(incarnation, "incarnation")),
      sequence: try required(sequence, "sequence"), savedAt: try required(savedAt, "saved_at"),
      data: try required(data, "data"))
  }
}

// MARK: - In the run's record

extension RunRecord {
  /// Writes what the task has said, if anything.
  func writeTaskReports(to json: inout JSONWriter) {
    if let progress {
      json.key("progress")
      json.beginObject()
      json.member("fraction", progress.fraction)
      if !progress.message.isEmpty { json.member("message", progress.message) }
      json.member("at", progress.at)
      json.endObject()
    }
    guard let checkpoint else { return }
    json.member("checkpoint_at", checkpoint.savedAt)
    json.member("checkpoint_bytes", checkpoint.bytes)
    json.member("checkpoint_attempt", checkpoint.attempt)
    json.member("checkpoint_sequence", checkpoint.sequence)
  }

  /// Reads the value of a member that `writeTaskReports` may have written; skips any other.
  mutating func readTaskReport(_ name: String, from reader: inout JSONReader) throws {
    // The members of a checkpoint come one by one, the time always.
    func note() -> CheckpointNote {
      checkpoint
        ?? CheckpointNote(savedAt: Timestamp(microseconds: 0), bytes: 0, attempt: 0, sequence: 0)
    }
    switch name {
    case "progress": progress = try Progress(from: &reader)
    case "checkpoint_at":
      checkpoint = note()
      checkpoint?.savedAt = try reader.timestamp()
    case "checkpoint_bytes":
      checkpoint = note()
      checkpoint?.bytes = try reader.wholeNumber()
    case "checkpoint_attempt":
      checkpoint = note()
      checkpoint?.attempt = try reader.wholeNumber()
    case "checkpoint_sequence":
      checkpoint = note()
      checkpoint?.sequence = try reader.int()
    default: try reader.skip()
    }
  }
}

extension Progress {
  fileprivate init(from reader: inout JSONReader) throws {
    var fraction = 0.0
    var message = ""
    var at: Timestamp?
    try reader.object { name, reader in
      switch name {
      case "fraction": fraction = try reader.double()
      case "message": message = try reader.string()
      case "at": at = try reader.timestamp()
      default: try reader.skip()
      }
    }
    self.init(fraction: fraction, message: message, at: try required(at, "progress.at"))
  }
}
