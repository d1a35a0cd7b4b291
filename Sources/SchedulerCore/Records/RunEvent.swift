import JSON

/// Something that has happened to a run.
public struct RunEvent: Hashable, Sendable {
  /// What has happened.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// The run was created.
    case created
    /// It was put into the queue.
    case queued
    /// It has waited for a while: for this reason.
    case blocked
    /// An attempt was given to an agent.
    case assigned
    /// Its task has started.
    case started
    /// Its task has saved a checkpoint.
    case checkpoint
    /// The attempt ended for the agent's sake: lost, killed since the lease could not be trusted, or given back.
    case lost
    /// The attempt failed, and another follows.
    case retried
    /// The run has ended.
    case ended
  }

  /// What has happened.
  public var kind: Kind
  /// When, by the clock of the actor.
  public var at: Timestamp
  /// Who did it, or saw it: `server:s1`, `agent:a1` or `user:alice`; nil where that is not known.
  public var actor: String?
  /// The attempt that it is about, from 1.
  public var attempt: Int?
  /// Of a reason to wait: the code of the finding.
  public var code: String?
  /// In words, where there is more to say.
  public var message: String?
  /// The etcd revision of the write that made it durable; nil where that is not known.
  public var revision: Int64?

  /// Makes an event.
  public init(
    _ kind: Kind, at: Timestamp, actor: String? = nil, attempt: Int? = nil, code: String? = nil,
    message: String? = nil, revision: Int64? = nil
  ) {
    self.kind = kind
    self.at = at
    self.actor = actor
    self.attempt = attempt
    self.code = code
    self.message = message
    self.revision = revision
  }
}

/// How those who do something are named in records.
public enum RunActor {
  /// A server.
  public static func server(_ id: String) -> String { "server:\(id)" }
  /// An agent.
  public static func agent(_ id: String) -> String { "agent:\(id)" }
  /// A user; nil where nobody has said who.
  public static func user(_ name: String?) -> String? { name.flatMap { $0.isEmpty ? nil : "user:\($0)" } }
}

extension RunLimits {
  /// Events that a record keeps besides those that follow from its other members: the first and the last.
  public static let eventsKept = 32
  /// How many of the first.
  public static let firstEventsKept = 8
  /// The longest text of an event, bytes.
  public static let eventMessageBytes = 256
}

// MARK: - In the run's record

/// What a record holds of its history besides what follows from its other members.
public struct RunHistory: Hashable, Sendable {
  /// Who made the run.
  public var createdBy: String?
  /// Who ended it, where that was not the agent of its last attempt.
  public var endedBy: String?
  /// The revision of the write that brought the checkpoint; nil while that is the record's last.
  public var checkpointRevision: Int64?
  /// What does not follow from other members, oldest first; at most `RunLimits.eventsKept`.
  public private(set) var events: [RunEvent] = []

  /// Makes an empty history.
  public init() {}

  /// Adds an event; the revision of the write that it comes with is not known yet.
  public mutating func add(_ event: RunEvent) {
    var event = event
    event.message = event.message?.cut(toBytes: RunLimits.eventMessageBytes)
    events.append(event)
    if events.count > RunLimits.eventsKept { events.remove(at: RunLimits.firstEventsKept) }
  }

  /// What is known now that the last write of the record has a revision.
  fileprivate mutating func note(_ revision: Int64, hasCheckpoint: Bool) {
    for index in events.indices.reversed() where events[index].revision == nil {
      events[index].revision = revision
    }
    if hasCheckpoint, checkpointRevision == nil { checkpointRevision = revision }
  }
}

/// What an attempt's record holds of its history.
public struct AttemptHistory: Hashable, Sendable {
  /// The server that has given it to its agent; nil of one of before histories were kept.
  public var assignedBy: String?
  /// The server that has seen its end, where that was not its agent.
  public var endedBy: String?
  /// The revision of the write that assigned it; nil while that is the record's last, as of the others.
  public var assignedRevision: Int64?
  /// Of the write that said that its task had started.
  public var startRevision: Int64?
  /// Of the write that said that it had ended.
  public var endRevision: Int64?

