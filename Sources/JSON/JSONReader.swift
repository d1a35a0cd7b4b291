/// Reads a JSON text piece by piece, without building a tree: the caller asks for what it expects.
///
/// Strict (RFC 8259): invalid UTF-8, unescaped control characters, lone surrogates, leading zeros and
/// trailing text are errors. It borrows the bytes, so it lives only inside `read(_:_:)`.
public struct JSONReader {
  private let input: UnsafeBufferPointer<UInt8>
  private var position = 0
  private var depth = 0

  private init(_ input: UnsafeBufferPointer<UInt8>) { self.input = input }

  /// Reads one whole text with `body`, and checks that nothing follows it.
  public static func read<Value>(
    _ bytes: [UInt8], _ body: (inout JSONReader) throws -> Value
  ) throws -> Value {
    try bytes.withUnsafeBufferPointer { try read($0, body) }
  }

  /// Reads one whole text with `body`, and checks that nothing follows it.
  public static func read<Value>(
    _ bytes: UnsafeBufferPointer<UInt8>, _ body: (inout JSONReader) throws -> Value
  ) throws -> Value {
    var reader = JSONReader(bytes)
    let value = try body(&reader)
    reader.skipSpace()
    guard reader.position == bytes.count else { throw reader.error("text after the end of the value") }
    return value
  }

  /// The byte of the text that is read next.
  public var offset: Int { position }

  /// An error at the present place.
  public func error(_ message: String) -> JSONError { JSONError(message, offset: position) }

  // MARK: Looking ahead

  /// What kind of value comes next.
  public enum Kind: Sendable { case object, array, string, number, bool, null }

  /// The kind of the next value, which is not consumed.
  public mutating func peek() throws -> Kind {
    skipSpace()
    guard let byte = current else { throw error("the text ends where a value was expected") }
    switch byte {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
    case UInt8(ascii: "n"): return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    default: throw error("a value was expected")
    }
  }

  // MARK: Containers

  /// Reads an object: `member` is called with each name and must consume its value.
  public mutating func object(_ member: (String, inout JSONReader) throws -> Void) throws {
    try open(UInt8(ascii: "{"), "an object")
    if !take(UInt8(ascii: "}")) {
      repeat {
        skipSpace()
        guard current == UInt8(ascii: "\"") else { throw error("a member's name in quotes was expected") }
        let name = try string()
        try expect(UInt8(ascii: ":"), "':' after a member's name")
        try member(name, &self)
      } while take(UInt8(ascii: ","))
      try expect(UInt8(ascii: "}"), "',' or '}'")
    }
    depth -= 1
  }

  /// Reads an array: `element` is called for each element and must consume it.
  public mutating func array(_ element: (inout JSONReader) throws -> Void) throws {
    try open(UInt8(ascii: "["), "an array")
    if !take(UInt8(ascii: "]")) {
      repeat { try element(&self) } while take(UInt8(ascii: ","))
      try expect(UInt8(ascii: "]"), "',' or ']'")
    }
    depth -= 1
  }

  /// Reads an array of strings.
  public mutating func strings() throws -> [String] {
    var values: [String] = []
    try array { values.append(try $0.string()) }
    return values
  }

  /// Reads an object of strings.
  public mutating func stringMap() throws -> [String: String] {
    var values: [String: String] = [:]
    try object { name, reader in values[name] = try reader.string() }
    return values
  }

  private mutating func open(_ bracket: UInt8, _ what: String) throws {
    skipSpace()
    guard current == bracket else { throw error("\(what) was expected") }
    guard depth < JSONLimits.depth else { throw error("nested deeper than \(JSONLimits.depth)") }
    depth += 1
    position += 1
  }

  // MARK: Scalars

  /// Reads `true` or `false`.
  public mutating func bool() throws -> Bool {
    skipSpace()
    if literal("true") { return true }
    if literal("false") { return false }
    throw error("true or false was expected")
  }

  /// Consumes `null` if it comes next.
  public mutating func null() -> Bool {
    skipSpace()
    return literal("null")
  }

  /// Reads a whole number that fits 64 bits; `1.0` and `1e3` are not whole numbers here.
  public mutating func int() throws -> Int64 {
    let start = position
    let (text, isInteger) = try numberText()
    guard isInteger, let value = Int64(String(decoding: text, as: UTF8.self)) else {
      throw JSONError("a whole number of at most 64 bits was expected", offset: start)
    }
    return value
  }

