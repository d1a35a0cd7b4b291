/// Decides what a leader does. Pure: it sees the cluster's state in a `ClusterCache`, takes time as an
/// argument, and returns effects for a shell to execute.
///
/// It is level-triggered: whatever happens to a run ends in `reconcile`, which looks at the run's
/// record, what its agent has said, whether the agent lives and whether the job was cancelled, and
/// proposes the one next transition. Of one run at most one proposal is in flight. What is lost,
/// repeated or late changes when a decision is made, never what it is.
public struct LeaderMachine: Sendable {
  /// What can be set.
  public struct Configuration: Hashable, Sendable {
    /// How long ended jobs and runs are kept.
    public var retentionMillis: Int64 = 7 * 24 * 3_600_000
    /// How many ended runs of one job are kept.
    public var runsKeptPerJob = 100
    /// How many segments the cluster has.
    public var segmentCount = MetaRecord.current.segmentCount
    /// When agents on which everything fails are avoided.
    public var judge = AgentJudge.Rules()
    /// What happens when many agents are lost at once.
    public var brake = LossBrake.Rules()

    /// Makes the defaults.
    public init() {}

    /// How long what has ended is kept while there is space.
    public var retention: Retention { Retention(millis: retentionMillis, runsPerJob: runsKeptPerJob) }
  }

  /// Bounds.
  public enum Limits {
    /// How long after a conflict or a refusal a run is looked at again.
    public static let conflictPauseMillis: Int64 = 20
    /// How long after a refusal, when etcd takes no writes, a run is looked at again.
    public static let refusalPauseMillis: Int64 = 1_000
    /// Runs deleted in one proposal.
    public static let deletionsPerProposal = 40
    /// Deadlines handled in one turn.
    public static let deadlinesPerTurn = 2_000
    /// Assignments proposed in one turn.
    public static let assignmentsPerTurn = 2_000
    /// How long an agent that fenced itself gets no new work, unless it opens another session.
    public static let distrustMillis: Int64 = 1_000
    /// Assignments in one message, at most.
    public static let assignmentsPerMessage = 1_000
    /// The text of the specifications in one message of assignments, bytes; passed only by a single one.
    public static let assignmentBytesPerMessage = 1_024 * 1_024
    /// Attempts named in one message that stops them.
    public static let stopsPerMessage = 2_000
    /// Checkpoints of one attempt that may wait for an answer; of their data only the newest is held.
    public static let checkpointsWaiting = 100
    /// The data of all checkpoints that are not durable yet, bytes.
    public static let checkpointBytesWaiting = 64 * 1_024 * 1_024
    /// How often a run's record is written for the sake of its progress alone, at most.
    public static let progressIntervalMillis: Int64 = 1_000
    /// How long after a run's total timeout, and the grace of its task, an attempt is stopped that its agent has not
    /// ended.
    public static let overdueMillis: Int64 = 2_000
    /// Runs that are named where it is said who holds the slots of something.
    public static let holdersNamed = 5
  }

  /// Names a proposal in flight.
  public typealias ProposalID = UInt64
  /// Names an agent's session on this server.
  public typealias SessionID = UInt64

  /// What the shell is to do, in order.
  public enum Effect: Hashable, Sendable {
    /// Commit, then report by `concluded`.
    case propose(ProposalID, Proposal)
    /// Send on a session.
    case send(SessionID, ServerMessage)
    /// Read the run's checkpoint, put it into the assignment, and send that on a session, before what follows
    /// there. If it cannot be read, do not send it, and say so by `untold`.
    case resume(SessionID, Assignment)
    /// End a session.
    case close(SessionID, reason: String)
    /// Tell somebody of an alert, and report by `told`.
    case tell(AlertRecord, delivery: Int)
  }

