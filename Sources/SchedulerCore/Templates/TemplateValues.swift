import JSON

/// What the places of one attempt's templates are filled in with.
struct TemplateValues: Sendable {
  var ref: AttemptRef
  var scheduledTime: Timestamp
  var retryCount: Int
  var context: RunContext
  /// The zone whose clocks count where a place names none.
  var timeZone: String
  /// Nil where only the form is of interest: every zone counts as UTC then.
  var zones: TimeZones?

  /// A value on its way through the filters.
  fileprivate enum Value {
    case missing
    case text(String)
    case number(Int64)
    case time(Timestamp, zone: String)
  }

  fileprivate func value(_ name: TemplateValue) throws(TextError) -> Value {
    switch name {
    case .namespace: return .text(ref.run.job.namespace)
    case .jobID: return .text(ref.run.job.jobID)
    case .runID: return .text(ref.run.runID)
    case .trigger: return .text(context.trigger.rawValue)
    case .attempt: return .number(Int64(ref.attempt))
    case .fencingToken: return .number(ref.fence)
    case .retryCount: return .number(Int64(retryCount))
    case .scheduledTime: return time(scheduledTime)
    case .previousScheduledTime: return time(context.previousScheduledTime)
    case .nextScheduledTime: return time(context.nextScheduledTime)
    case .lastSuccessTime: return time(context.lastSuccessTime)
    case .param(let name): return context.params[name].map { .text($0) } ?? .missing
    }
  }

  private func time(_ time: Timestamp?) -> Value {
    time.map { .time($0, zone: timeZone) } ?? .missing
  }

  fileprivate func rules(of zone: String) throws(TextError) -> TimeZoneRules {
    guard let zones else { return .utc }
    do throws(FieldError) { return try zones.zone(zone) } catch {
      throw TextError("'\(FieldError.shown(zone))' \(error.message)")
    }
  }
}

extension Template {
  /// The names of the parameters that have to be there: those that no `default` stands in for.
  var requiredParams: [(name: String, character: Int)] {
    parts.compactMap { part in
      guard case .place(let place) = part, case .param(let name) = place.value, !place.hasFallback else {
        return nil
      }
      return (name, place.character)
    }
  }

  /// The text for an attempt.
  /// - Parameter limit: How many bytes it may have; a long value in many places is not multiplied beyond.
  func filledIn(_ values: TemplateValues, limit: Int) throws(TemplateError) -> String {
    var text = ""
    for part in parts {
      switch part {
      case .text(let literal): text += literal
      case .place(let place):
        do throws(TextError) { text += try place.text(values) } catch {
          throw TemplateError(character: place.character, message: error.message)
        }
        guard text.utf8.count <= limit else {
          throw TemplateError(
            character: place.character,
            message: "filled in, this has more than the \(limit) bytes that are allowed")
        }
      }
    }
    return text
  }
}

extension Template.Place {
  fileprivate var hasFallback: Bool {
    filters.contains { if case .fallback = $0 { true } else { false } }
  }

  fileprivate func text(_ values: TemplateValues) throws(TextError) -> String {
    var current = try values.value(value)
    if case .missing = current, case .param(let name) = value, !hasFallback {
      throw TextError(Self.missingParam(name))
    }
    for filter in filters { current = try filter.apply(to: current, values) }
    return try current.text(values)
  }

  static func missingParam(_ name: String) -> String {
    "there is no parameter '\(FieldError.shown(name))': give the job a value for it in params, or add "
      + "'| default \"…\"'"
  }
}

extension TemplateValues.Value {
  /// A time is written as RFC 3339 has it; nothing is an empty text.
  fileprivate func text(_ values: TemplateValues) throws(TextError) -> String {
    switch self {
    case .missing: return ""
    case .text(let text): return text
    case .number(let number): return String(number)
    case .time(let time, let zone): return time.rfc3339(in: try values.rules(of: zone))
    }
  }
}

