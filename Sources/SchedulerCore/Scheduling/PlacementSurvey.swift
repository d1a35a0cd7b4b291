/// How the agents stand to one requirement, with numbers: which part of it excludes how many, and what those that meet it
/// are at. Taken for explanations, not for choosing: it looks at every agent.
public struct PlacementSurvey: Hashable, Sendable {
  /// A part of the requirement.
  public struct Exclusion: Hashable, Sendable {
    /// The part, as people write it: `zone=eu`, `task resize`.
    public var what: String
    /// How many agents do not meet it.
    public var excluded = 0
    /// How many of those meet everything else.
    public var alone = 0
  }

  /// What an agent that meets the requirement is at; each counts once, by what is hardest to change.
  public enum Standing: Hashable, Sendable {
    case draining, unhealthy, disconnected, avoided, busy, free
  }

  /// What is known of the agents of one standing.
  public struct Group: Hashable, Sendable {
    /// How many.
    public var count = 0
    /// The first of them, by id; at most `ExplainLimits.names`.
    public var ids: [String] = []
    /// Their slots.
    public var slots = 0
    /// How many of those are used.
    public var used = 0
  }

  /// How many agents were looked at.
  public private(set) var agents = 0
  /// How many of them meet the requirement.
  public private(set) var matching = 0
  /// What the requirement consists of: what the agent has to run, then the constraints.
  public private(set) var exclusions: [Exclusion]
  /// Those that meet it.
  public private(set) var groups: [Standing: Group] = [:]

  private let requirement: Requirement

  /// Begins a survey.
  public init(_ requirement: Requirement) {
    self.requirement = requirement
    var offer = requirement.taskName.map { "task \($0)" } ?? "\(requirement.kind.rawValue) jobs"
    if requirement.isConfined { offer += " with limits or as another user" }
    exclusions =
      [Exclusion(what: offer)]
      + requirement.constraints.prefix(ExplainLimits.constraints).map { Exclusion(what: $0.text) }
  }

  /// Looks at an agent.
  /// - Parameter used: How many of its slots are taken.
  mutating func add(_ agent: AgentPool.Agent, used: Int) {
    if let id = requirement.agentID, id != agent.id { return }
    agents += 1
    let failing = failures(agent.traits)
    for index in failing { exclusions[index].excluded += 1 }
    if failing.count == 1 { exclusions[failing[0]].alone += 1 }
    guard failing.isEmpty, requirement.isMet(by: agent.traits) else { return }
    matching += 1
    var group = groups[Self.standing(of: agent, used: used)] ?? Group()
    group.count += 1
    group.slots += agent.slots
    group.used += min(used, agent.slots)
    let place = group.ids.firstIndex { $0 > agent.id } ?? group.ids.count
    if place < ExplainLimits.names {
      group.ids.insert(agent.id, at: place)
      if group.ids.count > ExplainLimits.names { group.ids.removeLast() }
    }
    groups[Self.standing(of: agent, used: used)] = group
  }

  private func failures(_ traits: AgentTraits) -> [Int] {
    var failing: [Int] = []
    if !requirement.isOffered(by: traits) { failing.append(0) }
    for (index, constraint) in requirement.constraints.prefix(ExplainLimits.constraints).enumerated()
    where !constraint.isMet(by: traits.labels) {
      failing.append(index + 1)
    }
    return failing
  }

  private static func standing(of agent: AgentPool.Agent, used: Int) -> Standing {
    if agent.draining { return .draining }
    if !agent.connected { return .disconnected }
    switch agent.state {
    case .unhealthy: return .unhealthy
    case .avoided: return .avoided
    case .healthy: return used >= agent.slots ? .busy : .free
    }
  }
}
