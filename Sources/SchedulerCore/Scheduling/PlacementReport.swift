/// What keeps an agent from taking a run.
public enum PlacementObstacle: Hashable, Sendable {
  /// It is another agent than the one that is asked for.
  case otherAgent(String)
  /// It does not run such work: the kind, the task, limits or users.
  case notOffered
  /// A constraint does not hold.
  case constraint(Constraint)
  /// It has less of a resource than is asked for, even when nothing is promised.
  case tooSmall(String)
  /// It has no session with the leader.
  case notConnected
  /// It gets no new work, by somebody's wish or its own.
  case draining
  /// It says itself that it is short of something.
  case unhealthy
  /// What it was given failed, time after time.
  case avoided
  /// All of its slots are taken.
  case noFreeSlot
  /// Too much of a resource is promised to others.
  case inUse(String)
  /// Others than its attempts use memory that it could promise.
  case shortOfMemory
  /// A run of the job is there, and the job's runs stay apart.
  case ownRun
  /// It is kept for a larger run.
  case kept

  /// Whether it stays as it is however long the run waits, unless somebody changes the agent or the job.
  public var isLasting: Bool {
    switch self {
    case .otherAgent, .notOffered, .constraint, .tooSmall: true
    case .notConnected, .draining, .unhealthy, .avoided, .noFreeSlot, .inUse, .shortOfMemory, .ownRun, .kept:
      false
    }
  }

  /// What is said of so many agents that have it.
  func text(_ count: Int, _ requirement: Requirement) -> String {
    switch self {
    case .otherAgent(let id): "not agent \(id)"
    case .notOffered: requirement.notOfferedText(count)
    case .constraint(let constraint): constraint.mismatchText
    case .tooSmall(let name): "with less than \(requirement.amountText(name))"
    case .notConnected: "not connected"
    case .draining: "draining"
    case .unhealthy: "unhealthy"
    case .avoided: "avoided since attempts keep failing there"
    case .noFreeSlot: "with no free slot"
    case .inUse(let name): "with less than \(requirement.amountText(name)) free"
    case .shortOfMemory:
      "with less than \(requirement.amountText(Resources.memoryName)) that nothing else on the machine uses"
    case .ownRun: "with a run of the job"
    case .kept: "kept for a larger run"
    }
  }
}

/// How many agents each thing excludes that a run asks for.
public struct PlacementReport: Hashable, Sendable {
  /// One obstacle.
  public struct Exclusion: Hashable, Sendable {
    /// What it is.
    public var obstacle: PlacementObstacle
    /// How many agents have it, whatever else they have: of all agents for what is lasting, of the suitable ones for what
    /// passes.
    public var excluded: Int
    /// How many have it as the one that is hardest to change: each agent counts once.
    public var decisive: Int
    /// What is said of the excluded ones: "without label zone=eu".
    public var text: String
  }

  /// All agents.
  public var agents: Int
  /// Those without a lasting obstacle: idle, connected and healthy, they would take it.
  public var suitable: Int
  /// Those that could take it now.
  public var free: Int
  /// What excludes agents, the hardest to change first.
  public var exclusions: [Exclusion]

  /// In one line: "3 agents: 1 without label gpu, 2 with no free slot".
  public var summary: String {
    guard agents > 0 else { return "there are no agents" }
    var parts = exclusions.filter { $0.decisive > 0 }.map { "\($0.decisive) \($0.decisiveText)" }
    if free > 0 { parts.append("\(free) with a free slot") }
    return "\(agents) \(agents == 1 ? "agent" : "agents"): \(parts.joined(separator: ", "))"
  }

  /// The lasting obstacles, those first that exclude the most agents.
  public var lasting: [Exclusion] {
    exclusions.filter { $0.obstacle.isLasting && $0.excluded > 0 }.sorted { $0.excluded > $1.excluded }
  }
}

extension PlacementReport.Exclusion {
  /// As `text`, for those whom it decides about.
  fileprivate var decisiveText: String {
    guard case .notOffered = obstacle else { return text }
    return decisive == 1
      ? text.replacing("do not", with: "does not") : text.replacing("does not", with: "do not")
  }
}

