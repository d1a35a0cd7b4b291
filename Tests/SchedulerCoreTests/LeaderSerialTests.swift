import Testing

@testable import SchedulerCore

/// Jobs of whose runs one at a time is with an agent, and those whose newer runs replace older ones.
struct LeaderSerialTests {
  private static let serial: [OverlapPolicy] = [.forbid, .queue(limit: 3), .replace]

  /// A leader with one agent of many slots.
  private struct Story {
    var bench = LeaderBench()
    let agent: Incarnation
    var session: UInt64 = 1
    private var sequence: UInt64 = 0

    init() { agent = bench.connect("a", session: 1, slots: 9) }

    mutating func end(_ run: RunKey, _ reason: EndReason = .exited, code: Int = 0) throws {
      sequence += 1
      bench.say(session, sequence, bench.ended(try bench.current(run), reason, code: code))
      bench.rest()
    }

    /// Another server leads, and the agent comes to it with all that it has.
    mutating func succeed() throws {
      let attempts = bench.etcd.runs.values.compactMap(\.record.current)
      bench.succeed()
      session += 1
      sequence = 0
      bench.hello(agent, session: session, attempts: attempts)
      bench.rest()
    }

    func states(_ runs: RunKey...) -> [RunState?] { runs.map(bench.state) }

    mutating func stops() -> [AttemptRef] {
      bench.sent(session).flatMap { message -> [AttemptRef] in
        if case .stop(let refs, false, _) = message { refs } else { [] }
      }
    }
  }

  // MARK: One at a time

