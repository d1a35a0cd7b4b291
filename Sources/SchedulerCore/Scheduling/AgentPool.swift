/// The bounds of what placement keeps.
public enum PlacementLimits {
  /// Agents × requirements whose match is remembered, at 4 to 28 bytes each; past it all is found anew.
  public static let cachedMatches = 2_000_000
  /// Changes of agents that are kept for requirements that nobody has asked for meanwhile, besides two for
  /// each agent.
  public static let changesKept = 1_024
  /// Of more candidates than these, where preferences are weighed, so many are looked at: half of them the first by
  /// the strategy, the others any.
  public static let weighedCandidates = 1_024
  /// Different sets of preferences whose worth for each agent is remembered.
  public static let weighings = 64
  /// Jobs whose runs are counted agent by agent.
  public static let talliedJobs = 256
  /// What the load of an agent is worth beside preferences: of one that is full, against an empty one.
  public static let loadWeight = 10.0
  /// What it costs an agent that a job's runs, which prefer to be apart, are on it: half for the first.
  public static let apartWeight = 100.0
  /// How long a run has waited that asks for resources before an agent is kept for it.
  public static let keepAfterMillis: Int64 = 60_000
  /// How long an agent is kept at most.
  public static let keepMillis: Int64 = 15 * 60_000
  /// How long after that, or after no agent could be kept, the next one is.
  public static let keepPauseMillis: Int64 = 60_000
  /// Of so many agents one may be kept; of fewer, one as well.
  public static let agentsForOneKept = 10
  /// Requirements whose pause is remembered.
  public static let pauses = 1_024
}

