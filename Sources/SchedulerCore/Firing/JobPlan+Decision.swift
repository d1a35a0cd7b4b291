extension JobPlan {
  /// What becomes of the occurrences that are due.
  public struct Decision: Hashable, Sendable {
    /// The record after it.
    public var record: JobRecord
    /// The runs to be created, queued; at most `FiringLimits.runsPerProposal`.
    public var runs: [RunRecord]
    /// When each of them was to be created.
    public var dueTimes: [Timestamp]
    /// How many occurrences are left out, by reason.
    public var skipped: [SkipReason: Int]
  }

  /// Decides about all occurrences that are due, or the first of them; the rest when this is committed.
  ///
  /// Up to the grace of the misfire policy each becomes a run, late or not. What is later by more has been missed:
  /// the policy says which of it run. With jitter, lateness counts from the end of the longest one. Then
  /// the overlap policy has its say, one occurrence after the other.
  /// - Parameters:
  ///   - activity: Of the job's runs; only read where `dependsOnRuns`.
  ///   - exists: Whether there is a run of that id. It counts as the occurrence's own.
  /// - Returns: Nil where nothing is due.
  public func decide(
    at now: Timestamp, _ activity: JobActivity, exists: (String) -> Bool
  ) -> Decision? {
    guard record.pausedAt == nil else { return nil }
    var walk = Walk(self, activity)
    // What is due together is decided together, so one step of a search is a decision by itself.
    if walk.passExcluded(by: now) {
      return Decision(record: walk.result, runs: [], dueTimes: [], skipped: [:])
    }
    guard walk.dueOccurrence(by: now) != nil else { return nil }
    let policy = record.spec.misfire
    let latest = now.adding(milliseconds: -walk.jitterMillis)
    let oldest = policy.withinMillis.map { latest.adding(milliseconds: -$0) }
    let isComplete = decideMissed(
      &walk, before: latest.adding(milliseconds: -policy.graceMillis), oldest: oldest, now: now, exists)
    if isComplete { decideFresh(&walk, oldest: oldest, now: now, exists) }
    return Decision(
      record: walk.result, runs: walk.runs, dueTimes: walk.dueTimes, skipped: walk.skipped)
  }

  /// What is late by more than the grace. Returns false when there is more of it than one proposal takes.
  private func decideMissed(
    _ walk: inout Walk, before end: Timestamp, oldest: Timestamp?, now: Timestamp, _ exists: (String) -> Bool
  ) -> Bool {
    guard let earliest = walk.earliest, earliest < end else { return true }
    let policy = record.spec.misfire
    let count =
      switch policy.action {
      case .skip: 0
      case .latest: 1
      case .all: policy.limit
      }
    let chosen = walk.lastOccurrences(before: end, count: count, oldest: oldest ?? .earliest)
    var steps = FiringLimits.occurrencesPerDecision
    for time in chosen {
      guard walk.runs.count < FiringLimits.runsPerProposal else { return false }
      walk.leaveOutAll(before: time, now: now, steps: &steps, exists: exists)
      walk.create(time, now: now, exists: exists)
    }
    walk.leaveOutAll(before: end, now: now, steps: &steps, exists: exists)
    return true
  }

  private func decideFresh(
    _ walk: inout Walk, oldest: Timestamp?, now: Timestamp, _ exists: (String) -> Bool
  ) {
    for _ in 0..<FiringLimits.occurrencesPerDecision {
      guard walk.runs.count < FiringLimits.runsPerProposal, let time = walk.dueOccurrence(by: now) else {
        return
      }
      if let oldest, time < oldest {
        walk.leaveOut(time, because: .misfire, now: now, exists: exists)
      } else {
        walk.create(time, now: now, exists: exists)
      }
    }
  }

  // MARK: Triggers

  /// What comes of asking for a run at once.
  public enum Trigger: Hashable, Sendable {
    /// The run to be created. The record is to be written with it, compared with the one that the plan was
    /// made from, so that all creations of runs of a job are in one order.
    case run(RunRecord, JobRecord)
    /// The overlap policy is against it: that run has not ended.
    case refused(SkipReason, runID: String)
  }

  /// Asks for a run at once, whatever the schedules say, also of a paused job.
  /// - Parameter exists: Whether there is a run of that id.
  public func triggered(
    at now: Timestamp, params: [String: String], _ activity: JobActivity, exists: (String) -> Bool
  ) -> Trigger {
    if let reason = record.spec.overlap.objection(to: activity) {
      return .refused(reason, runID: activity.newestUnended ?? "")
    }
    var time = Timestamp(milliseconds: now.milliseconds)
    while exists(runID(for: time)) { time = time.adding(milliseconds: 1) }
    var run = RunRecord(
      key: RunKey(job: record.key, runID: runID(for: time)), scheduledTime: time, createdAt: now)
    run.trigger = .manual
    run.params = params
    run.joinGroup(of: record.spec)
    var record = record
    record.lastRunTime = max(record.lastRunTime ?? time, time)
    return .run(run, record)
  }
}