  /// What is counted for the metrics.
  public struct Counters: Hashable, Sendable {
    /// Assignments committed.
    public var assigned = 0
    /// Runs that reached a terminal state.
    public var finished = 0
    /// Agents whose key has gone, and which had not said that they leave.
    public var lostAgents = 0
    /// Runs given back because their agent was lost.
    public var lostRuns = 0
    /// Assignments of runs that another attempt's agent had lost or given back.
    public var reassigned = 0
    /// From the moment when a lost agent's run was given back until it was assigned again, milliseconds: the last.
    public var lastRecoveryMillis: Int64 = 0
    /// The longest.
    public var maxRecoveryMillis: Int64 = 0
    /// Attempts that agents killed since they could not trust their lease.
    public var fencedAttempts = 0
    /// Attempts that agents were told to give back since a drain's deadline had passed.
    public var handedOver = 0
    /// Updates refused because the attempt was not the run's current one.
    public var staleUpdates = 0
    /// Updates that said what was recorded already.
    public var repeatedUpdates = 0
    /// Checkpoints that became durable.
    public var checkpoints = 0
    /// Checkpoints refused because the attempt was not the run's current one.
    public var staleCheckpoints = 0
    /// Checkpoints that were durable already.
    public var repeatedCheckpoints = 0
    /// Proposals that met a conflict.
    public var conflicts = 0
    /// Proposals that were refused.
    public var refusals = 0
    /// Records removed by retention.
    public var expired = 0
    /// Schedules and calendars, of runs that were told to agents, that could not be made ready.
    public var unreadySchedules = 0
    /// Segments given to another owner.
    public var segmentMoves = 0
    /// Alerts made, and those that were not since too many are kept.
    public var alertsRaised = 0
    /// See `alertsRaised`.
    public var alertsDropped = 0
    /// Deliveries of alerts that were taken, and tries in vain.
    public var alertsTold = 0
    /// See `alertsTold`.
    public var alertFailures = 0

    /// Makes zeros.
    public init() {}
  }

  enum Deadline: Hashable, Sendable {
    case retry(RunKey)
    case again(RunKey)
    case progress(RunKey)
    /// The total timeout of a run is over.
    case overall(RunKey)
    /// A run that has not begun by then is skipped.
    case start(RunKey)
    /// A run has waited long enough for its agent.
    case awaited(RunKey)
    /// A run may give cause for an alert.
    case alert(RunKey)
    case trust(SessionID)
    case endDrain(String)
    case judge(String)
    case brake
    /// An agent has been kept for long enough.
    case keptAgents
    /// Runs have waited long enough for the reason to be noted.
    case waitNotes
    case spreadSegments
    case doubtMoves
    /// The rate of a queue lets it go on.
    case openQueue(String)
  }

  /// What a transition makes durable besides the run's state.
  struct Cargo: Sendable {
    var news: [News] = []
    var checkpoint: PendingCheckpoint?
    var progress: Progress?
  }

  /// Why a proposal was made.
  enum Purpose: Sendable {
    case assign(RunKey)
    case transition(RunRecord, carrying: Cargo)
    case expire(JobKey, records: Int)
    case moveSegments([SegmentPlanner.Move])
    case alert(AlertKey, isDeletion: Bool)
  }

  /// The term that every proposal proves.
  public let epoch: LeaderEpoch
  /// The server's id, told to agents.
  public let serverID: String
  /// The settings.
  public let configuration: Configuration
  /// What has been counted.
  public internal(set) var counters = Counters()

