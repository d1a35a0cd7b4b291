extension LeaderMachine {
  /// Creates the run of a job that is due, in the transaction that advances its schedule.
  mutating func fire(_ key: JobKey, _ cache: ClusterCache, now: Timestamp) {
    guard !busyJobs.contains(key), let job = cache.jobs[key]?.job,
      let due = job.record.nextRunTime, job.record.cancelRequestedAt == nil
    else { return }
    guard due <= now else {
      deadlines.set(.fire(key), at: due)
      return
    }
    var advanced = job.record
    advanced.nextRunTime = nil
    advanced.lastRunTime = due
    let run = RunRecord(key: RunKey(job: key, runID: runID(for: due)), scheduledTime: due, createdAt: now)
    busyJobs.insert(key)
    propose(
      .fire(key), guards: [.jobUnchanged(key, modRevision: job.modRevision), .runAbsent(run.key)],
      writes: [.job(advanced), .run(run)])
  }

  /// Sets when the job's next run is to be created.
  mutating func scheduleFiring(of key: JobKey, _ cache: ClusterCache) {
    if let job = cache.jobs[key]?.job.record, let due = job.nextRunTime, job.cancelRequestedAt == nil {
      deadlines.set(.fire(key), at: due)
    } else {
      deadlines.remove(.fire(key))
    }
  }

  /// A proposal about the job is through. What was due meanwhile has been passed over, so all is set
  /// again; not at once, for after a commit the cache may have yet to hear of deletions.
  mutating func jobIsFree(_ key: JobKey, notBefore earliest: Timestamp, _ cache: ClusterCache) {
    busyJobs.remove(key)
    scheduleFiring(of: key, cache)
    scheduleExpiry(of: key, cache)
    for deadline in [Deadline.fire(key), .expire(key)] {
      if let due = deadlines.deadline(of: deadline), due < earliest { deadlines.set(deadline, at: earliest) }
    }
  }

  // MARK: Retention

  /// Sets when the job's ended runs, and the job with them, are removed.
  mutating func scheduleExpiry(of key: JobKey, _ cache: ClusterCache) {
    guard let entry = cache.jobs[key] else {
      deadlines.remove(.expire(key))
      return
    }
    if let due = expiry(of: entry, key, cache) {
      deadlines.set(.expire(key), at: due)
    } else {
      deadlines.remove(.expire(key))
    }
  }

  /// The oldest ended run goes when its time is over or when there are too many; an ended job goes
  /// with its last run.
  private func expiry(of entry: ClusterCache.Job, _ key: JobKey, _ cache: ClusterCache) -> Timestamp? {
    var oldest: Timestamp?
    var ended = 0
    for runID in entry.runIDs {
      guard let run = cache.runs[RunKey(job: key, runID: runID)]?.record, run.state.isTerminal else {
        continue
      }
      ended += 1
      let finished = run.finishedAt ?? run.createdAt
      oldest = min(oldest ?? finished, finished)
    }
    if ended > configuration.runsKeptPerJob { return oldest }
    if let oldest { return oldest.adding(milliseconds: configuration.retentionMillis) }
    guard entry.status.isTerminal else { return nil }
    let quietSince = entry.job.record.cancelRequestedAt ?? entry.job.record.createdAt
    return quietSince.adding(milliseconds: configuration.retentionMillis)
  }

  /// Removes what is due for removal.
  mutating func expire(_ key: JobKey, _ cache: ClusterCache, now: Timestamp) {
    guard !busyJobs.contains(key), let entry = cache.jobs[key] else { return }
    guard let due = expiry(of: entry, key, cache), due <= now else {
      scheduleExpiry(of: key, cache)
      return
    }
    let ended = entry.runIDs.compactMap { cache.runs[RunKey(job: key, runID: $0)] }
      .filter { $0.record.state.isTerminal }
    let surplus = ended.count - configuration.runsKeptPerJob
    let old = ended.enumerated().filter { index, run in
      let finished = run.record.finishedAt ?? run.record.createdAt
      return index < surplus || finished.adding(milliseconds: configuration.retentionMillis) <= now
    }
    let doomed = old.map(\.element).prefix(Limits.deletionsPerProposal)
    var guards = doomed.map { Proposal.Guard.runUnchanged($0.record.key, modRevision: $0.modRevision) }
    var writes = doomed.map { Proposal.Write.deleteRun($0.record.key) }
    writes += doomed.filter { $0.record.checkpoint != nil }.map { .deleteCheckpoint($0.record.key) }
    if entry.status.isTerminal && doomed.count == entry.runIDs.count {
      guards.append(.jobUnchanged(key, modRevision: entry.job.modRevision))
      writes.append(.deleteJob(key))
    }
    guard !writes.isEmpty else { return }
    busyJobs.insert(key)
    propose(.expire(key, records: guards.count), guards: guards, writes: writes)
  }
}
