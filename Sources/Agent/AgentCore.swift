import Logging
import SchedulerCore

/// The one place where the agent decides: owns the machine and executes its effects right after each batch of
/// inputs, without suspending in between.
actor AgentCore: LeaseOwner {
  private let configuration: AgentConfiguration
  let folder: DataFolder
  private let trust: TrustFile
  let logger: Logger
  var machine: AgentMachine
  private var journal: ResultJournal
  private var executor: Executor?
  private var health = AgentHealth()
  private var session: OpenSession?
  private var lastSession: UInt64 = 0
  /// How the tasks that run can be found again; for the journal.
  private var running: [AttemptRef: RunningTask] = [:]
  /// Tasks with a process that were told to start and have not said how they can be found.
  private var starting = Set<AttemptRef>()
  /// By attempt; those of which nothing is in doubt are not in it.
  var sentCheckpoints: [AttemptRef: SentCheckpoint] = [:]
  private var isLeaving = false
  /// The agent has let go of its tasks: nothing is decided any more.
  private(set) var hasLeft = false

  /// A session from its hello to its end.
  private struct OpenSession {
    let id: UInt64
    let outbound: AsyncStream<Outgoing>.Continuation
  }

  /// What a session sends after its hello.
  enum Outgoing: Sendable {
    /// Answered by `statusWritten`.
    case status(AgentStatus)
    /// Answered by `checkpointReady` or `checkpointNotSent`.
    case checkpoint(AgentMachine.CheckpointRequest)
  }

  /// What a session needs to begin.
  struct Beginning: Sendable {
    /// Names the session in later calls.
    let id: UInt64
    /// The first message.
    let hello: AgentHello
    /// What to send after it, in this order. Ends when the session has to end.
    let outbound: AsyncStream<Outgoing>
  }

  init(
    _ configuration: AgentConfiguration, folder: DataFolder, trust: TrustFile, journal: ResultJournal,
    logger: Logger
  ) {
    self.configuration = configuration
    self.folder = folder
    self.trust = trust
    self.journal = journal
    self.logger = logger
    machine = AgentMachine(limits: AgentMachine.Limits(slots: configuration.slots))
  }

  deinit { journal.finish() }

  /// Gives the core its hands; before anything else is asked of it.
  func use(_ executor: Executor) { self.executor = executor }

  // MARK: Figures

  /// How many attempts have tasks that may be running.
  var activeCount: Int { machine.activeCount }
  /// How many ends are not acknowledged.
  var unacknowledgedCount: Int { machine.unacknowledgedCount }
  /// The present incarnation.
  var incarnation: Int64? { machine.incarnation }
  /// What happened that should be rare.
  var counters: AgentMachine.Counters { machine.counters }
  /// The folders that must not be removed.
  var neededFolders: Set<String> { Set(machine.needed.compactMap { folder.folder(of: $0)?.path }) }

  // MARK: Restart

  /// Takes up what the journal of an earlier process holds. Tasks that were not adopted are dead.
  ///
  /// An attempt without an end in the journal gets the one that its shim wrote down, or none was: the agent stopped.
  func recover(_ recovered: ResultJournal.Recovered, adopted: [AdoptedTask]) {
    adopt(adopted)
    let goOn = Set(adopted.map(\.task.ref))
    let found = recovered.begun.filter { !goOn.contains($0) }.map { ref in
      let task = recovered.running[ref]
      let unknown = AttemptEnd(
        endedAt: Clocks.wall(), reason: .agentStopped, error: "the agent was restarted while it ran")
      guard let attempt = folder.folder(of: ref) else {
        return AttemptUpdate(ref: ref, startedAt: task?.startedAt, end: unknown)
      }
      let written = ShimReport.result(in: attempt)?.end(folder: attempt, timeoutMillis: task?.timeoutMillis)
      var end = written ?? unknown
      if end.reason == .cancelled { end.reason = .agentStopped }
      end = executor?.isolation.conclude(end, folder: attempt) ?? end
      return AttemptUpdate(ref: ref, startedAt: task?.startedAt, end: end)
    }
    writeJournal { journal throws(AgentError) in try journal.append(ended: found) }
    let saved = SavedIncarnation.load(folder.incarnationFile)
    let epoch = saved.map { SavedLeaderEpoch.load(folder.leaderEpochFile, incarnation: $0.createRevision) }
    machine.recovered(recovered.ended + found, leaderEpoch: epoch ?? 0)
    for update in recovered.ended + found { recoverCheckpoint(of: update.ref) }
    settle()
  }

  /// They run by the trust that the earlier process had. Whether the incarnation is still there, the lease's keeper asks.
  private func adopt(_ tasks: [AdoptedTask]) {
    guard !tasks.isEmpty else { return }
    machine.leaseTrusted(until: trust.trustedUntil, at: Clocks.now())
    for adopted in tasks {
      machine.adopted(adopted.task.ref, startedAt: adopted.task.startedAt)
      running[adopted.task.ref] = adopted.task
      sentCheckpoints[adopted.task.ref] = SentCheckpoint()
    }
    executor?.adopt(tasks)
    logger.notice("tasks of the earlier process go on", metadata: ["tasks": "\(tasks.count)"])
  }

  // MARK: Tasks

  /// What the executors report.
  func taskEvents(_ events: [TaskEvent]) {
    guard !hasLeft else { return }
    apply(events)
    settle()
  }

  private func apply(_ events: [TaskEvent]) {
    var found: [AttemptRef: RunningTask] = [:]
    for event in events {
      switch event {
      case .started(let ref, let time, let task):
        machine.taskStarted(ref, at: time)
        starting.remove(ref)
        found[ref] = task
      case .checkpoint(let ref): machine.checkpointChanged(ref)
      case .ended(let ref, let end):
        machine.taskEnded(ref, end)
        starting.remove(ref)
        running[ref] = nil
        // One that has ended in the same breath need not be found again.
        found[ref] = nil
      }
    }
    guard !found.isEmpty else { return }
    running.merge(found) { $1 }
    writeJournal { journal throws(AgentError) in try journal.append(running: Array(found.values)) }
  }

  /// Takes no new work.
  func drain() {
    machine.drain(at: Clocks.now())
    settle()
  }

  /// Kills all tasks since the agent stops.
  func stopAll(_ mode: AgentMachine.KillMode) {
    machine.stopAll(mode: mode, at: Clocks.now())
    settle()
  }

  /// Waits until no task runs, however long that takes; not even cancellation makes it give up.
  func waitUntilNothingRuns() async {
    let started = ContinuousClock.now
    var complained = false
    while machine.activeCount > 0 {
      // A task of its own: it goes on waiting when the caller's task has been cancelled.
      await Task { try? await Task.sleep(for: .milliseconds(10)) }.value
      if !complained, ContinuousClock.now - started > AgentLimits.killComplaint {
        complained = true
        logger.error("killed tasks do not die; waiting", metadata: ["tasks": "\(machine.activeCount)"])
      }
    }
  }

  /// Lets go of all tasks, for the agent's next process: none is killed, and nothing is given back. Tasks that are being started are
  /// waited for, so that the next process can find them.
  func leave() async {
    isLeaving = true
    let deadline = ContinuousClock.now + AgentLimits.leaveWait
    while !starting.isEmpty, ContinuousClock.now < deadline {
      await Task { try? await Task.sleep(for: .milliseconds(2)) }.value
    }
    hasLeft = true
    session?.outbound.finish()
    executor?.leave()
    logger.notice("left for the agent's next process", metadata: ["tasks": "\(running.count)"])
  }

  // MARK: The lease

  /// The agent has a key; tasks may run.
  func incarnationBegan(_ createRevision: Int64, trustedUntil: Int64) {
    machine.newIncarnation(createRevision)
    leaseTrusted(until: trustedUntil)
  }

  /// The lease was renewed.
  func leaseTrusted(until: Int64) {
    machine.leaseTrusted(until: until, at: Clocks.now())
    trust.trustedUntil = max(trust.trustedUntil, until)
    settle()
  }

  /// Everything of this incarnation has to be dead before the next begins; also its session ends.
  func incarnationEnded(_ why: String) async {
    trust.trustedUntil = 0
    machine.incarnationLost(at: Clocks.now())
    settle()
    session?.outbound.finish()
    await waitUntilNothingRuns()
  }

  /// Looks at the clock.
  func tick() {
    let before = machine.counters.fenced
    machine.tick(at: Clocks.now())
    settle()
    let fenced = machine.counters.fenced - before
    if fenced > 0 {
      logger.error("the lease can no longer be trusted; killing tasks", metadata: ["tasks": "\(fenced)"])
    }
  }

  // MARK: The session

  /// Begins a session; nil while the agent has no incarnation, or has left. An earlier session ends.
  func beginSession() -> Beginning? {
    guard !isLeaving, let incarnation = machine.incarnation else { return nil }
    if let session { endSession(session.id) }
    lastSession += 1
    let (stream, continuation) = AsyncStream.makeStream(of: Outgoing.self)
    session = OpenSession(id: lastSession, outbound: continuation)
    let hello = AgentHello(
      agentID: configuration.id, incarnation: incarnation, version: configuration.version,
      attempts: machine.known, health: health, draining: machine.isDraining)
    return Beginning(id: lastSession, hello: hello, outbound: stream)
  }

  /// The leader said welcome.
  ///
  /// - Returns: whether it is to be believed: no newer leader has been seen.
  func sessionOpened(_ id: UInt64, leaderEpoch: Int64) -> Bool {
    let seen = machine.leaderEpoch
    guard session?.id == id, machine.sessionOpened(leaderEpoch: leaderEpoch) else { return false }
    if leaderEpoch != seen { remember(leaderEpoch) }
    settle()
    return true
  }

  /// Before anything that this leader says is done: see `SavedLeaderEpoch`.
  private func remember(_ leaderEpoch: Int64) {
    guard let incarnation = machine.incarnation else { return }
    do throws(AgentError) {
      try SavedLeaderEpoch(incarnation: incarnation, epoch: leaderEpoch).save(folder.leaderEpochFile)
    } catch {
      logger.error(
        "the leader's epoch cannot be saved; a restart will begin a new incarnation",
        metadata: ["error": "\(error)"])
      SavedIncarnation.delete(folder.incarnationFile)
    }
  }

  /// The session is over.
  func endSession(_ id: UInt64) {
    guard let session, session.id == id else { return }
    session.outbound.finish()
    self.session = nil
    machine.sessionClosed()
  }

  /// The leader's messages, after the welcome.
  func received(_ id: UInt64, _ messages: [ServerMessage]) {
    // What is assigned now is not begun: the next process has not heard of it, and is told again.
    guard session?.id == id, !isLeaving else { return }
    let now = Clocks.now()
    for message in messages {
      switch message {
      case .assign(let assignments): machine.assign(assignments, at: now)
      case .stop(let refs, let forget, let reason):
        machine.stop(refs, forget: forget, reason: reason, at: now)
      case .handOver(let refs, let reason): machine.handOver(refs, reason: reason, at: now)
      case .ack(let sequence): machine.acknowledged(sequence)
      case .welcome: break  // Said once already; nothing changes.
      case .checkpointAck(let ref, let sequence, let error):
        machine.checkpointAnswered(ref, sequence: sequence, error: error, at: now)
      }
    }
    settle()
  }

  /// A status is with the transport.
  func statusWritten(_ id: UInt64) {
    guard session?.id == id else { return }
    machine.statusWritten()
    settle()
  }

  /// New figures.
  func healthSampled(_ health: AgentHealth) {
    self.health = health
    machine.healthSampled(health)
    settle()
  }

  /// Whether the attempt's task may still write.
  func isLive(_ ref: AttemptRef) -> Bool { machine.isLive(ref) }

  /// Whether a session is the present one, and the leader has been heard on it.
  func isPresent(_ id: UInt64) -> Bool { session?.id == id && machine.hasSession }

  /// Whether the leader has been heard on the present session.
  var hasOpenSession: Bool { session != nil && machine.hasSession }

  // MARK: Effects

  /// Executes what the machine wants done. Noops end at once, which may lead to more.
  func settle() {
    guard !hasLeft else { return }
    while true {
      var effects = machine.takeEffects(at: Clocks.now())
      if effects.isEmpty { break }
      // Nor is it written down, so that the next process is told again.
      if isLeaving { effects.start = [] }
      // A noop that is lost in a crash does no harm, so only the ends of noops are written down.
      let begun = effects.start.filter { $0.spec.task != .noop }.map(\.ref)
      starting.formUnion(effects.start.filter { $0.spec.task.hasProcess }.map(\.ref))
      writeJournal { journal throws(AgentError) in
        try journal.append(begun: begun, ended: effects.journal, forgotten: effects.unjournal)
      }
      let ended = executor?.start(effects.start) ?? []
      if !effects.kill.isEmpty { executor?.kill(effects.kill) }
      for answer in effects.checkpoints { tell(answer) }
      for ref in effects.unjournal { sentCheckpoints[ref] = nil }
      apply(ended)
    }
    if journal.wantsCompaction {
      let (begun, ended) = machine.journaled
      let tasks = Array(running.values)
      writeJournal { journal throws(AgentError) in
        try journal.compact(begun: begun, running: tasks, ended: ended)
      }
    }
    guard let session else { return }
    if machine.wantsNewSession {
      logger.notice(
        "assignments were dropped while too many results were not acknowledged; asking for them again",
        metadata: ["dropped": "\(machine.counters.droppedAssignments)"])
      session.outbound.finish()
      machine.sessionClosed()
      return
    }
    for request in machine.takeCheckpoints(at: Clocks.now()) { session.outbound.yield(.checkpoint(request)) }
    if let status = machine.takeStatus() { session.outbound.yield(.status(status)) }
  }

  /// A disk that refuses makes a restart of the agent forget, no more: results are still delivered from memory.
  private func writeJournal(_ write: (inout ResultJournal) throws(AgentError) -> Void) {
    do { try write(&journal) } catch {
      logger.error("the result journal cannot be written", metadata: ["error": "\(error)"])
    }
  }
}
