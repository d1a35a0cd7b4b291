/// Base64 as `-bin` metadata uses it: written without padding, read with and without (gRPC over HTTP/2, "Binary Header").
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let invalid: UInt8 = 0xff
  private static let values: [UInt8] = {
    var table = [UInt8](repeating: invalid, count: 256)
    for (value, character) in alphabet.enumerated() { table[Int(character)] = UInt8(value) }
    return table
  }()

  static func encode(_ bytes: [UInt8]) -> String {
    var output: [UInt8] = []
    output.reserveCapacity((bytes.count * 4 + 2) / 3)
    var index = 0
    while index < bytes.count {
      let count = min(3, bytes.count - index)
      var group = UInt32(bytes[index]) << 16
      if count > 1 { group |= UInt32(bytes[index + 1]) << 8 }
      if count > 2 { group |= UInt32(bytes[index + 2]) }
      for position in 0...count {
        output.append(alphabet[Int(group >> UInt32(18 - 6 * position)) & 63])
      }
      index += 3
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// Nil when the text is not base64.
  static func decode(_ text: Substring.UTF8View) -> [UInt8]? {
    var characters = text[...]
    var padding = 0
    while characters.last == UInt8(ascii: "="), padding < 2 {
      characters.removeLast()
      padding += 1
    }
    let remainder = characters.count % 4
    guard remainder != 1, padding == 0 || remainder + padding == 4 else { return nil }
    var output: [UInt8] = []
    output.reserveCapacity(characters.count * 3 / 4)
    var group: UInt32 = 0
    var bits = 0
    for character in characters {
      let value = values[Int(character)]
      guard value != invalid else { return nil }
      group = group << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        output.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
      }
    }
    return output
  }
}
