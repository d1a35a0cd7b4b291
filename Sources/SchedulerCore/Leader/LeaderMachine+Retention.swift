/// Retention: ended runs, and jobs with the last of theirs, are removed when their time is over.
extension LeaderMachine {
  /// How long what has ended is kept.
  public struct Retention: Hashable, Sendable {
    /// Ended jobs and runs, milliseconds.
    public var millis: Int64
    /// Ended runs of one job.
    public var runsPerJob: Int

    /// Makes a retention.
    public init(millis: Int64, runsPerJob: Int) {
      self.millis = millis
      self.runsPerJob = runsPerJob
    }
  }

  /// Keeps what has ended for another time, shorter while space is short; what is too old goes from the next turn on, the
  /// oldest first.
  public mutating func keep(_ retention: Retention, _ cache: ClusterCache) {
    guard self.retention != retention else { return }
    self.retention = retention
    alertDesk.reschedule(retention: retention.millis)
    for slot in 0..<cache.jobs.slotEnd { scheduleExpiry(of: slot, cache) }
  }

  /// Whether something is old enough to be removed, or is being removed.
  public func isRemoving(at now: Timestamp) -> Bool {
    !busyJobs.isEmpty || expiries.nextDeadline.map { $0 <= now } ?? false
  }

  /// Sets when the job's ended runs, and the job with them, are removed.
  mutating func scheduleExpiry(of slot: JobTable.Slot, _ cache: ClusterCache) {
    expiries.set(slot, at: expiry(of: slot, cache))
  }

  /// A proposal about the job is through. What was due meanwhile has been passed over, so it is set
  /// again; not at once, for after a commit the cache may have yet to hear of deletions.
  mutating func jobIsFree(_ key: JobKey, notBefore earliest: Timestamp, _ cache: ClusterCache) {
    busyJobs.remove(key)
    guard let slot = cache.jobs.slot(of: key) else { return }
    expiries.set(slot, at: expiry(of: slot, cache).map { max($0, earliest) })
  }

  /// The oldest ended run goes when its time is over or when there are too many; an ended job goes
  /// with its last run.
  private func expiry(of slot: JobTable.Slot, _ cache: ClusterCache) -> Timestamp? {
    guard let facts = cache.jobs.facts(at: slot), facts.hasRuns || facts.status.isTerminal,
      let key = cache.jobs.key(at: slot)
    else { return nil }
    // What somebody asked to be deleted goes as soon as nothing of it is under way.
    if facts.record.isDeleteRequested { return facts.status.isTerminal ? .earliest : nil }
    var oldest: Timestamp?
    var ended = 0
    for runID in cache.jobs.runIDs(at: slot) {
      guard let run = cache.runs[RunKey(job: key, runID: runID)]?.record, run.state.isTerminal else {
        continue
      }
      ended += 1
      let finished = run.finishedAt ?? run.createdAt
      oldest = min(oldest ?? finished, finished)
    }
    if ended > retention.runsPerJob { return oldest }
    if let oldest { return oldest.adding(milliseconds: retention.millis) }
    guard facts.status.isTerminal, let record = cache.jobs[slot]?.job.record else { return nil }
    let quietSince = record.cancelRequestedAt ?? max(record.createdAt, record.skips.lastTime ?? .earliest)
    return quietSince.adding(milliseconds: retention.millis)
  }

  /// Removes what is due for removal.
  mutating func expire(_ slot: JobTable.Slot, _ cache: ClusterCache, now: Timestamp) {
    guard let due = expiry(of: slot, cache), due <= now else { return scheduleExpiry(of: slot, cache) }
    guard let entry = cache.jobs[slot], !busyJobs.contains(entry.job.record.key) else { return }
    let key = entry.job.record.key
    let doomed = oldRuns(of: entry.job.record, cache, now: now).prefix(Limits.deletionsPerProposal)
    var guards = doomed.map { Proposal.Guard.runUnchanged($0.record.key, modRevision: $0.modRevision) }
    var writes = doomed.map { Proposal.Write.deleteRun($0.record.key) }
    writes += doomed.filter { $0.record.checkpoint != nil }.map { .deleteCheckpoint($0.record.key) }
    if entry.status.isTerminal, doomed.count == entry.runIDs.count {
      guard entry.job.modRevision <= cache.revision else {
        // Runs that were created before the job's last write may not have come yet: they would be left behind.
        return expiries.set(slot, at: now.adding(milliseconds: Limits.conflictPauseMillis))
      }
      remove(entry.job, cache, &guards, &writes)
    }
    guard !writes.isEmpty else { return }
    busyJobs.insert(key)
    propose(.expire(key, records: guards.count), guards: guards, writes: writes)
  }

  /// The ended runs of a job that are not kept any more, oldest first.
  private func oldRuns(
    of job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> [Versioned<RunRecord>] {
    let ended = cache.runs(of: job.key).reversed().filter { $0.record.state.isTerminal }
    if job.deleteRequestedAt != nil { return ended }
    // With a fixed delay the end of the last one says when the next is due.
    var last = ended.filter { $0.record.trigger != .backfill }.max { $0.end < $1.end }
    if let end = last?.end, job.cancelRequestedAt != nil || !job.hasFixedDelayLeft(after: end) { last = nil }
    let surplus = ended.count - retention.runsPerJob
    return ended.enumerated().filter { index, run in
      let isOver = run.end.adding(milliseconds: retention.millis) <= now
      return (index < surplus || isOver) && run.record.key != last?.record.key
    }.map(\.element)
  }

  /// Adds the removal of a job without runs, and of its backfills: as many of those as go into one proposal, and the
  /// job, with its earlier versions, with the last of them.
  private func remove(
    _ job: Versioned<JobRecord>, _ cache: ClusterCache, _ guards: inout [Proposal.Guard],
    _ writes: inout [Proposal.Write]
  ) {
    let key = job.record.key
    let backfills = cache.backfills(of: key)
    // A backfill will make more runs: it has not ended.
    let goesOn = backfills.contains { $0.record.state == .running }
    guard job.record.cancelRequestedAt != nil || !goesOn else { return }
    let removed = backfills.prefix(Limits.deletionsPerProposal / 2)
    for backfill in removed {
      guards.append(.backfillUnchanged(backfill.record.key, modRevision: backfill.modRevision))
      writes.append(.deleteBackfill(backfill.record.key))
    }
    guard removed.count == backfills.count else { return }
    guards.append(.jobUnchanged(key, modRevision: job.modRevision))
    writes.append(.deleteJob(key))
    writes += job.record.keptGenerations.map { .deleteVersion(VersionKey(job: key, generation: $0)) }
  }
}

extension Versioned<RunRecord> {
  /// When an ended run did so.
  fileprivate var end: Timestamp { record.finishedAt ?? record.createdAt }
}