extension TemplateFilter {
  fileprivate func apply(
    to value: TemplateValues.Value, _ values: TemplateValues
  ) throws(TextError) -> TemplateValues.Value {
    if case .time(let time, let zone) = value, needsTime { return try apply(to: time, zone: zone, values) }
    switch (self, value) {
    case (.fallback(let text), .missing): return .text(text)
    case (.fallback(let text), .text("")): return .text(text)
    case (.json, .missing): return .text("null")
    case (.json, .number(let number)): return .text(String(number))
    case (_, .missing): return .missing
    case (.upper, _): return .text(try value.text(values).uppercased())
    case (.lower, _): return .text(try value.text(values).lowercased())
    case (.json, _):
      var json = JSONWriter(reserving: 64)
      json.string(try value.text(values))
      return .text(json.text)
    case (.urlencode, _): return .text(try value.text(values).percentEncoded)
    default: return .text(try value.text(values))
    }
  }

  /// Times before the year 0 and after 9999 cannot be written.
  private func apply(
    to time: Timestamp, zone: String, _ values: TemplateValues
  ) throws(TextError) -> TemplateValues.Value {
    switch self {
    case .format(let format):
      let rules = try values.rules(of: zone)
      return .text(format.text(time, offset: rules.offset(at: time)))
    case .rfc3339: return .text(time.rfc3339(in: try values.rules(of: zone)))
    case .unix:
      return .number(CivilTime.floorDivide(time.microseconds, by: CivilTime.microsPerSecond).quotient)
    case .unixMillis: return .number(time.milliseconds)
    case .inZone(let other):
      _ = try values.rules(of: other)
      return .time(time, zone: other)
    case .shift(let days, let millis):
      var shifted = time
      if days != 0 { shifted = try values.rules(of: zone).adding(days: days, to: time) }
      shifted = shifted.adding(milliseconds: millis)
      guard shifted >= .earliestFilledIn, shifted <= .latestFilledIn else {
        throw TextError("the time is outside the years 1 to 9998")
      }
      return .time(shifted, zone: zone)
    case .fallback, .upper, .lower, .json, .urlencode: return .time(time, zone: zone)
    }
  }
}

extension Timestamp {
  /// A day's distance from what `CivilTime` and RFC 3339 can say in any zone.
  fileprivate static let earliestFilledIn = CivilTime(year: 1, month: 1, day: 1).timestamp
  fileprivate static let latestFilledIn = CivilTime(year: 9_999, month: 1, day: 1).timestamp

  /// RFC 3339 with the offset of a zone, `Z` where that is zero. Offsets with seconds, of long ago, are cut to
  /// minutes, and the local time with them: the instant stays the same.
  fileprivate func rfc3339(in rules: TimeZoneRules) -> String {
    let offset = rules.offset(at: self) / 60 * 60
    let utc = adding(milliseconds: offset * 1_000).rfc3339
    return offset == 0 ? utc : utc.dropLast() + OffsetText.format(offset, separator: ":")
  }
}

extension TimeZoneRules {
  /// How far clocks are ahead of UTC, seconds.
  fileprivate func offset(at time: Timestamp) -> Int64 {
    offset(index(at: CivilTime.floorDivide(time.microseconds, by: CivilTime.microsPerSecond).quotient))
  }

  /// The same local time so many days later or, where clocks skip it, the first instant after the gap.
  fileprivate func adding(days: Int64, to time: Timestamp) -> Timestamp {
    let (seconds, micros) = CivilTime.floorDivide(time.microseconds, by: CivilTime.microsPerSecond)
    let local = seconds + offset(index(at: seconds)) + days * CivilTime.secondsPerDay
    return Timestamp(microseconds: instant(of: local) * CivilTime.microsPerSecond + micros)
  }
}

extension String {
  /// Every byte but the unreserved ones of RFC 3986 section 2.3 as `%` and two digits.
  fileprivate var percentEncoded: String {
    var text: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        text.append(byte)
      default: text += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
