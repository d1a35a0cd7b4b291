/// Why a text does not say a time, a length of time or a constraint.
public struct TextError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong and what was expected, in words for the author of the text.
  public var message: String

  /// Makes an error.
  public init(_ message: String) { self.message = message }

  /// The message.
  public var description: String { message }
}
