/// The bounds of what placement keeps.
public enum PlacementLimits {
  /// Agents × requirements whose match is remembered, at 4 to 28 bytes each; past it all is found anew.
  public static let cachedMatches = 2_000_000
  /// Changes of agents that are kept for requirements that nobody has asked for meanwhile, besides two for
  /// each agent.
  public static let changesKept = 1_024
}

/// The agents as placement sees them, and the choice among them.
///
/// For each requirement asked for there is a heap of the agents that meet it and can take work. It is
/// brought up to date only when it is asked for, from a log of the agents that have changed since, so a
/// change costs the same however many requirements there are, and a choice is O(log agents).
public struct AgentPool: Sendable {
  /// An agent as placement sees it.
  public struct Agent: Hashable, Sendable {
    /// The agent's id.
    public var id: String
    /// The create revision of its key.
    public var incarnation: Int64
    /// What requirements are held against.
    public var traits: AgentTraits
    /// How many attempts it may run at once.
    public var slots: Int
    /// Whether work can be sent to it.
    public var connected: Bool
    /// Whether it is to get no new work, by its own wish or somebody's.
    public var draining: Bool
    /// Whether it is fit for new work.
    public var state: HealthState
    /// Its own figures.
    public var health: AgentHealth

    /// Makes an agent.
    public init(
      id: String, incarnation: Int64, traits: AgentTraits = AgentTraits(), slots: Int, connected: Bool = true,
      draining: Bool = false, state: HealthState = .healthy, health: AgentHealth = AgentHealth()
    ) {
      self.id = id
      self.incarnation = incarnation
      self.traits = traits
      self.slots = slots
      self.connected = connected
      self.draining = draining
      self.state = state
      self.health = health
    }
  }

  private struct Member: Sendable {
    var agent: Agent
    var used = 0

    var takesWork: Bool { agent.connected && !agent.draining && agent.state == .healthy }
    var freeSlots: Int { takesWork ? max(0, agent.slots - used) : 0 }
    /// Nil when it can take no work.
    var rank: LoadRank? {
      guard freeSlots > 0 else { return nil }
      // A machine that reports nonsense is taken for an idle one.
      let cpu = agent.health.cpu.isFinite ? agent.health.cpu : 0
      return LoadRank(ratio: Double(used) / Double(agent.slots), cpu: cpu)
    }
  }

  /// The free slots of all agents that take work.
  public private(set) var freeSlots = 0

  private var ids = KeyTable<String>()
  /// By the slot in `ids`; nil for a free one.
  private var members: [Member?] = []
  private var requirements = KeyTable<Requirement>()
  /// By the slot in `requirements`, none of which is ever freed singly.
  private var sets: [CandidateSet] = []
  private var changes = ChangeLog()

  /// Makes an empty pool.
  public init() {}

  // MARK: Agents

  /// How many agents there are.
  public var count: Int { ids.count }

  /// An agent.
  public func agent(_ id: String) -> Agent? { member(id)?.agent }

  /// The create revision of an agent's key.
  public func incarnation(of id: String) -> Int64? { member(id)?.agent.incarnation }

  /// How many slots of an agent are reserved.
  public func usedSlots(of id: String) -> Int? { member(id)?.used }

  /// Adds an agent, or replaces what is known of it. Its reserved slots stay reserved, unless it is another
  /// incarnation: that one starts with none.
  public mutating func upsert(_ agent: Agent) {
    let (slot, isNew) = ids.insert(agent.id)
    if slot == members.count { members.append(nil) }
    var member = Member(agent: agent)
    let old = isNew ? nil : members[slot]
    if let old, old.agent.incarnation == agent.incarnation { member.used = old.used }
    replace(slot, with: member, traitsDiffer: old.map { $0.agent.traits != agent.traits } ?? true)
  }

