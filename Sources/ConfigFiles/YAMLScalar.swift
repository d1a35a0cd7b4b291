import JSON

/// What an unquoted scalar means: the core schema of YAML 1.2. So `no`, `on` and `2026-12-24` are texts, as they look,
/// not the truth values and times that YAML 1.1 took them for.
enum YAMLScalar: Hashable {
  case null
  case bool(Bool)
  /// A number as JSON writes it.
  case number(String)
  case text(String)
  /// A number that JSON has not: infinite, or none.
  case notJSON

  init(plain text: String) {
    switch text {
    case "", "~", "null", "Null", "NULL": self = .null
    case "true", "True", "TRUE": self = .bool(true)
    case "false", "False", "FALSE": self = .bool(false)
    case ".nan", ".NaN", ".NAN": self = .notJSON
    default: self = Self.read(text) ?? .text(text)
    }
  }

  private static func read(_ text: String) -> YAMLScalar? {
    // Most texts are none, which is told by their first character.
    guard let first = text.utf8.first, first < UInt8(ascii: ":"), first != UInt8(ascii: "/") else {
      return nil
    }
    if text.hasPrefix("0o"), let number = UInt64(text.dropFirst(2), radix: 8), text.utf8.count > 2 {
      return .number("\(number)")
    }
    if text.hasPrefix("0x"), let number = UInt64(text.dropFirst(2), radix: 16), text.utf8.count > 2 {
      return .number("\(number)")
    }
    var parts = Parts(text)
    let unsigned = text.drop { $0 == "+" || $0 == "-" }
    if parts.hasSign || unsigned.utf8.count == text.utf8.count,
      [".inf", ".Inf", ".INF"].contains(String(unsigned))
    {
      return .notJSON
    }
    return parts.read() ? .number(parts.json) : nil
  }

  /// The parts of a decimal number: `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`.
  private struct Parts {
    private var rest: Substring.UTF8View
    private var isNegative = false
    private(set) var hasSign = false
    private var whole = ""
    private var fraction = ""
    private var exponent = ""

    init(_ text: String) {
      rest = text[...].utf8
      hasSign = text.utf8.first == UInt8(ascii: "-") || text.utf8.first == UInt8(ascii: "+")
    }

    /// Whether the whole text is a number.
    mutating func read() -> Bool {
      isNegative = take("-")
      if !isNegative { _ = take("+") }
      whole = digits()
      if take(".") { fraction = digits() }
      guard !whole.isEmpty || !fraction.isEmpty else { return false }
      if take("e") || take("E") {
        let sign = take("-") ? "-" : take("+") ? "+" : ""
        let digits = digits()
        guard !digits.isEmpty else { return false }
        exponent = "e" + sign + digits
      }
      return rest.isEmpty
    }

    /// The number as JSON writes it: without a plus, without zeros in front, with digits around the point.
    var json: String {
      let significant = whole.drop { $0 == "0" }
      return (isNegative ? "-" : "") + (significant.isEmpty ? "0" : significant)
        + (fraction.isEmpty ? "" : "." + fraction) + exponent
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard rest.first == UInt8(ascii: character) else { return false }
      rest = rest.dropFirst()
      return true
    }

    private mutating func digits() -> String {
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      rest = rest.dropFirst(digits.count)
      return String(decoding: digits, as: UTF8.self)
    }
  }
}
