import Testing

@testable import SchedulerCore

/// Every way in which a run's record changes.
struct RunTransitionsTests {
  static let a = Incarnation(agentID: "a", createRevision: 5)
  static let b = Incarnation(agentID: "b", createRevision: 9)
  static let jobKey = JobKey(namespace: "default", jobID: "job")
  static let now = Timestamp(milliseconds: 10_000)

  static func job(
    retries: Int = 0, onLoss: AgentLossPolicy = .restart, cancelled: Bool = false
  ) -> JobRecord {
    var spec = JobSpec(task: .noop)
    spec.maxRetries = retries
    spec.backoff = Backoff(curve: .list([1_000]), jitter: 0)
    spec.onAgentLoss = onLoss
    var job = JobRecord(key: jobKey, uid: "u", spec: spec, createdAt: Timestamp(milliseconds: 0))
    if cancelled {
      job.cancelRequestedAt = Timestamp(milliseconds: 1)
      job.cancelReason = "enough"
    }
    return job
  }

  static func queued() -> RunRecord {
    RunRecord(
      key: RunKey(job: jobKey, runID: "r"), scheduledTime: Timestamp(milliseconds: 0),
      createdAt: Timestamp(milliseconds: 0))
  }

  static func assigned(to agent: Incarnation = a) -> RunRecord {
    var run = queued()
    run.assign(to: agent, at: now)
    return run
  }

  static func end(_ reason: EndReason = .exited, code: Int? = nil) -> AttemptEnd {
    AttemptEnd(endedAt: now, reason: reason, exitCode: code)
  }