  var ready = ReadyQueue()
  var queues = QueueGates()
  var awaited = AwaitedAgents()
  var limits = LimitBook()
  var displacers = Displacers()
  /// How many runs of each namespace may be with agents whose quota says so.
  var runningQuotas: [String: Int] = [:]
  var waitNotes = WaitNotes()
  var pool = AgentPool()
  var deadlines = DeadlineHeap<Deadline>()
  /// When something of a job is old enough to be removed.
  var expiries = JobDeadlines()
  var purposes: [ProposalID: Purpose] = [:]
  var nextProposal: ProposalID
  /// The runs with a proposal in flight.
  var busyRuns: Set<RunKey> = []
  /// The jobs with a proposal in flight.
  var busyJobs: Set<JobKey> = []
  /// What agents have said of a run that is not in a proposal yet.
  var news: [RunKey: [News]] = [:]
  /// What tasks have said of themselves.
  var taskReports: [RunKey: TaskReports] = [:]
  /// The data of all checkpoints that wait or are in a proposal, bytes.
  var checkpointBytes = 0
  /// Whose slot a run takes.
  var holders: [RunKey: Incarnation] = [:]
  /// How many runs each incarnation holds a slot for.
  var slotsHeld: [Incarnation: Int] = [:]
  /// What of agents is promised to those.
  var promises = Promises()
  /// What runs ask for that wait for resources, each with the first of them.
  var largeRuns: [Requirement: RunKey] = [:]
  var sessions: [SessionID: Session] = [:]
  var sessionOfAgent: [String: SessionID] = [:]
  var outboxes: [SessionID: Outbox] = [:]
  var effects: [Effect] = []
  /// Whether the last turn stopped at its limit of assignments.
  var hasMoreToAssign = false
  /// Runs that wait to be given back.
  var lostRuns = LostRuns()
  /// Whether agents were lost since the brake was looked at.
  var hasNewLosses = false
  var judge: AgentJudge
  var brake: LossBrake
  /// How long what has ended is kept now.
  var retention: Retention
  /// When the last leader was seen to be gone, until its work has been taken up.
  var succeedsSince: Timestamp?
  /// How long nobody gave out work between the last leader and this one, milliseconds; nil where there was none, or while
  /// that is not known.
  public internal(set) var failoverGapMillis: Int64?
  var segmentDesk = SegmentDesk()
  var alertDesk = AlertDesk()
  var contexts: RunContexts
  var random: SplitMix64

  /// Makes the machine of a term.
  /// - Parameters:
  ///   - zones: For what runs know of their schedules, and for templates.
  ///   - seed: For jitter, and to number proposals from: what becomes of a proposal of an earlier machine
  ///     of the same term must not be taken for one of this machine's.
  public init(
    epoch: LeaderEpoch, serverID: String, configuration: Configuration = .init(),
    zones: TimeZones = .utcOnly, seed: UInt64
  ) {
    self.epoch = epoch
    self.serverID = serverID
    self.configuration = configuration
    judge = AgentJudge(rules: configuration.judge)
    brake = LossBrake(rules: configuration.brake)
    retention = configuration.retention
    contexts = RunContexts(zones: zones)
    random = SplitMix64(seed: seed)
    nextProposal = seed
  }

  // MARK: Inputs

  /// Takes over: looks at everything once. The cache must hold all that earlier leaders wrote.
  /// - Parameter lastLeaderLostAt: When the last leader was seen to be gone; nil where there was none.
  public mutating func start(_ cache: ClusterCache, now: Timestamp, lastLeaderLostAt: Timestamp? = nil) {
    succeedsSince = lastLeaderLostAt
    countEarlierLosses(cache, now: now)
    for name in cache.queues.keys { queueChanged(name, cache, now: now) }
    for id in cache.agents.keys { agentChanged(id, cache, now: now) }
    for id in cache.drains.keys { drainChanged(id, cache, now: now) }
    for slot in 0..<cache.jobs.slotEnd { scheduleExpiry(of: slot, cache) }
    segmentDesk.judge.assume(
      cache.servers.compactMap { id, server in
        server.record.figures.map { (id, $0) }
      }, now: now)
    takeUpQuotas(cache)
    takeUpRuns(cache, now: now)
    lostRuns.sort()
  }

  /// A job was written or deleted.
  public mutating func jobChanged(_ key: JobKey, _ cache: ClusterCache, now: Timestamp) {
    guard let slot = cache.jobs.slot(of: key) else { return }
    scheduleExpiry(of: slot, cache)
    for runID in cache.jobs.runIDs(at: slot) {
      reconcile(RunKey(job: key, runID: runID), cache, now: now)
    }
  }

  /// A run was written or deleted.
  public mutating func runChanged(_ key: RunKey, _ cache: ClusterCache, now: Timestamp) {
    reconcile(key, cache, now: now)
    reconcileSiblings(of: key, cache, now: now)
    guard cache.runs[key]?.record.state.isTerminal ?? true, let slot = cache.jobs.slot(of: key.job) else {
      return
    }
    scheduleExpiry(of: slot, cache)
  }

