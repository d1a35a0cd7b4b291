/// Agents that are kept for large runs: since small runs would take each piece of room as it comes, a run that asks for
/// much could wait for ever.
struct Keepings: Sendable {
  /// An agent that is kept.
  struct Keeping: Sendable {
    var requirement: Requirement
    /// Who waited for it.
    var run: RunKey
    var until: Timestamp
  }

  /// By the agent's slot.
  private(set) var bySlot: [Int: Keeping] = [:]
  /// Before when no agent is kept for a requirement.
  private var pauses: [Requirement: Timestamp] = [:]

  var isEmpty: Bool { bySlot.isEmpty }
  var count: Int { bySlot.count }

  func slot(for requirement: Requirement) -> Int? {
    bySlot.first { $0.value.requirement == requirement }?.key
  }

  mutating func insert(_ keeping: Keeping, _ slot: Int) { bySlot[slot] = keeping }
  mutating func remove(_ slot: Int) { if !bySlot.isEmpty { bySlot[slot] = nil } }

  func mayKeep(for requirement: Requirement, at now: Timestamp) -> Bool {
    pauses[requirement].map { $0 <= now } ?? true
  }

  mutating func pause(_ requirement: Requirement, until time: Timestamp) {
    if pauses.count >= PlacementLimits.pauses { pauses.removeAll() }
    pauses[requirement] = time
  }
}

extension AgentPool {
  /// An agent that is kept for a large run, and until when.
  public struct Kept: Hashable, Sendable {
    /// The agent.
    public var agentID: String
    /// The run that waited for it; another one that asks for the same may take it.
    public var run: RunKey
    /// Until when, unless the run begins or waits no more.
    public var until: Timestamp
  }

  /// The agents that are kept, by id.
  public var kept: [Kept] {
    keepings.bySlot.map { Kept(agentID: ids[$0.key], run: $0.value.run, until: $0.value.until) }
      .sorted { $0.agentID < $1.agentID }
  }

  /// When the next one is not kept any more; nil when none is.
  var keptUntil: Timestamp? { keepings.bySlot.values.map(\.until).min() }

  /// Keeps an agent for a run that no agent can take now and that asks for resources: the one that lacks least of
  /// all that have as much. Nothing else is given to it.
  /// - Returns: The agent; nil when none is kept for it, or one was already.
  mutating func keep(for run: RunKey, _ requirement: Requirement, at now: Timestamp) -> String? {
    guard !requirement.demand.isEmpty, keepings.count < max(1, count / PlacementLimits.agentsForOneKept),
      keepings.mayKeep(for: requirement, at: now), keepings.slot(for: requirement) == nil
    else { return nil }
    guard let slot = slotToKeep(for: requirement) else {
      keepings.pause(requirement, until: now.adding(milliseconds: PlacementLimits.keepPauseMillis))
      return nil
    }
    let until = now.adding(milliseconds: PlacementLimits.keepMillis)
    keepings.insert(Keepings.Keeping(requirement: requirement, run: run, until: until), slot)
    setKept(slot, for: requirement)
    return ids[slot]
  }

  private func slotToKeep(for requirement: Requirement) -> Int? {
    let conditions = requirement.constraints.map(Condition.init)
    var best: (lacks: Double, id: String, slot: Int)?
    for (slot, member) in members.enumerated() {
      guard let member, member.takesWork, member.keptFor == nil, member.agent.slots > 0,
        requirement.agentID.map({ $0 == member.agent.id }) ?? true,
        ResourceAmounts().leaves(requirement.demand, of: member.capacity),
        requirement.isOffered(by: member.agent.traits),
        conditions.allSatisfy({ $0.isMet(by: member.agent.traits.labels) }),
        requirement.apartFrom.map({ ownRuns[$0]?.count(on: member.agent.id) ?? 0 == 0 }) ?? true
      else { continue }
      let lacks = member.lacks(requirement.demand)
      if best.map({ (lacks, member.agent.id) < ($0.lacks, $0.id) }) ?? true {
        best = (lacks, member.agent.id, slot)
      }
    }
    return best?.slot
  }

  /// A run with this requirement has been placed: if that was on the agent that was kept for it, or anywhere else, nothing
  /// is kept for it any more.
  mutating func endKeeping(for requirement: Requirement) {
    guard !keepings.isEmpty, let slot = keepings.slot(for: requirement) else { return }
    endKeeping(at: slot)
  }

  /// Ends the keeping of agents whose time is over, that take no work, or whose run waits no more.
  mutating func reviewKept(at now: Timestamp, waits: (RunKey) -> Bool) {
    for (slot, keeping) in keepings.bySlot {
      if keeping.until <= now {
        let pause = now.adding(milliseconds: PlacementLimits.keepPauseMillis)
        keepings.pause(keeping.requirement, until: pause)
        endKeeping(at: slot)
      } else if members[slot]?.takesWork != true || !waits(keeping.run) {
        endKeeping(at: slot)
      }
    }
  }

  private mutating func endKeeping(at slot: Int) {
    keepings.remove(slot)
    setKept(slot, for: nil)
  }
}

extension AgentPool.Member {
  /// The largest share of what it has that is missing for a demand.
  fileprivate func lacks(_ demand: ResourceAmounts) -> Double {
    let shares = demand.parts.map { name, amount -> Double in
      let missing = amount &- (capacity[name] &- promised[name])
      return missing > 0 ? Double(missing) / Double(max(1, capacity[name])) : 0
    }
    let slots = used >= agent.slots ? Double(used - agent.slots + 1) / Double(agent.slots) : 0
    return max(slots, shares.max() ?? 0)
  }
}
