import JSON
import Yams

/// Writes documents as people would write them: blocks, few quotes, scripts line by line. What it writes, `YAMLTree`
/// reads as the same values.
enum YAMLText {
  /// The text of some documents, each after a line `---`.
  static func write(_ documents: [JSONValue]) throws -> String {
    try serialize(
      nodes: documents.map(node), indent: 2, width: -1, allowUnicode: true, explicitStart: true)
  }

  private static func node(_ value: JSONValue) -> Node {
    switch value {
    case .null: return Node("null", Tag(.null), .plain)
    case .bool(let value): return Node(value ? "true" : "false", Tag(.bool), .plain)
    case .int(let value): return Node("\(value)", Tag(.int), .plain)
    case .double(let value):
      var json = JSONWriter()
      json.double(value)
      return Node(json.text, Tag(.float), .plain)
    case .string(let text): return Node(text, Tag(.str), style(of: text))
    case .array(let elements):
      return Node(elements.map(node), Tag(.seq), elements.allSatisfy(isShort) ? .flow : .block)
    case .object(let members):
      return Node(
        members.map { (Node($0.name, Tag(.str), style(of: $0.name, isKey: true)), node($0.value)) },
        Tag(.map), members.isEmpty ? .flow : .block)
    }
  }

  /// What lists of which stand on one line, such as the words of a command.
  private static func isShort(_ value: JSONValue) -> Bool {
    switch value {
    case .array, .object: false
    case .string(let text): text.utf8.count <= 80 && !text.utf8.contains(UInt8(ascii: "\n"))
    case .null, .bool, .int, .double: true
    }
  }

  private static func style(of text: String, isKey: Bool = false) -> Node.Scalar.Style {
    guard isPrintable(text) else { return .doubleQuoted }
    if text.utf8.contains(UInt8(ascii: "\n")) { return isKey ? .doubleQuoted : .literal }
    // The emitter quotes what YAML's grammar does not allow unquoted; it does not know what else readers take a text
    // for, those of YAML 1.1 among them.
    return isUnmistakable(text) ? .plain : .doubleQuoted
  }

  private static func isPrintable(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      switch scalar.value {
      case 0x0A, 0x20...0x7E, 0xA1...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD, 0x10000...0x10FFFF:
        scalar.value != 0x2028 && scalar.value != 0x2029
      default: false
      }
    }
  }

  /// Whether no reader takes the text for anything else: it has a letter in front and is no word of YAML's, or is a
  /// length of time such as `30m`.
  private static func isUnmistakable(_ text: String) -> Bool {
    guard let first = text.utf8.first else { return false }
    if isLetter(first) || first == UInt8(ascii: "/") { return !words.contains(text.lowercased()) }
    let digits = text.utf8.prefix { isDigit($0) }
    let unit = text.utf8.dropFirst(digits.count)
    return !digits.isEmpty && first != UInt8(ascii: "0") && ["ms", "s", "m", "h"].contains(String(unit))
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private static let words: Set<String> = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
}
