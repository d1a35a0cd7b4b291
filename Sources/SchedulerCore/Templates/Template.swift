/// A text with places that are filled in for each attempt, such as `--day={{scheduled_time | date}}`.
///
/// A place has the name of a value, and filters behind it that are applied from left to right. Types are
/// checked when the text is parsed, so that filling it in can fail for values only, not for its form. The
/// reference for users is docs/TASKS.md.
struct Template: Sendable {
  /// A piece of the text.
  enum Part: Hashable, Sendable {
    case text(String)
    case place(Place)
  }

  /// What stands between `{{` and `}}`.
  struct Place: Hashable, Sendable {
    var value: TemplateValue
    var filters: [TemplateFilter] = []
    /// Where it begins in the text; the first character is 1.
    var character: Int
  }

  var parts: [Part]

  /// Whether a text has to be parsed at all. It looks at each byte once.
  static func mayBe(in text: String) -> Bool {
    var isAfterBrace = false
    for byte in text.utf8 {
      let isBrace = byte == UInt8(ascii: "{")
      if isBrace && isAfterBrace { return true }
      isAfterBrace = isBrace
    }
    return false
  }
}

/// What a place can name.
enum TemplateValue: Hashable, Sendable {
  case namespace, jobID, runID, trigger
  case attempt, fencingToken, retryCount
  case scheduledTime, previousScheduledTime, nextScheduledTime, lastSuccessTime
  case param(String)

  /// All but the parameters, by their names.
  static let byName: [String: TemplateValue] = [
    "namespace": .namespace, "job_id": .jobID, "run_id": .runID, "trigger": .trigger, "attempt": .attempt,
    "fencing_token": .fencingToken, "retry_count": .retryCount, "scheduled_time": .scheduledTime,
    "previous_scheduled_time": .previousScheduledTime, "next_scheduled_time": .nextScheduledTime,
    "last_success_time": .lastSuccessTime,
  ]

  /// What the name of a parameter begins with.
  static let paramPrefix = "params."

  /// Its type before any filter.
  var type: TemplateType {
    switch self {
    case .namespace, .jobID, .runID, .trigger, .param: .text
    case .attempt, .fencingToken, .retryCount: .number
    case .scheduledTime, .previousScheduledTime, .nextScheduledTime, .lastSuccessTime: .time
    }
  }
}

/// What a value is, for the filters.
enum TemplateType: String, Sendable {
  case text = "a text"
  case number = "a number"
  case time = "a time"
}

/// What changes a value.
enum TemplateFilter: Hashable, Sendable {
  /// A time as the clocks of its zone show it.
  case format(TimeFormat)
  case rfc3339
  case unix
  case unixMillis
  /// The clocks of another zone.
  case inZone(String)
  /// A time so many days of its zone's calendar, and then so long, later.
  case shift(days: Int64, millis: Int64)
  /// What stands in where there is no value.
  case fallback(String)
  case upper
  case lower
  case json
  case urlencode

  /// All names, for error messages.
  static let names = [
    "date", "time", "datetime", "rfc3339", "unix", "unix_ms", "format", "in_zone", "plus", "minus", "default",
    "upper", "lower", "json", "urlencode",
  ]

  /// Whether it needs a time.
  var needsTime: Bool {
    switch self {
    case .format, .rfc3339, .unix, .unixMillis, .inZone, .shift: true
    case .fallback, .upper, .lower, .json, .urlencode: false
    }
  }

  /// The type of what comes out.
  var result: TemplateType {
    switch self {
    case .inZone, .shift: .time
    case .unix, .unixMillis: .number
    case .format, .rfc3339, .fallback, .upper, .lower, .json, .urlencode: .text
    }
  }
}

/// Why a text is no template, or cannot be filled in.
struct TemplateError: Error, Hashable, Sendable {
  /// Where, the first character being 1.
  var character: Int
  /// What is wrong and what was expected.
  var message: String

  func at(_ field: String) -> FieldError {
    FieldError(field: field, message: "character \(character): \(message)")
  }
}
