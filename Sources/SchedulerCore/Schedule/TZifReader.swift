/// Reads a TZif file: RFC 8536, and its version 4 (RFC 9636). Times after the last transition follow the
/// POSIX rule in the footer; they are written out up to the last year that Rota schedules in, so that
/// there is one table and nothing else to look into.
struct TZifReader {
  private let bytes: [UInt8]
  private var position = 0

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  static func read(_ bytes: [UInt8], name: String) throws(TextError) -> TimeZoneRules {
    guard bytes.count <= TimeZones.maxFileBytes else {
      throw TextError("is longer than \(TimeZones.maxFileBytes) bytes")
    }
    var reader = TZifReader(bytes)
    return try reader.read(name: name)
  }

  // MARK: The file

  /// The counts of a header, section 3.1.
  private struct Header {
    var version: UInt8
    var utIndicators: Int
    var standardIndicators: Int
    var leapSeconds: Int
    var transitions: Int
    var types: Int
    var characters: Int

    /// The length of the data block that follows, with times of so many bytes.
    func blockLength(timeSize: Int) -> Int {
      transitions * (timeSize + 1) + types * 6 + characters + leapSeconds * (timeSize + 4)
        + standardIndicators + utIndicators
    }
  }

  private mutating func read(name: String) throws(TextError) -> TimeZoneRules {
    let first = try header()
    guard first.version >= UInt8(ascii: "2") else {
      return try block(first, timeSize: 4).rules(name: name, footer: nil)
    }
    try skip(first.blockLength(timeSize: 4))
    let table = try block(try header(), timeSize: 8)
    return try table.rules(name: name, footer: try footer())
  }

  private mutating func header() throws(TextError) -> Header {
    guard try take(4).elementsEqual("TZif".utf8) else { throw TextError("is no TZif file") }
    let version = try take(1).first ?? 0
    try skip(15)
    var counts: [Int] = []
    for _ in 0..<6 { counts.append(Int(try number(size: 4))) }
    guard counts.allSatisfy({ (0...TimeZones.maxFileBytes).contains($0) }) else {
      throw TextError("a count of its header is out of range")
    }
    return Header(
      version: version, utIndicators: counts[0], standardIndicators: counts[1], leapSeconds: counts[2],
      transitions: counts[3], types: counts[4], characters: counts[5])
  }

  /// A data block, section 3.2: what of it local times depend on.
  private struct Table {
    var times: [Int64]
    var typeOfTime: [Int]
    var offsetOfType: [Int]

    func rules(name: String, footer: PosixZone?) throws(TextError) -> TimeZoneRules {
      let end = Timestamp.latest.microseconds / CivilTime.microsPerSecond
      var transitions = zip(times, typeOfTime).map { (at: $0, offset: offsetOfType[$1]) }
      transitions.removeAll { $0.at > end }
      if let footer {
        transitions += footer.transitions(after: transitions.last?.at ?? Int64.min, to: end)
      }
      // Before the first transition the first type holds (section 3.2).
      return TimeZoneRules(name: name, firstOffset: offsetOfType[0], transitions: transitions)
    }
  }

  private mutating func block(_ header: Header, timeSize: Int) throws(TextError) -> Table {
    guard header.leapSeconds == 0 else {
      throw TextError("counts leap seconds, which the system's clock does not")
    }
    guard header.types > 0 else { throw TextError("has no local time type") }
    var table = Table(times: [], typeOfTime: [], offsetOfType: [])
    for _ in 0..<header.transitions {
      let time = try number(size: timeSize)
      guard time > table.times.last ?? .min else { throw TextError("its transitions are out of order") }
      // Some writers put one at the Big Bang; nobody's clock goes that far.
      table.times.append(max(time, TimeZoneRules.distantPast + 1 + Int64(table.times.count)))
    }
    for type in try take(header.transitions) {
      guard type < header.types else { throw TextError("a transition has an unknown type") }
      table.typeOfTime.append(Int(type))
    }
    for _ in 0..<header.types {
      let offset = Int(try number(size: 4))
      guard PosixZone.offsets.contains(offset) else { throw TextError("an offset from UTC is out of range") }
      table.offsetOfType.append(offset)
      try skip(2)
    }
    try skip(header.characters + header.standardIndicators + header.utIndicators)
    return table
  }

  /// The footer, section 3.3; nil where it says nothing.
  private mutating func footer() throws(TextError) -> PosixZone? {
    guard try take(1).first == UInt8(ascii: "\n"), let end = bytes[position...].firstIndex(of: 0x0A) else {
      throw TextError("its footer is incomplete")
    }
    let text = try take(end - position)
    return text.isEmpty ? nil : try PosixZone(parsing: Array(text))
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws(TextError) -> ArraySlice<UInt8> {
    guard count <= bytes.count - position else { throw TextError("ends too early") }
    position += count
    return bytes[position - count..<position]
  }

  private mutating func skip(_ count: Int) throws(TextError) { _ = try take(count) }

  /// A signed number, the highest byte first.
  private mutating func number(size: Int) throws(TextError) -> Int64 {
    var value: UInt64 = 0
    for byte in try take(size) { value = value << 8 | UInt64(byte) }
    return size == 4 ? Int64(Int32(truncatingIfNeeded: value)) : Int64(bitPattern: value)
  }
}
