import JSON

// Schedules and policies in requests and records. The canonical form is the shortest that says all: what is
// written is what has no default.

extension Schedule {
  /// The members of a schedule's object.
  static let names =
    ruleNames + [
      "time_zone", "dst_gap", "dst_overlap", "start_time", "end_time", "max_runs", "jitter", "calendars",
    ]
  /// Those that say when it is due; each schedule has one.
  private static let ruleNames = ["cron", "every", "fixed_delay", "frequency", "at"]

  /// Reads a schedule: an object, or a text, which is a cron expression. Bounds are checked by
  /// `validate(zones:)`.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    if try reader.peek() == .string {
      self.init(.cron(try reader.string()))
      return
    }
    var schedule = Schedule(.cron(""))
    var ruleName: String?
    try decoder.object(&reader, known: Self.names) { name, reader in
      if Self.ruleNames.contains(name) {
        if let ruleName {
          throw TextError("only one of \(Self.ruleList) may be given, and \(ruleName) is given already")
        }
        ruleName = name
        schedule.rule = try Self.rule(name, &reader, decoder)
      } else {
        try schedule.decodeMember(name, &reader, decoder)
      }
    }
    guard ruleName != nil else {
      throw FieldError(field: "cron", message: "one of \(Self.ruleList) is required")
    }
    self = schedule
  }

  /// Reads a schedule that a user wrote, as a value by itself: what is unknown, given twice or of a wrong type is
  /// an error. Bounds are checked by `validate(zones:)`.
  /// - Throws: `FieldError` or `JSONError`.
  public init(parsing reader: inout JSONReader) throws {
    try self.init(decoding: &reader, with: SpecDecoder(isStrict: true))
  }

  private static var ruleList: String { ruleNames.joined(separator: ", ") }

  private static func rule(_ name: String, _ reader: inout JSONReader, _ decoder: SpecDecoder) throws -> Rule
  {
    switch name {
    case "cron": return .cron(try reader.string())
    case "every": return .fixedRate(everyMillis: try decoder.duration(&reader))
    case "fixed_delay": return .fixedDelay(delayMillis: try decoder.duration(&reader))
    case "at": return .at(try decoder.time(&reader))
    default:
      let word = try reader.string()
      guard let frequency = Frequency(rawValue: word) else {
        let hint = word == "once" ? "; for a single time there is at" : ""
        throw TextError("one of \(wordList(Frequency.self)) was expected" + hint)
      }
      return .frequency(frequency)
    }
  }

  private mutating func decodeMember(
    _ name: String, _ reader: inout JSONReader, _ decoder: SpecDecoder
  ) throws {
    switch name {
    case "time_zone": timeZone = try reader.string()
    case "dst_gap": dstGap = try decodeWord(&reader)
    case "dst_overlap": dstOverlap = try decodeWord(&reader)
    case "start_time": startTime = try decoder.time(&reader)
    case "end_time": endTime = try decoder.time(&reader)
    case "max_runs": maxRuns = try reader.wholeNumber()
    case "jitter": jitterMillis = try decoder.duration(&reader)
    default: calendars = try decoder.list(&reader) { try $0.string() }
    }
  }

  /// Writes the schedule as a value: a text where that says all.
  public func write(to json: inout JSONWriter) {
    if case .cron(let text) = rule, self == Schedule(rule) {
      json.string(text)
      return
    }
    json.beginObject()
    switch rule {
    case .cron(let text): json.member("cron", text)
    case .fixedRate(let millis): json.member("every", DurationText.format(milliseconds: millis))
    case .fixedDelay(let millis): json.member("fixed_delay", DurationText.format(milliseconds: millis))
    case .frequency(let frequency): json.member("frequency", frequency.rawValue)
    case .at(let time): json.member("at", time)
    }
    if timeZone != Defaults.timeZone { json.member("time_zone", timeZone) }
    json.optionalMember("dst_gap", dstGap?.rawValue)
    json.optionalMember("dst_overlap", dstOverlap?.rawValue)
    json.optionalMember("start_time", startTime)
    json.optionalMember("end_time", endTime)
    json.optionalMember("max_runs", maxRuns)
    if jitterMillis != 0 { json.member("jitter", DurationText.format(milliseconds: jitterMillis)) }
    if !calendars.isEmpty { json.member("calendars", calendars) }
    json.endObject()
  }
}