  /// A backfill was written or deleted: the job may have come to its end with it.
  public mutating func backfillChanged(_ key: BackfillKey, _ cache: ClusterCache) {
    if let slot = cache.jobs.slot(of: key.job) { scheduleExpiry(of: slot, cache) }
  }

  /// The object of a concurrency group was written or deleted.
  public mutating func groupChanged(_ key: GroupKey, _ cache: ClusterCache) {
    limits.override(.group(key), cache.groups[key]?.record.spec.limit)
  }

  /// An agent's key was written, replaced or is gone.
  public mutating func agentChanged(_ id: String, _ cache: ClusterCache, now: Timestamp) {
    let present = cache.agents[id]
    let incarnation = present.map { Incarnation(agentID: id, createRevision: $0.createRevision) }
    noteComingOrGoing(of: id, cache, now: now)
    if let session = sessionOfAgent[id], sessions[session]?.incarnation != incarnation {
      end(session, reason: "the lease of agent '\(id)' lapsed")
    }
    refreshPool(id, cache)
    // In an order, since those that are lost come back in it.
    for key in (cache.runsByAgent[id] ?? []).sorted() where cache.runs[key]?.record.owner != incarnation {
      reconcile(key, cache, now: now)
    }
    for key in awaited.runs(for: id) { reconcile(key, cache, now: now) }
  }

  /// Handles what is due, gives work to free slots, and returns all that is to be done.
  public mutating func turn(_ cache: ClusterCache, now: Timestamp) -> [Effect] {
    for deadline in deadlines.popDue(now: now, limit: Limits.deadlinesPerTurn) {
      switch deadline {
      case .retry(let key), .again(let key), .progress(let key), .overall(let key), .awaited(let key),
        .start(let key), .alert(let key):
        reconcile(key, cache, now: now)
      case .trust(let session): trust(session, cache)
      case .endDrain(let id): endDrain(id, cache, now: now)
      case .judge(let id): reviewJudgement(of: id, cache)
      // Looked at below.
      case .brake, .keptAgents, .waitNotes: break
      case .spreadSegments: segmentDesk.isStale = true
      case .doubtMoves: doubtMoves(now: now)
      case .openQueue(let name): queues.mayReopen(name)
      }
    }
    for slot in expiries.popDue(now: now, limit: Limits.deadlinesPerTurn) { expire(slot, cache, now: now) }
    giveBackLostRuns(cache, now: now)
    tendAlerts(now: now)
    spreadSegments(cache)
    assignReadyRuns(cache, now: now)
    makeWay(cache, now: now)
    noteWhatBlocks(cache, now: now)
    if ready.isEmpty && purposes.isEmpty { hasSucceeded(now: now) }
    flushSessions()
    defer { effects.removeAll(keepingCapacity: true) }
    return effects
  }

  /// When `turn` has something to do by itself; nil for never.
  public var nextDeadline: Timestamp? {
    hasMoreToAssign
      ? Timestamp(microseconds: 0)
      : [deadlines.nextDeadline, expiries.nextDeadline, alertsDue].compactMap(\.self).min()
  }

