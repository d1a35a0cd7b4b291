// What bounds the waiting of runs: their total timeout, and the agent that they wait for.

/// The queued runs that wait for one agent each, since it had their last attempt.
struct AwaitedAgents: Sendable {
  private var agents: [RunKey: String] = [:]
  private var runs: [String: Set<RunKey>] = [:]

  var isEmpty: Bool { agents.isEmpty }

  func agent(of run: RunKey) -> String? { agents[run] }

  /// Those that wait for an agent, in an order that does not depend on hashing.
  func runs(for agent: String) -> [RunKey] { runs[agent]?.sorted() ?? [] }

  /// Notes whom a run waits for; nil for nobody. Returns whether that is news.
  @discardableResult
  mutating func set(_ run: RunKey, _ agent: String?) -> Bool {
    guard agents[run] != agent else { return false }
    if let old = agents[run] {
      runs[old]?.remove(run)
      if runs[old]?.isEmpty == true { runs[old] = nil }
    }
    agents[run] = agent
    if let agent { runs[agent, default: []].insert(run) }
    return true
  }
}

extension LeaderMachine {
  /// Fails a run that waits once its total timeout is over, and sees to it that it is looked at then. Returns whether
  /// it is over.
  mutating func endIfOverdue(
    _ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> Bool {
    guard let deadline = job.spec.totalDeadline(from: run.record.createdAt) else { return false }
    let key = run.record.key
    guard deadline <= now else {
      deadlines.set(.overall(key), at: deadline)
      return false
    }
    unqueue(key)
    let serverID = serverID
    transition(run, cache, now: now) { $0.failOverdue(spec: job.spec, at: now, by: serverID) }
    return true
  }

  /// Has an attempt stopped that goes on after its run's total timeout. Its own timeout ends it before that, but the
  /// job may have been changed since it was told, or it may have waited for a slot of its agent.
  mutating func stopIfOverdue(_ run: RunRecord, _ job: JobRecord, now: Timestamp) {
    guard let deadline = job.spec.totalDeadline(from: run.createdAt), let ref = run.current,
      let owner = run.owner
    else { return }
    // A task that is being ended takes its grace.
    let last = deadline.adding(milliseconds: job.spec.killGraceMillis + Limits.overdueMillis)
    if last <= now {
      sendStop(ref, to: owner.agentID, reason: job.spec.totalTimeoutText)
    } else {
      deadlines.set(.overall(run.key), at: last)
    }
  }

  /// Puts a run into the queue: for any agent, or for the one that it waits for, if that one is there.
  mutating func enqueue(
    _ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) {
    let record = run.record
    let key = record.key
    let agent = record.awaitedAgent(job.spec, at: now)
    // In the queue it stands with what it asks for.
    if agent != nil || !awaited.isEmpty, awaited.set(key, agent) { ready.remove(key) }
    if let agent, let until = record.waitsUntil {
      deadlines.set(.awaited(key), at: until)
      guard cache.agents[agent] != nil else {
        unqueue(key)
        return
      }
    }
    // A job that was changed has its runs wait by what it says now.
    let isNews = ready.generation(of: key) != job.generation
    guard needsSlots(record, job) || isNews else { return }
    let entry = ReadyQueue.Entry(
      run: key, queue: job.spec.queue, userID: job.spec.userID, priority: job.spec.priority,
      enqueuedAt: record.createdAt, requirement: Requirement(job.spec, of: job.key, agentID: agent),
      generation: job.generation)
    if mayContend(run, job, as: entry, cache, now: now), isNews { ready.insert(entry) }
  }

  /// The run waits for no agent any more.
  mutating func awaitNobody(_ key: RunKey) {
    guard !awaited.isEmpty, awaited.set(key, nil) else { return }
    deadlines.remove(.awaited(key))
  }

  /// Why a queued run has no agent.
  public func waitingReason(of key: RunKey, _ cache: ClusterCache, now: Timestamp) -> String? {
    guard let job = cache.jobs[key.job]?.job.record else { return nil }
    if let agent = awaited.agent(of: key) {
      let until = cache.runs[key]?.record.waitsUntil.map { " until \($0.rfc3339)" } ?? ""
      return "for agent '\(agent)'\(until), which \(pool.whyNot(agent, Requirement(job.spec, of: job.key)))"
    }
    if limits.isParked(key), let full = limits.fullKeys(for: key).first {
      return "for a slot: " + fullText(full)
    }
    guard let requirement = ready.requirement(of: key) else { return nil }
    return queueReason(job.spec.queue, cache, now: now) ?? pool.unplaceableReason(requirement)
  }
}
