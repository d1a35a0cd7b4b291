import Testing

@testable import SchedulerCore

/// An owner of segments, its etcd, and a watch that brings what the test lets through.
struct FiringBench {
  static let start = JobPlanTests.start
  static func after(_ seconds: Double) -> Timestamp { JobPlanTests.after(seconds) }

  var etcd = SimulatedEtcd()
  var cache = ClusterCache()
  var machine = FiringMachine(serverID: "a", zones: .utcOnly, seed: 1)
  var now = start
  var inFlight: [(id: FiringMachine.ProposalID, proposal: Proposal)] = []
  private var watched = 0
  private let keyspace = Keyspace(segmentCount: MetaRecord.current.segmentCount)

  /// The owner of all segments.
  init() {
    for segment in 0..<MetaRecord.current.segmentCount {
      _ = etcd.commit([
        Proposal(guards: [], writes: [.segment(segment, SegmentRecord(serverID: "a"), lease: 1)])
      ])
    }
    watch()
    // Which looks at what the segments hold.
    turn(at: 0)
  }

  // MARK: What others write

  mutating func write(_ writes: Proposal.Write..., seen: Bool = true) {
    _ = etcd.commit([Proposal(guards: [], writes: writes)])
    if seen { watch() }
  }

  mutating func give(_ job: JobKey, to server: String) {
    _ = etcd.commit([
      Proposal(
        guards: [],
        writes: [.segment(keyspace.segment(of: job), SegmentRecord(serverID: server), lease: 2)])
    ])
  }

  mutating func end(_ second: Double, of job: JobKey = anyJob) throws {
    var run = try #require(etcd.runs[RunKey(job: job, runID: runID(for: Self.after(second)))]?.record)
    run.state = .completed
    run.finishedAt = now
    write(.run(run))
  }

  mutating func watch() {
    let news = etcd.history[watched...]
    watched = etcd.history.count
    for event in news where cache.apply(event.change, at: event.revision) { noticed(event.change) }
    cache.advance(to: etcd.revision)
  }

  private mutating func noticed(_ change: CacheChange) {
    switch change {
    case .job(let key, _), .listedJob(let key, _): machine.jobChanged(key, cache, now: now)
    case .run(let key, _): machine.runChanged(key, cache, now: now)
    case .calendar(let key, _): machine.calendarChanged(key, cache, now: now)
    case .backfill(let key, _): machine.backfillChanged(key, cache, now: now)
    case .segment(let number, let owner):
      let epoch = owner?.record.serverID == "a" ? owner?.modRevision : nil
      machine.ownershipChanged(number, epoch: epoch, cache, now: now)
    case .agent, .server, .leader, .drain, .queue, .group, .quota: break
    }
  }

  /// What was learned by a conflict or a commit, ahead of the watch.
  mutating func learnAhead(_ job: JobKey = anyJob) {
    guard let value = etcd.jobs[job] else { return }
    if cache.applyAhead(.job(job, value), at: value.modRevision) { noticed(.job(job, value)) }
  }

  // MARK: The owner

  /// How many proposals a turn makes.
  @discardableResult mutating func turn(at second: Double) -> Int {
    now = Self.after(second)
    let effects = machine.turn(cache, now: now)
    for case .propose(let id, let proposal, _) in effects { inFlight.append((id, proposal)) }
    return effects.count
  }

  /// etcd gets to what was proposed. Returns how many proposals met a conflict.
  @discardableResult mutating func settle() -> Int {
    var conflicts = 0
    for sent in inFlight {
      let isCommitted = etcd.commit([sent.proposal])
      if !isCommitted { conflicts += 1 }
      watch()
      machine.concluded(sent.id, isCommitted ? .committed : .conflict, cache, now: now)
    }
    inFlight = []
    return conflicts
  }

  /// Turns until nothing is left to do at that time.
  mutating func run(to second: Double) {
    for _ in 0..<50 {
      turn(at: second)
      if inFlight.isEmpty { return }
      settle()
    }
    Issue.record("it never comes to rest")
  }

  /// The runs of a job that there are, seconds after the start.
  func runs(of job: JobKey = anyJob) -> [Double] {
    etcd.runs.values.filter { $0.record.key.job == job }.map { JobPlanTests.seconds($0.record.scheduledTime) }
      .sorted()
  }
}

struct FiringMachineTests {
  typealias Bench = FiringBench

  private static func once(_ id: String, at second: Double) throws -> JobRecord {
    var spec = JobSpec(task: .noop)
    spec.executionTime = Bench.after(second)
    let record = JobRecord(
      key: JobKey(namespace: "default", jobID: id), uid: id, spec: spec, createdAt: Bench.start)
    return try JobPlanTests.plan(record).started(at: Bench.start)
  }

  // MARK: Jobs

