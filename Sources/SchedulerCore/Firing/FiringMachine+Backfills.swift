extension FiringMachine {
  // MARK: Waking

  /// Has a backfill looked at in this turn.
  mutating func wake(_ key: BackfillKey, _ cache: ClusterCache) {
    guard epochs[keyspace.segment(of: key.job)] != nil, cache.backfills[key]?.record.state == .running else {
      return
    }
    backfillsToDo.insert(key)
  }

  /// Has the backfills of a job looked at.
  mutating func wakeBackfills(
    of job: JobKey, _ cache: ClusterCache, notBefore earliest: Timestamp? = nil, now: Timestamp? = nil
  ) {
    for backfill in cache.backfills(of: job) where backfill.record.state == .running {
      let key = backfill.record.key
      if let earliest, let now, earliest > now {
        backfillPauses.set(key, at: earliest)
      } else {
        wake(key, cache)
      }
    }
  }

  // MARK: Advancing

  /// Proposes the next steps of the backfills that may have any.
  mutating func advanceBackfills(_ cache: ClusterCache, now: Timestamp) {
    let keys = backfillsToDo.sorted()
    backfillsToDo = []
    for (place, key) in keys.enumerated() {
      guard place < FiringLimits.decisionsPerTurn, room > 0 else {
        backfillsToDo.formUnion(keys[place...])
        return
      }
      advance(key, cache, now: now)
    }
  }

  /// Creates the next runs of a backfill, in the transaction that moves its position.
  private mutating func advance(_ key: BackfillKey, _ cache: ClusterCache, now: Timestamp) {
    // The end of a proposal of the job wakes it again.
    guard let epoch = epochs[keyspace.segment(of: key.job)], !busy.contains(key.job),
      let backfill = cache.backfills[key], backfill.record.state == .running,
      let job = cache.jobs[key.job]?.job, let plan = plan(of: job.record, cache)
    else { return }
    if !cache.quotas.isEmpty, waitsForQuota(key.job.namespace, cache) {
      return backfillPauses.set(key, at: now.adding(milliseconds: quotaPauseMillis))
    }
    // It writes a serial job: whoever decides after that takes it that all of the job's runs were known before.
    guard !job.record.spec.overlap.isSerial || hasCompleteView(of: key.job, job.modRevision, cache) else {
      return backfillPauses.set(key, at: now.adding(milliseconds: FiringLimits.conflictPauseMillis))
    }
    let unfinished = cache.runs(of: key.job).count {
      $0.record.backfillID == key.backfillID && !$0.record.state.isTerminal
    }
    let room = min(FiringLimits.runsPerProposal, backfill.record.parallelism - unfinished)
    var step = BackfillStep(backfill.record, plan, now: now)
    step.run(most: room) { cache.runs[RunKey(job: key.job, runID: $0)] != nil }
    guard step.record != backfill.record else { return }
    // A run must not be created for a job that is about to be deleted.
    var guards: [Proposal.Guard] = [
      .backfillUnchanged(key, modRevision: backfill.modRevision),
      .jobUnchanged(key.job, modRevision: job.modRevision),
    ]
    guards += step.runs.map { .runAbsent($0.key) }
    var writes: [Proposal.Write] = [.backfill(step.record)]
    for var run in step.runs {
      run.history.createdBy = RunActor.server(serverID)
      writes.append(.run(run))
    }
    // All creations of runs of a serial job are in the order of the job's writes.
    if job.record.spec.overlap.isSerial, !step.runs.isEmpty { writes.append(.job(job.record)) }
    propose(
      .backfill(key, step.record, job.record, created: step.runs.count), epoch: epoch, guards: guards,
      writes: writes)
  }
}

/// One step of a backfill.
struct BackfillStep {
  private(set) var record: BackfillRecord
  private(set) var runs: [RunRecord] = []
  private let plan: JobPlan
  private let now: Timestamp

  init(_ record: BackfillRecord, _ plan: JobPlan, now: Timestamp) {
    self.record = record
    self.plan = plan
    self.now = now
  }

  /// Goes through the next occurrences, and creates at most so many runs.
  mutating func run(most room: Int, exists: (String) -> Bool) {
    guard plan.record.cancelRequestedAt == nil else { return end(.cancelled) }
    var occurrences = OccurrenceSequence(of: record, plan.rules)
    for _ in 0..<FiringLimits.occurrencesPerDecision {
      guard let time = occurrences.next() else { return end(.completed) }
      let id = runID(for: time)
      if exists(id) || runs.contains(where: { $0.key.runID == id }) {
        record.existing += 1
      } else {
        guard runs.count < room else { return }
        runs.append(made(id, time))
        record.created += 1
      }
      record.position = time
    }
  }

  private func made(_ id: String, _ time: Timestamp) -> RunRecord {
    var run = RunRecord(
      key: RunKey(job: record.key.job, runID: id), scheduledTime: time, createdAt: now)
    run.trigger = .backfill
    run.backfillID = record.key.backfillID
    run.params = record.params
    run.joinGroup(of: plan.record.spec)
    return run
  }

  private mutating func end(_ state: BackfillRecord.State) {
    record.state = state
    record.finishedAt = now
  }
}
