/// Decides what an owner of segments does: it creates the runs of the jobs in its segments when they are due, and
/// those of backfills. Pure, as `LeaderMachine` is: it sees the cluster in a `ClusterCache`, takes time as an
/// argument, and returns effects for a shell to execute.
///
/// Every proposal compares the epoch of the segment, the job's record and the absence of the runs that it creates,
/// and writes the job's schedule states in the same transaction. So whatever servers believe, and whatever their
/// clocks show, each occurrence is decided once, and what an owner that has lost its segment proposes comes to nothing.
///
/// It is level-triggered. The heap only says which job to look at; what becomes of it is decided from its record.
/// Of one job at most one proposal is in flight.
public struct FiringMachine: Sendable {
  /// Names a proposal in flight.
  public typealias ProposalID = UInt64

  /// A run that may be given to an agent in the transaction that creates it.
  public struct NewRun: Hashable, Sendable {
    /// The run as it is proposed: queued.
    public var run: RunRecord
    /// Its job, after the proposal.
    public var job: JobRecord
  }

  /// What the shell is to do, in order.
  public enum Effect: Hashable, Sendable {
    /// Commit, then report by `concluded`. Where a leader on this server takes the run, its guards come to those of
    /// the proposal, and its copy in place of the run; whatever fails then is reported as what became of all.
    case propose(ProposalID, Proposal, creates: NewRun?)
  }

  /// What is counted for the metrics.
  public struct Counters: Hashable, Sendable {
    /// Runs created by schedules.
    public var fired = 0
    /// Runs created by backfills.
    public var backfilled = 0
    /// Occurrences left out, by reason.
    public var skipped: [SkipReason: Int] = [:]
    /// Proposals that met a conflict.
    public var conflicts = 0
    /// Proposals that were refused.
    public var refusals = 0
    /// Times that what was due waited since its namespace had as many waiting runs as its quota allows.
    public var quotaWaits = 0
    /// Times that the schedules of a record could not be made ready: a zone that this server does not know, say.
    public var unreadable = 0

    /// Makes zeros.
    public init() {}
  }

  /// Why a proposal was made.
  enum Purpose: Sendable {
    case fire(JobPlan.Decision, JobKey)
    case refresh(JobKey, JobRecord)
    case backfill(BackfillKey, BackfillRecord, JobRecord, created: Int)

    /// The job whose next proposal has to wait for this one.
    var job: JobKey {
      switch self {
      case .fire(_, let key), .refresh(let key, _): key
      case .backfill(let key, _, _, _): key.job
      }
    }
  }

  /// The server's id.
  public let serverID: String
  /// What has been counted.
  public internal(set) var counters = Counters()
  /// How late runs were created.
  public internal(set) var lateness = LatenessRecorder()

  let keyspace: Keyspace
  let zones: TimeZones
  /// The epochs of the segments that are owned.
  var epochs: [Int: Int64] = [:]
  /// When jobs of these segments are to be looked at.
  var due = JobDeadlines()
  var purposes: [ProposalID: Purpose] = [:]
  /// How many runs the proposals in flight create in each namespace that has a quota.
  var creating: [String: Int] = [:]
  var nextProposal: ProposalID
  /// The jobs with a proposal in flight.
  var busy: Set<JobKey> = []
  /// Jobs whose deadline is a reading of the clock and not when they are due.
  var postponed: Set<JobTable.Slot> = []
  /// What the clock showed in the last turn.
  var lastTurn = Timestamp.earliest
  /// Jobs of which the watch may not have brought all runs yet.
  var behind = WatchQueue()
  /// The revisions of jobs that this machine wrote itself, and the watch has not passed.
  var ownWrites: [JobKey: Int64] = [:]
  /// Schedules made ready, of jobs that have been looked at.
  var compiled: [JobKey: CompiledJob] = [:]
  var compiledCalendars: [CalendarKey: CompiledCalendar] = [:]
  var reviews = ReviewQueue()
  /// Jobs that were busy when they should have been reviewed.
  var parkedReviews: [JobKey: ReviewQueue.Cause] = [:]
  /// Backfills to be looked at.
  var backfillsToDo: Set<BackfillKey> = []
  /// Backfills that are not looked at before a time.
  var backfillPauses = DeadlineHeap<BackfillKey>()
  var effects: [Effect] = []

