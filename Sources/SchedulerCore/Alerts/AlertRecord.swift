import JSON

/// Names an alert within the cluster.
public struct AlertKey: Hashable, Sendable, Comparable {
  /// The job that it is about.
  public let job: JobKey
  /// Its id, unique in its job.
  public let alertID: String

  /// Makes a key; the parts are taken as they are.
  public init(job: JobKey, alertID: String) {
    self.job = job
    self.alertID = alertID
  }

  /// By job, then id.
  public static func < (left: AlertKey, right: AlertKey) -> Bool {
    (left.job, left.alertID) < (right.job, right.alertID)
  }
}

/// Something that was to be told of a job, and whom it has been told to.
public struct AlertRecord: Hashable, Sendable {
  /// Telling it to one.
  public struct Delivery: Hashable, Sendable {
    /// In which way.
    public enum Kind: String, Hashable, Sendable, CaseIterable { case webhook, command }

    /// How it stands.
    public enum State: String, Hashable, Sendable, CaseIterable {
      /// It is to be tried, perhaps again.
      case pending
      /// It was taken.
      case delivered
      /// It was tried in vain, or cannot be done.
      case givenUp = "given_up"
    }

    /// In which way.
    public var kind: Kind
    /// The URL, or the command's name.
    public var to: String
    /// How it stands.
    public var state = State.pending
    /// How often it was tried.
    public var tries = 0
    /// When it is tried next.
    public var nextTryAt: Timestamp?
    /// When it was taken or given up.
    public var endedAt: Timestamp?
    /// What went wrong last.
    public var error: String?

    /// Makes one to be tried at once.
    public init(_ kind: Kind, to: String) {
      self.kind = kind
      self.to = to
    }
  }

  /// Which alert.
  public var key: AlertKey
  /// The run that is the cause, or the last of them.
  public var runID: String
  /// Its attempt that is meant.
  public var attempt: Int?
  /// The rule that asked for it.
  public var rule: AlertRule
  /// When what is told came about.
  public var at: Timestamp
  /// When the leader noticed.
  public var createdAt: Timestamp
  /// How many causes within the rule's window it stands for.
  public var count = 1
  /// It, in words.
  public var message: String
  /// To whom.
  public var deliveries: [Delivery]

  /// Makes an alert that nobody has been told.
  public init(
    key: AlertKey, runID: String, attempt: Int? = nil, rule: AlertRule, at: Timestamp, createdAt: Timestamp,
    message: String
  ) {
    self.key = key
    self.runID = runID
    self.attempt = attempt
    self.rule = rule
    self.at = at
    self.createdAt = createdAt
    self.message = message
    deliveries =
      (rule.webhook.map { [Delivery(.webhook, to: $0)] } ?? [])
      + (rule.command.map { [Delivery(.command, to: $0)] } ?? [])
  }

  /// The id of the alert of a run, a rule and an instant: whoever notices, whenever, makes the same.
  public static func id(of run: RunKey, _ rule: AlertRule, at: Timestamp) -> String {
    var json = JSONWriter()
    json.array { json in
      json.string(run.runID)
      rule.write(to: &json)
      json.int(at.microseconds)
    }
    return "\(rule.on.rawValue)-\(Keyspace.digest(of: json.bytes).prefix(24))"
  }

  /// How it stands with all whom it is to be told: pending while one of them is, given up where one was.
  public var state: Delivery.State {
    if deliveries.contains(where: { $0.state == .pending }) { return .pending }
    return deliveries.contains { $0.state == .givenUp } ? .givenUp : .delivered
  }

  /// When the last of them was told or given up; nil while one is pending.
  var endedAt: Timestamp? {
    state == .pending ? nil : deliveries.compactMap(\.endedAt).max() ?? createdAt
  }
}

// MARK: - JSON

extension AlertRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512)
    write(to: &json)
    return json.bytes
  }

  /// Writes the alert as an object: as the API shows it, and as etcd holds it.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      writeFacts(to: &json)
      json.member("state", state.rawValue)
      json.key("deliveries")
      json.array { json in for delivery in deliveries { delivery.write(to: &json) } }
    }
  }

  /// What is told to who is told.
  public var told: [UInt8] {
    var json = JSONWriter(reserving: 512)
    json.object { writeFacts(to: &$0) }
    return json.bytes
  }

  private func writeFacts(to json: inout JSONWriter) {
    json.keyMembers(key.job)
    json.member("alert_id", key.alertID)
    json.member("run_id", runID)
    json.optionalMember("attempt", attempt)
    json.member("on", rule.on.rawValue)
    json.member("message", message)
    json.member("at", at)
    json.member("created_at", createdAt)
    json.member("count", count)
    json.key("rule")
    rule.write(to: &json)
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no alert.
  public init(decoding bytes: [UInt8], key: AlertKey) throws {
    var (runID, message): (String?, String?)
    var (at, createdAt): (Timestamp?, Timestamp?)
    var rule: AlertRule?
    var attempt: Int?
    var count = 1
    var deliveries: [Delivery] = []
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "run_id": runID = try reader.string()
      case "attempt": attempt = try reader.wholeNumber()
      case "message": message = try reader.string()
      case "at": at = try reader.timestamp()
      case "created_at": createdAt = try reader.timestamp()
      case "count": count = try reader.wholeNumber()
      case "rule": rule = try AlertRule(decoding: &reader, with: SpecDecoder(isStrict: false))
      case "deliveries": try reader.array { deliveries.append(try Delivery(from: &$0)) }
      default: try reader.skip()
      }
    }
    self.init(
      key: key, runID: try required(runID, "run_id"), attempt: attempt, rule: try required(rule, "rule"),
      at: try required(at, "at"), createdAt: try required(createdAt, "created_at"),
      message: try required(message, "message"))
    self.count = count
    self.deliveries = deliveries
  }
}

extension AlertRecord.Delivery {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("kind", kind.rawValue)
      json.member("to", to)
      json.member("state", state.rawValue)
      json.member("tries", tries)
      json.optionalMember("next_try_at", nextTryAt)
      json.optionalMember("ended_at", endedAt)
      json.optionalMember("error", error)
    }
  }

  fileprivate init(from reader: inout JSONReader) throws {
    var kind: Kind?
    var to: String?
    var delivery = AlertRecord.Delivery(.webhook, to: "")
    try reader.object { name, reader in
      switch name {
      case "kind": kind = try reader.word(Kind.self)
      case "to": to = try reader.string()
      case "state": delivery.state = try reader.word(State.self)
      case "tries": delivery.tries = try reader.wholeNumber()
      case "next_try_at": delivery.nextTryAt = try reader.timestamp()
      case "ended_at": delivery.endedAt = try reader.timestamp()
      case "error": delivery.error = try reader.string()
      default: try reader.skip()
      }
    }
    delivery.kind = try required(kind, "deliveries.kind")
    delivery.to = try required(to, "deliveries.to")
    self = delivery
  }
}
