import Testing

@testable import SchedulerCore

/// Concurrency groups, `max_running` and `start_deadline`, as a leader keeps them.
struct LeaderLimitTests {
  /// A leader with one agent of many slots.
  private struct Story {
    var bench = LeaderBench()
    let agent: Incarnation
    var session: UInt64 = 1
    private var sequence: UInt64 = 0

    init() { agent = bench.connect("a", session: 1, slots: 9) }

    @discardableResult
    mutating func submit(
      group: String = "g", limit: Int = 1, _ whenFull: Concurrency.WhenFull = .wait,
      _ change: (inout JobSpec) -> Void = { _ in }
    ) -> RunKey {
      bench.pass(1)
      let run = bench.submit {
        $0.concurrency = Concurrency(key: group, limit: limit, whenFull: whenFull)
        change(&$0)
      }
      bench.rest()
      return run
    }

    mutating func end(_ run: RunKey, _ reason: EndReason = .exited, code: Int = 0) throws {
      sequence += 1
      bench.say(session, sequence, bench.ended(try bench.current(run), reason, code: code))
      bench.rest()
    }

    mutating func succeed() throws {
      let attempts = bench.etcd.runs.values.compactMap(\.record.current)
      bench.succeed()
      session += 1
      sequence = 0
      bench.hello(agent, session: session, attempts: attempts)
      bench.rest()
    }

    func states(_ runs: RunKey...) -> [RunState?] { runs.map(bench.state) }
    func message(_ run: RunKey) -> String? { bench.etcd.runs[run]?.record.message }

    mutating func stops() -> [RunKey] {
      bench.sent(session).flatMap { message -> [RunKey] in
        if case .stop(let refs, false, _) = message { refs.map(\.run) } else { [] }
      }
    }
  }

  // MARK: Wait

  @Test func aGroupOfSeveralJobsHasItsSlots() throws {
    var story = Story()
    let runs = (0..<4).map { _ in story.submit(limit: 2) }
    let other = story.submit(group: "another")
    #expect(runs.map(story.bench.state) == [.assigned, .assigned, .queued, .queued])
    #expect(story.states(other) == [.assigned])
    let why = try story.bench.machine.waitingReason(
      of: runs[2], story.bench.server.cache, now: story.bench.now)
    #expect(why?.contains("'g' was full (limit 2): held by j1/") == true)
    try story.end(runs[0])
    #expect(runs.map(story.bench.state) == [.completed, .assigned, .assigned, .queued])
    try story.end(runs[2])
    try story.end(runs[1])
    #expect(story.states(runs[3]) == [.assigned])
    try story.end(runs[3])
    try story.end(other)
    #expect(try story.bench.machine.limits.isEmpty)
  }

