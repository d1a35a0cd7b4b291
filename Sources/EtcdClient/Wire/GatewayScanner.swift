/// What is wrong with a gateway message.
struct WireError: Error {
  let offset: Int
  let reason: String
}

/// A field name of a JSON object, in place; comparable to literals in a `switch`.
struct FieldName {
  fileprivate let bytes: UnsafeRawBufferPointer

  static func ~= (pattern: StaticString, name: FieldName) -> Bool {
    guard pattern.utf8CodeUnitCount == name.bytes.count else { return false }
    let text = UnsafeRawBufferPointer(start: pattern.utf8Start, count: pattern.utf8CodeUnitCount)
    return compareBytes(text, name.bytes) == 0
  }
}

/// A forward-only JSON reader for the gateway's fixed shapes: unknown fields are skipped without being decoded,
/// base64 goes straight into its final buffer, int64 are read from strings or numbers.
///
/// It borrows the message: use it only inside `withUnsafeBytes`.
struct GatewayScanner {
  private let bytes: UnsafeRawBufferPointer
  private(set) var index = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  private func fail(_ reason: String) -> WireError { WireError(offset: index, reason: reason) }

  /// The next significant byte, not consumed; 0 at the end.
  private mutating func peek() -> UInt8 {
    while index < bytes.count {
      let byte = bytes[index]
      if byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09 { return byte }
      index += 1
    }
    return 0
  }

  private mutating func expect(_ character: UInt8) throws(WireError) {
    guard peek() == character, index < bytes.count else {
      throw fail("expected \"\(Character(UnicodeScalar(character)))\"")
    }
    index += 1
  }

  private mutating func accept(_ character: UInt8) -> Bool {
    guard index < bytes.count, peek() == character, index < bytes.count else { return false }
    index += 1
    return true
  }

  /// Only white space may follow.
  mutating func end() throws(WireError) {
    _ = peek()
    guard index == bytes.count else { throw fail("unexpected data after the message") }
  }

  // MARK: Structure

  /// Reads an object; the closure must consume each field's value. `null` counts as an empty object.
  mutating func object(
    _ field: (inout GatewayScanner, FieldName) throws(WireError) -> Void
  ) throws(WireError) {
    if try null() { return }
    try expect(UInt8(ascii: "{"))
    if accept(UInt8(ascii: "}")) { return }
    repeat {
      let (name, _) = try rawString()
      try expect(UInt8(ascii: ":"))
      try field(&self, FieldName(bytes: name))
    } while accept(UInt8(ascii: ","))
    try expect(UInt8(ascii: "}"))
  }

  /// Reads an array; the closure must consume each element.
  mutating func array(_ element: (inout GatewayScanner) throws(WireError) -> Void) throws(WireError) {
    if try null() { return }
    try expect(UInt8(ascii: "["))
    if accept(UInt8(ascii: "]")) { return }
    repeat { try element(&self) } while accept(UInt8(ascii: ","))
    try expect(UInt8(ascii: "]"))
  }

  private mutating func null() throws(WireError) -> Bool {
    guard peek() == UInt8(ascii: "n") else { return false }
    try literal("null")
    return true
  }

  private mutating func literal(_ text: StaticString) throws(WireError) {
    let count = text.utf8CodeUnitCount
    guard index + count <= bytes.count else { throw fail("unexpected end") }
    for offset in 0..<count where bytes[index + offset] != text.utf8Start[offset] {
      throw fail("unknown literal")
    }
    index += count
  }

  /// Passes over any value, however nested (up to a bound).
  mutating func skip() throws(WireError) {
    var depth = 0
    repeat {
      switch peek() {
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        guard depth <= EtcdLimits.maxDepth else { throw fail("nested too deeply") }
        index += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        guard depth >= 0 else { throw fail("unexpected end of object or array") }
        index += 1
      case UInt8(ascii: "\""): _ = try rawString()
      case UInt8(ascii: ","), UInt8(ascii: ":"):
        guard depth > 0 else { throw fail("expected a value") }
        index += 1
      case 0: throw fail("unexpected end")
      default: skipScalar()
      }
    } while depth > 0
  }

