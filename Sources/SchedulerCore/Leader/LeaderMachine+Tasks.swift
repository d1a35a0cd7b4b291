/// What tasks say of themselves while they run: checkpoints, which are kept, and progress, which is shown.
extension LeaderMachine {
  /// Stands for one checkpoint that an agent has sent: each is answered once.
  struct CheckpointTicket: Sendable {
    var session: SessionID
    var sequence: UInt64
  }

  /// The newest checkpoint of an attempt that is not durable yet.
  struct PendingCheckpoint: Sendable {
    var report: CheckpointReport
    /// Who waits for it: whoever sent it, and those of the ones that it replaces.
    var tickets: [CheckpointTicket]
  }

  /// What a task has said that is in no proposal yet.
  struct TaskReports: Sendable {
    var checkpoint: PendingCheckpoint?
    var progress: (attempt: Int, value: Progress)?
    /// Before that, progress is not written for its own sake.
    var progressDue = Timestamp(microseconds: .min)

    var isEmpty: Bool { checkpoint == nil && progress == nil }
  }

  // MARK: Checkpoints

  /// A task has saved a checkpoint.
  public mutating func received(
    _ report: CheckpointReport, on id: SessionID, _ cache: ClusterCache, now: Timestamp
  ) {
    guard let session = sessions[id] else { return }
    let ticket = CheckpointTicket(session: id, sequence: report.sequence)
    if let error = refusal(of: report) { return answer([ticket], of: report.ref, error: error) }
    // An agent hears of an attempt only after the cache has: what is not current now was, or never is.
    guard let run = cache.runs[report.ref.run]?.record, run.current == report.ref,
      run.owner == session.incarnation
    else {
      counters.staleCheckpoints += 1
      answer([ticket], of: report.ref, error: Self.staleCheckpoint)
      outboxes[id, default: Outbox()].disowned.append(report.ref)
      return
    }
    if run.hasCheckpoint(report) {
      counters.repeatedCheckpoints += 1
      return answer([ticket], of: report.ref, error: nil)
    }
    keep(PendingCheckpoint(report: report, tickets: [ticket]))
    reconcile(report.ref.run, cache, now: now)
  }

  private static let staleCheckpoint = "the attempt is not the run's current one"

  /// Why a checkpoint cannot even be looked at.
  private func refusal(of report: CheckpointReport) -> String? {
    guard (1...UInt64(Int64.max)).contains(report.sequence) else {
      return "the sequence must be from 1 to 2^63 - 1"
    }
    guard report.data.count <= RunLimits.checkpointBytes else {
      return "it has \(report.data.count) bytes; at most \(RunLimits.checkpointBytes) are allowed"
    }
    let waiting = taskReports[report.ref.run]?.checkpoint?.tickets.count ?? 0
    guard waiting < Limits.checkpointsWaiting,
      checkpointBytes + report.data.count <= Limits.checkpointBytesWaiting
    else { return "too many checkpoints wait to be written; try again later" }
    return nil
  }

  /// Keeps the newest of an attempt's checkpoints; those before it are answered with it.
  private mutating func keep(_ new: PendingCheckpoint) {
    let key = new.report.ref.run
    var reports = taskReports[key] ?? TaskReports()
    checkpointBytes += new.report.data.count
    if var old = reports.checkpoint {
      if old.report.ref != new.report.ref {
        // Of two attempts one is over; the record says which, once it is looked at.
        let loser = old.report.ref.fence < new.report.ref.fence ? old : new
        reports.checkpoint = old.report.ref.fence < new.report.ref.fence ? new : old
        refuse(loser, error: Self.staleCheckpoint)
      } else {
        let isNewer = new.report.sequence > old.report.sequence
        checkpointBytes -= (isNewer ? old : new).report.data.count
        if isNewer { old.report = new.report }
        old.tickets += new.tickets
        reports.checkpoint = old
      }
    } else {
      reports.checkpoint = new
    }
    taskReports[key] = reports
  }