  /// Makes an empty history.
  public init() {}
}

extension Versioned<RunRecord> {
  /// The record as the next write of it has to begin from: what the last write made has that one's revision now.
  public var noted: RunRecord {
    var run = record
    run.history.note(modRevision, hasCheckpoint: run.checkpoint != nil)
    guard let last = run.attempts.indices.last, run.attempts[last].history.assignedBy != nil else {
      return run
    }
    if run.attempts[last].history.assignedRevision == nil {
      run.attempts[last].history.assignedRevision = modRevision
    }
    if run.attempts[last].startedAt != nil, run.attempts[last].history.startRevision == nil {
      run.attempts[last].history.startRevision = modRevision
    }
    if run.attempts[last].endedAt != nil, run.attempts[last].history.endRevision == nil {
      run.attempts[last].history.endRevision = modRevision
    }
    return run
  }
}

extension RunHistory {
  /// Writes what there is as members of the run's object.
  func write(to json: inout JSONWriter) {
    json.optionalMember("created_by", createdBy)
    json.optionalMember("ended_by", endedBy)
    if let checkpointRevision { json.member("checkpoint_revision", checkpointRevision) }
    guard !events.isEmpty else { return }
    json.key("events")
    json.beginArray()
    for event in events { event.write(to: &json) }
    json.endArray()
  }

  /// Reads the value of a member that `write` may have written. Returns false, having read nothing, for any other.
  mutating func read(_ name: String, from reader: inout JSONReader) throws -> Bool {
    switch name {
    case "created_by": createdBy = try reader.string()
    case "ended_by": endedBy = try reader.string()
    case "checkpoint_revision": checkpointRevision = try reader.int()
    case "events":
      try reader.array { reader in
        if let event = try RunEvent(from: &reader), events.count < RunLimits.eventsKept {
          events.append(event)
        }
      }
    default: return false
    }
    return true
  }
}

extension AttemptHistory {
  /// Writes what there is as members of the attempt's object.
  func write(to json: inout JSONWriter) {
    json.optionalMember("assigned_by", assignedBy)
    json.optionalMember("ended_by", endedBy)
    if let assignedRevision { json.member("assigned_revision", assignedRevision) }
    if let startRevision { json.member("start_revision", startRevision) }
    if let endRevision { json.member("end_revision", endRevision) }
  }

  /// As `RunHistory.read`.
  mutating func read(_ name: String, from reader: inout JSONReader) throws -> Bool {
    switch name {
    case "assigned_by": assignedBy = try reader.string()
    case "ended_by": endedBy = try reader.string()
    case "assigned_revision": assignedRevision = try reader.int()
    case "start_revision": startRevision = try reader.int()
    case "end_revision": endRevision = try reader.int()
    default: return false
    }
    return true
  }
}

extension RunEvent {
  fileprivate func write(to json: inout JSONWriter) {
    json.beginObject()
    json.member("kind", kind.rawValue)
    json.member("at", at)
    json.optionalMember("actor", actor)
    if let attempt { json.member("attempt", attempt) }
    json.optionalMember("code", code)
    json.optionalMember("message", message)
    if let revision { json.member("revision", revision) }
    json.endObject()
  }

  /// Nil for an event of a kind that a newer program knows.
  fileprivate init?(from reader: inout JSONReader) throws {
    var kind: String?
    var at: Timestamp?
    var event = RunEvent(.created, at: Timestamp(microseconds: 0))
    try reader.object { name, reader in
      switch name {
      case "kind": kind = try reader.string()
      case "at": at = try reader.timestamp()
      case "actor": event.actor = try reader.string()
      case "attempt": event.attempt = try reader.wholeNumber()
      case "code": event.code = try reader.string()
      case "message": event.message = try reader.string()
      case "revision": event.revision = try reader.int()
      default: try reader.skip()
      }
    }
    guard let known = Kind(rawValue: try required(kind, "events.kind")) else { return nil }
    event.kind = known
    event.at = try required(at, "events.at")
    self = event
  }
}
