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
  /// What the agent has to promise.
  public let resources: Resources
  /// The job no run of which may be on the agent; nil for any.
  public let apartFrom: JobKey?
  /// The same as `resources`, as it is counted.
  let demand: ResourceAmounts

  /// Makes a requirement.
  public init(
    kind: TaskKind, taskName: String? = nil, constraints: [Constraint], isConfined: Bool = false,
    agentID: String? = nil, resources: Resources = Resources(), apartFrom: JobKey? = nil
  ) {
    self.resources = resources
    self.apartFrom = apartFrom
    demand = ResourceAmounts(resources)
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
  /// - Parameters:
  ///   - job: The job; nil where it does not matter whether its runs stay apart.
  ///   - agentID: The one agent that a run waits for; it outweighs the one that the job names.
  public init(_ spec: JobSpec, of job: JobKey? = nil, agentID: String? = nil) {
    var taskName: String?
    if case .task(let name, _) = spec.task { taskName = name }
    self.init(
      kind: spec.task.kind, taskName: taskName, constraints: spec.constraints,
      isConfined: spec.runAs != nil || !spec.limits.isEmpty, agentID: agentID ?? spec.placement.agent,
      resources: spec.resources, apartFrom: spec.placement.antiAffinity == .required ? job : nil)
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

  // What is derived counts once.

  /// Whether they ask for the same.
  public static func == (left: Requirement, right: Requirement) -> Bool {
    left.kind == right.kind && left.taskName == right.taskName && left.constraints == right.constraints
      && left.isConfined == right.isConfined && left.agentID == right.agentID
      && left.resources == right.resources && left.apartFrom == right.apartFrom
  }

  /// Hashes what `==` compares.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(kind)
    hasher.combine(taskName)
    hasher.combine(constraints)
    hasher.combine(isConfined)
    hasher.combine(agentID)
    // Nearly always empty.
    if !resources.isEmpty { hasher.combine(resources) }
    if let apartFrom { hasher.combine(apartFrom) }
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

  /// The traits of an agent; kinds that this program does not know are of no use to it. Its id and its host count as
  /// labels.
  public init(_ record: AgentRecord) {
    var labels = record.labels
    labels[Self.hostLabel] = record.host
    labels[Self.agentLabel] = record.agentID
    self.init(
      labels: labels, kinds: Set(record.kinds.compactMap(TaskKind.init(rawValue:))),
      tasks: Set(record.tasks), confines: !record.isolation.isEmpty)
  }

  /// The label that every agent has: its id.
  public static let agentLabel = "agent_id"
  /// The other one: its host's name.
  public static let hostLabel = "host"
}

extension Constraint {
  /// Whether it holds for an agent with these labels. Where many agents are asked about, `Condition` is quicker.
  public func isMet(by labels: [String: String]) -> Bool { Condition(self).isMet(by: labels) }

  /// What an agent is said to be for which it does not hold: "without label gpu".
  var mismatchText: String {
    switch op {
    case .equal, .isIn, .greater, .less, .regex: "without label \(text)"
    case .exists: "without label \(label)"
    case .notEqual: "with label \(label)=\(values.first ?? "")"
    case .notIn: "with label \(label) in (\(values.joined(separator: ",")))"
    case .notExists: "with label \(label)"
    }
  }
}

/// A constraint made ready to be held against the labels of many agents.
struct Condition: Sendable {
  private enum Test: Sendable {
    case listed
    case notListed
    case exists
    case notExists
    case greater(Double)
    case less(Double)
    case pattern(LabelPattern)
    /// What no agent meets: a value that this program cannot read.
    case never
  }

  private let label: String
  private let values: [String]
  private let test: Test

  init(_ constraint: Constraint) {
    label = constraint.label
    values = constraint.values
    let value = constraint.values.first ?? ""
    switch constraint.op {
    case .equal, .isIn: test = .listed
    case .notEqual, .notIn: test = .notListed
    case .exists: test = .exists
    case .notExists: test = .notExists
    case .greater: test = Constraint.number(value).map(Test.greater) ?? .never
    case .less: test = Constraint.number(value).map(Test.less) ?? .never
    case .regex: test = (try? LabelPattern(value)).map(Test.pattern) ?? .never
    }
  }

  func isMet(by labels: [String: String]) -> Bool {
    let value = labels[label]
    switch test {
    case .listed: return value.map(values.contains) ?? false
    case .notListed: return value.map { !values.contains($0) } ?? true
    case .exists: return value != nil
    case .notExists: return value == nil
    case .greater(let bound): return value.flatMap(Constraint.number).map { $0 > bound } ?? false
    case .less(let bound): return value.flatMap(Constraint.number).map { $0 < bound } ?? false
    case .pattern(let pattern): return value.map { Self.isShort($0) && pattern.matches($0) } ?? false
    case .never: return false
    }
  }

  /// Agents say what their labels are, and nobody bounds them.
  private static func isShort(_ value: String) -> Bool { value.utf8.count <= SpecLimits.labelValueBytes }
}
