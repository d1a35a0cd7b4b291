/// Checks of one text field.
struct TextCheck {
  /// The field that an error names.
  let field: String

  func error(_ message: String) -> FieldError { FieldError(field: field, message: message) }

  func length(_ text: String, atMost limit: Int) throws(FieldError) {
    guard text.utf8.count <= limit else {
      throw error("has \(text.utf8.count) bytes; at most \(limit) are allowed")
    }
  }

  func noNUL(_ text: String) throws(FieldError) {
    guard !text.utf8.contains(0) else { throw error("a NUL character is not allowed") }
  }

  /// Refuses control characters, and the invisible ones that turn the direction of text.
  func noControlCharacters(_ text: String) throws(FieldError) {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return }
    for scalar in text.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        throw error("control characters and invisible formatting characters are not allowed")
      default: continue
      }
    }
  }
}
