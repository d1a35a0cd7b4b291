extension Timestamp {
  /// The years in which Rota schedules. Beyond them a time is a mistake, most often milliseconds given as
  /// seconds.
  public static let years = 1970...2999
  /// The first time that Rota accepts: 1970-01-01T00:00:00Z.
  public static let earliest = Timestamp(microseconds: 0)
  /// The last time that Rota accepts: 2999-12-31T23:59:59.999999Z.
  public static let latest = Timestamp(microseconds: 32_503_680_000_000_000 - 1)

  /// Whether the time is one that Rota accepts.
  public var isInAcceptedYears: Bool { self >= .earliest && self <= .latest }

  /// The time as RFC 3339 writes it, always in UTC with `Z`. A fraction is written only where there is
  /// one: three digits for whole milliseconds, otherwise six. Times outside the years 0000 to 9999, which
  /// the format cannot say, are written as the nearest that it can.
  public var rfc3339: String {
    let time = CivilTime(min(max(self, Self.firstWritable), Self.lastWritable))
    return String(unsafeUninitializedCapacity: 27) { buffer in
      var text = DigitWriter(buffer)
      text.number(time.year, width: 4)
      text.byte(UInt8(ascii: "-"))
      text.number(time.month, width: 2)
      text.byte(UInt8(ascii: "-"))
      text.number(time.day, width: 2)
      text.byte(UInt8(ascii: "T"))
      text.number(time.hour, width: 2)
      text.byte(UInt8(ascii: ":"))
      text.number(time.minute, width: 2)
      text.byte(UInt8(ascii: ":"))
      text.number(time.second, width: 2)
      if time.microsecond != 0 {
        text.byte(UInt8(ascii: "."))
        let isWholeMillis = time.microsecond.isMultiple(of: 1_000)
        text.number(
          isWholeMillis ? time.microsecond / 1_000 : time.microsecond, width: isWholeMillis ? 3 : 6)
      }
      text.byte(UInt8(ascii: "Z"))
      return text.count
    }
  }

  /// 0000-01-01T00:00:00Z.
  private static let firstWritable = Timestamp(microseconds: -62_167_219_200_000_000)
  /// 9999-12-31T23:59:59.999999Z.
  static let lastWritable = Timestamp(microseconds: 253_402_300_800_000_000 - 1)

  /// Reads an RFC 3339 time (section 5.6): any offset, a fraction of one to nine digits of which six are
  /// kept, `t` and `z` in either case. Refused are dates that do not exist, the leap second `:60` (the
  /// epoch that a timestamp counts from has none), and years outside `Timestamp.years`.
  public init(rfc3339 text: String) throws(TextError) {
    var text = text
    // A typed throw cannot pass through withUTF8.
    let result: Result<Timestamp, TextError> = text.withUTF8 { bytes in
      var reader = RFC3339Reader(bytes: bytes)
      do throws(TextError) { return .success(try reader.read()) } catch { return .failure(error) }
    }
    self = try result.get()
  }
}

/// Reads one RFC 3339 time from ASCII.
private struct RFC3339Reader {
  let bytes: UnsafeBufferPointer<UInt8>
  var position = 0

  static let form = "a time such as 2026-11-22T21:56:09Z or 2026-11-22T22:56:09.123+01:00 was expected"

  mutating func read() throws(TextError) -> Timestamp {
    var time = try date()
    try clock(into: &time)
    let offsetMinutes = try offset()
    guard position == bytes.count else { throw TextError(Self.form) }
    let local = time.timestamp
    let utc = Timestamp(microseconds: local.microseconds - offsetMinutes * 60 * CivilTime.microsPerSecond)
    guard utc.isInAcceptedYears else { throw Self.outOfRange(year: CivilTime(utc).year) }
    return utc
  }

  private static func outOfRange(year: Int) -> TextError {
    let years = Timestamp.years
    return TextError("the year \(year) is outside \(years.lowerBound) to \(years.upperBound), in UTC")
  }

  private mutating func date() throws(TextError) -> CivilTime {
    let year = try number(digits: 4)
    try expect(UInt8(ascii: "-"))
    let month = try number(digits: 2)
    try expect(UInt8(ascii: "-"))
    let day = try number(digits: 2)
    guard (1...12).contains(month) else { throw TextError("there is no month \(month)") }
    guard day >= 1, day <= CivilTime.daysInMonth(year: year, month: month) else {
      throw TextError("there is no day \(day) in month \(month) of \(year)")
    }
    return CivilTime(year: year, month: month, day: day)
  }

  private mutating func clock(into time: inout CivilTime) throws(TextError) {
    guard let separator = next(), separator | 0x20 == UInt8(ascii: "t") else { throw TextError(Self.form) }
    time.hour = try number(digits: 2)
    try expect(UInt8(ascii: ":"))
    time.minute = try number(digits: 2)
    try expect(UInt8(ascii: ":"))
    time.second = try number(digits: 2)
    guard time.hour < 24 else { throw TextError("there is no hour \(time.hour); the last is 23") }
    guard time.minute < 60 else { throw TextError("there is no minute \(time.minute); the last is 59") }
    guard time.second < 60 else {
      throw TextError("there is no second \(time.second); leap seconds are not accepted")
    }
    time.microsecond = try fraction()
  }

  /// The fraction's microseconds; what is finer is cut off.
  private mutating func fraction() throws(TextError) -> Int {
    guard position < bytes.count, bytes[position] == UInt8(ascii: ".") else { return 0 }
    position += 1
    var micros = 0
    var count = 0
    while position < bytes.count, let digit = digit(bytes[position]) {
      if count < 6 { micros = micros * 10 + digit }
      count += 1
      position += 1
    }
    guard (1...9).contains(count) else {
      throw TextError("a fraction of a second has one to nine digits")
    }
    for _ in count..<max(count, 6) { micros *= 10 }
    return micros
  }

  /// Minutes ahead of UTC.
  private mutating func offset() throws(TextError) -> Int64 {
    guard let sign = next() else { throw TextError("the offset from UTC is missing: add Z, or say +01:00") }
    if sign | 0x20 == UInt8(ascii: "z") { return 0 }
    guard sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") else { throw TextError(Self.form) }
    let hours = try number(digits: 2)
    try expect(UInt8(ascii: ":"))
    let minutes = try number(digits: 2)
    guard hours < 24, minutes < 60 else { throw TextError("the offset from UTC is out of range") }
    let total = Int64(hours * 60 + minutes)
    return sign == UInt8(ascii: "-") ? -total : total
  }

  private mutating func next() -> UInt8? {
    guard position < bytes.count else { return nil }
    position += 1
    return bytes[position - 1]
  }

  private mutating func expect(_ byte: UInt8) throws(TextError) {
    guard next() == byte else { throw TextError(Self.form) }
  }

  private mutating func number(digits: Int) throws(TextError) -> Int {
    var value = 0
    for _ in 0..<digits {
      guard let byte = next(), let digit = digit(byte) else { throw TextError(Self.form) }
      value = value * 10 + digit
    }
    return value
  }

  private func digit(_ byte: UInt8) -> Int? {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") ? Int(byte - UInt8(ascii: "0")) : nil
  }
}
