/// What a run asks of an agent. Runs with equal requirements can be run by the same agents, so queue and
/// placement handle them as one class.
public struct Requirement: Hashable, Sendable {
  /// The constraints, all of which must hold, in an order that does not depend on how they were written.
  public let constraints: [Constraint]

  /// Makes a requirement.
  public init(constraints: [Constraint]) {
    guard constraints.count > 1 else {
      self.constraints = constraints
      return
    }
    let keyed = Set(constraints).map { (key: [$0.label, $0.op.rawValue] + $0.values, constraint: $0) }
    self.constraints = keyed.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map(\.constraint)
  }

  /// Whether an agent with these labels will do.
  public func isMet(by labels: [String: String]) -> Bool {
    constraints.allSatisfy { $0.isMet(by: labels) }
  }
}

extension Constraint {
  /// Whether it holds for an agent with these labels.
  public func isMet(by labels: [String: String]) -> Bool {
    let value = labels[label]
    switch op {
    case .equal, .isIn: return value.map(values.contains) ?? false
    case .notEqual, .notIn: return value.map { !values.contains($0) } ?? true
    case .exists: return value != nil
    case .notExists: return value == nil
    }
  }

  /// What an agent is said to be for which it does not hold: "without label gpu".
  var mismatchText: String {
    switch op {
    case .equal, .isIn: "without label \(text)"
    case .exists: "without label \(label)"
    case .notEqual: "with label \(label)=\(values.first ?? "")"
    case .notIn: "with label \(label) in (\(values.joined(separator: ",")))"
    case .notExists: "with label \(label)"
    }
  }
}
