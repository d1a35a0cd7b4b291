// What the texts of a calendar say.

/// Whole local days that a calendar excludes.
enum CalendarDay: Hashable {
  /// One day, in days since 1970-01-01: `2026-12-25`.
  case date(Int)
  /// A day of each year: `12-25`. 29 February is one of leap years alone.
  case yearly(month: Int, day: Int)
  /// A day of each week: `sat`. 0 is Sunday, 6 Saturday.
  case weekday(Int)

  private static let weekdays = [
    "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
  ]

  init(text: String) throws(TextError) {
    let word = text.lowercased()
    if let weekday = Self.weekdays.firstIndex(where: { $0 == word || $0.prefix(3) == word }) {
      self = .weekday(weekday)
    } else if text.utf8.count == 5 {
      // 2000 was a leap year.
      let time = try CalendarText.localTime("2000-" + text)
      self = .yearly(month: time.month, day: time.day)
    } else if text.utf8.count == 10 {
      let time = try CalendarText.localTime(text)
      self = .date(CivilTime.days(year: time.year, month: time.month, day: time.day))
    } else {
      throw TextError(
        "a date such as 2026-12-25, a day of each year such as 12-25, or a weekday such as sat was expected")
    }
  }
}

enum CalendarText {
  /// The instant that a text means: a time with an offset, or a date or time of the zone. A local time that
  /// clocks show twice is the first of them, one that they leave out the first instant after the gap.
  static func instant(_ text: String, in zone: TimeZoneRules) throws(TextError) -> Timestamp {
    let time: Timestamp
    if hasOffset(text) {
      time = try Timestamp(rfc3339: text)
    } else {
      let local = try localTime(text).timestamp.microseconds / CivilTime.microsPerSecond
      time = Timestamp(microseconds: zone.instant(of: local) * CivilTime.microsPerSecond)
    }
    return min(max(time, .earliest), .latest)
  }

  /// Whether there is an offset from UTC behind the time of day.
  private static func hasOffset(_ text: String) -> Bool {
    guard let letter = text.utf8.firstIndex(where: { $0 | 0x20 == UInt8(ascii: "t") }) else { return false }
    let clock = text.utf8[letter...].dropFirst()
    return clock.contains {
      $0 | 0x20 == UInt8(ascii: "z") || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-")
    }
  }

  /// A local date, `2026-12-24`, or time, `2026-12-24T18:00:00` or without the seconds.
  static func localTime(_ text: String) throws(TextError) -> CivilTime {
    let form = "a time with an offset, or a local date or time such as 2026-12-24 or 2026-12-24T18:00:00"
    // Completed, it is read as one of UTC, so that dates are checked as everywhere.
    let completed: String
    switch text.utf8.count {
    case 10: completed = text + "T00:00:00Z"
    case 16: completed = text + ":00Z"
    case 19: completed = text + "Z"
    default: throw TextError(form + " was expected")
    }
    return CivilTime(try Timestamp(rfc3339: completed))
  }
}

extension CalendarSpec {
  /// Checks everything.
  public func validate(zones: TimeZones) throws(FieldError) {
    _ = try CompiledCalendar(self, name: "any", zones: zones)
  }

  /// Checks the bounds of what has not been read yet.
  static func check(_ spec: CalendarSpec) throws(FieldError) {
    for (field, count) in [
      ("days", spec.days.count), ("ranges", spec.ranges.count), ("cron", spec.cron.count),
    ]
    where count > SpecLimits.calendarEntries {
      throw FieldError(
        field: field, message: "there are \(count); at most \(SpecLimits.calendarEntries) are allowed")
    }
    try Labels.validate(spec.labels)
    let check = TextCheck(field: "description")
    try check.length(spec.description, atMost: SpecLimits.calendarDescriptionBytes)
    try check.noControlCharacters(spec.description)
  }
}
