/// Standard base64 (RFC 4648 section 4) between raw buffers, driven by tables.
enum Base64 {
  /// Characters that `count` bytes become, padding included.
  static func encodedLength(_ count: Int) -> Int { (count + 2) / 3 * 4 }

  /// Writes the encoding of `source` at `target`, which has room for ``encodedLength(_:)``; returns its length.
  @discardableResult
  static func encode(_ source: UnsafeRawBufferPointer, to target: UnsafeMutablePointer<UInt8>) -> Int {
    guard let input = source.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return 0 }
    let pairs = Tables.encode
    var read = 0
    var write = 0
    let whole = source.count - source.count % 3
    while read < whole {
      let bits = Int(input[read]) << 16 | Int(input[read + 1]) << 8 | Int(input[read + 2])
      let high = pairs[bits >> 12]
      let low = pairs[bits & 0xFFF]
      target[write] = UInt8(truncatingIfNeeded: high >> 8)
      target[write + 1] = UInt8(truncatingIfNeeded: high)
      target[write + 2] = UInt8(truncatingIfNeeded: low >> 8)
      target[write + 3] = UInt8(truncatingIfNeeded: low)
      read += 3
      write += 4
    }
    let rest = source.count - whole
    guard rest > 0 else { return write }
    let bits = Int(input[whole]) << 16 | (rest == 2 ? Int(input[whole + 1]) << 8 : 0)
    let high = pairs[bits >> 12]
    target[write] = UInt8(truncatingIfNeeded: high >> 8)
    target[write + 1] = UInt8(truncatingIfNeeded: high)
    target[write + 2] =
      rest == 2 ? UInt8(truncatingIfNeeded: pairs[bits & 0xFFF] >> 8) : UInt8(ascii: "=")
    target[write + 3] = UInt8(ascii: "=")
    return write + 4
  }

  /// Most bytes that `count` characters can hold.
  static func decodedCapacity(_ count: Int) -> Int { (count + 3) / 4 * 3 }

  /// Decodes into `target`, which has room for ``decodedCapacity(_:)``; nil when the text is not base64.
  /// Padding may be missing; nothing may follow it.
  static func decode(_ source: UnsafeRawBufferPointer, to target: UnsafeMutablePointer<UInt8>) -> Int? {
    guard let input = source.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return 0 }
    var count = source.count
    if count % 4 == 0 {
      if count > 0, input[count - 1] == UInt8(ascii: "=") { count -= 1 }
      if count > 0, input[count - 1] == UInt8(ascii: "=") { count -= 1 }
    }
    let table = Tables.decode
    var read = 0
    var write = 0
    let whole = count & ~3
    while read < whole {
      let bits =
        table[Int(input[read])] << 18 | table[Int(input[read + 1])] << 12
        | table[Int(input[read + 2])] << 6 | table[Int(input[read + 3])]
      // A character outside the alphabet sets bits above the 24 that four characters carry.
      guard bits < 1 << 24 else { return nil }
      target[write] = UInt8(truncatingIfNeeded: bits >> 16)
      target[write + 1] = UInt8(truncatingIfNeeded: bits >> 8)
      target[write + 2] = UInt8(truncatingIfNeeded: bits)
      read += 4
      write += 3
    }
    switch count - whole {
    case 0: return write
    case 2:
      let bits = table[Int(input[read])] << 6 | table[Int(input[read + 1])]
      guard bits < 1 << 12 else { return nil }
      target[write] = UInt8(truncatingIfNeeded: bits >> 4)
      return write + 1
    case 3:
      let bits =
        table[Int(input[read])] << 12 | table[Int(input[read + 1])] << 6 | table[Int(input[read + 2])]
      guard bits < 1 << 18 else { return nil }
      target[write] = UInt8(truncatingIfNeeded: bits >> 10)
      target[write + 1] = UInt8(truncatingIfNeeded: bits >> 2)
      return write + 2
    default: return nil
    }
  }

  private enum Tables {
    static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// Two characters for each 12 bits. `nonisolated(unsafe)`: never freed, and read only once made.
    nonisolated(unsafe) static let encode: UnsafePointer<UInt16> = {
      let table = UnsafeMutablePointer<UInt16>.allocate(capacity: 4096)
      for index in 0..<4096 {
        table[index] = UInt16(alphabet[index >> 6]) << 8 | UInt16(alphabet[index & 63])
      }
      return UnsafePointer(table)
    }()

    /// Six bits for each character, or a value too large for any position. Never freed, read only once made.
    nonisolated(unsafe) static let decode: UnsafePointer<UInt64> = {
      let table = UnsafeMutablePointer<UInt64>.allocate(capacity: 256)
      table.initialize(repeating: 1 << 32, count: 256)
      for (value, character) in alphabet.enumerated() { table[Int(character)] = UInt64(value) }
      return UnsafePointer(table)
    }()
  }
}