  struct CompiledJob: Sendable {
    var uid: String
    var generation: Int
    var rules: JobPlan.Rules
  }

  /// Makes the machine of a server that owns nothing yet.
  /// - Parameters:
  ///   - segmentCount: The cluster's number of segments.
  ///   - seed: To number proposals from: what becomes of a proposal of an earlier machine must not be taken for one
  ///     of this machine's.
  public init(
    serverID: String, zones: TimeZones, segmentCount: Int = MetaRecord.current.segmentCount, seed: UInt64
  ) {
    self.serverID = serverID
    self.zones = zones
    keyspace = Keyspace(segmentCount: segmentCount)
    nextProposal = seed
  }

  // MARK: Inputs

  /// A segment has become this server's, has been given to it anew, or, with nil, is its own no more. To be told by
  /// the watch alone, once the cache holds all that was written before.
  public mutating func ownershipChanged(
    _ segment: Int, epoch: Int64?, _ cache: ClusterCache, now: Timestamp
  ) {
    guard epochs[segment] != epoch else { return }
    epochs[segment] = epoch
    // Of what was its own once it may not have heard since.
    ownWrites = ownWrites.filter { keyspace.segment(of: $0.key) != segment }
    cache.jobs.forEach(inSegment: segment) { schedule($0, cache) }
    guard epoch != nil else { return }
    reviews.add(segment, .takenOver)
    for key in cache.backfills.keys where keyspace.segment(of: key.job) == segment { wake(key, cache) }
  }

  /// A job was written or deleted.
  public mutating func jobChanged(_ key: JobKey, _ cache: ClusterCache, now: Timestamp) {
    guard !epochs.isEmpty else { return }
    guard let slot = cache.jobs.slot(of: key) else {
      compiled[key] = nil
      return
    }
    guard let facts = cache.jobs.facts(at: slot), epochs[facts.segment] != nil else { return }
    if !busy.contains(key) { schedule(slot, cache) }
    if !cache.backfills.isEmpty { wakeBackfills(of: key, cache) }
  }

  /// A run was written or deleted.
  public mutating func runChanged(_ key: RunKey, _ cache: ClusterCache, now: Timestamp) {
    guard !epochs.isEmpty, cache.runs[key]?.record.state.isTerminal ?? true,
      let slot = cache.jobs.slot(of: key.job), let facts = cache.jobs.facts(at: slot),
      epochs[facts.segment] != nil
    else { return }
    if !cache.backfills.isEmpty { wakeBackfills(of: key.job, cache) }
    // Where the next run depends on the end of this one, it is not known yet.
    if facts.record.nextRunTime == nil, !facts.record.isCancelled { reviewFixedDelay(slot, cache, now: now) }
  }

  /// A calendar was written or deleted.
  public mutating func calendarChanged(_ key: CalendarKey, _ cache: ClusterCache, now: Timestamp) {
    compiledCalendars[key] = nil
    compiled.removeAll(keepingCapacity: true)
    for segment in epochs.keys.sorted() { reviews.add(segment, .calendar(key, at: now)) }
  }

  /// A backfill was written or deleted.
  public mutating func backfillChanged(_ key: BackfillKey, _ cache: ClusterCache, now: Timestamp) {
    wake(key, cache)
  }

  /// Handles what is due, and returns all that is to be done.
  public mutating func turn(_ cache: ClusterCache, now: Timestamp) -> [Effect] {
    if now < lastTurn { clockWasPutBack(cache) }
    lastTurn = now
    catchUp(cache)
    for _ in 0..<FiringLimits.reviewsPerTurn where room > 0 {
      guard let (slot, cause) = reviews.next(cache, owned: epochs) else { break }
      review(slot, cause, cache, now: now)
    }
    for slot in due.popDue(now: now, limit: min(room, FiringLimits.decisionsPerTurn)) {
      postponed.remove(slot)
      decide(slot, cache, now: now)
    }
    for key in backfillPauses.popDue(now: now) { wake(key, cache) }
    if !backfillsToDo.isEmpty { advanceBackfills(cache, now: now) }
    defer { effects.removeAll(keepingCapacity: true) }
    return effects
  }

