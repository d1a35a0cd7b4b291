extension LeaderMachine {
  /// An update that is not in a proposal yet.
  struct News: Sendable {
    var update: AttemptUpdate
    var agentID: String
    var ticket: AckTicket
  }

  /// Proposes the next transition of a run, where there is one to make now.
  mutating func reconcile(_ key: RunKey, _ cache: ClusterCache, now: Timestamp) {
    guard !busyRuns.contains(key) else { return }
    guard let run = cache.runs[key], let job = cache.jobs[key.job]?.job.record else {
      forget(key, cache)
      return
    }
    reviewAlerts(of: run.record, job, cache, now: now)
    if !run.record.state.isOwned { queues.hold(key, in: nil) }
    if settleNews(of: key, run, job, cache, now: now) { return }
    switch run.record.state {
    case .queued:
      hold(key, by: nil, cache)
      waitNotes.waits(key, since: now)
      if let reason = whyCancelled(run, job, cache) {
        cancel(run, reason, cache, now: now)
      } else if endIfOverdue(run, job, cache, now: now) || skipIfLate(run, job, cache, now: now) {
        return
      } else if mayStart(key, job, cache) {
        enqueue(run, job, cache, now: now)
      } else {
        unqueue(key)
      }
    case .retrying:
      hold(key, by: nil, cache)
      unqueue(key)
      if let reason = whyCancelled(run, job, cache) {
        cancel(run, reason, cache, now: now)
      } else if endIfOverdue(run, job, cache, now: now) {
        return
      } else if let due = run.record.nextAttemptAt, due > now {
        deadlines.set(.retry(key), at: due)
      } else {
        let serverID = serverID
        transition(run, cache, now: now) { $0.requeueForRetry(at: now, by: serverID) }
      }
    case .assigned, .running:
      ready.remove(key)
      takeSlots(run.record, job)
      awaitNobody(key)
      tendOwned(run, job, cache, now: now)
    case .completed, .failed, .cancelled, .skipped: forget(key, cache)
    }
  }

  /// A run that an agent owns: is the agent there, does it know, and should it stop?
  private mutating func tendOwned(
    _ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) {
    guard let owner = run.record.owner else { return }
    let key = run.record.key
    // Its record says that an agent has it, be that agent there or not.
    queues.hold(key, in: job.spec.queue)
    guard cache.agents[owner.agentID]?.createRevision == owner.createRevision else {
      return lostRuns.insert(key)
    }
    hold(key, by: owner, cache, promising: run.record.promised)
    let cancelled = whyCancelled(run, job, cache)
    if cancelled == nil, let current = run.record.current,
      let reason = whyHandedOver(owner.agentID, cache, now: now)
    {
      // Not told besides: what it does not have it has given back.
      return sendHandOver(current, to: owner.agentID, reason: reason)
    }
    tell(run.record, job, cache, now: now)
    if let reason = cancelled, let current = run.record.current {
      sendStop(current, to: owner.agentID, reason: reason ?? "cancelled")
    } else {
      stopIfOverdue(run.record, job, now: now)
    }
  }

  /// Why a run has to end: somebody cancelled its job, giving a reason or not, or a newer run replaces it. Nil where it
  /// has not.
  private func whyCancelled(_ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache) -> String??
  {
    if job.cancelRequestedAt != nil { return .some(job.cancelReason) }
    if let newer = successor(of: run, job, cache) { return .some(Self.replaced(by: newer)) }
    return displacer(of: run, cache).map { .some(Self.madeWay(for: $0)) }
  }

  /// Nothing is to be done for the run any more.
  private mutating func forget(_ key: RunKey, _ cache: ClusterCache) {
    unqueue(key)
    hold(key, by: nil, cache)
    queues.hold(key, in: nil)
    deadlines.remove(.retry(key))
    deadlines.remove(.again(key))
    deadlines.remove(.overall(key))
    deadlines.remove(.alert(key))
    deadlines.remove(.start(key))
    awaitNobody(key)
    for item in news.removeValue(forKey: key) ?? [] { refuse(item, recorded: cache.runs[key]?.record) }
    forgetTaskReports(of: key)
  }

  // MARK: Transitions

  private mutating func cancel(
    _ run: Versioned<RunRecord>, _ reason: String?, _ cache: ClusterCache, now: Timestamp
  ) {
    unqueue(run.record.key)
    let serverID = serverID
    transition(run, cache, now: now) { $0.cancelWaiting(reason: reason, at: now, by: serverID) }
  }

  /// Proposes a changed copy of the record, and with it what its task has said.
  mutating func transition(
    _ run: Versioned<RunRecord>, _ cache: ClusterCache, now: Timestamp, guards: [Proposal.Guard] = [],
    carrying cargo: Cargo = Cargo(), checkpoint: CheckpointRecord? = nil,
    _ change: (inout RunRecord) -> Void
  ) {
    var record = run.noted
    change(&record)
    let key = record.key
    var cargo = cargo
    if !taskReports.isEmpty, let progress = takeProgress(of: run.record, now: now) {
      record.progress = progress
      cargo.progress = progress
    }
    var writes = [Proposal.Write.run(record)]
    if record.checkpoint != nil, let checkpoint {
      writes.append(.checkpoint(key, checkpoint))
    } else if record.checkpoint == nil && run.record.checkpoint != nil {
      writes.append(.deleteCheckpoint(key))
    }
    busyRuns.insert(key)
    hold(key, by: record.owner, cache, promising: record.promised)
    propose(
      .transition(record, carrying: cargo),
      guards: [.runUnchanged(key, modRevision: run.modRevision)] + guards, writes: writes)
  }

  /// Folds what agents and tasks have said into one proposal. Returns whether there is one.
  private mutating func settleNews(
    of key: RunKey, _ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> Bool {
    let items = news.removeValue(forKey: key) ?? []
    guard !items.isEmpty || !(taskReports.isEmpty || taskReports[key]?.isEmpty ?? true) else { return false }
    var record = run.noted
    // Before what ends the attempt.
    let checkpoint = takeCheckpoint(for: &record, now: now)
    var accepted: [News] = []
    var postponed: [News] = []
    var isChanged = false
    // What is not wanted any more is cancelled, whatever its templates are.
    let isWanted = if case .none = whyCancelled(run, job, cache) { true } else { false }
    for item in items {
      let update = isWanted ? understood(item.update, of: record, job, cache, now: now) : item.update
      let verdict = record.apply(update, from: item.agentID, job: job, now: now, random: random.unit())
      if verdict != .stale, let progress = item.update.progress { note(progress, of: item.update.ref) }
      switch verdict {
      case .applied:
        isChanged = true
        accepted.append(item)
        if item.update.end?.reason == .fenced { distrust(item, cache, now: now) }
      case .known: accepted.append(item)
      case .stale:
        // What is stale only beside news that are not durable yet, as the same end said on another session
        // is, must not be acknowledged before they are: it is judged again after the commit.
        if isChanged { postponed.append(item) } else { refuse(item, recorded: record) }
      }
    }
    if record.state == .cancelled, record.message == nil {
      record.message =
        successor(of: run, job, cache).map(Self.replaced) ?? displacer(of: run, cache).map(Self.madeWay)
    }
    guard isChanged || checkpoint != nil || isProgressDue(run.record, now: now) else {
      // Progress that is not written yet is no reason to wait: the latest is enough.
      for item in accepted { acknowledge(item.ticket) }
      return false
    }
    restore(postponed, of: key)
    let cargo = Cargo(news: accepted, checkpoint: checkpoint?.pending)
    transition(run, cache, now: now, carrying: cargo, checkpoint: checkpoint?.record) { $0 = record }
    return true
  }

  /// Acknowledges an update that changes nothing, and tells the agent to drop what is not its own.
  private mutating func refuse(_ item: News, recorded: RunRecord?) {
    let ref = item.update.ref
    let isRepeated =
      recorded?.attempts.contains {
        $0.attempt == ref.attempt && $0.agent.createRevision == ref.incarnation && $0.endedAt != nil
          && $0.endReason == item.update.end?.reason
      } ?? false
    if isRepeated { counters.repeatedUpdates += 1 } else { counters.staleUpdates += 1 }
    acknowledge(item.ticket)
    if item.update.end == nil, sessions[item.ticket.session] != nil {
      outboxes[item.ticket.session, default: Outbox()].disowned.append(ref)
    }
  }

  /// After a proposal that came to nothing: its updates are to be proposed again, before newer ones.
  mutating func restore(_ items: [News], of key: RunKey) {
    if !items.isEmpty { news[key] = items + (news[key] ?? []) }
  }

  // MARK: Slots and the queue

  /// Notes whose slot a run takes, and what it is promised of it.
  /// - Parameter queue: The queue of the run, where its job is not in the cache yet.
  mutating func hold(
    _ key: RunKey, by owner: Incarnation?, in queue: String? = nil, _ cache: ClusterCache,
    promising resources: Resources = Resources()
  ) {
    let old = holders[key]
    // The job may have been given another queue meanwhile. Its queue has room again only once it is durable that the
    // run has no agent: see `reconcile`.
    if owner != nil, let queue = queue ?? cache.jobs[key.job]?.job.record.spec.queue {
      queues.hold(key, in: queue)
    }
    guard old != owner else { return }
    if let old {
      slotsHeld[old] = slotsHeld[old].flatMap { $0 > 1 ? $0 - 1 : nil }
      let promised = promises.take(key, from: old)
      if pool.incarnation(of: old.agentID) == old.createRevision {
        _ = pool.release(old.agentID, promised)
      }
      pool.ended(key.job, on: old.agentID)
      if let session = sessionOfAgent[old.agentID] {
        sessions[session]?.known[key] = nil
        sessions[session]?.stopsSent[key] = nil
        sessions[session]?.handOversSent[key] = nil
      }
    }
    holders[key] = owner
    if let owner {
      slotsHeld[owner, default: 0] += 1
      promises.add(resources, to: key, by: owner)
      if pool.incarnation(of: owner.agentID) == owner.createRevision {
        pool.reserve(owner.agentID, resources)
      }
      pool.began(key.job, on: owner.agentID)
    }
  }

  /// Gives queued runs to free slots, best first; what cannot be placed never blocks what can.
  mutating func assignReadyRuns(_ cache: ClusterCache, now: Timestamp) {
    hasMoreToAssign = false
    reviewKeptAgents(cache, now: now)
    reopenReady()
    for entry in limits.takeOffers() { ready.insert(entry) }
    guard pool.freeSlots > 0, ready.hasOpen else { return }
    // The queue is taken out for the round: placing changes everything but the queue.
    var queue = Self.noQueue
    swap(&queue, &ready)
    let placed = queue.drain(limit: Limits.assignmentsPerTurn, now: now) { place($0, cache, now: now) }
    swap(&queue, &ready)
    hasMoreToAssign = placed == Limits.assignmentsPerTurn || limits.mayHaveOffers
  }

  /// What stands in for the queue while it is taken out.
  private static let noQueue = ReadyQueue()

  /// Proposes an assignment, or says why not.
  private mutating func place(
    _ entry: ReadyQueue.Entry, _ cache: ClusterCache, now: Timestamp
  ) -> ReadyQueue.Verdict {
    guard pool.freeSlots > 0 else { return .noSlot }
    if isBlocked(queue: entry.queue, now: now) { return .queueClosed }
    // A run that is not queued any more has no place here.
    guard let run = cache.runs[entry.run], run.record.state == .queued, !busyRuns.contains(entry.run),
      let job = cache.jobs[entry.run.job]?.job.record, mayStart(entry.run, job, cache)
    else {
      limits.leaveQueue(entry.run)
      return .gone
    }
    if endIfOverdue(run, job, cache, now: now) || skipIfLate(run, job, cache, now: now) { return .gone }
    if needsSlots(run.record, job) {
      // It is parked with what it asks for itself: what its queue asks may change.
      var own = entry
      own.requirement = Requirement(job.spec, of: job.key, agentID: awaited.agent(of: entry.run))
      if parkIfFull(own, run, job, cache, now: now) { return .gone }
    }
    guard let agentID = choose(entry.requirement, for: run.record, job, cache),
      let createRevision = pool.incarnation(of: agentID)
    else {
      refused(entry)
      return .noAgent
    }
    let agent = Incarnation(agentID: agentID, createRevision: createRevision)
    var record = run.noted
    let promised = entry.requirement.resources
    record.assign(to: agent, at: now, generation: job.generation, by: serverID, resources: promised)
    takeSlots(record, job)
    busyRuns.insert(entry.run)
    hold(entry.run, by: agent, in: entry.queue, cache, promising: promised)
    pool.endKeeping(for: entry.requirement)
    queues.dispatched(entry.queue, at: now)
    noteGiven(entry.run, to: agentID, cache, now: now)
    propose(
      .assign(entry.run),
      guards: [.runUnchanged(entry.run, modRevision: run.modRevision), .agentPresent(agent)],
      writes: [.run(record)])
    return .placed
  }

  /// Takes a run that is about to be created straight to an agent, so that its creation and its first
  /// assignment are one commit. Only while its queue may give out runs and nobody waits who could go: a newcomer
  /// overtakes nobody. Of a job whose runs must not be beside each other, only together with the job.
  /// - Returns: The run as it is to be created, what the creation has to prove besides, and the id
  ///   under which its outcome is to be reported by `concluded`; nil when it has to queue.
  public mutating func admit(
    _ run: RunRecord, of job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> (id: ProposalID, run: RunRecord, guards: [Proposal.Guard])? {
    let (queue, requirement) = (job.spec.queue, Requirement(job.spec, of: job.key))
    guard !ready.hasOpen, !ready.isPutAside(requirement, in: queue), mayStartAtOnce(run, job, now: now),
      pool.freeSlots > 0, !busyRuns.contains(run.key), cache.runs[run.key] == nil,
      !job.spec.overlap.isSerial || cache.status(of: job.key) == nil,
      queues.block(of: queue, at: now) == nil,
      let agentID = choose(ready.requirement(requirement, in: queue), for: run, job, cache),
      let createRevision = pool.incarnation(of: agentID)
    else { return nil }
    let agent = Incarnation(agentID: agentID, createRevision: createRevision)
    var record = run
    record.assign(
      to: agent, at: now, generation: job.generation, by: serverID, resources: job.spec.resources)
    takeSlots(record, job)
    busyRuns.insert(run.key)
    hold(run.key, by: agent, in: queue, cache, promising: job.spec.resources)
    queues.dispatched(queue, at: now)
    noteGiven(run.key, to: agentID, cache, now: now)
    let id = nextProposal
    nextProposal &+= 1
    purposes[id] = .assign(run.key)
    return (id, record, [.leads(epoch), .agentPresent(agent)])
  }
}
