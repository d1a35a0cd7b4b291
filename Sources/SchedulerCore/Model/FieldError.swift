/// Why a request or a record is refused, with the field that is to blame.
public struct FieldError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The path of the field as JSON spells it, such as `exec[2]` or `http.headers.X`.
  public var field: String
  /// What is wrong and what was expected. Never the value itself, which may be a secret.
  public var message: String

  /// Makes an error.
  public init(field: String, message: String) {
    self.field = field
    self.message = message
  }

  /// `field: message`.
  public var description: String { field.isEmpty ? message : "\(field): \(message)" }

  /// The same error, seen from the object or array that holds the field.
  func inside(_ outer: String) -> FieldError {
    let separator = field.isEmpty || field.utf8.first == UInt8(ascii: "[") ? "" : "."
    return FieldError(field: outer + separator + field, message: message)
  }

  /// The longest name from a request that is shown, in characters.
  static let shownNameLength = 64

  /// A name from a request, made safe to be printed in a terminal or a page.
  static func shown(_ name: String) -> String {
    var text = ""
    for scalar in name.unicodeScalars.prefix(shownNameLength) {
      let isPlain = scalar.isASCII && scalar.value >= 0x20 && scalar.value != 0x7F
      text.unicodeScalars.append(isPlain ? scalar : "?")
    }
    return name.unicodeScalars.count > shownNameLength ? text + "..." : text
  }
}
