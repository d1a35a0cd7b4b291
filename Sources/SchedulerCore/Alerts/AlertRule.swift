import JSON

/// When somebody is to be told of a job's runs, and who.
public struct AlertRule: Hashable, Sendable {
  /// What is to be told.
  public enum Cause: String, Hashable, Sendable, CaseIterable {
    /// A run has not started so long after it was due.
    case late
    /// An attempt takes longer.
    case long
    /// An attempt has told neither progress nor a checkpoint for so long.
    case stuck
    /// A run has failed, with all its retries.
    case failed

    /// Whether it has a threshold.
    public var hasThreshold: Bool { self != .failed }
  }

  /// The bounds of what a rule may say. Times are milliseconds.
  public enum Limits {
    /// The most rules of a job.
    public static let rules = 8
    /// The range of a threshold: a second to 30 days.
    public static let thresholdMillis: ClosedRange<Int64> = 1_000...30 * 86_400_000
    /// The range of a window, and the longest silence: a second to 7 days.
    public static let windowMillis: ClosedRange<Int64> = 1_000...7 * 86_400_000
    /// The range of how many causes make an alert.
    public static let count = 1...100
    /// The longest name of a command, bytes.
    public static let commandBytes = 64
  }

  /// What is to be told.
  public var on: Cause
  /// So long; nil of a cause that has no threshold.
  public var thresholdMillis: Int64?
  /// An alert is made of `count` causes within that time; nil where one is enough.
  public var windowMillis: Int64?
  /// How many causes make an alert.
  public var count = 1
  /// After an alert of this rule none for so long, of no run of the job.
  public var silenceMillis: Int64 = 0
  /// Where it is posted to.
  public var webhook: String?
  /// The command of the servers that is run with it.
  public var command: String?

  /// Makes a rule.
  public init(on: Cause, thresholdMillis: Int64? = nil, webhook: String? = nil, command: String? = nil) {
    self.on = on
    self.thresholdMillis = thresholdMillis
    self.webhook = webhook
    self.command = command
  }

  /// Checks the rule's bounds.
  public func validate() throws(FieldError) {
    try validateThreshold()
    if let windowMillis {
      try JobSpec.check(millis: windowMillis, in: Limits.windowMillis, field: "window")
    }
    try JobSpec.check(count, in: Limits.count, field: "count")
    guard (count > 1) == (windowMillis != nil) else {
      throw FieldError(
        field: count > 1 ? "window" : "count",
        message: "is required: an alert of several causes has both a window and a count of 2 or more")
    }
    try JobSpec.check(millis: silenceMillis, in: 0...Limits.windowMillis.upperBound, field: "silence")
    if let webhook {
      do throws(FieldError) { try HTTPTask(url: webhook).validate() } catch {
        throw FieldError(field: "webhook", message: error.message)
      }
    }
    if let command, !Identifier.isValid(command) || command.utf8.count > Limits.commandBytes {
      throw FieldError(
        field: "command",
        message:
          "the name of a command of the servers was expected, of at most \(Limits.commandBytes) bytes: "
          + Identifier.rule)
    }
  }

  private func validateThreshold() throws(FieldError) {
    guard on.hasThreshold else {
      guard thresholdMillis == nil else {
        throw FieldError(
          field: "threshold", message: "is for late, long and stuck; '\(on.rawValue)' has none")
      }
      return
    }
    guard let thresholdMillis else {
      throw FieldError(field: "threshold", message: "is required: how long until it is '\(on.rawValue)'")
    }
    try JobSpec.check(millis: thresholdMillis, in: Limits.thresholdMillis, field: "threshold")
  }
}

// MARK: - Causes

extension AlertRule {
  /// That something is, or will be, as a rule says.
  struct Occurrence: Hashable {
    /// Since when, or from when on if nothing happens before.
    var at: Timestamp
    /// The attempt that it is about.
    var attempt: Int?
  }

  /// What a run gives the rule to tell, now or later if nothing happens before; nil for nothing. The same run gives the
  /// same answer whoever asks, and whenever.
  func occurrence(of run: RunRecord) -> Occurrence? {
    switch on {
    case .failed:
      guard run.state == .failed, let end = run.finishedAt else { return nil }
      return Occurrence(at: end, attempt: run.attempts.last?.attempt)
    case .late: return lateness(of: run)
    case .long: return run.lastStart.flatMap { occurrence(in: run, after: $0) }
    case .stuck:
      guard let start = run.lastStart, let attempt = run.attempts.last else { return nil }
      let saved = run.checkpoint.flatMap { $0.attempt == attempt.attempt ? $0.savedAt : nil }
      let signs = [start, run.progress?.at, saved].compactMap(\.self)
      return signs.max().flatMap { occurrence(in: run, after: $0) }
    }
  }

  /// A run that makes up for what is long past is due when it is created.
  private func lateness(of run: RunRecord) -> Occurrence? {
    let makesUp = run.trigger == .backfill || run.trigger == .retry
    let due = makesUp ? run.createdAt : run.scheduledTime
    let at = max(due.adding(milliseconds: thresholdMillis ?? 0), run.createdAt)
    // Of the first attempt, as long as it is known.
    guard run.attempts.first.map({ $0.attempt == 1 }) ?? true else { return nil }
    if let start = run.firstStart ?? run.finishedAt, start <= at { return nil }
    return Occurrence(at: at)
  }