  /// The slot belongs to the run until its end is durable.
  @Test func anEndThatIsNotDurableFreesNoSlot() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit()
    story.bench.say(1, 1, story.bench.ended(try story.bench.current(first)))
    #expect(story.bench.server.inFlight.count == 1)
    story.bench.refuse()
    story.bench.report()
    #expect(story.bench.server.inFlight.isEmpty && story.states(second) == [.queued])
    story.bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    story.bench.rest()
    #expect(story.states(first, second) == [.completed, .assigned])
  }

  @Test func anAssignmentOnItsWayHoldsTheSlot() throws {
    var story = Story()
    let first = story.bench.submit { $0.concurrency = Concurrency(key: "g") }
    story.bench.pass(0)
    let second = story.bench.submit { $0.concurrency = Concurrency(key: "g") }
    story.bench.pass(0)
    #expect(story.bench.server.inFlight.count == 1)
    story.bench.refuse()
    story.bench.report()
    story.bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    story.bench.rest()
    #expect(story.states(first, second).filter { $0 == .assigned }.count == 1)
  }

  @Test func theNextLeaderFindsTheSlotsTaken() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit()
    try story.succeed()
    story.bench.pass(5_000)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .queued])
    try story.end(first)
    #expect(story.states(second) == [.assigned])
  }

  @Test func aLostAgentLosesNoSlot() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit()
    story.bench.lapse("a")
    story.bench.rest()
    #expect(story.states(first, second) == [.queued, .queued])
    story.bench.connect("b", session: 8, slots: 9)
    story.bench.rest()
    #expect(story.states(first, second).filter { $0 == .assigned }.count == 1)
  }

  @Test func aRetryGivesItsSlotBack() throws {
    var story = Story()
    let first = story.submit { $0.maxRetries = 1 }
    let second = story.submit()
    try story.end(first, code: 1)
    #expect(story.states(first, second) == [.retrying, .assigned])
    story.bench.pass(1_000)
    story.bench.rest()
    #expect(story.states(first, second) == [.queued, .assigned])
  }

  @Test func maxRunningOfAJob() throws {
    var story = Story()
    let first = story.bench.submit { $0.maxRunning = 2 }
    let second = try story.bench.add(to: first.job)
    let third = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, second, third) == [.assigned, .assigned, .queued])
    try story.bench.change(first.job) { $0.spec.maxRunning = 3 }
    story.bench.rest()
    #expect(story.states(third) == [.assigned])
    try story.bench.change(first.job) { $0.spec.maxRunning = 1 }
    let fourth = try story.bench.add(to: first.job)
    for run in [first, second] {
      try story.end(run)
      #expect(story.states(fourth) == [.queued])
    }
    try story.bench.change(first.job) { $0.spec.maxRunning = 0 }
    story.bench.rest()
    #expect(story.states(fourth) == [.assigned])
  }

  /// A run that goes straight to an agent when it is created passes the same gate.
  @Test func admissionNeedsASlot() throws {
    var story = Story()
    let first = story.submit()
    var spec = JobSpec(task: .noop)
    spec.concurrency = Concurrency(key: "g")
    let job = JobRecord(
      key: JobKey(namespace: "default", jobID: "new"), uid: "u", spec: spec, createdAt: story.bench.now)
    var run = RunRecord(
      key: RunKey(job: job.key, runID: "r"), scheduledTime: story.bench.now, createdAt: story.bench.now)
    run.joinGroup(of: spec)
    var machine = try story.bench.machine
    let cache = story.bench.server.cache
    let admitted1 = machine.admit(run, of: job, cache, now: story.bench.now)
    #expect(admitted1 == nil)
    try story.end(first)
    machine = try story.bench.machine
    let admitted2 = machine.admit(run, of: job, story.bench.server.cache, now: story.bench.now)
    #expect(admitted2 != nil)
    run.key = RunKey(job: job.key, runID: "r2")
    let admitted3 = machine.admit(run, of: job, story.bench.server.cache, now: story.bench.now)
    #expect(admitted3 == nil)
  }

  // MARK: Skip

  @Test func whatFindsTheGroupFullIsSkipped() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit(.skip)
    #expect(story.states(first, second) == [.assigned, .skipped])
    #expect(story.message(second)?.contains("held by \(first.job.jobID)/\(first.runID)") == true)
    #expect(story.bench.server.cache.status(of: second.job) == .cancelled)
    try story.end(first)
    let third = story.submit(.skip)
    #expect(story.states(third) == [.assigned])
  }

  /// One that has begun before is not left out for others that took its slot.
  @Test func whatHasBegunIsNotSkipped() throws {
    var story = Story()
    let first = story.submit(.skip) { $0.maxRetries = 1 }
    let second = story.submit()
    try story.end(first, code: 1)
    story.bench.pass(1_000)
    story.bench.rest()
    #expect(story.states(first, second) == [.queued, .assigned])
  }

  // MARK: Cancel the oldest

  @Test func theOldestMakesWay() throws {
    var story = Story()
    let first = story.submit(limit: 2)
    let second = story.submit(limit: 2)
    _ = story.stops()
    let third = story.submit(limit: 2, .cancelOldest)
    let stopped = story.stops()
    #expect(stopped == [first])
    #expect(story.states(first, second, third) == [.assigned, .assigned, .queued])
    try story.end(first, .cancelled)
    #expect(story.states(first, second, third) == [.cancelled, .assigned, .assigned])
    let why = "made way for run \(third.job.jobID)/\(third.runID) of its concurrency group"
    #expect(story.message(first) == why)
    let more = story.stops()
    #expect(more.isEmpty)
  }

  @Test func theNextLeaderHasItStopped() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit(.cancelOldest)
    try story.succeed()
    let stopped = story.stops()
    #expect(stopped == [first])
    try story.end(first, .cancelled)
    #expect(story.states(first, second) == [.cancelled, .assigned])
  }

  @Test func ofThoseThatWaitTheNewestCounts() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit(.cancelOldest)
    let third = story.submit(.cancelOldest)
    #expect(story.states(first, second, third) == [.assigned, .cancelled, .queued])
    try story.end(first, .cancelled)
    #expect(story.states(third) == [.assigned])
  }

  // MARK: Late starts

  @Test func whatHasNotBegunInTimeIsSkipped() throws {
    var story = Story()
    let first = story.submit()
    let second = story.submit { $0.startDeadlineMillis = 60_000 }
    let third = story.submit { $0.startDeadlineMillis = 120_000 }
    story.bench.pass(60_000)
    story.bench.rest()
    #expect(story.states(second, third) == [.skipped, .queued])
    #expect(story.message(second)?.hasPrefix("it was not started within 1m of when it was due") == true)
    #expect(story.message(second)?.contains("held by") == true)
    try story.end(first)
    #expect(story.states(third) == [.assigned])
    story.bench.pass(120_000)
    story.bench.rest()
    #expect(story.states(third) == [.assigned])
  }

  @Test func withoutAnAgentToo() throws {
    var bench = LeaderBench()
    let run = bench.submit { $0.startDeadlineMillis = 1_000 }
    bench.rest()
    bench.pass(999)
    bench.rest()
    #expect(bench.state(run) == .queued)
    bench.pass(1)
    bench.rest()
    #expect(bench.state(run) == .skipped)
  }
}
