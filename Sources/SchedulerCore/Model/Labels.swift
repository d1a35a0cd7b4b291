/// The labels that people put on jobs and calendars.
public enum Labels {
  /// Checks labels: their number, their names and their values.
  static func validate(_ labels: [String: String]) throws(FieldError) {
    guard labels.count <= SpecLimits.labels else {
      throw FieldError(
        field: "labels", message: "there are \(labels.count); at most \(SpecLimits.labels) are allowed")
    }
    // In order, so that the same labels get the same error.
    for (name, value) in labels.sorted(by: { $0.key < $1.key }) {
      let check = TextCheck(field: "labels.\(FieldError.shown(name))")
      guard isName(name) else { throw check.error("as a name, " + nameRule) }
      try validate(value, check)
    }
  }

  private static func validate(_ value: String, _ check: TextCheck) throws(FieldError) {
    try check.length(value, atMost: SpecLimits.labelValueBytes)
    try check.noControlCharacters(value)
    guard !value.utf8.contains(UInt8(ascii: ",")) else {
      throw check.error("a value has no comma, which stands between labels in filters")
    }
  }

  /// What the name of a label is made of, for messages.
  static let nameRule =
    "letters, digits, '.', '_', '-' and '/' were expected, at most \(SpecLimits.labelBytes)"

  /// Whether a text can be the name of a label.
  static func isName(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= SpecLimits.labelBytes && text.utf8.allSatisfy(isNameByte)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"),
      UInt8(ascii: "/"):
      true
    default: false
    }
  }

  /// Reads a filter such as `team=data,stage=prod`: all of the labels have to be there, with these values.
  public static func parse(filter text: String) throws(FieldError) -> [String: String] {
    var labels: [String: String] = [:]
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let equals = part.firstIndex(of: "=") else {
        throw FieldError(
          field: "label", message: "name=value was expected, or several with commas between them")
      }
      let name = String(part[..<equals])
      guard labels.updateValue(String(part[part.index(after: equals)...]), forKey: name) == nil else {
        throw FieldError(field: "label", message: "'\(FieldError.shown(name))' is given twice")
      }
    }
    try validate(filter: labels)
    return labels
  }

  /// Checks the labels of a filter.
  public static func validate(filter labels: [String: String]) throws(FieldError) {
    do throws(FieldError) { try validate(labels) } catch {
      throw FieldError(field: "label", message: error.description)
    }
  }

  /// Whether something has all labels of a filter.
  public static func match(_ filter: [String: String], _ labels: [String: String]) -> Bool {
    filter.allSatisfy { labels[$0.key] == $0.value }
  }
}
