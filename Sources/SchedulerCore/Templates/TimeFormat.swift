/// How a local time is written: a part of C's `strftime`, in English whatever the locale.
struct TimeFormat: Hashable, Sendable {
  enum Part: Hashable, Sendable {
    case text(String)
    case field(Field)
  }

  /// The conversions by their letters.
  enum Field: Character, Hashable, Sendable, CaseIterable {
    case year = "Y"
    case shortYear = "y"
    case month = "m"
    case monthName = "B"
    case shortMonthName = "b"
    case day = "d"
    case dayWithoutZero = "e"
    case dayOfYear = "j"
    case hour = "H"
    case hourOf12 = "I"
    case half = "p"
    case minute = "M"
    case second = "S"
    case microsecond = "f"
    case weekdayName = "A"
    case shortWeekdayName = "a"
    case isoWeekday = "u"
    case weekday = "w"
    case isoYear = "G"
    case isoWeek = "V"
    case offset = "z"
    case unix = "s"
  }

  var parts: [Part]

  static let date = TimeFormat(fields: [.year, .month, .day], between: "-")
  static let time = TimeFormat(fields: [.hour, .minute, .second], between: ":")
  static let dateAndTime = TimeFormat(parts: date.parts + [.text("T")] + time.parts)

  private init(parts: [Part]) { self.parts = parts }

  private init(fields: [Field], between separator: String) {
    parts = Array(fields.map { [Part.field($0)] }.joined(separator: [.text(separator)]))
  }

  /// Reads a format. `%F` is `%Y-%m-%d`, `%T` is `%H:%M:%S`, `%%` a percent sign.
  init(_ text: String) throws(TextError) {
    parts = []
    var literal = ""
    var rest = text[...]
    while let character = rest.popFirst() {
      guard character == "%" else {
        literal.append(character)
        continue
      }
      guard let letter = rest.popFirst() else {
        throw TextError("'%' at the end of the format: '%%' is a literal one")
      }
      let field: [Part]
      switch letter {
      case "%":
        literal.append("%")
        continue
      case "F": field = Self.date.parts
      case "T": field = Self.time.parts
      default:
        guard let known = Field(rawValue: letter) else {
          let letters = (Field.allCases.map(\.rawValue) + ["F", "T", "%"]).sorted().map { "%\($0)" }
          let shown = FieldError.shown(String(letter))
          let known = "the conversions are " + letters.joined(separator: " ")
          throw TextError("'%\(shown)' is not known here; \(known)")
        }
        field = [.field(known)]
      }
      if !literal.isEmpty { parts.append(.text(literal)) }
      literal = ""
      parts += field
    }
    if !literal.isEmpty { parts.append(.text(literal)) }
  }

  /// Writes an instant as clocks so many seconds ahead of UTC show it.
  func text(_ time: Timestamp, offset: Int64) -> String {
    let local = LocalFields(time, offset: offset)
    var text = ""
    for part in parts {
      switch part {
      case .text(let literal): text += literal
      case .field(let field): text += local.text(field)
      }
    }
    return text
  }
}

/// A local time in parts, for a format.
private struct LocalFields {
  let instant: Timestamp
  let offset: Int64
  let time: CivilTime
  /// Days since 1970-01-01.
  let days: Int

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
  ]
  private static let weekdays = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  init(_ instant: Timestamp, offset: Int64) {
    self.instant = instant
    self.offset = offset
    time = CivilTime(instant.adding(milliseconds: offset * 1_000))
    days = CivilTime.days(year: time.year, month: time.month, day: time.day)
  }

  /// 0 is Sunday.
  private var weekday: Int { CivilTime.weekday(days: days) }
  /// 1 is Monday, 7 Sunday.
  private var isoWeekday: Int { weekday == 0 ? 7 : weekday }

  /// ISO 8601: a week belongs to the year that its Thursday is in.
  private var isoWeek: (year: Int, week: Int) {
    let thursday = days - isoWeekday + 4
    let year = CivilTime.date(days: thursday).year
    return (year, (thursday - CivilTime.days(year: year, month: 1, day: 1)) / 7 + 1)
  }

  func text(_ field: TimeFormat.Field) -> String {
    switch field {
    case .year: padded(time.year, 4)
    case .shortYear: padded(time.year % 100, 2)
    case .month: padded(time.month, 2)
    case .monthName: Self.months[time.month - 1]
    case .shortMonthName: String(Self.months[time.month - 1].prefix(3))
    case .day: padded(time.day, 2)
    case .dayWithoutZero: String(time.day)
    case .dayOfYear: padded(days - CivilTime.days(year: time.year, month: 1, day: 1) + 1, 3)
    case .hour: padded(time.hour, 2)
    case .hourOf12: padded((time.hour + 11) % 12 + 1, 2)
    case .half: time.hour < 12 ? "AM" : "PM"
    case .minute: padded(time.minute, 2)
    case .second: padded(time.second, 2)
    case .microsecond: padded(time.microsecond, 6)
    case .weekdayName: Self.weekdays[weekday]
    case .shortWeekdayName: String(Self.weekdays[weekday].prefix(3))
    case .isoWeekday: String(isoWeekday)
    case .weekday: String(weekday)
    case .isoYear: padded(isoWeek.year, 4)
    case .isoWeek: padded(isoWeek.week, 2)
    case .offset: OffsetText.format(offset, separator: "")
    case .unix: String(CivilTime.floorDivide(instant.microseconds, by: CivilTime.microsPerSecond).quotient)
    }
  }
}

/// How far a local time is ahead of UTC.
enum OffsetText {
  /// `+0100`, or with a colon `+01:00`; seconds, which only zones of long ago had, are cut off, as RFC 3339 cannot
  /// say them.
  static func format(_ seconds: Int64, separator: String) -> String {
    let minutes = Int(seconds.magnitude / 60)
    return (seconds < 0 ? "-" : "+") + padded(minutes / 60, 2) + separator + padded(minutes % 60, 2)
  }
}

/// A number with zeros in front; numbers here are not negative.
private func padded(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