  /// Removes an agent; false when there was none.
  @discardableResult
  public mutating func remove(_ id: String) -> Bool {
    guard let slot = ids.slot(of: id) else { return false }
    for index in sets.indices {
      sets[index].update(slot, traits: nil, rank: nil, traitsMayDiffer: true, ids: ids)
    }
    freeSlots -= members[slot]?.freeSlots ?? 0
    members[slot] = nil
    ids.remove(id)
    return true
  }

  /// Reserves a slot of an agent, even one that it does not have, since what etcd says is assigned is
  /// assigned; false when there is no such agent.
  @discardableResult
  public mutating func reserve(_ id: String) -> Bool { addUsed(1, id) }

  /// Gives a slot of an agent back; false when there is no such agent or it has none reserved.
  @discardableResult
  public mutating func release(_ id: String) -> Bool { addUsed(-1, id) }

  private mutating func addUsed(_ difference: Int, _ id: String) -> Bool {
    guard let slot = ids.slot(of: id), var member = members[slot] else { return false }
    guard member.used + difference >= 0 else { return false }
    member.used += difference
    replace(slot, with: member, traitsDiffer: false)
    return true
  }

  private mutating func replace(_ slot: Int, with member: Member, traitsDiffer: Bool) {
    let old = members[slot]
    freeSlots += member.freeSlots - (old?.freeSlots ?? 0)
    members[slot] = member
    guard traitsDiffer || old?.rank != member.rank else { return }
    changes.append(slot, traitsDiffer: traitsDiffer, bound: 2 * members.count + PlacementLimits.changesKept)
  }

  private func member(_ id: String) -> Member? { ids.slot(of: id).flatMap { members[$0] } }

  // MARK: Choosing

  /// Whether some agent can take a run with this requirement now.
  public mutating func canPlace(_ requirement: Requirement) -> Bool {
    guard freeSlots > 0 else { return false }
    if let id = requirement.agentID { return canTake(id, requirement) }
    let index = bringUpToDate(requirement)
    return !sets[index].nodes.isEmpty
  }

  /// The agent for a run: of those that are connected, do not drain, have a free slot and meet the
  /// requirement, the one with the lowest share of used slots, then of busy cores, then the lowest id.
  /// It is not reserved.
  /// - Parameter avoided: Agents to be chosen only if no other can be.
  public mutating func choose(_ requirement: Requirement, avoiding avoided: Set<String> = []) -> String? {
    guard freeSlots > 0 else { return nil }
    if let id = requirement.agentID { return canTake(id, requirement) ? id : nil }
    let index = bringUpToDate(requirement)
    return sets[index].best(avoiding: avoided, ids: ids).map { ids[$0] }
  }

  /// Whether that one agent can take a run now.
  private func canTake(_ id: String, _ requirement: Requirement) -> Bool {
    guard let member = member(id) else { return false }
    return member.rank != nil && requirement.isMet(by: member.agent.traits)
  }

  /// Brings the candidates for a requirement up to date and returns their place in `sets`.
  private mutating func bringUpToDate(_ requirement: Requirement) -> Int {
    if let index = requirements.slot(of: requirement) {
      if let missed = changes.since(sets[index].cursor) {
        for change in missed { update(index, change.slot, traitsMayDiffer: change.traitsDiffer) }
        sets[index].cursor = changes.end
      } else {
        rebuild(index)
      }
      return index
    }
    if (requirements.count + 1) * members.count > PlacementLimits.cachedMatches {
      requirements = KeyTable()
      sets = []
    }
    let index = requirements.insert(requirement).slot
    sets.append(CandidateSet(requirement: requirement))
    rebuild(index)
    return index
  }

  private mutating func rebuild(_ index: Int) {
    for slot in members.indices { update(index, slot, traitsMayDiffer: true) }
    sets[index].cursor = changes.end
  }

  private mutating func update(_ index: Int, _ slot: Int, traitsMayDiffer: Bool) {
    let member = members[slot]
    sets[index].update(
      slot, traits: member?.agent.traits, rank: member?.rank, traitsMayDiffer: traitsMayDiffer, ids: ids)
  }

