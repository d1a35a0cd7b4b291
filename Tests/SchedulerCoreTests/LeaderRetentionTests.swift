import Testing

@testable import SchedulerCore

/// When ended runs and jobs are removed, and what goes with them.
struct LeaderRetentionTests {
  // MARK: Time and number

  @Test func endedJobsGoWhenTheirTimeIsOver() throws {
    var configuration = LeaderMachine.Configuration()
    configuration.retentionMillis = 60_000
    var bench = LeaderBench(configuration)
    bench.connect("a", session: 1)
    let (done, cancelled, waiting) = (bench.submit(), bench.submit(), bench.submit())
    bench.settle()
    try bench.cancel(cancelled.job)
    bench.say(1, 1, bench.ended(try bench.current(done)))
    bench.settle()
    bench.pass(59_999)
    bench.settle()
    #expect(bench.etcd.jobs.count == 3)
    bench.pass(1)
    bench.settle()
    #expect(Array(bench.etcd.jobs.keys) == [waiting.job] && Array(bench.etcd.runs.keys) == [waiting])
    #expect(try bench.machine.counters.expired == 4)
    #expect(bench.server.cache.jobs.count == 1)
  }

  /// More than fit one proposal, and the watch tells of each before its commit is reported.
  @Test(arguments: [false, true]) func surplusRunsGoOldestFirst(watchIsFaster: Bool) throws {
    var configuration = LeaderMachine.Configuration()
    configuration.runsKeptPerJob = 3
    var bench = LeaderBench(configuration)
    let first = bench.submit("j")
    var keys: [RunKey] = []
    for index in 0..<100 {
      let key = RunKey(job: first.job, runID: "r\(1_000 + index)")
      var run = RunRecord(key: key, scheduledTime: bench.now, createdAt: bench.now)
      run.state = .completed
      run.finishedAt = bench.now
      keys.append(key)
      _ = bench.etcd.commit(Proposal(guards: [], writes: [.run(run)]))
    }
    bench.watch()
    for _ in 0..<10 {
      bench.pass(1_000)
      bench.evaluate()
      if watchIsFaster {
        bench.watch()
        bench.pass(0)
      }
      bench.report()
      bench.watch()
    }
    #expect(Set(bench.etcd.runs.keys) == Set(keys.suffix(3) + [first]))
    #expect(bench.etcd.jobs.count == 1)
  }

  /// The next run is due so long after the last one's end: it must be known for as long.
  @Test func theLastRunOfAFixedDelayStays() throws {
    var configuration = LeaderMachine.Configuration()
    configuration.retentionMillis = 60_000
    var bench = LeaderBench(configuration)
    let job = try bench.fixedDelay(every: 3_600_000)
    let early = try bench.addEnded(to: job)
    let backfilled = try bench.addEnded(to: job, .backfill)
    let last = try bench.addEnded(to: job)
    bench.pass(600_000)
    bench.rest()
    #expect(Set(bench.etcd.runs.keys) == [last], "\(early) and \(backfilled) are over")
    #expect(bench.etcd.jobs[job] != nil)
    bench.pass(3_000_000)
    bench.rest()
    #expect(bench.etcd.runs[last] != nil && bench.etcd.runs.count == 2, "the next one has come")
  }

  @Test(arguments: [true, false]) func aFixedDelayThatIsOverGoes(byCount: Bool) throws {
    var configuration = LeaderMachine.Configuration()
    configuration.retentionMillis = 60_000
    var bench = LeaderBench(configuration)
    let end = bench.now.adding(milliseconds: 100_000)
    let job = try bench.fixedDelay(every: 200_000) {
      if byCount { $0.maxRuns = 1 } else { $0.endTime = end }
    }
    try bench.addEnded(to: job)
    try bench.change(job) { $0.scheduleStates[0].runs = 1 }
    bench.pass(60_000)
    bench.rest()
    #expect(bench.etcd.jobs.isEmpty && bench.etcd.runs.isEmpty)
  }

  @Test func aJobWithABackfillGoesOnceThatHasEnded() throws {
    var configuration = LeaderMachine.Configuration()
    configuration.retentionMillis = 60_000
    var bench = LeaderBench(configuration)
    let job = bench.submit().job
    try bench.cancel(job)
    bench.rest()
    let time = bench.now
    try bench.change(job) {
      $0.cancelRequestedAt = nil
      $0.lastRunTime = time
    }
    let key = BackfillKey(job: job, backfillID: "b")
    var backfill = BackfillRecord(
      key: key, from: bench.now, to: bench.now, order: .oldestFirst, parallelism: 1, createdAt: bench.now)
    // The owner is slow.
    bench.server.firing = FiringMachine(serverID: "s0", zones: .utcOnly, seed: 0)
    bench.write(.backfill(backfill))
    bench.pass(200_000)
    bench.rest()
    #expect(bench.etcd.jobs[job] != nil)
    backfill.state = .completed
    bench.write(.backfill(backfill))
    bench.rest()
    #expect(bench.etcd.jobs.isEmpty && bench.etcd.backfills.isEmpty)
  }