  @Test func jobsComeAndGo() throws {
    var bench = Bench()
    let first = try Self.once("first", at: 10)
    let second = try Self.once("second", at: 20)
    bench.write(.job(first))
    bench.write(.job(second))
    #expect(bench.machine.nextDeadline == Bench.after(10) && bench.machine.scheduledJobs == 2)
    #expect(bench.turn(at: 9) == 0)
    bench.write(.deleteJob(first.key))
    #expect(bench.turn(at: 15) == 0)
    #expect(bench.machine.nextDeadline == Bench.after(20))
    // Another job may get the place of the deleted one.
    let third = try Self.once("third", at: 17)
    bench.write(.job(third))
    bench.run(to: 18)
    #expect(bench.runs(of: third.key) == [17] && bench.runs(of: first.key) == [])
    bench.run(to: 20)
    #expect(bench.runs(of: second.key) == [20])
    #expect(bench.machine.nextDeadline == nil && bench.machine.counters.fired == 2)
  }

  @Test func aJobHasOneProposalAtATime() throws {
    var bench = Bench()
    bench.write(.job(try JobPlanTests.job()))
    #expect(bench.turn(at: 0) == 1)
    #expect(bench.turn(at: 30) == 0)
    bench.settle()
    bench.run(to: 30)
    #expect(bench.runs() == [0, 10, 20, 30])
    #expect(bench.machine.busy.isEmpty && bench.machine.proposalsInFlight == 0)
  }

  @Test func aPausedJobIsNotDue() throws {
    var bench = Bench()
    var record = try JobPlanTests.job()
    record.pausedAt = Bench.start
    bench.write(.job(record))
    bench.run(to: 30)
    #expect(bench.runs() == [] && bench.machine.nextDeadline == nil)
    record.pausedAt = nil
    bench.write(.job(record))
    bench.run(to: 30)
    #expect(bench.runs() == [0, 10, 20, 30])
  }

  @Test func workPerTurnIsBounded() throws {
    var bench = Bench()
    let count = FiringLimits.decisionsPerTurn + 200
    for number in 0..<count { bench.write(.job(try Self.once("j\(number)", at: 5)), seen: false) }
    bench.watch()
    #expect(bench.machine.overdue(at: Bench.after(5)) == count)
    #expect(bench.turn(at: 5) == FiringLimits.decisionsPerTurn)
    #expect(bench.machine.nextDeadline == Bench.after(5))
    #expect(bench.turn(at: 5) == 200)
    #expect(bench.machine.overdue(at: Bench.after(5)) == 0)
  }

  // MARK: Segments

  @Test func whatALostSegmentHeldComesToNothing() throws {
    var bench = Bench()
    bench.write(.job(try JobPlanTests.job()))
    #expect(bench.turn(at: 0) == 1)
    bench.give(anyJob, to: "b")
    #expect(bench.settle() == 1 && bench.machine.counters.conflicts == 1)
    #expect(bench.runs() == [] && bench.machine.nextDeadline == nil)
    #expect(bench.turn(at: 100) == 0)
  }

  @Test func aSegmentLostBetweenTurnsIsNotFired() throws {
    var bench = Bench()
    bench.write(.job(try JobPlanTests.job()))
    bench.give(anyJob, to: "b")
    bench.watch()
    #expect(bench.turn(at: 100) == 0 && bench.machine.nextDeadline == nil)
    #expect(bench.machine.segmentsOwned == MetaRecord.current.segmentCount - 1)
  }

  @Test func aSegmentGivenAnewHasAnotherEpoch() throws {
    var bench = Bench()
    bench.write(.job(try JobPlanTests.job()))
    #expect(bench.turn(at: 0) == 1)
    bench.give(anyJob, to: "a")
    #expect(bench.settle() == 1)
    // After the pause that follows a conflict.
    #expect(bench.turn(at: 0.001) == 0)
    bench.run(to: 0.021)
    #expect(bench.runs() == [0])
  }

  // MARK: The clock

  @Test(arguments: [true, false]) func aClockThatIsPutBackMakesNothingWait(hasBackfill: Bool) throws {
    var bench = Bench()
    var record = try JobPlanTests.job()
    if hasBackfill { record.pausedAt = Bench.start }
    bench.write(.job(record))
    if hasBackfill { bench.write(.backfill(Self.backfill(.oldestFirst))) }
    #expect(bench.turn(at: 3_600) == 1)
    for sent in bench.inFlight {
      bench.machine.concluded(sent.id, .refused("full"), bench.cache, now: bench.now)
    }
    bench.inFlight = []
    #expect(bench.machine.nextDeadline == Bench.after(3_601))
    #expect(bench.turn(at: 3_600.5) == 0)
    #expect(bench.turn(at: 5) == 1)
  }

  // MARK: The watch

