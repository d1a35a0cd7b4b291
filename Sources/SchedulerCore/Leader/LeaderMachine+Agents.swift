/// Agents that come and go, are drained, are not well, or are lost, many at once even.
extension LeaderMachine {
  /// Runs whose owner is gone, in the order in which that was seen.
  struct LostRuns: Sendable {
    private var order = AgentMachine.Queue<RunKey>()
    private var keys: Set<RunKey> = []

    var count: Int { keys.count }
    var isEmpty: Bool { keys.isEmpty }

    mutating func insert(_ key: RunKey) { if keys.insert(key).inserted { order.append(key) } }

    /// What was seen at once gets an order.
    mutating func sort() {
      guard !keys.isEmpty else { return }
      let sorted = keys.sorted()
      self = LostRuns()
      for key in sorted { insert(key) }
    }

    mutating func popFirst() -> RunKey? {
      let key = order.popFirst()
      if let key { keys.remove(key) }
      return key
    }
  }

  // MARK: Coming and going

  /// Compares what is known of an agent with what the cache holds now. Before the pool hears of it.
  mutating func noteComingOrGoing(of id: String, _ cache: ClusterCache, now: Timestamp) {
    let known = pool.agent(id)
    let present = cache.agents[id]
    if known?.incarnation != present?.createRevision {
      judge.forget(id)
      deadlines.remove(.judge(id))
    }
    if present != nil { return brake.present(id) }
    // One that was leaving is no loss.
    guard let known, !known.draining else { return }
    counters.lostAgents += 1
    brake.lost(id, at: now)
    hasNewLosses = true
  }

  /// What a leader that starts amid a loss can know of it: agents that own runs and have no key. It must not give all of
  /// them back at once.
  mutating func countEarlierLosses(_ cache: ClusterCache, now: Timestamp) {
    for id in cache.runsByAgent.keys where cache.agents[id] == nil {
      brake.lost(id, at: now)
      hasNewLosses = true
    }
  }

  // MARK: Lost runs

  /// Gives runs of lost agents back, as many as the brake lets through. In `turn`, so that of agents that are lost
  /// together all have been counted before.
  mutating func giveBackLostRuns(_ cache: ClusterCache, now: Timestamp) {
    guard !lostRuns.isEmpty || hasNewLosses || brake.isEngaged else { return }
    hasNewLosses = false
    brake.review(agents: cache.agents.count, waiting: lostRuns.count, now: now)
    for _ in 0..<brake.allow(lostRuns.count, at: now) {
      if let key = lostRuns.popFirst() { giveBack(key, cache, now: now) }
    }
    if !lostRuns.isEmpty || brake.isEngaged { deadlines.set(.brake, at: brake.nextChance(at: now)) }
  }

  private mutating func giveBack(_ key: RunKey, _ cache: ClusterCache, now: Timestamp) {
    guard !busyRuns.contains(key), let run = cache.runs[key], let owner = run.record.owner,
      cache.agents[owner.agentID]?.createRevision != owner.createRevision,
      let job = cache.jobs[key.job]?.job.record
    else { return }
    counters.lostRuns += 1
    let serverID = serverID
    transition(run, cache, now: now, guards: [.agentGone(owner)]) {
      $0.loseAgent(job: job, now: now, by: serverID)
    }
  }

  /// An assignment is durable: was it one of what another agent had lost or given back?
  mutating func noteReassignment(_ key: RunKey, _ cache: ClusterCache) {
    guard let attempts = cache.runs[key]?.record.attempts, attempts.count >= 2 else { return }
    let (before, now) = (attempts[attempts.count - 2], attempts[attempts.count - 1])
    guard before.endReason?.isAgentsFault == true else { return }
    counters.reassigned += 1
    guard before.endReason == .agentLost, let lostAt = before.endedAt else { return }
    let millis = max(0, now.assignedAt.milliseconds - lostAt.milliseconds)
    counters.lastRecoveryMillis = millis
    counters.maxRecoveryMillis = max(counters.maxRecoveryMillis, millis)
  }

  // MARK: Drains

  /// An agent is drained, by other terms than before, or not any more.
  public mutating func drainChanged(_ id: String, _ cache: ClusterCache, now: Timestamp) {
    refreshPool(id, cache)
    guard let deadline = cache.drains[id]?.record.deadline else {
      deadlines.remove(.endDrain(id))
      return
    }
    deadlines.set(.endDrain(id), at: max(deadline, now))
  }

  /// A drain's deadline has come: what the agent still has goes to others.
  mutating func endDrain(_ id: String, _ cache: ClusterCache, now: Timestamp) {
    for key in cache.runsByAgent[id] ?? [] { reconcile(key, cache, now: now) }
  }

