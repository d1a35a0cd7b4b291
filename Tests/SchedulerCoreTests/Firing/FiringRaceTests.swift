import Testing

@testable import SchedulerCore

/// An owner that decides while others change what it decides from, and before it can have heard of that.
struct FiringRaceTests {
  private static let calendar = CalendarKey(namespace: "default", name: "closed")

  private static func closed(_ from: Timestamp, _ to: Timestamp) -> CalendarRecord {
    var spec = CalendarSpec()
    spec.ranges = [.init(from: from.rfc3339, to: to.rfc3339)]
    return CalendarRecord(key: calendar, spec: spec, createdAt: from)
  }

  // MARK: Calendars

  /// Whoever was told that a day is excluded must not see a run of that day.
  @Test(arguments: [true, false]) func aCalendarThatHasJustChangedIsObeyed(existedBefore: Bool) throws {
    var bench = LeaderBench()
    let now = bench.now
    if existedBefore {
      bench.commit([], [.calendar(Self.closed(now.adding(milliseconds: -9_000), now))])
    }
    let job = try bench.schedule(.cron("* * * * * *")) { $0.schedules[0].calendars = ["closed"] }
    bench.pass(1_000)
    #expect(bench.server.inFlight.count == 1)
    // The change is committed, and acknowledged, before the run is.
    bench.commit(
      [], [.calendar(Self.closed(now, now.adding(milliseconds: 2_500)))], isSeen: false)
    bench.evaluate()
    bench.report()
    bench.pass(FiringLimits.conflictPauseMillis)
    bench.rest()
    #expect(bench.etcd.runs.isEmpty)
    bench.pass(2_000)
    bench.rest()
    let times = bench.etcd.runs.values.map(\.record.scheduledTime)
    #expect(times == [now.adding(milliseconds: 3_000)])
    #expect(bench.etcd.jobs[job]?.record.skips.count == 0, "what is excluded is no occurrence")
  }

  // MARK: Backfills

  /// A run that another server triggered is not known here yet, though the job's record is. A backfill writes the job
  /// then: that must not pass for a sign that all of the job's runs are known.
  @Test func aBackfillHidesNoRunThatTheWatchHasNotBrought() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 9)
    let from = bench.now.adding(milliseconds: -2_500)
    let job = try bench.schedule(.fixedRate(everyMillis: 1_000)) {
      $0.overlap = .forbid
      $0.schedules[0].startTime = from
    }
    bench.commit(
      [],
      [
        .backfill(
          BackfillRecord(
            key: BackfillKey(job: job, backfillID: "b"), from: from, to: bench.now,
            order: .oldestFirst, parallelism: 1, createdAt: bench.now))
      ])
    bench.rest()
    let first = try #require(bench.etcd.runs.keys.min())
    #expect(bench.state(first) == .assigned)
    try bench.add(to: job, isSeen: false)
    // The next occurrence meets the triggered run's write of the job, which is learned ahead of the watch.
    bench.pass(1_000)
    bench.evaluate()
    bench.report()
    // The backfill's run ends, so that the next one may be created.
    bench.say(1, 1, bench.ended(try bench.current(first)))
    for _ in 0..<20 {
      bench.evaluate()
      bench.report()
      bench.pass(100)
    }
    #expect(bench.unendedRegularRuns == 1)
    bench.rest()
    bench.pass(FiringLimits.conflictPauseMillis)
    bench.rest()
    #expect(bench.unendedRegularRuns == 1)
    #expect(bench.etcd.backfills.values.first?.record.created == 2, "it has gone on")
  }

  // MARK: Delete

  @Test func aJobThatIsDeletedAsItFiresLeavesNothing() throws {
    var bench = LeaderBench()
    let job = try bench.schedule(.cron("* * * * * *"))
    bench.pass(1_000)
    #expect(bench.server.inFlight.count == 1)
    try bench.delete(job)
    for _ in 0..<3 {
      bench.rest()
      bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    }
    #expect(bench.etcd.runs.isEmpty && bench.etcd.jobs.isEmpty)
    #expect(bench.etcd.history.allSatisfy { if case .run = $0.change { false } else { true } })
  }

  @Test func aJobThatHasFiredAsItIsDeletedLeavesNothing() throws {
    var bench = LeaderBench()
    let job = try bench.schedule(.cron("* * * * * *"))
    bench.pass(1_000)
    bench.evaluate()
    #expect(bench.etcd.runs.count == 1)
    try bench.delete(job)
    for _ in 0..<3 {
      bench.rest()
      bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    }
    #expect(bench.etcd.runs.isEmpty && bench.etcd.jobs.isEmpty)
    bench.pass(10_000)
    #expect(bench.server.inFlight.isEmpty)
  }

  // MARK: Twice, and late

  /// What an owner had sent comes to etcd after the segment has moved and the next owner has fired.
  @Test func whatAnOwnerSentBeforeItDiedIsNotWrittenTwice() throws {
    var bench = LeaderBench()
    try bench.schedule(.cron("* * * * * *"))
    bench.pass(1_000)
    let late = try #require(bench.server.inFlight.first?.proposal)
    bench.succeed()
    bench.rest()
    let times = bench.etcd.runs.values.map(\.record.scheduledTime).sorted()
    #expect(times == [bench.now.adding(milliseconds: -1_000), bench.now])
    let before = bench.etcd.revision
    #expect(bench.etcd.commit([late]) == false)
    #expect(bench.etcd.revision == before)
  }

  /// An owner that is stopped for a minute and continued, while another one has its segments.
  @Test func aStoppedOwnerWritesNothingWhenItGoesOn() throws {
    var bench = LeaderBench()
    try bench.schedule(.cron("* * * * * *")) { $0.misfire.action = .all }
    var stopped = bench.server
    bench.succeed()
    bench.pass(60_000)
    for _ in 0..<5 { bench.rest() }
    let before = bench.etcd.revision
    stopped.turn(now: bench.now)
    #expect(!stopped.inFlight.isEmpty, "it does not know yet")
    for sent in stopped.inFlight { #expect(bench.etcd.commit([sent.proposal]) == false) }
    #expect(bench.etcd.revision == before)
    stopped.inFlight = []
    stopped.watch(bench.etcd, count: .max / 2, now: bench.now)
    stopped.turn(now: bench.now.adding(milliseconds: 60_000))
    #expect(stopped.inFlight.isEmpty && stopped.firing.segmentsOwned == 0)
  }
}

extension LeaderBench {
  /// Commits what somebody else writes.
  fileprivate mutating func commit(
    _ guards: [Proposal.Guard], _ writes: [Proposal.Write], isSeen: Bool = true
  ) {
    _ = etcd.commit([Proposal(guards: guards, writes: writes)])
    guard isSeen else { return }
    watch()
    server.turn(now: now)
  }

  /// Submits a job with a schedule.
  @discardableResult
  fileprivate mutating func schedule(
    _ rule: Schedule.Rule, _ change: (inout JobSpec) -> Void = { _ in }
  ) throws -> JobKey {
    var spec = JobSpec(task: .noop)
    spec.schedules = [Schedule(rule)]
    change(&spec)
    let key = JobKey(namespace: "default", jobID: "s")
    let record = JobRecord(key: key, uid: "s", spec: spec, createdAt: now)
    let plan = try JobPlan(record, zones: .utcOnly) { _ in nil }
    commit([.jobAbsent(key)], [.job(plan.started(at: now))])
    return key
  }

  fileprivate var unendedRegularRuns: Int {
    etcd.runs.values.count { $0.record.trigger != .backfill && !$0.record.state.isTerminal }
  }
}
