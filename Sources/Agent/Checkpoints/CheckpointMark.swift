import Crypto

/// What became of a checkpoint, as the agent tells a process: a line in the file `<checkpoint>.saved` or `<checkpoint>.error`.
///
///     <SHA-256 in hexadecimal> <bytes>[ <why it was refused>]
///
/// The digest says which content is meant; a process may have written another one by then.
public struct CheckpointMark: Hashable, Sendable {
  /// SHA-256, 64 hexadecimal digits; `-` for what is too long to be read.
  public var digest: String
  /// How long it is.
  public var bytes: Int
  /// Why it was refused; nil where it is durable.
  public var error: String?

  /// Names a content.
  public init(of content: [UInt8]) {
    digest = SHA256.hash(data: content).map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
    bytes = content.count
  }

  /// Speaks of a content that was not read, of a known or unknown length.
  public init(unread bytes: Int, error: String) {
    digest = "-"
    self.bytes = bytes
    self.error = error
  }

  /// Nil when a file holds something else.
  public init?(line: [UInt8]) {
    let text = String(decoding: line.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    let parts = text.split(separator: " ", maxSplits: 2)
    guard parts.count >= 2, let bytes = Int(parts[1]) else { return nil }
    digest = String(parts[0])
    self.bytes = bytes
    error = parts.count > 2 ? String(parts[2]) : nil
  }

  /// What stands in the file.
  public var line: String {
    let words = error.map { $0.split(whereSeparator: \.isNewline).joined(separator: " ") }
    return "\(digest) \(bytes)" + (words.map { " " + $0 } ?? "") + "\n"
  }

  /// Whether both are of the same content.
  public func isOfSameContent(as other: CheckpointMark) -> Bool {
    digest == other.digest && bytes == other.bytes && digest != "-"
  }
}