  /// Takes the checkpoint that waits for the run, and notes it in the record; nil when there is none to write.
  mutating func takeCheckpoint(
    for record: inout RunRecord, now: Timestamp
  ) -> (pending: PendingCheckpoint, record: CheckpointRecord)? {
    guard let pending = taskReports[record.key]?.checkpoint else { return nil }
    taskReports[record.key]?.checkpoint = nil
    let report = pending.report
    guard report.ref == record.current, let owner = record.owner else {
      counters.staleCheckpoints += 1
      refuse(pending, error: Self.staleCheckpoint)
      return nil
    }
    // It was said again while it was being written.
    if record.hasCheckpoint(report) {
      counters.repeatedCheckpoints += 1
      checkpointBytes -= report.data.count
      answer(pending.tickets, of: report.ref, error: nil)
      return nil
    }
    let saved = CheckpointRecord(
      attempt: report.ref.attempt, fence: report.ref.fence, agent: owner, sequence: Int64(report.sequence),
      savedAt: now, data: report.data)
    record.checkpoint = saved.note
    record.history.checkpointRevision = nil
    return (pending, saved)
  }

  /// A checkpoint is durable, or its run has ended with it.
  mutating func checkpointWritten(_ pending: PendingCheckpoint) {
    checkpointBytes -= pending.report.data.count
    counters.checkpoints += 1
    answer(pending.tickets, of: pending.report.ref, error: nil)
  }

  /// A checkpoint will not be written.
  mutating func refuse(_ pending: PendingCheckpoint, error: String) {
    checkpointBytes -= pending.report.data.count
    answer(pending.tickets, of: pending.report.ref, error: error)
  }

  /// After a conflict: it is to be written all the same, unless a newer one has come.
  mutating func restore(_ pending: PendingCheckpoint) {
    checkpointBytes -= pending.report.data.count
    keep(pending)
  }

  private mutating func answer(_ tickets: [CheckpointTicket], of ref: AttemptRef, error: String?) {
    for ticket in tickets where sessions[ticket.session] != nil {
      outboxes[ticket.session, default: Outbox()].checkpoints.append((ref, ticket.sequence, error))
    }
  }

  /// The shell could not read the checkpoint that an assignment has to carry, so it was not sent.
  public mutating func untold(_ ref: AttemptRef, on id: SessionID, now: Timestamp) {
    guard sessions[id]?.known[ref.run] == ref else { return }
    sessions[id]?.known[ref.run] = nil
    deadlines.set(.again(ref.run), at: now.adding(milliseconds: Limits.refusalPauseMillis))
  }

  // MARK: Progress

  /// Notes what a task said of its progress; the latest counts.
  mutating func note(_ progress: Progress, of ref: AttemptRef) {
    taskReports[ref.run, default: TaskReports()].progress = (ref.attempt, progress)
  }

  /// Whether there is progress to write now; if it is too early, it is set when.
  mutating func isProgressDue(_ run: RunRecord, now: Timestamp) -> Bool {
    guard let reports = taskReports[run.key], let progress = reports.progress else { return false }
    guard progress.attempt == run.attempt, run.state.isOwned else {
      taskReports[run.key]?.progress = nil
      return false
    }
    guard reports.progressDue <= now else {
      deadlines.set(.progress(run.key), at: reports.progressDue)
      return false
    }
    return true
  }

  /// Takes the progress that waits, for a change of the run that is made anyway.
  mutating func takeProgress(of run: RunRecord, now: Timestamp) -> Progress? {
    guard let progress = taskReports[run.key]?.progress else { return nil }
    taskReports[run.key]?.progress = nil
    guard progress.attempt == run.attempt, run.state.isOwned else { return nil }
    taskReports[run.key]?.progressDue = now.adding(milliseconds: Limits.progressIntervalMillis)
    return progress.value
  }

  /// After a proposal that came to nothing: progress is to be written all the same, unless newer has come.
  mutating func restore(_ progress: Progress, of record: RunRecord) {
    guard taskReports[record.key]?.progress == nil else { return }
    taskReports[record.key, default: TaskReports()].progress = (record.attempt, progress)
  }

  // MARK: The end

  /// The run is over.
  mutating func forgetTaskReports(of key: RunKey) {
    guard !taskReports.isEmpty, let reports = taskReports.removeValue(forKey: key) else { return }
    deadlines.remove(.progress(key))
    if let pending = reports.checkpoint { refuse(pending, error: Self.staleCheckpoint) }
  }
}

extension RunRecord {
  /// Whether the checkpoint, or a newer one of the same attempt, is durable.
  fileprivate func hasCheckpoint(_ report: CheckpointReport) -> Bool {
    guard let checkpoint, checkpoint.attempt == report.ref.attempt else { return false }
    return checkpoint.sequence >= report.sequence
  }
}