/// The agents as placement sees them, and the choice among them.
///
/// For each requirement asked for there is a heap of the agents that meet it and can take such work now. It is
/// brought up to date only when it is asked for, from a log of the agents that have changed since, so a
/// change costs the same however many requirements there are, and a choice is O(log agents). Where
/// preferences are weighed, a bounded number of candidates is looked at.
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
    /// What it has to promise to them.
    public var resources: Resources
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
      id: String, incarnation: Int64, traits: AgentTraits = AgentTraits(), slots: Int,
      resources: Resources = Resources(), connected: Bool = true, draining: Bool = false,
      state: HealthState = .healthy, health: AgentHealth = AgentHealth()
    ) {
      self.id = id
      self.incarnation = incarnation
      self.traits = traits
      self.slots = slots
      self.resources = resources
      self.connected = connected
      self.draining = draining
      self.state = state
      self.health = health
    }
  }

  struct Member: Sendable {
    var agent: Agent
    /// What it has to promise.
    let capacity: ResourceAmounts
    /// Of its id, for consistent hashing.
    let idHash: UInt64
    /// Slots that are reserved.
    var used = 0
    /// What is promised.
    var promised = ResourceAmounts()
    /// Rises with each attempt that it is given.
    var lastGiven: UInt64 = 0
    /// The only requirement that it is there for, while it is kept for a large run.
    var keptFor: Requirement?

    init(agent: Agent) {
      self.agent = agent
      capacity = ResourceAmounts(agent.resources)
      idHash = AgentPool.hash(agent.id)
    }

    var takesWork: Bool { agent.connected && !agent.draining && agent.state == .healthy }
    var freeSlots: Int { takesWork ? max(0, agent.slots - used) : 0 }

    /// The largest share of anything that is taken.
    var ratio: Double {
      let slots = Double(used) / Double(agent.slots)
      return promised.isEmpty ? slots : max(slots, promised.share(of: capacity))
    }

    /// Where it stands among candidates.
    func rank(_ order: CandidateOrder) -> LoadRank {
      // A machine that reports nonsense is taken for an idle one.
      let cpu = agent.health.cpu.isFinite ? agent.health.cpu : 0
      switch order {
      case .emptiest: return LoadRank(first: ratio, second: cpu)
      case .fullest: return LoadRank(first: -ratio, second: cpu)
      case .idlest: return LoadRank(first: Double(lastGiven), second: 0)
      }
    }

    /// Whether it can promise so much besides, and the machine has the memory.
    func canPromise(_ demand: ResourceAmounts) -> Bool {
      promised.leaves(demand, of: capacity) && !isShortOfMemory(demand)
    }

    /// Whether others use memory that it could promise; an agent that has sent no figures is taken at its word.
    func isShortOfMemory(_ demand: ResourceAmounts) -> Bool {
      demand.memory > 0 && agent.health.memoryAvailable > 0 && agent.health.memoryAvailable < demand.memory
    }
  }

  /// What sets of candidates are kept by.
  struct SetKey: Hashable, Sendable {
    var requirement: Requirement
    var order: CandidateOrder
  }

  /// The free slots of all agents that take work.
  public private(set) var freeSlots = 0

  private(set) var ids = KeyTable<String>()
  /// By the slot in `ids`; nil for a free one.
  private(set) var members: [Member?] = []
  /// Rises by the slot in `ids`, each time that traits may differ.
  private(set) var traitVersions: [UInt32] = []
  private var keys = KeyTable<SetKey>()
  /// By the slot in `keys`, none of which is ever freed singly.
  private var sets: [CandidateSet] = []
  private var changes = ChangeLog()
  private var given: UInt64 = 0
  /// Where the runs of each job are that hold slots, on agents that are gone, too.
  private(set) var ownRuns: [JobKey: OwnRuns] = [:]
  var weighings = Weighings()
  var keepings = Keepings()

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

  /// What of an agent is promised.
  public func promised(by id: String) -> Resources? { member(id)?.promised.resources }

  /// Adds an agent, or replaces what is known of it. Its reserved slots stay reserved, unless it is another
  /// incarnation: that one starts with none.
  public mutating func upsert(_ agent: Agent) {
    let (slot, isNew) = ids.insert(agent.id)
    if slot == members.count {
      members.append(nil)
      traitVersions.append(0)
    }
    var member = Member(agent: agent)
    let old = isNew ? nil : members[slot]
    if let old {
      guard old.agent != agent else { return }
      member.lastGiven = old.lastGiven
      if old.agent.incarnation == agent.incarnation {
        member.used = old.used
        member.promised = old.promised
        member.keptFor = old.keptFor
      } else {
        keepings.remove(slot)
      }
    }
    let traitsDiffer = old.map { $0.agent.traits != agent.traits } ?? true
    if traitsDiffer { traitVersions[slot] &+= 1 }
    replace(slot, with: member, traitsDiffer: traitsDiffer)
    let runs = ownRuns
    if isNew { weighings.agentCame(at: slot) { runs[$0]?.count(on: agent.id) ?? 0 } }
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
    traitVersions[slot] &+= 1
    weighings.agentCame(at: slot) { _ in 0 }
    keepings.remove(slot)
    ids.remove(id)
    return true
  }

  /// Reserves a slot of an agent, and what is promised, even what it does not have, since what etcd says is
  /// assigned is assigned; false when there is no such agent.
  @discardableResult
  public mutating func reserve(_ id: String, _ resources: Resources = Resources()) -> Bool {
    change(id) { member, given in
      member.used += 1
      if !resources.isEmpty { member.promised += ResourceAmounts(resources) }
      given += 1
      member.lastGiven = given
      return true
    }
  }

  /// Promises more of an agent to what holds slots of it.
  mutating func promise(_ amounts: ResourceAmounts, by id: String) {
    guard !amounts.isEmpty else { return }
    _ = change(id) { member, _ in
      member.promised += amounts
      return true
    }
  }

  /// Gives a slot of an agent back, with what was promised; false when there is no such agent or it has none reserved.
  @discardableResult
  public mutating func release(_ id: String, _ resources: Resources = Resources()) -> Bool {
    release(id, ResourceAmounts(resources))
  }

  mutating func release(_ id: String, _ amounts: ResourceAmounts) -> Bool {
    change(id) { member, _ in
      guard member.used > 0 else { return false }
      member.used -= 1
      if !amounts.isEmpty { member.promised -= amounts }
      return true
    }
  }

  /// Keeps an agent for a requirement alone, or for all again.
  mutating func setKept(_ slot: Int, for requirement: Requirement?) {
    guard var member = members[slot] else { return }
    member.keptFor = requirement
    replace(slot, with: member, traitsDiffer: false)
  }

  private mutating func change(_ id: String, _ body: (inout Member, inout UInt64) -> Bool) -> Bool {
    guard let slot = ids.slot(of: id), var member = members[slot], body(&member, &given) else { return false }
    replace(slot, with: member, traitsDiffer: false)
    return true
  }

  private mutating func replace(_ slot: Int, with member: Member, traitsDiffer: Bool) {
    freeSlots += member.freeSlots - (members[slot]?.freeSlots ?? 0)
    members[slot] = member
    changes.append(slot, traitsDiffer: traitsDiffer, bound: 2 * members.count + PlacementLimits.changesKept)
  }

  func member(_ id: String) -> Member? { ids.slot(of: id).flatMap { members[$0] } }

  // MARK: The runs of a job

  /// Notes that a run of a job is on an agent, whether that is known here or not.
  public mutating func began(_ job: JobKey, on id: String) {
    ownRuns[job, default: .none].add(id, 1)
    if let slot = ids.slot(of: id) { weighings.add(job, at: slot, 1) }
  }

  /// Notes that it is there no more.
  public mutating func ended(_ job: JobKey, on id: String) {
    ownRuns[job]?.add(id, -1)
    if case .none? = ownRuns[job] { ownRuns[job] = nil }
    if let slot = ids.slot(of: id) { weighings.add(job, at: slot, -1) }
  }

  // MARK: Choosing

  /// Whether some agent can take a run with this requirement now.
  public mutating func canPlace(_ requirement: Requirement) -> Bool {
    guard freeSlots > 0 else { return false }
    if let id = requirement.agentID { return canTake(id, requirement) }
    return !candidates(requirement, .emptiest).nodes.isEmpty
  }

  /// The agent for a run: of those that are connected, healthy, do not drain, have a free slot, can promise what is
  /// asked for and meet the requirement, the one that is wished for. It is not reserved.
  /// - Parameters:
  ///   - wish: How to choose; by default the agent with the smallest share of anything taken, then of busy cores,
  ///     then the lowest id.
  ///   - avoided: Agents to be chosen only if no other can be.
  public mutating func choose(
    _ requirement: Requirement, _ wish: PlacementWish = PlacementWish(), avoiding avoided: Set<String> = []
  ) -> String? {
    guard freeSlots > 0 else { return nil }
    if let id = requirement.agentID { return canTake(id, requirement) ? id : nil }
    let index = bringUpToDate(SetKey(requirement: requirement, order: wish.order))
    guard wish.isWeighed else { return sets[index].best(avoiding: avoided, ids: ids).map { ids[$0] } }
    return weigh(sets[index].nodes, wish, avoiding: avoided).map { ids[$0] }
  }

  /// Whether that one agent can take a run now.
  private func canTake(_ id: String, _ requirement: Requirement) -> Bool {
    guard let slot = ids.slot(of: id), let member = members[slot] else { return false }
    return hasRoom(member, for: requirement) && requirement.isMet(by: member.agent.traits)
  }

  /// Whether an agent that meets a requirement can take such work now.
  private func hasRoom(_ member: Member, for requirement: Requirement) -> Bool {
    guard member.freeSlots > 0 else { return false }
    if let kept = member.keptFor, kept != requirement { return false }
    if !requirement.demand.isEmpty, !member.canPromise(requirement.demand) { return false }
    guard let job = requirement.apartFrom else { return true }
    return ownRuns[job]?.count(on: member.agent.id) ?? 0 == 0
  }

  private mutating func candidates(_ requirement: Requirement, _ order: CandidateOrder) -> CandidateSet {
    sets[bringUpToDate(SetKey(requirement: requirement, order: order))]
  }

  /// Brings the candidates for a requirement up to date and returns their place in `sets`.
  private mutating func bringUpToDate(_ key: SetKey) -> Int {
    if let index = keys.slot(of: key) {
      if let missed = changes.since(sets[index].cursor) {
        for change in missed { update(index, change.slot, key.order, traitsMayDiffer: change.traitsDiffer) }
        sets[index].cursor = changes.end
      } else {
        rebuild(index, key.order)
      }
      return index
    }
    if (keys.count + 1) * members.count > PlacementLimits.cachedMatches {
      keys = KeyTable()
      sets = []
    }
    let index = keys.insert(key).slot
    sets.append(CandidateSet(requirement: key.requirement))
    rebuild(index, key.order)
    return index
  }

  private mutating func rebuild(_ index: Int, _ order: CandidateOrder) {
    for slot in members.indices { update(index, slot, order, traitsMayDiffer: true) }
    sets[index].cursor = changes.end
  }

  private mutating func update(_ index: Int, _ slot: Int, _ order: CandidateOrder, traitsMayDiffer: Bool) {
    guard let member = members[slot] else {
      return sets[index].update(slot, traits: nil, rank: nil, traitsMayDiffer: traitsMayDiffer, ids: ids)
    }
    let rank = hasRoom(member, for: sets[index].requirement) ? member.rank(order) : nil
    sets[index].update(
      slot, traits: member.agent.traits, rank: rank, traitsMayDiffer: traitsMayDiffer, ids: ids)
  }
}

/// Where the runs of one job are. Nearly all jobs have one at most, for which nothing is allocated.
enum OwnRuns: Sendable {
  case none
  case one(String)
  case many([String: Int])

  func count(on agent: String) -> Int {
    switch self {
    case .none: 0
    case .one(let only): only == agent ? 1 : 0
    case .many(let counts): counts[agent] ?? 0
    }
  }

  /// By agent.
  var counts: [String: Int] {
    switch self {
    case .none: [:]
    case .one(let only): [only: 1]
    case .many(let counts): counts
    }
  }

  mutating func add(_ agent: String, _ difference: Int) {
    switch self {
    case .none: if difference > 0 { self = .one(agent) }
    case .one(let only):
      if difference < 0 {
        if only == agent { self = .none }
      } else {
        self = .many(only == agent ? [agent: 2] : [only: 1, agent: 1])
      }
    case .many(var counts):
      // The dictionary is this one's alone while it is changed.
      self = .none
      let count = (counts[agent] ?? 0) + difference
      counts[agent] = count > 0 ? count : nil
      if counts.count == 1, let last = counts.first, last.value == 1 {
        self = .one(last.key)
      } else if !counts.isEmpty {
        self = .many(counts)
      }
    }
  }
}
