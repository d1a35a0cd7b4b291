/// A set of keys as etcd names it: `[start, end)` in byte order, or one key.
///
/// Bounds are bytes, not `String`s, because the end of a prefix need not be valid UTF-8.
public struct KeyRange: Sendable, Hashable, CustomStringConvertible {
  /// First key of the range.
  public let start: [UInt8]
  /// First key past the range; empty means `start` alone, a single NUL means "to the last key" (etcd's encoding).
  public let end: [UInt8]

  /// A range from etcd's own two fields.
  public init(start: [UInt8], end: [UInt8]) {
    self.start = start
    self.end = end
  }

  /// One key.
  public static func key(_ key: String) -> KeyRange { KeyRange(start: Array(key.utf8), end: []) }

  /// All keys that begin with a prefix; the empty prefix is ``all``.
  public static func prefix(_ prefix: String) -> KeyRange {
    let bytes = Array(prefix.utf8)
    return bytes.isEmpty ? all : KeyRange(start: bytes, end: endOfPrefix(bytes))
  }

  /// `start ..< end` in byte order.
  public static func range(_ start: String, _ end: String) -> KeyRange {
    KeyRange(start: start.isEmpty ? [0] : Array(start.utf8), end: Array(end.utf8))
  }

  /// `start` and all keys after it.
  public static func from(_ start: String) -> KeyRange {
    KeyRange(start: start.isEmpty ? [0] : Array(start.utf8), end: [0])
  }

  /// Every key.
  public static var all: KeyRange { KeyRange(start: [0], end: [0]) }

  /// The smallest byte string greater than everything that begins with `prefix`.
  static func endOfPrefix(_ prefix: [UInt8]) -> [UInt8] {
    guard let last = prefix.lastIndex(where: { $0 < 0xFF }) else { return [0] }
    return prefix[..<last] + [prefix[last] + 1]
  }

  /// Whether the range is exactly one key.
  public var isSingleKey: Bool { end.isEmpty }

  /// Whether the range has no upper bound.
  public var isUnbounded: Bool { end == [0] }

  /// Whether a key lies in the range.
  public func contains(_ key: UnsafeRawBufferPointer) -> Bool {
    start.withUnsafeBytes { start in
      if end.isEmpty { return compareBytes(start, key) == 0 }
      guard compareBytes(start, key) <= 0 else { return false }
      return isUnbounded || end.withUnsafeBytes { compareBytes(key, $0) < 0 }
    }
  }

  /// Whether a key lies in the range.
  public func contains(_ key: String) -> Bool {
    var key = key
    return key.withUTF8 { contains(UnsafeRawBufferPointer($0)) }
  }

  /// The smallest single range that covers all of the given ones; nil for none.
  static func covering(_ ranges: [KeyRange]) -> KeyRange? {
    guard ranges.count > 1 else { return ranges.first }
    guard let start = ranges.map(\.start).min(by: { $0.lexicographicallyPrecedes($1) }) else { return nil }
    if ranges.contains(where: \.isUnbounded) { return KeyRange(start: start, end: [0]) }
    let ends = ranges.map { $0.isSingleKey ? $0.start + [0] : $0.end }
    guard let end = ends.max(by: { $0.lexicographicallyPrecedes($1) }) else { return nil }
    return KeyRange(start: start, end: end)
  }

  /// The range in words, for messages.
  public var description: String {
    let first = String(decoding: start, as: UTF8.self)
    if isSingleKey { return first }
    if isUnbounded { return start == [0] ? "all keys" : "\(first)..." }
    if end == Self.endOfPrefix(start) { return "\(first)*" }
    return "\(first)..<\(String(decoding: end, as: UTF8.self))"
  }
}

/// memcmp with lengths: negative, zero or positive.
func compareBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
  let common = min(a.count, b.count)
  var index = 0
  while index + 8 <= common {
    let left = a.loadUnaligned(fromByteOffset: index, as: UInt64.self)
    let right = b.loadUnaligned(fromByteOffset: index, as: UInt64.self)
    if left != right { return left.bigEndian < right.bigEndian ? -1 : 1 }
    index += 8
  }
  while index < common {
    if a[index] != b[index] { return a[index] < b[index] ? -1 : 1 }
    index += 1
  }
  return a.count - b.count
}