  private func occurrence(in run: RunRecord, after start: Timestamp) -> Occurrence? {
    let at = start.adding(milliseconds: thresholdMillis ?? 0)
    if let end = run.attempts.last?.endedAt, end <= at { return nil }
    return Occurrence(at: at, attempt: run.attempts.last?.attempt)
  }

  /// It, in words.
  func message(of occurrence: Occurrence, in run: RunRecord, count: Int) -> String {
    let threshold = thresholdMillis.map(DurationText.format(milliseconds:)) ?? ""
    let name = "run '\(run.key.runID)' of job '\(run.key.job.jobID)' in namespace '\(run.key.job.namespace)'"
    let attempt = occurrence.attempt.map { "attempt \($0) of " } ?? ""
    let what =
      switch on {
      case .late: "\(name) had not started \(threshold) after it was due, at \(run.scheduledTime.rfc3339)"
      case .long: "\(attempt)\(name) takes longer than \(threshold)"
      case .stuck: "\(attempt)\(name) has told neither progress nor a checkpoint for \(threshold)"
      case .failed: "\(name) has failed" + (run.message.map { ": \($0)" } ?? "")
      }
    guard let windowMillis else { return what }
    return "\(what); \(count) such runs within \(DurationText.format(milliseconds: windowMillis))"
  }
}

extension RunRecord {
  /// When its first attempt started.
  fileprivate var firstStart: Timestamp? { attempts.first.flatMap { start(of: $0) } }

  /// When its last attempt started.
  fileprivate var lastStart: Timestamp? { attempts.last.flatMap { start(of: $0) } }

  /// By its agent's word; an agent that says only that it runs is believed since it was given it.
  private func start(of attempt: AttemptRecord) -> Timestamp? {
    attempt.startedAt ?? (state == .running && attempt.attempt == self.attempt ? attempt.assignedAt : nil)
  }
}

// MARK: - Text

extension AlertRule {
  private static let names = ["on", "threshold", "window", "count", "silence", "webhook", "command"]

  /// Reads a rule: an object, or a text as `init(text:)` takes it.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    if try reader.peek() == .string {
      self = try AlertRule(text: try reader.string())
      return
    }
    var on: Cause?
    var rule = AlertRule(on: .failed)
    try decoder.object(&reader, known: Self.names) { name, reader in
      switch name {
      case "on": on = try Self.cause(try reader.string())
      case "threshold": rule.thresholdMillis = try decoder.duration(&reader)
      case "window": rule.windowMillis = try decoder.duration(&reader)
      case "count": rule.count = try reader.wholeNumber()
      case "silence": rule.silenceMillis = try decoder.duration(&reader)
      case "webhook": rule.webhook = try reader.string()
      default: rule.command = try reader.string()
      }
    }
    guard let on else { throw FieldError(field: "on", message: "is required: one of \(Self.causes)") }
    rule.on = on
    self = rule
  }

  /// Reads `late:5m,silence=1h,command=page` or `failed,count=3,window=1h,webhook=https://…`; a webhook comes last, for a
  /// URL may have commas.
  public init(text: String) throws(TextError) {
    var rest = text[...]
    var url: String?
    if let mark = rest.firstRange(of: "webhook=") {
      url = String(rest[mark.upperBound...])
      rest = rest[..<mark.lowerBound]
      if rest.last == "," { rest.removeLast() }
    }
    let parts = rest.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let head = (parts.first ?? "").split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    self.init(on: try Self.cause(String(head.first ?? "")), webhook: url)
    if head.count == 2 { thresholdMillis = try DurationText.parse(String(head[1])) }
    for part in parts.dropFirst() { try read(part) }
  }

  private mutating func read(_ part: String) throws(TextError) {
    let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard pair.count == 2 else {
      throw TextError("'\(part)': count, window, silence, command or webhook, =, was expected")
    }
    switch pair[0] {
    case "window": windowMillis = try DurationText.parse(pair[1])
    case "silence": silenceMillis = try DurationText.parse(pair[1])
    case "command": command = pair[1]
    case "count":
      guard let number = Int(pair[1]) else {
        throw TextError("count=\(pair[1]): a whole number was expected")
      }
      count = number
    default: throw TextError("'\(pair[0])' is not one of count, window, silence, command and webhook")
    }
  }

  private static var causes: String { Cause.allCases.map(\.rawValue).joined(separator: ", ") }

  private static func cause(_ word: String) throws(TextError) -> Cause {
    guard let cause = Cause(rawValue: word) else {
      throw TextError("'\(word)': one of \(causes) was expected")
    }
    return cause
  }

  /// Writes the rule as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("on", on.rawValue)
      if let thresholdMillis {
        json.member("threshold", DurationText.format(milliseconds: thresholdMillis))
      }
      if let windowMillis { json.member("window", DurationText.format(milliseconds: windowMillis)) }
      if count != 1 { json.member("count", count) }
      if silenceMillis != 0 { json.member("silence", DurationText.format(milliseconds: silenceMillis)) }
      if let webhook { json.member("webhook", webhook) }
      if let command { json.member("command", command) }
    }
  }

  /// About how much text it holds, bytes.
  var textBytes: Int { (webhook?.utf8.count ?? 0) + (command?.utf8.count ?? 0) }

  /// Checks a job's rules.
  static func validate(_ rules: [AlertRule]) throws(FieldError) {
    guard rules.count <= Limits.rules else {
      throw FieldError(field: "alerts", message: "there are \(rules.count); at most \(Limits.rules)")
    }
    for (index, rule) in rules.enumerated() {
      do throws(FieldError) { try rule.validate() } catch { throw error.inside("alerts[\(index)]") }
    }
  }
}
