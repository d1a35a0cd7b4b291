/// Runs that have waited for a while have the reason noted in their records, so that their timelines tell it later.
///
/// That costs writes, so it is bounded: by a rate, by the number of runs that are looked after, and by the number of notes
/// of a run. Where far more wait than that, most of them wait for the same anyway.
struct WaitNotes: Sendable {
  /// Bounds.
  enum Limits {
    /// How long a run has to have waited.
    static let patienceMillis: Int64 = 10_000
    /// How long after that it is looked at again: the reason may be another by then.
    static let repeatMillis: Int64 = 60_000
    /// Runs that are looked at in a second, while there are few agents to look at for each.
    static let perSecond = 20
    /// So many agents looked at count as one run more.
    static let agentsPerRun = 500
    /// Runs that are looked after.
    static let runs = 10_000
    /// Notes of one run.
    static let notesOfRun = 8
  }

  private var due = DeadlineHeap<RunKey>()
  private var allowance = Limits.perSecond
  private var filledAt = Timestamp.earliest
  /// Runs whose note is on its way to etcd: that is no decision about them.
  private(set) var beingWritten: Set<RunKey> = []

  /// When there is something to look at.
  var nextDeadline: Timestamp? { due.nextDeadline.map { allowance > 0 ? $0 : max($0, refillTime) } }

  private var refillTime: Timestamp { filledAt.adding(milliseconds: 1_000) }

  /// A run waits. Where it does so already, nothing changes.
  mutating func waits(_ run: RunKey, since now: Timestamp) {
    guard due.count < Limits.runs, due.deadline(of: run) == nil else { return }
    due.set(run, at: now.adding(milliseconds: Limits.patienceMillis))
  }

  /// Looks at a run again.
  mutating func again(_ run: RunKey, at time: Timestamp) { due.set(run, at: time) }

  /// The next run to look at; nil where none is due, or enough have been looked at in this second.
  mutating func next(at now: Timestamp) -> RunKey? {
    if now >= refillTime || now < filledAt { (allowance, filledAt) = (Limits.perSecond, now) }
    guard allowance > 0, let run = due.popDue(now: now, limit: 1).first else { return nil }
    return run
  }

  /// A run was looked at, and so many agents for it.
  mutating func spend(agents: Int) { allowance -= 1 + agents / Limits.agentsPerRun }

  /// A note is on its way.
  mutating func write(_ run: RunKey) { beingWritten.insert(run) }

  /// Whatever was on its way of a run has come to its end.
  mutating func concluded(_ run: RunKey) { if !beingWritten.isEmpty { beingWritten.remove(run) } }
}

extension LeaderMachine {
  /// Notes why runs wait that have waited for a while. What has ended waiting since is dropped.
  mutating func noteWhatBlocks(_ cache: ClusterCache, now: Timestamp) {
    while let key = waitNotes.next(at: now) {
      guard let run = cache.runs[key], run.record.state == .queued, !busyRuns.contains(key),
        let job = cache.jobs[key.job]?.job.record, job.cancelRequestedAt == nil
      else { continue }
      waitNotes.spend(agents: pool.count)
      waitNotes.again(key, at: now.adding(milliseconds: WaitNotes.Limits.repeatMillis))
      let subject = RunSubject(run: run, job: job, now: now)
      let reasons = RunFindings.all(of: subject, cache) + findings(of: subject, cache)
      guard let first = reasons.filter({ $0.kind != .tells }).inOrderOfFixing.first else { continue }
      let notes = run.record.history.events.filter { $0.kind == .blocked }
      guard notes.last?.code != first.code, notes.count < WaitNotes.Limits.notesOfRun else { continue }
      let event = RunEvent(
        .blocked, at: now, actor: RunActor.server(serverID), code: first.code, message: first.message)
      transition(run, cache, now: now) { $0.history.add(event) }
      waitNotes.write(key)
    }
    if let next = waitNotes.nextDeadline { deadlines.set(.waitNotes, at: next) }
  }
}
