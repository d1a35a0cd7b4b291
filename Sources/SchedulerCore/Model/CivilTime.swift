/// A time of the UTC calendar, taken apart.
///
/// Days are counted as in Howard Hinnant's paper "chrono-Compatible Low-Level Date Algorithms"
/// (`days_from_civil`, `civil_from_days`): years begin in March, so that the leap day is the last one,
/// and 400 years are an era of 146,097 days.
struct CivilTime: Hashable, Sendable {
  var year: Int
  /// 1 to 12.
  var month: Int
  /// 1 to 31.
  var day: Int
  /// 0 to 23.
  var hour = 0
  /// 0 to 59.
  var minute = 0
  /// 0 to 59.
  var second = 0
  /// 0 to 999,999.
  var microsecond = 0

  static let microsPerSecond: Int64 = 1_000_000
  static let secondsPerDay: Int64 = 86_400

  init(year: Int, month: Int, day: Int) {
    self.year = year
    self.month = month
    self.day = day
  }

  /// The UTC time of a timestamp.
  init(_ timestamp: Timestamp) {
    let (seconds, micros) = Self.floorDivide(timestamp.microseconds, by: Self.microsPerSecond)
    let (days, secondOfDay) = Self.floorDivide(seconds, by: Self.secondsPerDay)
    (year, month, day) = Self.date(days: Int(days))
    hour = Int(secondOfDay / 3_600)
    minute = Int(secondOfDay / 60 % 60)
    second = Int(secondOfDay % 60)
    microsecond = Int(micros)
  }

  /// The timestamp of this time, were its zone UTC. Years beyond what a timestamp holds are a bug here.
  var timestamp: Timestamp {
    let days = Int64(Self.days(year: year, month: month, day: day))
    let seconds = days * Self.secondsPerDay + Int64(hour * 3_600 + minute * 60 + second)
    return Timestamp(microseconds: seconds * Self.microsPerSecond + Int64(microsecond))
  }

  /// How many days a month has.
  static func daysInMonth(year: Int, month: Int) -> Int {
    switch month {
    case 4, 6, 9, 11: return 30
    case 2: return isLeapYear(year) ? 29 : 28
    default: return 31
    }
  }

  /// The weekday of a day since 1970-01-01: 0 is Sunday, 6 Saturday.
  static func weekday(days: Int) -> Int {
    // 1970-01-01 was a Thursday.
    let weekday = (days + 4) % 7
    return weekday < 0 ? weekday + 7 : weekday
  }

  private static func isLeapYear(_ year: Int) -> Bool {
    year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
  }

  /// Days since 1970-01-01.
  static func days(year: Int, month: Int, day: Int) -> Int {
    let marchYear = month <= 2 ? year - 1 : year
    let era = (marchYear >= 0 ? marchYear : marchYear - 399) / 400
    let yearOfEra = marchYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  /// The date of a day since 1970-01-01.
  static func date(days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
  }

  static func floorDivide(_ value: Int64, by divisor: Int64) -> (quotient: Int64, rest: Int64) {
    let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
    return rest < 0 ? (quotient - 1, rest + divisor) : (quotient, rest)
  }
}

/// Writes ASCII digits into the storage of a string that is being made.
struct DigitWriter {
  private let buffer: UnsafeMutableBufferPointer<UInt8>
  private(set) var count = 0

  init(_ buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

  mutating func byte(_ byte: UInt8) {
    buffer[count] = byte
    count += 1
  }

  /// Writes a number of at most `width` digits, filled up with zeros in front.
  mutating func number(_ value: Int, width: Int) {
    var rest = value
    for index in stride(from: count + width - 1, through: count, by: -1) {
      buffer[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    count += width
  }
}