  // MARK: Explaining

  /// Why one agent does not take a run with this requirement: "is draining".
  public func whyNot(_ id: String, _ requirement: Requirement) -> String {
    guard let member = member(id) else { return "is not there" }
    let traits = member.agent.traits
    if !requirement.isOffered(by: traits) { return requirement.notOfferedText(1) }
    if let constraint = requirement.constraints.first(where: { !$0.isMet(by: traits.labels) }) {
      return "is \(constraint.mismatchText)"
    }
    if !member.agent.connected { return "is not connected" }
    if member.agent.draining { return "is draining" }
    return member.freeSlots == 0 ? "has no free slot" : "has a free slot"
  }

  /// How all agents stand to a requirement.
  public func survey(_ requirement: Requirement) -> PlacementSurvey {
    var survey = PlacementSurvey(requirement)
    for case let member? in members { survey.add(member.agent, used: member.used) }
    return survey
  }

  /// Why no agent can take a run with this requirement: "3 agents: 1 without label gpu, 2 with no free
  /// slot". Every agent is counted once, by what is hardest to change.
  public func unplaceableReason(_ requirement: Requirement) -> String {
    guard count > 0 else { return "there are no agents" }
    var notOffered = 0
    var mismatches = Array(repeating: 0, count: requirement.constraints.count)
    var disconnected = 0
    var draining = 0
    var unhealthy = 0
    var avoided = 0
    var full = 0
    var free = 0
    for case let member? in members {
      let traits = member.agent.traits
      if !requirement.isOffered(by: traits) {
        notOffered += 1
      } else if let index = requirement.constraints.firstIndex(where: { !$0.isMet(by: traits.labels) }) {
        mismatches[index] += 1
      } else if !member.agent.connected {
        disconnected += 1
      } else if member.agent.draining {
        draining += 1
      } else if member.agent.state == .unhealthy {
        unhealthy += 1
      } else if member.agent.state == .avoided {
        avoided += 1
      } else if member.freeSlots == 0 {
        full += 1
      } else {
        free += 1
      }
    }
    var parts = [(count: notOffered, what: requirement.notOfferedText(notOffered))]
    parts += zip(mismatches, requirement.constraints).map { (count: $0, what: $1.mismatchText) }
    parts += [
      (disconnected, "not connected"), (draining, "draining"), (unhealthy, "unhealthy"),
      (avoided, "avoided since attempts keep failing there"), (full, "with no free slot"),
      (free, "with a free slot"),
    ]
    let text = parts.filter { $0.count > 0 }.map { "\($0.count) \($0.what)" }.joined(separator: ", ")
    return "\(count) \(count == 1 ? "agent" : "agents"): \(text)"
  }
}

/// Which agents have changed, oldest first. Entries are numbered from 0 for ever; old ones are dropped.
private struct ChangeLog: Sendable {
  /// The agent's slot, twice, and one more if its traits may differ: 4 bytes a change.
  struct Change: Sendable {
    private let packed: UInt32

    init(slot: Int, traitsDiffer: Bool) { packed = UInt32(slot) << 1 | (traitsDiffer ? 1 : 0) }

    var slot: Int { Int(packed >> 1) }
    var traitsDiffer: Bool { packed & 1 == 1 }
  }

  private var entries: [Change] = []
  /// The number of the first entry that is kept.
  private var start = 0

  /// The number that the next entry will have.
  var end: Int { start + entries.count }

  mutating func append(_ slot: Int, traitsDiffer: Bool, bound: Int) {
    if entries.count >= bound {
      let dropped = entries.count - bound / 2
      entries.removeFirst(dropped)
      start += dropped
    }
    entries.append(Change(slot: slot, traitsDiffer: traitsDiffer))
  }

  /// The entries from number `cursor` on; nil when some of them are no longer kept.
  func since(_ cursor: Int) -> ArraySlice<Change>? {
    cursor >= start ? entries[(cursor - start)...] : nil
  }
}
