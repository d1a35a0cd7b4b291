/// A message that cannot be taken as it is; nothing of it was used.
public struct ProtoError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of thing is wrong.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    /// The code's name.
    public let description: String

    /// The bytes are not such a message.
    public static let malformed = Code(description: "malformed")
    /// The message is larger than `ProtoLimits` allows, as bytes or unpacked.
    public static let tooLarge = Code(description: "too_large")
    /// A field that has to be there is not.
    public static let missing = Code(description: "missing")
    /// A field holds what it may not hold.
    public static let invalid = Code(description: "invalid")
  }

  /// What kind of thing is wrong.
  public let code: Code
  /// The path of the field in question, as `spec.timeout`; empty where the whole message is meant.
  public var field: String
  /// What is wrong, and what was expected.
  public let message: String

  init(_ code: Code, field: String, _ message: String) {
    self.code = code
    self.field = field
    self.message = message
  }

  /// A sentence for people: the field, then what is wrong.
  public var description: String { field.isEmpty ? message : "\(field): \(message)" }

  /// The same error, seen from the message that holds `outer`.
  func inside(_ outer: String) -> ProtoError {
    var error = self
    error.field = field.isEmpty ? outer : "\(outer).\(field)"
    return error
  }
}