  // MARK: Delete

  @Test func aDeletedJobGoesWithItsLastRun() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    let first = bench.submit()
    let done = try bench.addEnded(to: first.job)
    bench.settle()
    let ref = try bench.current(first)
    bench.write(
      .backfill(
        BackfillRecord(
          key: BackfillKey(job: first.job, backfillID: "b"), from: bench.now, to: bench.now,
          order: .oldestFirst, parallelism: 1, createdAt: bench.now)))
    try bench.delete(first.job)
    bench.rest()
    #expect(bench.sent(1).contains { if case .stop([ref], false, _) = $0 { true } else { false } })
    bench.pass(100_000)
    bench.rest()
    #expect(bench.etcd.jobs[first.job] != nil && bench.etcd.runs[done] != nil, "it still runs")
    bench.say(1, 1, bench.ended(ref, .cancelled))
    bench.rest()
    bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    bench.rest()
    #expect(bench.etcd.jobs.isEmpty && bench.etcd.runs.isEmpty && bench.etcd.backfills.isEmpty)
    #expect(bench.used("a") == 0 && bench.acknowledged(1) == [1])
  }

  /// A run was created just before, by another server; the deletion is known here ahead of the watch.
  @Test func nothingIsLeftBehindThatTheWatchHasNotBrought() throws {
    var bench = LeaderBench()
    let first = bench.submit()
    bench.settle()
    let unseen = try bench.add(to: first.job, isSeen: false)
    var job = try #require(bench.etcd.jobs[first.job])
    job.record.cancelRequestedAt = bench.now
    job.record.deleteRequestedAt = bench.now
    let sent = SimulatedServer.InFlight(
      id: 0, origin: .leader(LeaderEpoch(lease: 9, createRevision: 9)),
      proposal: Proposal(
        guards: [.jobUnchanged(first.job, modRevision: job.modRevision)], writes: [.job(job.record)]))
    bench.server.inFlight.append(sent)
    for _ in 0..<5 {
      bench.evaluate()
      bench.report()
      bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    }
    #expect(bench.state(first) == .cancelled && bench.state(unseen) == .queued)
    #expect(bench.etcd.jobs[first.job] != nil, "it would leave a run behind")
    bench.watch()
    for _ in 0..<5 {
      bench.rest()
      bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    }
    #expect(bench.etcd.jobs.isEmpty && bench.etcd.runs.isEmpty)
  }

  @Test func aNewLeaderFinishesADeletion() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    try bench.delete(run.job)
    bench.succeed()
    let ref = try bench.current(run)
    bench.hello(agent, session: 7, attempts: [ref])
    #expect(bench.sent(7).contains { if case .stop([ref], false, _) = $0 { true } else { false } })
    bench.say(7, 1, bench.ended(ref, .cancelled))
    bench.rest()
    bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    bench.rest()
    #expect(bench.etcd.jobs.isEmpty && bench.etcd.runs.isEmpty)
  }

  @Test func moreRunsAndBackfillsThanFitOneProposal() throws {
    var bench = LeaderBench()
    let job = bench.submit().job
    for _ in 0..<90 { try bench.addEnded(to: job) }
    for number in 0..<50 {
      bench.write(
        .backfill(
          BackfillRecord(
            key: BackfillKey(job: job, backfillID: "b\(number)"), from: bench.now, to: bench.now,
            order: .oldestFirst, parallelism: 1, createdAt: bench.now)))
    }
    try bench.delete(job)
    for _ in 0..<10 {
      bench.rest()
      #expect(bench.etcd.jobs[job] != nil || (bench.etcd.runs.isEmpty && bench.etcd.backfills.isEmpty))
      bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    }
    #expect(bench.etcd.jobs.isEmpty && bench.etcd.runs.isEmpty && bench.etcd.backfills.isEmpty)
  }
}

extension LeaderBench {
  /// A job with one schedule of fixed delay, the first run of which is decided.
  fileprivate mutating func fixedDelay(
    every delay: Int64, _ change: (inout Schedule) -> Void = { _ in }
  ) throws -> JobKey {
    var schedule = Schedule(.fixedDelay(delayMillis: delay))
    change(&schedule)
    let job = submit { $0.schedules = [schedule] }
    let time = now
    try self.change(job.job) { $0.scheduleStates = [ScheduleState(decidedThrough: time)] }
    write(.deleteRun(job))
    return job.job
  }

  fileprivate mutating func write(_ write: Proposal.Write) {
    _ = etcd.commit([Proposal(guards: [], writes: [write])])
    watch()
    server.turn(now: now)
  }

  /// A run that has ended.
  @discardableResult
  fileprivate mutating func addEnded(to job: JobKey, _ trigger: RunTrigger = .schedule) throws -> RunKey {
    let key = try add(to: job, trigger, isSeen: false)
    var run = try #require(etcd.runs[key]).record
    run.state = .completed
    run.finishedAt = now
    write(.run(run))
    return key
  }
}