  /// When `turn` has something to do by itself; nil for never.
  public var nextDeadline: Timestamp? {
    // The end of a proposal makes room, and brings another turn.
    guard room > 0 else { return nil }
    if !reviews.isEmpty || !backfillsToDo.isEmpty { return .earliest }
    return [due.nextDeadline, backfillPauses.nextDeadline].compactMap(\.self).min()
  }

  /// What became of a proposal. The cache has been told before.
  public mutating func concluded(
    _ id: ProposalID, _ outcome: ProposalOutcome, _ cache: ClusterCache, now: Timestamp
  ) {
    guard let purpose = purposes.removeValue(forKey: id) else { return }
    busy.remove(purpose.job)
    noteCreated(purpose)
    var earliest = now
    switch outcome {
    case .committed: committed(purpose, cache, now: now)
    case .conflict:
      counters.conflicts += 1
      earliest = now.adding(milliseconds: FiringLimits.conflictPauseMillis)
    case .refused:
      counters.refusals += 1
      earliest = now.adding(milliseconds: FiringLimits.refusalPauseMillis)
    }
    // What is left of a job goes behind what has waited longer.
    if let slot = cache.jobs.slot(of: purpose.job) { schedule(slot, cache, notBefore: earliest) }
    if !cache.backfills.isEmpty { wakeBackfills(of: purpose.job, cache, notBefore: earliest, now: now) }
    if let cause = parkedReviews.removeValue(forKey: purpose.job),
      let slot = cache.jobs.slot(of: purpose.job)
    {
      review(slot, cause, cache, now: now)
    } else if case .refresh = purpose, outcome != .committed, let slot = cache.jobs.slot(of: purpose.job) {
      reviews.add(slot)
    }
  }

  private mutating func committed(_ purpose: Purpose, _ cache: ClusterCache, now: Timestamp) {
    let written: JobRecord
    switch purpose {
    case .fire(let decision, _):
      counters.fired += decision.runs.count
      counters.skipped.merge(decision.skipped, uniquingKeysWith: +)
      for due in decision.dueTimes { lateness.record(due: due, at: now) }
      written = decision.record
    case .refresh(_, let record): written = record
    case .backfill(_, _, let record, let created):
      counters.backfilled += created
      written = record
    }
    guard written.spec.overlap.isSerial, let job = cache.jobs[purpose.job]?.job, job.record == written else {
      return
    }
    if job.modRevision > cache.revision { ownWrites[purpose.job] = job.modRevision }
  }

  // MARK: Facts

  /// How many proposals may be made now.
  var room: Int { FiringLimits.proposalsInFlight - purposes.count }
  /// Proposals in flight.
  public var proposalsInFlight: Int { purposes.count }
  /// The segments that are owned.
  public var segmentsOwned: Int { epochs.count }
  /// Jobs that have a next occurrence.
  public var scheduledJobs: Int { due.count + busy.count }
  /// Jobs that are due and not decided, up to `FiringLimits.overdueCounted`.
  public func overdue(at now: Timestamp) -> Int {
    due.count(dueBy: now, limit: FiringLimits.overdueCounted) + behind.dueCount
  }

  /// What the server reports of itself.
  public func figures(at now: Timestamp) -> ServerFigures {
    let minute = lateness.lastMinute(at: now)
    var figures = ServerFigures(reportedAt: now)
    figures.fires = minute.count
    figures.latenessP50Millis = minute.p50Millis
    figures.latenessP99Millis = minute.p99Millis
    figures.latenessMaxMillis = minute.maxMillis
    figures.scheduledJobs = scheduledJobs
    figures.overdue = overdue(at: now)
    return figures
  }

  // MARK: Proposals

  mutating func propose(
    _ purpose: Purpose, epoch: Int64, guards: [Proposal.Guard], writes: [Proposal.Write],
    creates: NewRun? = nil
  ) {
    let id = nextProposal
    nextProposal &+= 1
    purposes[id] = purpose
    busy.insert(purpose.job)
    noteCreating(purpose)
    let segment = keyspace.segment(of: purpose.job)
    effects.append(
      .propose(
        id, Proposal(guards: [.segmentUnchanged(segment, modRevision: epoch)] + guards, writes: writes),
        creates: creates))
  }
}
