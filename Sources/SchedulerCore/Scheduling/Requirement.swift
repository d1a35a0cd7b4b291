/// What a run asks of an agent. Runs with equal requirements can be run by the same agents, so queue and
/// placement handle them as one class.
public struct Requirement: Hashable, Sendable {
  /// The kind of work that the agent has to run.
  public let kind: TaskKind
  /// The task that it has to offer, of kind `task`.
  public let taskName: String?
  /// The constraints, all of which must hold, in an order that does not depend on how they were written.
  public private(set) var constraints: [Constraint]
  /// Whether the agent has to know of limits and users: one that does not would ignore them.
  public let isConfined: Bool
  /// The one agent that will do; nil for any.
  public let agentID: String?

  /// Makes a requirement.
  public init(
    kind: TaskKind, taskName: String? = nil, constraints: [Constraint], isConfined: Bool = false,
    agentID: String? = nil
  ) {
    self.isConfined = isConfined
    self.kind = kind
    self.taskName = taskName
    self.agentID = agentID
    self.constraints = Self.inOrder(constraints)
  }

  /// The same constraints, each once, in an order that does not depend on how they were written.
  private static func inOrder(_ constraints: [Constraint]) -> [Constraint] {
    guard constraints.count > 1 else { return constraints }
    let keyed = Set(constraints).map { (key: [$0.label, $0.op.rawValue] + $0.values, constraint: $0) }
    return keyed.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map(\.constraint)
  }

  /// What the runs of a job ask for.
  /// - Parameter agentID: The one agent that a run waits for.
  public init(_ spec: JobSpec, agentID: String? = nil) {
    var taskName: String?
    if case .task(let name, _) = spec.task { taskName = name }
    self.init(
      kind: spec.task.kind, taskName: taskName, constraints: spec.constraints,
      isConfined: spec.runAs != nil || !spec.limits.isEmpty, agentID: agentID)
  }

  /// The same with more constraints.
  func adding(_ more: [Constraint]) -> Requirement {
    var sum = self
    sum.constraints = Self.inOrder(constraints + more)
    return sum
  }

  /// Whether an agent with these traits will do.
  public func isMet(by traits: AgentTraits) -> Bool {
    isOffered(by: traits) && constraints.allSatisfy { $0.isMet(by: traits.labels) }
  }

  /// Whether an agent with these traits runs such work at all.
  func isOffered(by traits: AgentTraits) -> Bool {
    traits.kinds.contains(kind) && (taskName.map(traits.tasks.contains) ?? true)
      && (!isConfined || traits.confines)
  }

  /// What is said of so many agents that do not run such work.
  func notOfferedText(_ count: Int) -> String {
    let verb = count == 1 ? "does not" : "do not"
    let how = isConfined ? " with limits or as another user" : ""
    return taskName.map { "\(verb) offer task \($0)" } ?? "\(verb) run \(kind.rawValue) jobs\(how)"
  }
}

/// What of an agent a requirement is held against.
public struct AgentTraits: Hashable, Sendable {
  /// What constraints are held against.
  public var labels: [String: String]
  /// The kinds of work that it runs.
  public var kinds: Set<TaskKind>
  /// The tasks that it offers.
  public var tasks: Set<String>
  /// Whether it knows of limits and of other users.
  public var confines: Bool

  /// Makes traits.
  public init(
    labels: [String: String] = [:], kinds: Set<TaskKind> = Set(TaskKind.builtIn), tasks: Set<String> = [],
    confines: Bool = false
  ) {
    self.confines = confines
    self.labels = labels
    self.kinds = kinds
    self.tasks = tasks
  }

  /// The traits of an agent; kinds that this program does not know are of no use to it.
  public init(_ record: AgentRecord) {
    self.init(
      labels: record.labels, kinds: Set(record.kinds.compactMap(TaskKind.init(rawValue:))),
      tasks: Set(record.tasks), confines: !record.isolation.isEmpty)
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
