/// The rule for all years in the footer of a TZif file: POSIX's `TZ` (Base Definitions, section 8.3), with the
/// hours beyond a day that RFC 8536 section 3.3.1 adds.
struct PosixZone {
  /// The offsets from UTC that RFC 8536 section 3.2 has, seconds.
  static let offsets = -89_999...93_599

  /// A day of each year, and a time of it.
  struct Change: Hashable {
    enum Day: Hashable {
      /// `Jn`: 1 to 365; 29 February is never counted.
      case withoutLeapDay(Int)
      /// `n`: 0 to 365.
      case ofYear(Int)
      /// `Mm.w.d`: the weekday `d` (0 is Sunday) in the week `w` of the month `m`; week 5 is the last.
      case ofMonth(Int, week: Int, weekday: Int)
    }
    var day: Day
    /// Seconds after midnight; may be negative or more than a day.
    var seconds = 7_200
  }

  /// Seconds ahead of UTC.
  private(set) var standardOffset = 0
  /// The other offset, from when to when.
  private(set) var daylight: (offset: Int, from: Change, to: Change)?

  init(parsing text: [UInt8]) throws(TextError) {
    var scanner = Scanner(text: text)
    try scanner.name()
    standardOffset = -(try scanner.time(hours: 24))
    guard !scanner.isAtEnd else { return }
    try scanner.name()
    var offset = standardOffset + 3_600
    if !scanner.isAtEnd, !scanner.sees(",") { offset = -(try scanner.time(hours: 24)) }
    guard Self.offsets.contains(standardOffset), Self.offsets.contains(offset) else { throw Scanner.error }
    try scanner.expect(",")
    let from = try scanner.change()
    try scanner.expect(",")
    let to = try scanner.change()
    guard scanner.isAtEnd else { throw Scanner.error }
    daylight = (offset, from, to)
  }

  /// The transitions after one instant up to another, in order.
  func transitions(after from: Int64, to end: Int64) -> [(at: Int64, offset: Int)] {
    guard let daylight else { return [] }
    // Nothing is scheduled before 1970.
    let firstYear =
      from < 0 ? 1969 : CivilTime(Timestamp(microseconds: from * CivilTime.microsPerSecond)).year - 1
    let lastYear = CivilTime(Timestamp(microseconds: end * CivilTime.microsPerSecond)).year
    var found: [(at: Int64, offset: Int)] = []
    for year in firstYear...max(firstYear, lastYear) {
      let on = (at: daylight.from.local(in: year) - Int64(standardOffset), offset: daylight.offset)
      let off = (at: daylight.to.local(in: year) - Int64(daylight.offset), offset: standardOffset)
      for change in on.at < off.at ? [on, off] : [off, on] where change.at > from {
        // Daylight-saving time all the year ends at the instant at which it begins again.
        if let last = found.last, last.at >= change.at { found.removeLast() }
        found.append(change)
      }
    }
    return found
  }
}

extension PosixZone.Change {
  /// The local time in a year, seconds since 1970.
  func local(in year: Int) -> Int64 {
    let newYear = CivilTime.days(year: year, month: 1, day: 1)
    let days: Int
    switch day {
    case .ofYear(let number): days = newYear + number
    case .withoutLeapDay(let number):
      let isLeap = CivilTime.daysInMonth(year: year, month: 2) == 29
      days = newYear + number - 1 + (isLeap && number >= 60 ? 1 : 0)
    case .ofMonth(let month, let week, let weekday):
      let first = CivilTime.days(year: year, month: month, day: 1)
      let firstSuch = (weekday - CivilTime.weekday(days: first) + 7) % 7
      let last = CivilTime.daysInMonth(year: year, month: month) - 1
      var index = firstSuch + (week - 1) * 7
      if index > last { index -= 7 }
      days = first + index
    }
    return Int64(days) * CivilTime.secondsPerDay + Int64(seconds)
  }
}

/// Reads the parts of a `TZ` text.
private struct Scanner {
  let text: [UInt8]
  var position = 0

  static let error = TextError("its footer is no POSIX time zone")

  var isAtEnd: Bool { position == text.count }

  func sees(_ character: Unicode.Scalar) -> Bool { !isAtEnd && text[position] == UInt8(ascii: character) }

  mutating func expect(_ character: Unicode.Scalar) throws(TextError) {
    guard sees(character) else { throw Self.error }
    position += 1
  }

  /// Three letters or more, or anything between `<` and `>`.
  mutating func name() throws(TextError) {
    let start = position
    if sees("<") {
      guard let end = text[position...].firstIndex(of: UInt8(ascii: ">")) else { throw Self.error }
      position = end + 1
      return
    }
    while position < text.count, (0x41...0x5A).contains(text[position] & 0xDF) { position += 1 }
    guard position - start >= 3 else { throw Self.error }
  }

  private mutating func number(_ range: ClosedRange<Int>) throws(TextError) -> Int {
    var value = 0
    let start = position
    while position < text.count, (0x30...0x39).contains(text[position]), position - start < 4 {
      value = value * 10 + Int(text[position] - 0x30)
      position += 1
    }
    guard position > start, range.contains(value) else { throw Self.error }
    return value
  }

  /// `[+-]hh[:mm[:ss]]`, seconds.
  mutating func time(hours: Int) throws(TextError) -> Int {
    let isNegative = sees("-")
    if isNegative || sees("+") { position += 1 }
    var seconds = try number(0...hours) * 3_600
    for unit in [60, 1] where sees(":") {
      position += 1
      seconds += try number(0...59) * unit
    }
    return isNegative ? -seconds : seconds
  }

  mutating func change() throws(TextError) -> PosixZone.Change {
    var change: PosixZone.Change
    if sees("M") {
      position += 1
      let month = try number(1...12)
      try expect(".")
      let week = try number(1...5)
      try expect(".")
      change = .init(day: .ofMonth(month, week: week, weekday: try number(0...6)))
    } else if sees("J") {
      position += 1
      change = .init(day: .withoutLeapDay(try number(1...365)))
    } else {
      change = .init(day: .ofYear(try number(0...365)))
    }
    if sees("/") {
      position += 1
      change.seconds = try time(hours: 167)
    }
    return change
  }
}
