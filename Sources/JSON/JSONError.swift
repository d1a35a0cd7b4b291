/// Why a text is not the JSON that was expected.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, in words for the sender of the text.
  public var message: String
  /// The byte of the text, from 0, at which it was noticed.
  public var offset: Int

  /// Makes an error.
  public init(_ message: String, offset: Int) {
    self.message = message
    self.offset = offset
  }

  /// The message with its place.
  public var description: String { "\(message) (at byte \(offset))" }
}

/// The bounds of what the readers accept.
public enum JSONLimits {
  /// Containers inside each other. RFC 8259 section 9 lets a parser bound it; deeper texts are attacks.
  public static let depth = 64
}