extension AgentPool {
  /// How many agents each thing excludes that is asked for.
  public func report(_ requirement: Requirement) -> PlacementReport {
    let conditions = requirement.constraints.map { (constraint: $0, condition: Condition($0)) }
    var excluded: [PlacementObstacle: Int] = [:]
    var decisive: [PlacementObstacle: Int] = [:]
    var report = PlacementReport(agents: count, suitable: 0, free: 0, exclusions: [])
    for case let member? in members {
      var obstacles = lastingObstacles(of: member, requirement, conditions)
      if obstacles.isEmpty {
        report.suitable += 1
        obstacles = passingObstacles(of: member, requirement)
      }
      for obstacle in obstacles { excluded[obstacle, default: 0] += 1 }
      if let first = obstacles.first { decisive[first, default: 0] += 1 } else { report.free += 1 }
    }
    report.exclusions = requirement.obstacles.compactMap { obstacle in
      guard let count = excluded[obstacle] else { return nil }
      return PlacementReport.Exclusion(
        obstacle: obstacle, excluded: count, decisive: decisive[obstacle] ?? 0,
        text: obstacle.text(count, requirement))
    }
    return report
  }

  /// Why no agent can take a run with this requirement: "3 agents: 1 without label gpu, 2 with no free
  /// slot". Every agent is counted once, by what is hardest to change.
  public func unplaceableReason(_ requirement: Requirement) -> String { report(requirement).summary }

  /// Why one agent does not take a run with this requirement: "is draining".
  public func whyNot(_ id: String, _ requirement: Requirement) -> String {
    guard let member = member(id) else { return "is not there" }
    let conditions = requirement.constraints.map { (constraint: $0, condition: Condition($0)) }
    let obstacles =
      lastingObstacles(of: member, requirement, conditions) + passingObstacles(of: member, requirement)
    guard let first = obstacles.first else { return "has a free slot" }
    let text = first.text(1, requirement)
    switch first {
    case .notOffered: return text
    case .noFreeSlot: return "has no free slot"
    default: return text.hasPrefix("with ") ? "has \(text.dropFirst(5))" : "is \(text)"
    }
  }

  func lastingObstacles(
    of member: Member, _ requirement: Requirement,
    _ conditions: [(constraint: Constraint, condition: Condition)]
  ) -> [PlacementObstacle] {
    var obstacles: [PlacementObstacle] = []
    if let id = requirement.agentID, id != member.agent.id { obstacles.append(.otherAgent(id)) }
    let traits = member.agent.traits
    if !requirement.isOffered(by: traits) { obstacles.append(.notOffered) }
    for (constraint, condition) in conditions where !condition.isMet(by: traits.labels) {
      obstacles.append(.constraint(constraint))
    }
    for (name, amount) in requirement.demand.parts where amount > member.capacity[name] {
      obstacles.append(.tooSmall(name))
    }
    return obstacles
  }

  func passingObstacles(of member: Member, _ requirement: Requirement) -> [PlacementObstacle] {
    var obstacles: [PlacementObstacle] = []
    if !member.agent.connected {
      obstacles.append(.notConnected)
    } else if member.agent.draining {
      obstacles.append(.draining)
    } else if member.agent.state == .unhealthy {
      obstacles.append(.unhealthy)
    } else if member.agent.state == .avoided {
      obstacles.append(.avoided)
    }
    if let job = requirement.apartFrom, ownRuns[job]?.count(on: member.agent.id) ?? 0 > 0 {
      obstacles.append(.ownRun)
    }
    for (name, amount) in requirement.demand.parts
    where amount > member.capacity[name] &- member.promised[name] {
      obstacles.append(.inUse(name))
    }
    if member.isShortOfMemory(requirement.demand) { obstacles.append(.shortOfMemory) }
    if member.used >= member.agent.slots { obstacles.append(.noFreeSlot) }
    if let kept = member.keptFor, kept != requirement { obstacles.append(.kept) }
    return obstacles
  }
}

extension Requirement {
  /// All that may keep an agent from taking a run that asks for this, the hardest to change first.
  fileprivate var obstacles: [PlacementObstacle] {
    let resources = demand.parts.map(\.name)
    return (agentID.map { [.otherAgent($0)] } ?? []) + [.notOffered]
      + constraints.map(PlacementObstacle.constraint) + resources.map(PlacementObstacle.tooSmall)
      + [.notConnected, .draining, .unhealthy, .avoided, .ownRun] + resources.map(PlacementObstacle.inUse)
      + [.shortOfMemory, .noFreeSlot, .kept]
  }

  /// How much of a resource is asked for: "2 cpus", "4GiB of memory", "1 gpu".
  func amountText(_ name: String) -> String {
    switch name {
    case Resources.cpusName: "\(Resources.text(resources.cpus)) \(resources.cpus == 1 ? "cpu" : "cpus")"
    case Resources.memoryName: "\(ByteText.format(resources.memoryBytes)) of memory"
    default: "\(Resources.text(resources.custom[name] ?? 0)) \(name)"
    }
  }
}