extension MisfirePolicy {
  /// Reads a policy: an object, or one word. Bounds are checked by `validate()`.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    self.init()
    if try reader.peek() == .string {
      action = try decodeWord(&reader)
      return
    }
    var policy = self
    try decoder.object(&reader, known: ["policy", "limit", "within", "grace"]) { name, reader in
      switch name {
      case "policy": policy.action = try decodeWord(&reader)
      case "limit": policy.limit = try reader.wholeNumber()
      case "within": policy.withinMillis = try decoder.duration(&reader)
      default: policy.graceMillis = try decoder.duration(&reader)
      }
    }
    self = policy
  }

  /// Writes the policy as a value: a word where that says all.
  public func write(to json: inout JSONWriter) {
    var plain = MisfirePolicy()
    plain.action = action
    if self == plain {
      json.string(action.rawValue)
      return
    }
    json.beginObject()
    json.member("policy", action.rawValue)
    if limit != Defaults.limit { json.member("limit", limit) }
    if let withinMillis { json.member("within", DurationText.format(milliseconds: withinMillis)) }
    if graceMillis != Defaults.graceMillis {
      json.member("grace", DurationText.format(milliseconds: graceMillis))
    }
    json.endObject()
  }
}

extension OverlapPolicy {
  /// The policy's name.
  public var word: String {
    switch self {
    case .allow: "allow"
    case .forbid: "forbid"
    case .queue: "queue"
    case .replace: "replace"
    }
  }

  /// Makes the policy of a name, with the limit of a queue.
  public init(word: String, limit: Int?) throws(FieldError) {
    switch word {
    case "allow": self = .allow
    case "forbid": self = .forbid
    case "queue":
      self = .queue(limit: limit ?? Self.defaultQueueLimit)
      return
    case "replace": self = .replace
    default: throw FieldError(field: "policy", message: "one of allow, forbid, queue, replace was expected")
    }
    guard limit == nil else { throw FieldError(field: "limit", message: "is for the policy queue alone") }
  }

  /// Reads a policy: an object, or one word. Bounds are checked by `validate()`.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    if try reader.peek() == .string {
      do { try self.init(word: try reader.string(), limit: nil) } catch let error as FieldError {
        // A bare word has no field of its own.
        throw TextError(error.message)
      }
      return
    }
    var word: String?
    var limit: Int?
    try decoder.object(&reader, known: ["policy", "limit"]) { name, reader in
      if name == "policy" { word = try reader.string() } else { limit = try reader.wholeNumber() }
    }
    guard let word else { throw FieldError(field: "policy", message: "is required") }
    try self.init(word: word, limit: limit)
  }

  /// Writes the policy as a value: a word where that says all.
  public func write(to json: inout JSONWriter) {
    guard case .queue(let limit) = self, limit != Self.defaultQueueLimit else {
      json.string(word)
      return
    }
    json.beginObject()
    json.member("policy", word)
    json.member("limit", limit)
    json.endObject()
  }
}

/// The words of a type with one for each case.
private func wordList<Word: RawRepresentable & CaseIterable>(_ type: Word.Type) -> String
where Word.RawValue == String {
  type.allCases.map(\.rawValue).joined(separator: ", ")
}

/// Reads a word that stands for a case; the error lists them.
func decodeWord<Word: RawRepresentable & CaseIterable>(_ reader: inout JSONReader) throws -> Word
where Word.RawValue == String {
  guard let word = Word(rawValue: try reader.string()) else {
    throw TextError("one of \(wordList(Word.self)) was expected")
  }
  return word
}