  /// Why an agent has to give back what it runs; nil while it does not.
  func whyHandedOver(_ id: String, _ cache: ClusterCache, now: Timestamp) -> String? {
    guard let drain = cache.drains[id]?.record, let deadline = drain.deadline, deadline <= now else {
      return nil
    }
    return "agent '\(id)' is drained, and its deadline has passed" + (drain.note.map { ": \($0)" } ?? "")
  }

  /// Asks an agent to end an attempt so that another can have the run. What was told to be cancelled stays so.
  mutating func sendHandOver(_ ref: AttemptRef, to agentID: String, reason: String) {
    guard let id = sessionOfAgent[agentID], sessions[id]?.stopsSent[ref.run] != ref,
      sessions[id]?.handOversSent[ref.run] != ref
    else { return }
    sessions[id]?.handOversSent[ref.run] = ref
    counters.handedOver += 1
    outboxes[id, default: Outbox()].handOvers.append((ref, reason))
  }

  // MARK: Health

  /// How an end that is durable now speaks for or against the agent.
  mutating func judgeEnd(of item: News, _ cache: ClusterCache, now: Timestamp) {
    let (ref, id) = (item.update.ref, item.agentID)
    guard let end = item.update.end, cache.agents[id]?.createRevision == ref.incarnation else { return }
    if end.reason == .fenced { counters.fencedAttempts += 1 }
    let hasChanged: Bool
    if end.succeeded {
      hasChanged = judge.succeeded(on: id, at: now)
      if hasChanged { deadlines.remove(.judge(id)) }
    } else if end.reason.isAgentsFault || end.reason == .cancelled {
      hasChanged = judge.ended(ref.run, on: id)
    } else if let until = judge.failed(ref.run, on: id, agents: cache.agents.count, at: now) {
      deadlines.set(.judge(id), at: until)
      hasChanged = true
    } else {
      hasChanged = false
    }
    if hasChanged { refreshPool(id, cache) }
  }

  /// An agent has been chosen for a run.
  mutating func noteGiven(_ key: RunKey, to id: String, _ cache: ClusterCache, now: Timestamp) {
    guard let until = judge.given(key, to: id, at: now) else { return }
    deadlines.set(.judge(id), at: until)
    refreshPool(id, cache)
  }

  /// An agent has been avoided, or on trial, for long enough.
  mutating func reviewJudgement(of id: String, _ cache: ClusterCache) {
    judge.timePassed(for: id)
    refreshPool(id, cache)
  }

  // MARK: Placement

  /// Brings what placement knows of an agent up to date.
  mutating func refreshPool(_ id: String, _ cache: ClusterCache) {
    guard let agent = cache.agents[id] else {
      pool.remove(id)
      return
    }
    let session = sessionOfAgent[id].flatMap { sessions[$0] }
    let isNew = pool.incarnation(of: id) != agent.createRevision
    pool.upsert(
      AgentPool.Agent(
        id: id, incarnation: agent.createRevision, traits: AgentTraits(agent.record),
        slots: agent.record.slots, resources: agent.record.resources, connected: session != nil,
        draining: cache.drains[id] != nil || (session?.draining ?? agent.record.draining),
        state: state(of: id, session), health: session?.health ?? AgentHealth()))
    guard isNew else { return }
    let incarnation = Incarnation(agentID: id, createRevision: agent.createRevision)
    for _ in 0..<(slotsHeld[incarnation] ?? 0) { pool.reserve(id) }
    pool.promise(promises.held(by: incarnation), by: id)
  }

  private func state(of id: String, _ session: Session?) -> HealthState {
    if session?.health.unhealthyReason != nil || session?.isDistrusted == true { return .unhealthy }
    return judge.isAvoided(id) ? .avoided : .healthy
  }

  // MARK: Facts

  /// Whether an agent is fit for new work, and if not, or only for one run, why; nil without a session.
  public func health(judgedOf id: String) -> (state: HealthState, reason: String?)? {
    guard let session = sessionOfAgent[id].flatMap({ sessions[$0] }) else { return nil }
    let reason =
      session.health.unhealthyReason
      ?? (session.isDistrusted ? "it has just killed its tasks, since it could not trust its lease" : nil)
      ?? judge.reason(id)
    return (state(of: id, session), reason)
  }

  /// The brake, while it is engaged, and how many runs wait for it.
  public func braking(_ cache: ClusterCache) -> (engagement: LossBrake.Engagement, waiting: Int)? {
    brake.engagement(agents: cache.agents.count).map { ($0, lostRuns.count) }
  }

  /// Agents that are not fit for new work, by their own judgement or the leader's.
  public var unfitAgents: (unhealthy: Int, avoided: Int) {
    (sessions.values.count { $0.health.unhealthyReason != nil }, judge.avoidedCount)
  }
}