  /// A serial job whose newest record is known, and not yet what was written before it.
  private static func behind() throws -> Bench {
    var bench = Bench()
    var record = try JobPlanTests.job {
      $0.overlap = .forbid
      $0.schedules[0].calendars = ["closed"]
    }
    bench.write(.job(record))
    record.lastRunTime = Bench.after(-1)
    let run = RunRecord(
      key: RunKey(job: anyJob, runID: runID(for: Bench.after(-1))), scheduledTime: Bench.after(-1),
      createdAt: Bench.start)
    bench.write(.job(record), .run(run), seen: false)
    bench.learnAhead()
    return bench
  }

  @Test func aSerialJobWaitsForTheWatch() throws {
    var bench = try Self.behind()
    #expect(bench.turn(at: 1) == 0)
    #expect(bench.machine.overdue(at: Bench.after(1)) == 1)
    // It waits without a deadline: only the watch helps.
    #expect(bench.machine.nextDeadline == nil)
    #expect(bench.turn(at: 2) == 0)
    bench.watch()
    bench.run(to: 3)
    #expect(bench.etcd.jobs[anyJob]?.record.skips.lastReason == .overlap)
    #expect(bench.runs() == [-1] && bench.machine.behind.isEmpty)
  }

  @Test func aReviewWaitsForTheWatchWithoutSpinning() throws {
    var bench = try Self.behind()
    var record = try #require(bench.etcd.jobs[anyJob]?.record)
    let key = CalendarKey(namespace: "default", name: "closed")
    var spec = CalendarSpec()
    spec.ranges = [.init(from: Bench.after(-1).rfc3339, to: Bench.after(25).rfc3339)]
    let calendar = CalendarRecord(key: key, spec: spec, createdAt: Bench.start)
    let revision = bench.cache.revision
    bench.cache.apply(
      .calendar(key, Versioned(calendar, createRevision: revision, modRevision: revision)), at: revision)
    bench.machine.calendarChanged(key, bench.cache, now: bench.now)
    #expect(bench.turn(at: -0.5) == 0)
    #expect(bench.machine.reviews.isEmpty && !bench.machine.behind.isEmpty)
    #expect(bench.machine.nextDeadline != .earliest)
    bench.write(.calendar(calendar))
    #expect(bench.turn(at: -0.4) == 1)
    bench.settle()
    record = try #require(bench.etcd.jobs[anyJob]?.record)
    #expect(record.nextRunTime == Bench.after(30) && bench.machine.behind.isEmpty)
  }

  // MARK: Backfills

  private static func backfill(_ order: BackfillRecord.Order, parallelism: Int = 2) -> BackfillRecord {
    BackfillRecord(
      key: BackfillKey(job: anyJob, backfillID: "b"), from: Bench.start, to: Bench.after(40), order: order,
      parallelism: parallelism, createdAt: Bench.start)
  }

  @Test(arguments: [
    (BackfillRecord.Order.oldestFirst, [0.0, 10, 20, 30, 40]), (.newestFirst, [40, 30, 20, 10, 0]),
  ])
  func aBackfillGoesInItsOrderSoManyAtATime(_ order: BackfillRecord.Order, _ times: [Double]) throws {
    var bench = Bench()
    var record = try JobPlanTests.job()
    record.pausedAt = Bench.start
    bench.write(.job(record))
    // One of them has its run already.
    let made = RunRecord(
      key: RunKey(job: anyJob, runID: runID(for: Bench.after(20))), scheduledTime: Bench.after(20),
      createdAt: Bench.start)
    bench.write(.run(made))
    try bench.end(20)
    bench.write(.backfill(Self.backfill(order)))
    bench.run(to: 50)
    #expect(Set(bench.runs()) == [times[0], times[1], 20])
    // The end of one makes room for one.
    try bench.end(times[1])
    bench.run(to: 50)
    #expect(Set(bench.runs()) == [times[0], times[1], 20, times[3]])
    try bench.end(times[0])
    bench.run(to: 50)
    #expect(bench.runs() == [0, 10, 20, 30, 40])
    let backfill = try #require(bench.etcd.backfills.values.first?.record)
    #expect(backfill.created == 4 && backfill.existing == 1 && backfill.state == .completed)
    #expect(
      bench.etcd.runs.values.count { $0.record.trigger == .backfill && $0.record.backfillID == "b" } == 4)
    #expect(bench.machine.counters.backfilled == 4 && bench.machine.counters.fired == 0)
  }

  @Test func aBackfillEndsWithItsJob() throws {
    var bench = Bench()
    var record = try JobPlanTests.job()
    record.pausedAt = Bench.start
    bench.write(.job(record))
    bench.write(.backfill(Self.backfill(.oldestFirst, parallelism: 1)))
    bench.run(to: 50)
    #expect(bench.runs() == [0])
    record.cancelRequestedAt = Bench.after(50)
    bench.write(.job(record))
    bench.run(to: 51)
    #expect(bench.etcd.backfills.values.first?.record.state == .cancelled)
    #expect(bench.runs() == [0])
  }
}