  /// What became of a proposal. The cache has been told before.
  public mutating func concluded(
    _ id: ProposalID, _ outcome: ProposalOutcome, _ cache: ClusterCache, now: Timestamp
  ) {
    guard let purpose = purposes.removeValue(forKey: id) else { return }
    switch outcome {
    case .committed: break
    case .conflict: counters.conflicts += 1
    case .refused: counters.refusals += 1
    }
    var pause = Limits.conflictPauseMillis
    if case .refused = outcome { pause = Limits.refusalPauseMillis }
    let later = now.adding(milliseconds: pause)
    switch purpose {
    case .assign(let key):
      busyRuns.remove(key)
      if outcome == .committed {
        counters.assigned += 1
        noteReassignment(key, cache)
        hasSucceeded(now: now)
        reconcile(key, cache, now: now)
      } else {
        if let agentID = holders[key]?.agentID, judge.ended(key, on: agentID) { refreshPool(agentID, cache) }
        retract(key, until: later, cache)
      }
    case .transition(let record, let cargo):
      busyRuns.remove(record.key)
      waitNotes.concluded(record.key)
      if outcome == .committed {
        if record.state.isTerminal { counters.finished += 1 }
        delivered(cargo, cache, now: now)
        reconcile(record.key, cache, now: now)
      } else {
        restore(cargo, of: record, after: outcome)
        retract(record.key, until: later, cache)
      }
    case .expire(let key, let records):
      if outcome == .committed { counters.expired += records }
      jobIsFree(key, notBefore: later, cache)
    case .moveSegments(let moves): moved(moves, outcome, again: later, now: now)
    case .alert(let key, let isDeletion):
      alertConcluded(key, isDeletion: isDeletion, outcome, again: later)
    }
  }

  private mutating func delivered(_ cargo: Cargo, _ cache: ClusterCache, now: Timestamp) {
    for item in cargo.news {
      acknowledge(item.ticket)
      judgeEnd(of: item, cache, now: now)
    }
    if let checkpoint = cargo.checkpoint { checkpointWritten(checkpoint) }
  }

  /// After a proposal that came to nothing: all is to be proposed again. But for a checkpoint that was refused:
  /// it may be what etcd does not take, and its task can decide what to do.
  private mutating func restore(_ cargo: Cargo, of record: RunRecord, after outcome: ProposalOutcome) {
    restore(cargo.news, of: record.key)
    if let progress = cargo.progress { restore(progress, of: record) }
    guard let checkpoint = cargo.checkpoint else { return }
    if case .refused(let why) = outcome {
      refuse(checkpoint, error: "it could not be written to etcd: \(why)")
    } else {
      restore(checkpoint)
    }
  }

  /// After a proposal that came to nothing: the slot goes by the record again, after a pause. Its place in its queue is
  /// kept until then, in case it came to something all the same.
  private mutating func retract(_ key: RunKey, until later: Timestamp, _ cache: ClusterCache) {
    let run = cache.runs[key]?.record
    hold(key, by: run?.owner, cache, promising: run?.promised ?? Resources())
    deadlines.set(.again(key), at: later)
  }

  // MARK: Facts

  /// Runs that wait for an agent.
  public var readyCount: Int { ready.count }
  /// Runs that wait for a slot of a concurrency group, or of their job.
  public var parkedCount: Int { limits.parkedCount }
  /// Proposals in flight.
  public var proposalsInFlight: Int { purposes.count }
  /// Whether an agent has a session here.
  public func isConnected(_ agentID: String) -> Bool { sessionOfAgent[agentID] != nil }
  /// An agent's figures, as it sent them last.
  public func health(of agentID: String) -> AgentHealth? {
    sessionOfAgent[agentID].flatMap { sessions[$0]?.health }
  }
  /// Whether an agent said that it takes no new work.
  public func isDraining(_ agentID: String) -> Bool {
    sessionOfAgent[agentID].flatMap { sessions[$0]?.draining } ?? false
  }
  /// The session of the incarnation that owns an attempt, if it has one here.
  public func session(of agentID: String) -> SessionID? { sessionOfAgent[agentID] }

  /// The last leader's work has been taken up: something was assigned, or nothing waits.
  private mutating func hasSucceeded(now: Timestamp) {
    guard let since = succeedsSince else { return }
    succeedsSince = nil
    failoverGapMillis = max(0, now.milliseconds - since.milliseconds)
  }

  mutating func propose(_ purpose: Purpose, guards: [Proposal.Guard], writes: [Proposal.Write]) {
    let id = nextProposal
    nextProposal &+= 1
    purposes[id] = purpose
    effects.append(.propose(id, Proposal(guards: [.leads(epoch)] + guards, writes: writes)))
  }
}

/// A small seeded generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// 0 ..< 1.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
