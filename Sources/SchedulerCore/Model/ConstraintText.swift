extension Constraint {
  private static let forms =
    "'zone=eu', 'zone!=eu', 'zone in (a,b)', 'zone not_in (a,b)', 'exists gpu' or 'not_exists gpu' was expected"

  /// Reads a constraint as people write it: `zone=eu`, `zone!=eu`, `zone in (a,b)`, `zone not_in (a,b)`,
  /// `exists gpu`, `not_exists gpu`. Spaces around the parts do not count.
  public init(text: String) throws(TextError) {
    let words = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
    if words.count == 2, let op = Operator(rawValue: String(words[0])), op == .exists || op == .notExists {
      self.init(label: Self.trimmed(words[1]), op: op)
    } else if let paren = text.firstIndex(of: "("), !text[..<paren].contains("=") {
      try self.init(listText: text, paren: paren)
    } else if let sign = text.firstIndex(of: "=") {
      let isNegated = text[..<sign].last == "!"
      let label = isNegated ? text[..<sign].dropLast() : text[..<sign]
      let value = text[text.index(after: sign)...]
      guard value.first != "=" else { throw TextError("one '=' is enough: " + Self.forms) }
      self.init(
        label: Self.trimmed(label), op: isNegated ? .notEqual : .equal, values: [Self.trimmed(value)])
    } else {
      throw TextError(Self.forms)
    }
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
    case .equal, .notEqual: "\(label)\(op.rawValue)\(values.first ?? "")"
    case .isIn, .notIn: "\(label) \(op.rawValue) (\(values.joined(separator: ",")))"
    case .exists, .notExists: "\(op.rawValue) \(label)"
    }
  }
}