  /// Reads a number that a double can hold; one beyond its range is an error.
  public mutating func double() throws -> Double {
    let start = position
    let (text, _) = try numberText()
    guard let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite else {
      throw JSONError("the number is out of range", offset: start)
    }
    return value
  }

  /// The next number's own characters, and whether it has neither fraction nor exponent.
  mutating func numberText() throws -> (text: Slice<UnsafeBufferPointer<UInt8>>, isInteger: Bool) {
    skipSpace()
    let start = position
    var isInteger = true
    if current == UInt8(ascii: "-") { position += 1 }
    if current == UInt8(ascii: "0") {
      position += 1
    } else {
      try digits()
    }
    if current == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      try digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    return (input[start..<position], isInteger)
  }

  private mutating func digits() throws {
    let start = position
    while let byte = current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
    if position == start { throw error("a digit was expected") }
  }

  // MARK: Skipping

  /// Consumes the next value, whatever it is.
  public mutating func skip() throws {
    switch try peek() {
    case .object: try object { _, reader in try reader.skip() }
    case .array: try array { try $0.skip() }
    case .string: _ = try string()
    case .number: _ = try numberText()
    case .bool: _ = try bool()
    case .null: guard null() else { throw error("null was expected") }
    }
  }

  /// Consumes the next value and returns its own bytes.
  public mutating func rawValue() throws -> [UInt8] {
    skipSpace()
    let start = position
    try skip()
    return Array(input[start..<position])
  }

  // MARK: Strings

  /// Reads a string.
  public mutating func string() throws -> String {
    skipSpace()
    guard current == UInt8(ascii: "\"") else { throw error("a string was expected") }
    position += 1
    let start = position
    while let byte = current {
      if byte == UInt8(ascii: "\"") {
        let value = try utf8(input[start..<position])
        position += 1
        return value
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
      if byte < 0x20 { throw error("a control character in a string must be escaped") }
      position += 1
    }
    throw error("the string does not end")
  }

  /// Goes on from the first backslash of a string that starts at `start`.
  private mutating func escapedString(from start: Int) throws -> String {
    var text = Array(input[start..<position])
    while let byte = current {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return try text.withUnsafeBufferPointer { try utf8($0[...]) }
      case UInt8(ascii: "\\"): try unescape(into: &text)
      case 0..<0x20: throw error("a control character in a string must be escaped")
      default: text.append(byte)
      }
    }
    throw error("the string does not end")
  }

  private mutating func unescape(into text: inout [UInt8]) throws {
    guard let byte = current else { throw error("the string does not end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text.append(contentsOf: String(try unicodeEscape()).utf8)
    default: throw error("unknown escape")
    }
  }

  /// A `\u` escape, or the pair of them that is one character (RFC 8259 section 7).
  private mutating func unicodeEscape() throws -> Character {
    var code = UInt32(try hex4())
    if (0xD800..<0xDC00).contains(code) {
      guard literal("\\u") else { throw error("a high surrogate must be followed by a low one") }
      let low = UInt32(try hex4())
      guard (0xDC00..<0xE000).contains(low) else {
        throw error("a high surrogate must be followed by a low one")
      }
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw error("a lone surrogate is no character") }
    return Character(scalar)
  }

  private mutating func hex4() throws -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("four hexadecimal digits were expected")
      }
      value = value << 4 | UInt16(digit)
      position += 1
    }
    return value
  }

  private func utf8(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) throws -> String {
    // Validation costs more than all else; ASCII, which most text is, needs none.
    let raw = UnsafeBufferPointer(rebasing: bytes)
    if raw.allSatisfy({ $0 < 0x80 }) { return String(decoding: raw, as: UTF8.self) }
    guard let value = String(validating: raw, as: UTF8.self) else {
      throw error("the string is not valid UTF-8")
    }
    return value
  }

  // MARK: Characters

  private var current: UInt8? { position < input.count ? input[position] : nil }

  private mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard current == byte else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws {
    guard take(byte) else { throw error("\(what) was expected") }
  }

  private mutating func literal(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard input.count - position >= count else { return false }
    for index in 0..<count where input[position + index] != text.utf8Start[index] { return false }
    position += count
    return true
  }
}