  @Test(arguments: [OverlapPolicy.forbid, .queue(limit: 3)])
  func oneAfterTheOtherInTheOrderOfCreation(_ policy: OverlapPolicy) throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = policy }
    let second = try story.bench.add(to: first.job)
    let third = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, second, third) == [.assigned, .queued, .queued])
    try story.end(first)
    #expect(story.states(first, second, third) == [.completed, .assigned, .queued])
    try story.end(second)
    #expect(story.states(first, second, third) == [.completed, .completed, .assigned])
  }

  @Test func withoutAPolicyTheyRunBesideEachOther() throws {
    var story = Story()
    let first = story.bench.submit()
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .assigned])
  }

  @Test func whatBecomesSerialOrNoLongerIs() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .queue(limit: 3) }
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .queued])
    try story.bench.change(first.job) { $0.spec.overlap = .allow }
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .assigned])
    try story.bench.change(first.job) { $0.spec.overlap = .forbid }
    let third = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(third) == [.queued])
    try story.end(first)
    #expect(story.states(third) == [.queued], "the second still runs")
    try story.end(second)
    #expect(story.states(third) == [.assigned])
  }

  @Test func anAssignmentOnItsWayHoldsTheGate() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .forbid }
    story.bench.pass(0)
    #expect(story.bench.server.inFlight.count == 1)
    let second = try story.bench.add(to: first.job)
    story.bench.pass(0)
    #expect(story.bench.server.inFlight.count == 1, "the second has to wait for what becomes of the first")
    // It comes to nothing: the first is the first all the same.
    story.bench.refuse()
    story.bench.report()
    story.bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .queued])
  }

  @Test func aRetryIsWaitedFor() throws {
    var story = Story()
    let first = story.bench.submit {
      $0.overlap = .queue(limit: 3)
      $0.maxRetries = 1
    }
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    try story.end(first, code: 1)
    #expect(story.states(first, second) == [.retrying, .queued])
    story.bench.pass(1_000)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .queued])
    try story.end(first, code: 1)
    #expect(story.states(first, second) == [.failed, .assigned])
  }

  @Test func aRunThatLostItsAgentComesFirstAgain() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .queue(limit: 3) }
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    story.bench.lapse("a")
    story.bench.rest()
    #expect(story.states(first, second) == [.queued, .queued])
    story.bench.connect("b", session: 8, slots: 9)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .queued])
  }

  /// What backfills make waits like the rest, and the rest for it.
  @Test func runsOfBackfillsPassTheSameGate() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .forbid }
    let second = try story.bench.add(to: first.job, .backfill)
    let third = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, second, third) == [.assigned, .queued, .queued])
    try story.end(first)
    #expect(story.states(second, third) == [.assigned, .queued])
    try story.end(second)
    #expect(story.states(third) == [.assigned])
  }

  // MARK: Another leader

  @Test(arguments: [OverlapPolicy.forbid, .queue(limit: 3)])
  func theNextLeaderHoldsTheGate(_ policy: OverlapPolicy) throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = policy }
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    try story.succeed()
    story.bench.pass(5_000)
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .queued])
    #expect(story.bench.used("a") == 1)
    try story.end(first)
    #expect(story.states(first, second) == [.completed, .assigned])
  }

  /// The old leader died between etcd's commit of the assignment and hearing of it.
  @Test func anAssignmentThatTheOldLeaderNeverHeardOfHoldsTheGate() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .forbid }
    let second = try story.bench.add(to: first.job)
    story.bench.pass(0)
    story.bench.evaluate()
    try story.succeed()
    #expect(story.states(first, second) == [.assigned, .queued])
    try story.end(first)
    #expect(story.states(second) == [.assigned])
  }

  /// What the old leader sent before it lost its lease comes to etcd after that.
  @Test func anAssignmentOfTheOldLeaderThatComesLateIsNothing() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .forbid }
    story.bench.pass(0)
    let late = try #require(story.bench.server.inFlight.first?.proposal)
    try story.succeed()
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.bench.etcd.commit([late]) == false)
    #expect(story.states(first, second) == [.assigned, .queued])
  }

  // MARK: Cancel

  @Test(arguments: serial, [false, true])
  func cancelEndsAllOfThem(_ policy: OverlapPolicy, andTheLeaderDies: Bool) throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = policy }
    story.bench.rest()
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    let running = try story.bench.current(first)
    _ = story.stops()
    try story.bench.cancel(first.job)
    if andTheLeaderDies { try story.succeed() }
    story.bench.rest()
    #expect(story.states(first, second) == [.assigned, .cancelled])
    if policy != .replace || andTheLeaderDies { #expect(story.stops() == [running]) }
    try story.end(first, .cancelled)
    #expect(story.states(first, second) == [.cancelled, .cancelled])
    #expect(story.bench.etcd.runs[first]?.record.message == "enough")
    #expect(story.bench.used("a") == 0)
  }

  /// The first run has ended, the second one's assignment is on its way: the cancellation follows it.
  @Test func cancelBetweenTwoRuns() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .queue(limit: 3) }
    let second = try story.bench.add(to: first.job)
    let third = try story.bench.add(to: first.job)
    story.bench.rest()
    story.bench.say(1, 1, story.bench.ended(try story.bench.current(first)))
    story.bench.evaluate()
    story.bench.report()
    #expect(story.bench.server.inFlight.count == 1)
    try story.bench.cancel(first.job)
    story.bench.rest()
    #expect(story.states(first, second, third) == [.completed, .assigned, .cancelled])
    #expect(story.stops() == [try story.bench.current(second)])
  }

  // MARK: Replace

  @Test func aNewerRunReplacesTheRunningOne() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .replace }
    story.bench.rest()
    let ref = try story.bench.current(first)
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.stops() == [ref])
    #expect(story.states(first, second) == [.assigned, .queued], "it waits until the old one has stopped")
    try story.end(first, .cancelled)
    #expect(story.states(first, second) == [.cancelled, .assigned])
    #expect(story.bench.etcd.runs[first]?.record.message == "replaced by run \(second.runID)")
  }

  @Test func onlyTheNewestOfThoseThatWaitIsLeft() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .replace }
    story.bench.rest()
    let second = try story.bench.add(to: first.job)
    let third = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, second, third) == [.assigned, .cancelled, .queued])
    #expect(story.bench.etcd.runs[second]?.record.message == "replaced by run \(third.runID)")
    try story.end(first, .cancelled)
    #expect(story.states(first, third) == [.cancelled, .assigned])
    #expect(story.bench.etcd.runs[first]?.record.message == "replaced by run \(third.runID)")
  }

  @Test func theNextLeaderGoesOnWithAReplacement() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .replace }
    story.bench.rest()
    let ref = try story.bench.current(first)
    let second = try story.bench.add(to: first.job, isSeen: false)
    // The old leader has not even seen the new run.
    try story.succeed()
    #expect(story.stops() == [ref])
    #expect(story.states(first, second) == [.assigned, .queued])
    try story.end(first, .cancelled)
    #expect(story.states(first, second) == [.cancelled, .assigned])
    #expect(story.bench.etcd.runs[first]?.record.message == "replaced by run \(second.runID)")
  }

  /// It had come to its end before it could be stopped.
  @Test(arguments: [0, 1]) func whatEndsByItselfMeanwhileKeepsItsResult(code: Int) throws {
    var story = Story()
    let first = story.bench.submit {
      $0.overlap = .replace
      $0.maxRetries = 3
    }
    story.bench.rest()
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    try story.end(first, code: code)
    // A failure is not tried again: the newer run is wanted.
    #expect(story.states(first, second) == [code == 0 ? .completed : .cancelled, .assigned])
    #expect(story.bench.etcd.runs[first]?.record.attempts.last?.exitCode == code)
  }

  @Test func aReplacedRunWhoseAgentIsLostDoesNotComeBack() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .replace }
    story.bench.rest()
    let second = try story.bench.add(to: first.job)
    story.bench.rest()
    story.bench.lapse("a")
    story.bench.connect("b", session: 8, slots: 9)
    story.bench.rest()
    #expect(story.states(first, second) == [.cancelled, .assigned])
  }

  @Test func backfillsNeitherReplaceNorAreReplaced() throws {
    var story = Story()
    let first = story.bench.submit { $0.overlap = .replace }
    story.bench.rest()
    let backfilled = try story.bench.add(to: first.job, .backfill)
    story.bench.rest()
    #expect(story.states(first, backfilled) == [.assigned, .queued])
    #expect(story.stops().isEmpty)
    let newer = try story.bench.add(to: first.job)
    story.bench.rest()
    #expect(story.states(first, backfilled, newer) == [.assigned, .queued, .queued])
    try story.end(first, .cancelled)
    #expect(story.states(first, backfilled, newer) == [.cancelled, .assigned, .queued])
    try story.end(backfilled)
    #expect(story.states(newer) == [.assigned])
  }

  // MARK: Straight to an agent

  @Test func aSerialJobIsTakenStraightToAnAgentOnlyWhenNew() throws {
    var story = Story()
    var job = JobRecord(
      key: JobKey(namespace: "default", jobID: "n"), uid: "n", spec: JobSpec(task: .noop),
      createdAt: story.bench.now)
    job.spec.overlap = .forbid
    let run = RunRecord(
      key: RunKey(job: job.key, runID: "r"), scheduledTime: story.bench.now, createdAt: story.bench.now)
    let plain = Proposal(
      guards: [.jobAbsent(job.key), .runAbsent(run.key)], writes: [.job(job), .run(run)])
    let admitted = story.bench.server.admit(run, of: job, plain, now: story.bench.now)
    let sent = try #require(admitted)
    story.bench.server.inFlight.append(sent)
    story.bench.rest()
    var next = run
    next.key = RunKey(job: job.key, runID: "s")
    let another = story.bench.server.admit(next, of: job, plain, now: story.bench.now)
    #expect(another == nil)
  }
}
