import JSON

/// The members of a constraint's object while they are read: those of an affinity are among them.
struct ConstraintParts {
  static let names = ["label", "operator", "values"]

  private var label: String?
  private var op: Constraint.Operator?
  private var values: [String] = []

  /// Reads the value of one of `names`.
  mutating func read(_ name: String, _ reader: inout JSONReader, with decoder: SpecDecoder) throws {
    switch name {
    case "label": label = try reader.string()
    case "operator":
      op = Constraint.Operator(rawValue: try reader.string())
      if op == nil {
        let words = Constraint.Operator.allCases.map(\.rawValue).joined(separator: ", ")
        throw TextError("one of \(words) was expected")
      }
    default: values = try decoder.list(&reader) { try $0.string() }
    }
  }

  func constraint() throws(FieldError) -> Constraint {
    guard let label else { throw FieldError(field: "label", message: "is required") }
    guard let op else { throw FieldError(field: "operator", message: "is required") }
    return Constraint(label: label, op: op, values: values)
  }
}

extension Constraint {
  /// Checks the bounds; the paths of errors begin with the members.
  public func validate() throws(FieldError) {
    guard Labels.isName(label) else { throw FieldError(field: "label", message: Labels.nameRule) }
    let allowed = op.valueCount
    guard allowed.contains(values.count) else {
      let count =
        allowed.count == 1 ? "\(allowed.lowerBound)" : "\(allowed.lowerBound) to \(allowed.upperBound)"
      throw FieldError(field: "values", message: "operator \(op.rawValue) takes \(count)")
    }
    for (index, value) in values.enumerated() {
      let check = TextCheck(field: "values[\(index)]")
      try check.length(value, atMost: SpecLimits.labelValueBytes)
      try check.noControlCharacters(value)
      switch op {
      case .greater, .less:
        guard Self.number(value) != nil else {
          throw check.error("a number was expected, such as 4 or 2.5, for operator \(op.rawValue)")
        }
      case .regex:
        do throws(TextError) { _ = try LabelPattern(value) } catch { throw check.error(error.message) }
      case .equal, .notEqual, .isIn, .notIn, .exists, .notExists: break
      }
    }
  }

  /// A decimal number, with a fraction or an exponent perhaps; nil for any other text, versions among them.
  static func number(_ text: String) -> Double? {
    let isPlain = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"),
        UInt8(ascii: "e"), UInt8(ascii: "E"):
        true
      default: false
      }
    }
    guard isPlain, let number = Double(text), number.isFinite else { return nil }
    return number
  }
}

extension Constraint.Operator {
  /// How many values it takes.
  fileprivate var valueCount: ClosedRange<Int> {
    switch self {
    case .equal, .notEqual, .greater, .less, .regex: 1...1
    case .isIn, .notIn: 1...SpecLimits.constraintValues
    case .exists, .notExists: 0...0
    }
  }
}
