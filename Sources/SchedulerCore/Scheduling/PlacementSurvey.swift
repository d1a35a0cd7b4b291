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
    case draining, unhealthy, disconnected, avoided
    /// It has a run of the job, and they stay apart.
    case apart
    /// It has promised too much of what is asked for.
    case promised
    /// Others use memory of its machine.
    case shortOfMemory
    /// It has no free slot.
    case busy
    /// It is kept for a larger run.
    case kept
    case free
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
    /// The resources of which some of them have promised too much.
    public var short: [String] = []
  }

  /// How many agents were looked at.
  public private(set) var agents = 0
  /// How many of them meet the requirement.
  public private(set) var matching = 0
  /// What the requirement consists of: the one agent, what it has to run, the constraints, then the resources.
  public private(set) var exclusions: [Exclusion]
  /// Those that meet it.
  public private(set) var groups: [Standing: Group] = [:]

  private let requirement: Requirement
  private let parts: [PlacementObstacle]

  /// Begins a survey.
  init(_ requirement: Requirement) {
    self.requirement = requirement
    let resources = requirement.demand.parts.map(\.name)
    parts =
      (requirement.agentID.map { [.otherAgent($0)] } ?? []) + [.notOffered]
      + requirement.constraints.prefix(ExplainLimits.constraints).map(PlacementObstacle.constraint)
      + resources.map(PlacementObstacle.tooSmall)
    exclusions = parts.map { Exclusion(what: $0.asked(by: requirement)) }
  }

  /// Looks at an agent.
  /// - Parameters:
  ///   - used: How many of its slots are taken.
  ///   - lasting: What of the requirement it does not meet.
  ///   - passing: What keeps it from such work now.
  mutating func add(
    _ agent: AgentPool.Agent, used: Int, lasting: [PlacementObstacle], passing: [PlacementObstacle]
  ) {
    agents += 1
    let failing = parts.indices.filter { lasting.contains(parts[$0]) }
    for index in failing { exclusions[index].excluded += 1 }
    if failing.count == 1 { exclusions[failing[0]].alone += 1 }
    guard lasting.isEmpty else { return }
    matching += 1
    let standing = Self.standing(of: agent, passing)
    var group = groups[standing] ?? Group()
    group.count += 1
    group.slots += agent.slots
    group.used += min(used, agent.slots)
    for case .inUse(let name) in passing where !group.short.contains(name) { group.short.append(name) }
    let place = group.ids.firstIndex { $0 > agent.id } ?? group.ids.count
    if place < ExplainLimits.names {
      group.ids.insert(agent.id, at: place)
      if group.ids.count > ExplainLimits.names { group.ids.removeLast() }
    }
    groups[standing] = group
  }

  private static func standing(of agent: AgentPool.Agent, _ passing: [PlacementObstacle]) -> Standing {
    if agent.draining { return .draining }
    if !agent.connected { return .disconnected }
    switch agent.state {
    case .unhealthy: return .unhealthy
    case .avoided: return .avoided
    case .healthy: break
    }
    for obstacle in passing {
      switch obstacle {
      case .ownRun: return .apart
      case .inUse: return .promised
      case .shortOfMemory: return .shortOfMemory
      case .noFreeSlot: return .busy
      case .kept: return .kept
      default: continue
      }
    }
    return .free
  }
}

extension AgentPool {
  /// How all agents stand to a requirement.
  /// - Parameter awaited: The only agent to be looked at, which the run waits for.
  public func survey(_ requirement: Requirement, awaited: String? = nil) -> PlacementSurvey {
    var survey = PlacementSurvey(requirement)
    let conditions = requirement.constraints.map { (constraint: $0, condition: Condition($0)) }
    for case let member? in members where awaited == nil || awaited == member.agent.id {
      survey.add(
        member.agent, used: member.used, lasting: lastingObstacles(of: member, requirement, conditions),
        passing: passingObstacles(of: member, requirement))
    }
    return survey
  }
}

extension PlacementObstacle {
  /// The part of a requirement that it is about, as people write it: `zone=eu`, `task resize`, `cpus=4`.
  fileprivate func asked(by requirement: Requirement) -> String {
    switch self {
    case .otherAgent(let id): return "agent \(id)"
    case .constraint(let constraint): return constraint.text
    case .tooSmall(Resources.cpusName): return Resources(cpus: requirement.resources.cpus).text
    case .tooSmall(Resources.memoryName):
      return Resources(memoryBytes: requirement.resources.memoryBytes).text
    case .tooSmall(let name):
      return Resources(custom: [name: requirement.resources.custom[name] ?? 0]).text
    default:
      let offer = requirement.taskName.map { "task \($0)" } ?? "\(requirement.kind.rawValue) jobs"
      return requirement.isConfined ? offer + " with limits or as another user" : offer
    }
  }
}
