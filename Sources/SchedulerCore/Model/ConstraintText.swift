extension Constraint {
  private static let forms =
    "'zone=eu', 'zone!=eu', 'zone in (a,b)', 'zone not_in (a,b)', 'exists gpu', 'not_exists gpu', 'cores>4', "
    + "'cores<4' or 'host regex web-[0-9]+' was expected"

  /// Reads a constraint as people write it: `zone=eu`, `zone!=eu`, `zone in (a,b)`, `zone not_in (a,b)`,
  /// `exists gpu`, `not_exists gpu`, `cores>4`, `cores<4`, `host regex web-[0-9]+`. Spaces around the parts do
  /// not count.
  public init(text: String) throws(TextError) {
    let words = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
    if words.count == 2, let op = Operator(rawValue: String(words[0])), op == .exists || op == .notExists {
      self.init(label: Self.trimmed(words[1]), op: op)
    } else if words.count == 2, let pattern = Self.pattern(of: words[1]) {
      self.init(label: String(words[0]), op: .regex, values: [pattern])
    } else if let paren = text.firstIndex(of: "("), !text[..<paren].contains(where: Self.isSign) {
      try self.init(listText: text, paren: paren)
    } else if let sign = text.firstIndex(where: Self.isSign) {
      try self.init(signText: text, sign: sign)
    } else {
      throw TextError(Self.forms)
    }
  }

  private static func isSign(_ character: Character) -> Bool {
    character == "=" || character == "<" || character == ">"
  }

  /// What is behind the word `regex`.
  private static func pattern(of rest: Substring) -> String? {
    let words = rest.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
    return words.count == 2 && words[0] == "regex" ? trimmed(words[1]) : nil
  }

  /// `label=value`, `label!=value`, `label>value` or `label<value`.
  private init(signText text: String, sign: String.Index) throws(TextError) {
    let value = text[text.index(after: sign)...]
    guard value.first != "=" else {
      throw TextError(
        text[sign] == "=" ? "one '=' is enough: " + Self.forms : "there is no '>=' or '<=': " + Self.forms)
    }
    let isNegated = text[sign] == "=" && text[..<sign].last == "!"
    let label = isNegated ? text[..<sign].dropLast() : text[..<sign]
    let op: Operator =
      switch text[sign] {
      case ">": .greater
      case "<": .less
      default: isNegated ? .notEqual : .equal
      }
    self.init(label: Self.trimmed(label), op: op, values: [Self.trimmed(value)])
  }

  /// `label in (a,b)` or `label not_in (a,b)`.
  private init(listText text: String, paren: String.Index) throws(TextError) {
    let words = text[..<paren].split(separator: " ")
    let list = Self.trimmed(text[text.index(after: paren)...])
    guard words.count == 2, let op = Operator(rawValue: String(words[1])), op == .isIn || op == .notIn,
      list.last == ")"
    else { throw TextError(Self.forms) }
    let values = list.dropLast().split(separator: ",", omittingEmptySubsequences: false)
    self.init(label: String(words[0]), op: op, values: values.map { Self.trimmed($0) })
  }

  private static func trimmed(_ text: Substring) -> String {
    let start = text.drop { $0 == " " }
    guard let last = start.lastIndex(where: { $0 != " " }) else { return "" }
    return String(start[...last])
  }

  /// The constraint as people write it.
  public var text: String {
    switch op {
    case .equal, .notEqual, .greater, .less: "\(label)\(op.rawValue)\(values.first ?? "")"
    case .regex: "\(label) \(op.rawValue) \(values.first ?? "")"
    case .isIn, .notIn: "\(label) \(op.rawValue) (\(values.joined(separator: ",")))"
    case .exists, .notExists: "\(op.rawValue) \(label)"
    }
  }
}