  private mutating func skipScalar() {
    let first = index
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ":"), 0...0x20:
        if index == first { index += 1 }  // A stray control character: go on, never stall.
        return
      default: index += 1
      }
    }
  }

  // MARK: Scalars

  /// The bytes between the quotes, and whether they contain escapes.
  private mutating func rawString() throws(WireError) -> (UnsafeRawBufferPointer, escaped: Bool) {
    try expect(UInt8(ascii: "\""))
    let first = index
    var escaped = false
    while true {
      skipPlainCharacters()
      guard index < bytes.count else { break }
      let byte = bytes[index]
      if byte == UInt8(ascii: "\"") {
        index += 1
        return (UnsafeRawBufferPointer(rebasing: bytes[first..<(index - 1)]), escaped)
      }
      if byte == UInt8(ascii: "\\") {
        escaped = true
        index += 1
      }
      index += 1
    }
    throw fail("unterminated string")
  }

  /// Passes over bytes that are neither quote nor backslash, eight at a time: values are long. A word that may
  /// hold one is left to the caller, byte by byte.
  private mutating func skipPlainCharacters() {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    while index + 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      let quote = word ^ (ones &* 0x22)
      let slash = word ^ (ones &* 0x5C)
      let found = ((quote &- ones) & ~quote) | ((slash &- ones) & ~slash)
      let marks = found & highs
      if marks != 0 {
        // The lowest mark is exact; on a big-endian machine the byte-wise loop finds it.
        if UInt64(littleEndian: 1) == 1 { index += marks.trailingZeroBitCount / 8 }
        return
      }
      index += 8
    }
  }

  /// Text.
  mutating func string() throws(WireError) -> String {
    if try null() { return "" }
    let (raw, escaped) = try rawString()
    return String(decoding: escaped ? try unescape(raw) : Array(raw), as: UTF8.self)
  }

  /// An int64, written as a string or as a number.
  mutating func int64() throws(WireError) -> Int64 {
    let (negative, magnitude) = try integer()
    if negative {
      guard magnitude <= 1 << 63 else { throw fail("number out of range") }
      return magnitude == 1 << 63 ? Int64.min : -Int64(magnitude)
    }
    guard let value = Int64(exactly: magnitude) else { throw fail("number out of range") }
    return value
  }

  /// A uint64, written as a string or as a number.
  mutating func uint64() throws(WireError) -> UInt64 {
    let (negative, magnitude) = try integer()
    guard !negative || magnitude == 0 else { throw fail("number out of range") }
    return magnitude
  }

  private mutating func integer() throws(WireError) -> (negative: Bool, magnitude: UInt64) {
    if try null() { return (false, 0) }
    let quoted = accept(UInt8(ascii: "\""))
    let negative = index < bytes.count && bytes[index] == UInt8(ascii: "-")
    if negative { index += 1 }
    var magnitude: UInt64 = 0
    let first = index
    while index < bytes.count {
      let digit = bytes[index] &- UInt8(ascii: "0")
      guard digit <= 9 else { break }
      let (product, overflow1) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.addingReportingOverflow(UInt64(digit))
      guard !overflow1 && !overflow2 else { throw fail("number out of range") }
      magnitude = sum
      index += 1
    }
    guard index > first else { throw fail("expected an integer") }
    if quoted { try expect(UInt8(ascii: "\"")) }
    return (negative, magnitude)
  }

  /// true or false.
  mutating func bool() throws(WireError) -> Bool {
    switch peek() {
    case UInt8(ascii: "t"):
      try literal("true")
      return true
    case UInt8(ascii: "f"):
      try literal("false")
      return false
    case UInt8(ascii: "n"):
      try literal("null")
      return false
    default: throw fail("expected true or false")
    }
  }

  /// Base64 text as bytes.
  mutating func base64Bytes() throws(WireError) -> [UInt8] {
    if try null() { return [] }
    let (raw, escaped) = try rawString()
    if escaped {
      let plain = try unescape(raw)
      guard let bytes = plain.withUnsafeBytes({ Self.decodeBytes($0) }) else { throw fail("bad base64") }
      return bytes
    }
    guard let bytes = Self.decodeBytes(raw) else { throw fail("bad base64") }
    return bytes
  }

  /// Base64 text as a string of UTF-8.
  mutating func base64String() throws(WireError) -> String {
    if try null() { return "" }
    let (raw, escaped) = try rawString()
    if escaped {
      let plain = try unescape(raw)
      guard let text = plain.withUnsafeBytes({ Self.decodeString($0) }) else { throw fail("bad base64") }
      return text
    }
    guard let text = Self.decodeString(raw) else { throw fail("bad base64") }
    return text
  }

  private static func decodeBytes(_ raw: UnsafeRawBufferPointer) -> [UInt8]? {
    var valid = true
    let bytes = [UInt8](unsafeUninitializedCapacity: Base64.decodedCapacity(raw.count)) { buffer, count in
      guard let target = buffer.baseAddress else { return }
      if let length = Base64.decode(raw, to: target) { count = length } else { valid = false }
    }
    return valid ? bytes : nil
  }

  private static func decodeString(_ raw: UnsafeRawBufferPointer) -> String? {
    var valid = true
    let text = String(unsafeUninitializedCapacity: Base64.decodedCapacity(raw.count)) { buffer in
      guard let target = buffer.baseAddress else { return 0 }
      if let length = Base64.decode(raw, to: target) { return length }
      valid = false
      return 0
    }
    return valid ? text : nil
  }

  /// Resolves escapes (RFC 8259 section 7); rare, so not in place.
  private func unescape(_ raw: UnsafeRawBufferPointer) throws(WireError) -> [UInt8] {
    var units: [UInt16] = []  // UTF-16 units of consecutive \u escapes.
    var result: [UInt8] = []
    result.reserveCapacity(raw.count)
    var position = 0
    func flush() {
      result.append(contentsOf: String(decoding: units, as: UTF16.self).utf8)
      units.removeAll()
    }
    while position < raw.count {
      guard raw[position] == UInt8(ascii: "\\") else {
        if !units.isEmpty { flush() }
        result.append(raw[position])
        position += 1
        continue
      }
      guard position + 1 < raw.count else { throw fail("bad escape") }
      let kind = raw[position + 1]
      position += 2
      if kind == UInt8(ascii: "u") {
        guard position + 4 <= raw.count,
          let unit = UInt16(String(decoding: raw[position..<(position + 4)], as: UTF8.self), radix: 16)
        else { throw fail("bad escape") }
        units.append(unit)
        position += 4
        continue
      }
      if !units.isEmpty { flush() }
      switch kind {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(kind)
      case UInt8(ascii: "b"): result.append(8)
      case UInt8(ascii: "f"): result.append(12)
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "t"): result.append(9)
      default: throw fail("bad escape")
      }
    }
    if !units.isEmpty { flush() }
    return result
  }
}