  /// Applies an update of the current attempt and holds the result against the state machine.
  @discardableResult
  static func apply(
    _ end: AttemptEnd?, started: Bool = true, to run: inout RunRecord, job: JobRecord = job(),
    from agent: String = "a"
  ) throws -> RunRecord.UpdateVerdict {
    let update = AttemptUpdate(ref: try #require(run.current), startedAt: started ? now : nil, end: end)
    let before = run.state
    let verdict = run.apply(update, from: agent, job: job, now: now, random: 0.5)
    if run.state != before { #expect(before.successors.contains(run.state)) }
    return verdict
  }

  static func expect(
    _ wanted: RunRecord.UpdateVerdict, _ verdict: RunRecord.UpdateVerdict,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(verdict == wanted, sourceLocation: sourceLocation)
  }

  // MARK: Assigning

  @Test func anAssignmentTakesTheNextAttemptAndFence() throws {
    var run = Self.assigned()
    #expect(run.state == .assigned && run.owner == Self.a)
    #expect(run.current == AttemptRef(run: run.key, attempt: 1, fence: 1, incarnation: 5))
    run.loseAgent(job: Self.job(), now: Self.now)
    #expect(run.state == .queued && run.current == nil && run.owner == nil)
    run.assign(to: Self.b, at: Self.now)
    #expect(run.current == AttemptRef(run: run.key, attempt: 2, fence: 2, incarnation: 9))
    #expect(run.message == nil)
    #expect(run.agentsTried == ["a", "b"])
  }

  @Test func attemptsKeptAreBoundedAndTheirNumbersAreNot() {
    var run = Self.queued()
    for attempt in 1...50 {
      let fence = run.fence
      run.assign(to: Self.a, at: Self.now)
      #expect(run.attempt == attempt && run.fence == fence + 1)
      #expect(run.attempts.count == min(attempt, RunLimits.attemptsKept))
      #expect(run.attempts.last?.attempt == attempt)
      run.loseAgent(job: Self.job(), now: Self.now)
    }
    #expect(run.attempts.first?.attempt == 50 - RunLimits.attemptsKept + 1)
  }

  // MARK: Updates

  @Test func aStartMakesItRunOnce() throws {
    var run = Self.assigned()
    try Self.expect(.applied, Self.apply(nil, to: &run))
    #expect(run.state == .running && run.attempts.last?.startedAt == Self.now)
    try Self.expect(.known, Self.apply(nil, to: &run))
  }

  @Test func successCompletes() throws {
    var run = Self.assigned()
    try Self.expect(.applied, Self.apply(Self.end(code: 0), to: &run))
    #expect(run.state == .completed && run.finishedAt == Self.now && run.message == nil)
    #expect(run.attempts.last?.exitCode == 0 && run.attempts.last?.startedAt == Self.now)
    #expect(run.state.successors.isEmpty)
  }

  @Test(arguments: [EndReason.exited, .timeout, .startFailed, .outOfMemory])
  func aFailureIsRetriedAsOftenAsTheJobSays(reason: EndReason) throws {
    var run = Self.queued()
    let job = Self.job(retries: 2)
    for retry in 1...2 {
      run.assign(to: Self.a, at: Self.now)
      try Self.expect(.applied, Self.apply(Self.end(reason, code: 1), to: &run, job: job))
      #expect(run.state == .retrying && run.retryCount == retry)
      #expect(run.nextAttemptAt == Self.now.adding(milliseconds: 1_000))
      run.requeueForRetry(at: Self.now)
      #expect(run.state == .queued && run.nextAttemptAt == nil)
    }
    run.assign(to: Self.a, at: Self.now)
    try Self.apply(Self.end(reason, code: 1), to: &run, job: job)
    #expect(run.state == .failed && run.retryCount == 2 && run.finishedAt == Self.now)
    #expect(run.message?.contains("all 2 retries") == true)
  }

  @Test(arguments: [EndReason.fenced, .agentStopped, .agentLost])
  func whatTheAgentCouldNotKeepCostsNoRetry(reason: EndReason) throws {
    var run = Self.assigned()
    try Self.apply(nil, to: &run)
    try Self.apply(Self.end(reason), to: &run)
    #expect(run.state == .queued && run.retryCount == 0 && run.message != nil)
  }

  @Test func theTailOfTheOutputIsBounded() throws {
    var run = Self.assigned()
    var end = Self.end(code: 0)
    end.outputTail = Array(repeating: 1, count: RunLimits.outputTailBytes) + [2]
    try Self.apply(end, to: &run)
    #expect(run.outputTail.count == RunLimits.outputTailBytes && run.outputTail.last == 2)
  }

  // MARK: Stale news

  @Test func onlyTheCurrentAttemptOfItsOwnerCounts() throws {
    let run = Self.assigned()
    let ref = try #require(run.current)
    let wrong = [
      AttemptRef(run: ref.run, attempt: 2, fence: ref.fence, incarnation: ref.incarnation),
      AttemptRef(run: ref.run, attempt: 1, fence: 2, incarnation: ref.incarnation),
      AttemptRef(run: ref.run, attempt: 1, fence: ref.fence, incarnation: 6),
      AttemptRef(
        run: RunKey(job: ref.run.job, runID: "x"), attempt: 1, fence: 1, incarnation: ref.incarnation),
    ]
    for (ref, agent) in wrong.map({ ($0, "a") }) + [(ref, "b")] {
      var copy = run
      let update = AttemptUpdate(ref: ref, startedAt: Self.now, end: Self.end(code: 0))
      let verdict = copy.apply(update, from: agent, job: Self.job(), now: Self.now, random: 0)
      #expect(verdict == .stale && copy == run)
    }
  }

  @Test func nothingChangesAfterTheEnd() throws {
    var run = Self.assigned()
    let ref = try #require(run.current)
    try Self.apply(Self.end(code: 0), to: &run)
    let ended = run
    let late = AttemptUpdate(ref: ref, end: Self.end(code: 1))
    let verdict = run.apply(late, from: "a", job: Self.job(), now: Self.now, random: 0)
    #expect(verdict == .stale)
    #expect(run == ended)
  }

  // MARK: Loss

  @Test func aLostAgentsRunFailsWhereItMustNotStartTwice() {
    for isRunning in [false, true] {
      var run = Self.assigned()
      if isRunning { run.state = .running }
      run.loseAgent(job: Self.job(onLoss: .fail), now: Self.now)
      // Whether it started is not known: it may have.
      #expect(run.state == .failed && run.message?.contains("on_agent_loss") == true)
      #expect(run.attempts.last?.endReason == .agentLost && run.attempts.last?.endedAt == Self.now)
    }
  }

  @Test func whatNeverStartedMayStartElsewhere() throws {
    var run = Self.assigned()
    try Self.apply(Self.end(.fenced), started: false, to: &run, job: Self.job(onLoss: .fail))
    #expect(run.state == .queued)
  }

  @Test func whatStartedMustNotStartAgain() throws {
    var said = Self.assigned()
    try Self.apply(Self.end(.fenced), started: true, to: &said, job: Self.job(onLoss: .fail))
    #expect(said.state == .failed)
    // It was running, though nobody said since when.
    var running = Self.assigned()
    try Self.apply(nil, started: false, to: &running)
    try Self.apply(Self.end(.agentStopped), started: false, to: &running, job: Self.job(onLoss: .fail))
    #expect(running.state == .failed)
  }

  @Test(arguments: [EndReason.fenced, .agentStopped])
  func aStopThatTheAgentConfirmsIsAFailedAttempt(reason: EndReason) throws {
    var job = Self.job(retries: 1, onLoss: .fail)
    var run = Self.assigned()
    try Self.apply(Self.end(reason), to: &run, job: job)
    #expect(run.state == .retrying && run.retryCount == 1)
    #expect(
      run.message
        == "the agent could not keep it (\(reason.rawValue)), and the job says on_agent_loss: fail; "
        + "retry 1 of 1 after an end by its agent (\(reason.rawValue))")
    run.requeueForRetry(at: Self.now)
    run.assign(to: Self.b, at: Self.now)
    #expect(run.message == nil)
    try Self.apply(Self.end(reason), to: &run, job: job, from: "b")
    #expect(run.state == .failed && run.message?.contains("its only retry was used") == true)
    // Filters know it by one name.
    job.spec.noRetryOn = FailureFilter(reasons: [.agentStopped])
    run = Self.assigned()
    try Self.apply(Self.end(reason), to: &run, job: job)
    #expect(run.state == .failed && run.message?.contains("no_retry_on") == true)
    // Of a loss nobody knows how it ended.
    run = Self.assigned()
    run.loseAgent(job: Self.job(retries: 5, onLoss: .fail), now: Self.now)
    #expect(run.state == .failed && run.retryCount == 0)
  }

  // MARK: Waiting for the agent

  @Test func aRunMayWaitForItsAgent() throws {
    var job = Self.job(onLoss: .wait)
    let until = Self.now.adding(milliseconds: 300_000)
    for (reason, started) in [(nil, true), (EndReason.fenced, true), (.agentStopped, false)] {
      var run = Self.assigned()
      if let reason {
        try Self.apply(Self.end(reason), started: started, to: &run, job: job)
      } else {
        run.loseAgent(job: job, now: Self.now)
      }
      #expect(run.state == .queued && run.retryCount == 0)
      #expect(run.waitsForWorker == "a" && run.waitsUntil == until)
      #expect(run.message?.hasSuffix("and the job says on_agent_loss: wait (5m)") == true)
      #expect(run.awaitedAgent(job.spec, at: until.adding(milliseconds: -1)) == "a")
      #expect(run.awaitedAgent(job.spec, at: until) == nil)
      // A job that has been changed waits no longer.
      #expect(run.awaitedAgent(Self.job().spec, at: Self.now) == nil)
      var cancelled = run
      cancelled.cancelWaiting(reason: nil, at: Self.now)
      #expect(cancelled.waitsForWorker == nil && cancelled.waitsUntil == nil)
      run.assign(to: Self.b, at: Self.now)
      #expect(run.waitsForWorker == nil && run.waitsUntil == nil && run.message == nil)
    }
    job.spec.agentLossWaitMillis = 1_500
    var run = Self.assigned()
    run.loseAgent(job: job, now: Self.now)
    #expect(run.waitsUntil == Self.now.adding(milliseconds: 1_500))
  }

  // MARK: The total timeout

  @Test func aRunThatWaitsFailsWhenItsTimeIsOver() throws {
    var job = Self.job(retries: 3)
    job.spec.totalTimeoutMillis = 10_000
    var run = Self.queued()
    #expect(!run.isOverdue(job.spec, at: Self.now.earlier) && run.isOverdue(job.spec, at: Self.now))
    run.failOverdue(spec: job.spec, at: Self.now)
    #expect(run.state == .failed && run.finishedAt == Self.now)
    #expect(run.message == "the total timeout of 10s is over")
    // An attempt that was cut short is the run's end.
    run = Self.assigned()
    try Self.apply(Self.end(.timeout), to: &run, job: job)
    #expect(run.state == .failed && run.message == "the total timeout of 10s is over")
    // One that succeeded at the last moment has succeeded.
    run = Self.assigned()
    try Self.apply(Self.end(code: 0), to: &run, job: job)
    #expect(run.state == .completed)
  }

  /// An agent that was restarted within its lease has lost what it knew of starts.
  @Test func anAgentsRestartCountsAsAStart() throws {
    var run = Self.assigned()
    let ref = try #require(run.current)
    var machine = AgentMachine(limits: AgentMachine.Limits(slots: 1))
    machine.recovered([AttemptUpdate(ref: ref, end: Self.end(.agentStopped))])
    _ = machine.sessionOpened(leaderEpoch: 1)
    let status = machine.takeStatus()
    let update = try #require(status?.updates.first)
    let verdict = run.apply(update, from: "a", job: Self.job(onLoss: .fail), now: Self.now, random: 0)
    #expect(verdict == .applied && run.state == .failed)
  }

  // MARK: Cancelling

  @Test func waitingRunsAreCancelledAtOnce() {
    var run = Self.queued()
    run.cancelWaiting(reason: "enough", at: Self.now)
    #expect(run.state == .cancelled && run.message == "enough" && run.finishedAt == Self.now)
  }

  @Test func cancelRacesEndInOneState() throws {
    let job = Self.job(retries: 3, cancelled: true)
    // It had succeeded before it could be stopped.
    var succeeded = Self.assigned()
    try Self.apply(Self.end(code: 0), to: &succeeded, job: job)
    #expect(succeeded.state == .completed)
    for reason in EndReason.allCases {
      var run = Self.assigned()
      try Self.apply(Self.end(reason, code: 1), to: &run, job: job)
      #expect(run.state == .cancelled && run.message == "enough" && run.retryCount == 0, "\(reason)")
    }
    var lost = Self.assigned()
    lost.loseAgent(job: job, now: Self.now)
    #expect(lost.state == .cancelled)
  }

  /// A former leader had told the agent; this one has not heard of the cancellation yet.
  @Test func whatWasStoppedOnRequestIsCancelledNotFailed() throws {
    var run = Self.assigned()
    try Self.apply(Self.end(.cancelled), to: &run, job: Self.job(retries: 3))
    #expect(run.state == .cancelled)
  }

  // MARK: The state machine

  @Test func terminalStatesAreFinalAndAllOthersLeadToOne() {
    for state in RunState.allCases {
      #expect(state.isTerminal == state.successors.isEmpty)
      #expect(!state.successors.contains(state))
      var reached: Set<RunState> = [state]
      while case let next = reached.union(reached.flatMap(\.successors)), next != reached { reached = next }
      #expect(reached.contains { $0.isTerminal })
    }
  }
}
