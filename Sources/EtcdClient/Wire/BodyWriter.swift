/// Builds a JSON request body in one growing buffer, without intermediate strings.
struct BodyWriter: ~Copyable {
  private var base: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  private var count = 0

  /// Room for an estimate of the body; it grows when that was too small.
  init(capacity: Int) {
    self.capacity = max(64, capacity)
    base = .allocate(capacity: self.capacity)
  }

  deinit { base.deallocate() }

  /// The body.
  consuming func finish() -> [UInt8] { Array(UnsafeBufferPointer(start: base, count: count)) }

  private mutating func reserve(_ more: Int) {
    guard count + more > capacity else { return }
    let larger = max(count + more, capacity * 2)
    let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    fresh.update(from: base, count: count)
    base.deallocate()
    base = fresh
    capacity = larger
  }

  /// JSON text as it is.
  mutating func raw(_ text: StaticString) {
    reserve(text.utf8CodeUnitCount)
    (base + count).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
    count += text.utf8CodeUnitCount
  }

  /// An int64 as a JSON string, which the gateway accepts as well as a number and which no parser rounds.
  mutating func quoted(_ number: Int64) {
    reserve(24)
    base[count] = UInt8(ascii: "\"")
    count += 1
    var magnitude = number.magnitude
    if number < 0 {
      base[count] = UInt8(ascii: "-")
      count += 1
    }
    let first = count
    repeat {
      base[count] = UInt8(ascii: "0") + UInt8(magnitude % 10)
      count += 1
      magnitude /= 10
    } while magnitude > 0
    var (low, high) = (first, count - 1)
    while low < high {
      (base[low], base[high]) = (base[high], base[low])
      low += 1
      high -= 1
    }
    base[count] = UInt8(ascii: "\"")
    count += 1
  }

  /// Bytes as a base64 JSON string.
  mutating func base64(_ bytes: UnsafeRawBufferPointer) {
    reserve(Base64.encodedLength(bytes.count) + 2)
    base[count] = UInt8(ascii: "\"")
    count += 1 + Base64.encode(bytes, to: base + count + 1)
    base[count] = UInt8(ascii: "\"")
    count += 1
  }

  mutating func base64(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { base64($0) }
  }

  mutating func base64(_ text: String) {
    var text = text
    text.withUTF8 { base64(UnsafeRawBufferPointer($0)) }
  }

  /// A JSON string of arbitrary text (RFC 8259 section 7).
  mutating func string(_ text: String) {
    reserve(text.utf8.count * 6 + 2)
    put(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        put(UInt8(ascii: "\\"))
        put(byte)
      case 0..<0x20:
        for character in "\\u00".utf8 { put(character) }
        put(Self.hexDigit(byte >> 4))
        put(Self.hexDigit(byte & 15))
      default: put(byte)
      }
    }
    put(UInt8(ascii: "\""))
  }

  /// Only after `reserve`.
  private mutating func put(_ byte: UInt8) {
    base[count] = byte
    count += 1
  }

  private static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }
}
