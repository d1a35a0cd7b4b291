import Testing

@testable import SchedulerCore

/// What becomes of the occurrences of one job. Times are seconds after `start`.
struct JobPlanTests {
  static let start = Timestamp(milliseconds: 1_800_000_000_000)

  static func after(_ seconds: Double) -> Timestamp {
    start.adding(milliseconds: Int64((seconds * 1_000).rounded()))
  }

  static func seconds(_ time: Timestamp) -> Double { Double(time.milliseconds - start.milliseconds) / 1_000 }

  static func every(_ seconds: Double) -> Schedule {
    var schedule = Schedule(.fixedRate(everyMillis: Int64(seconds * 1_000)))
    schedule.startTime = start
    return schedule
  }

  /// A job that is due every ten seconds from the start on.
  static func job(_ change: (inout JobSpec) -> Void = { _ in }) throws -> JobRecord {
    var spec = JobSpec(task: .noop)
    spec.schedules = [every(10)]
    change(&spec)
    let record = JobRecord(key: anyJob, uid: "u", spec: spec, createdAt: start)
    return try plan(record).started(at: start)
  }

  static func plan(_ record: JobRecord) throws -> JobPlan {
    try JobPlan(record, zones: .utcOnly) { _ in nil }
  }

  static func busy(_ unended: Int) -> JobActivity {
    var activity = JobActivity()
    activity.unended = unended
    if unended > 0 { activity.newestUnended = "busy" }
    return activity
  }

  /// Decides until nothing is due, as an owner does, one proposal after the other.
  static func decide(
    _ record: inout JobRecord, at second: Double, unended: Int = 0, existing: Set<Double> = []
  ) throws -> (runs: [Double], skipped: [SkipReason: Int], proposals: [Int]) {
    var runs: [Double] = []
    var skipped: [SkipReason: Int] = [:]
    var proposals: [Int] = []
    let before = record.skips.count
    let ids = Set(existing.map { runID(for: after($0)) })
    while let decision = try plan(record).decide(
      at: after(second), busy(unended + runs.count), exists: ids.contains)
    {
      #expect(decision.runs.allSatisfy { $0.state == .queued && $0.trigger == .schedule })
      #expect(decision.record.scheduleStates != record.scheduleStates || record.spec.schedules.isEmpty)
      runs += decision.runs.map { seconds($0.scheduledTime) }
      skipped.merge(decision.skipped, uniquingKeysWith: +)
      proposals.append(decision.runs.count)
      record = decision.record
      guard proposals.count < 100 else { break }
    }
    #expect(record.skips.count - before == skipped.values.reduce(0, +))
    return (runs, skipped, proposals)
  }

  // MARK: Misfire

  struct Misfire: CustomTestStringConvertible {
    var action: MisfirePolicy.Action
    var limit = 100
    var within: Double?
    var grace = 5.0
    var runs: [Double]

    var testDescription: String { "\(action) \(limit) within \(within ?? -1) grace \(grace)" }

    func set(_ spec: inout JobSpec) {
      spec.misfire.action = action
      spec.misfire.limit = limit
      spec.misfire.withinMillis = within.map { Int64($0 * 1_000) }
      spec.misfire.graceMillis = Int64(grace * 1_000)
    }
  }

  /// At second 95 of a job that is due at 0, 10, … 90: with a grace of 5 seconds 90 is just late, the others are missed.
  static let misfires = [
    Misfire(action: .skip, runs: [90]),
    Misfire(action: .latest, runs: [80, 90]),
    Misfire(action: .all, runs: [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]),
    Misfire(action: .all, limit: 3, runs: [60, 70, 80, 90]),
    Misfire(action: .all, within: 35, runs: [60, 70, 80, 90]),
    Misfire(action: .latest, within: 4, runs: []),
    Misfire(action: .latest, grace: 60, runs: [30, 40, 50, 60, 70, 80, 90]),
    Misfire(action: .skip, grace: 100, runs: [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]),
  ]

  @Test(arguments: misfires) func anOutageIsDecidedByTheMisfirePolicy(_ misfire: Misfire) throws {
    var record = try Self.job(misfire.set)
    let decided = try Self.decide(&record, at: 95)
    #expect(decided.runs == misfire.runs)
    #expect(decided.skipped == (misfire.runs.count == 10 ? [:] : [.misfire: 10 - misfire.runs.count]))
    #expect(record.nextRunTime == Self.after(100))
    #expect(record.scheduleStates[0].runs == misfire.runs.count)
  }

  @Test(arguments: misfires) func aPauseIsDecidedLikeAnOutage(_ misfire: Misfire) throws {
    var record = try Self.job(misfire.set)
    record.pausedAt = Self.after(1)
    #expect(try Self.decide(&record, at: 50).proposals.isEmpty)
    record.pausedAt = nil
    #expect(try Self.decide(&record, at: 95).runs == misfire.runs)
  }

  /// Who looks often enough misses nothing, whatever the policy is.
  @Test(arguments: misfires) func whatIsLateWithinTheGraceRuns(_ misfire: Misfire) throws {
    var record = try Self.job(misfire.set)
    var runs: [Double] = []
    for second in stride(from: 3.0, through: 93, by: 10) {
      runs += try Self.decide(&record, at: second).runs
    }
    #expect(runs == stride(from: 0.0, through: 90, by: 10).map { $0 })
    #expect(record.skips == SkipSummary())
  }

  @Test func whatIsLeftOutIsSaid() throws {
    var record = try Self.job { $0.misfire.graceMillis = 5_000 }
    _ = try Self.decide(&record, at: 95)
    #expect(record.skips.count == 8 && record.skips.lastTime == Self.after(70))
    #expect(record.skips.lastReason == .misfire)
  }

  @Test func latenessCountsFromTheEndOfTheJitter() throws {
    var record = try Self.job {
      $0.schedules[0].jitterMillis = 20_000
      $0.misfire.action = .skip
      $0.misfire.graceMillis = 5_000
    }
    // 75 less the grace: what was due before 70 is missed.
    let decided = try Self.decide(&record, at: 95)
    #expect(decided.runs.first == 70 && decided.skipped == [.misfire: 7])
    let plan = try Self.plan(record)
    let creations = decided.runs.map {
      Self.after($0).adding(milliseconds: plan.rules.rules[0].jitter(of: Self.after($0)))
    }
    #expect(creations.allSatisfy { $0 <= Self.after(95) })
  }

  @Test func aYearOfSecondsIsPassedInAFewDecisions() throws {
    var record = try Self.job { $0.schedules = [Self.every(1)] }
    let year = 365.0 * 86_400
    let decided = try Self.decide(&record, at: year)
    // The latest of those that are more than a minute late, and that minute.
    #expect(decided.runs == stride(from: year - 61, through: year, by: 1).map { $0 })
    #expect(decided.proposals == [20, 20, 20, 2])
    #expect((decided.skipped[.misfire] ?? 0) > FiringLimits.occurrencesPerDecision)
    #expect(record.nextRunTime == Self.after(year + 1))
  }

  @Test func manyMissedRunsGoInSeveralProposalsOldestFirst() throws {
    var record = try Self.job {
      $0.schedules = [Self.every(1)]
      $0.misfire = MisfirePolicy()
      $0.misfire.action = .all
      $0.misfire.limit = 50
      $0.misfire.graceMillis = 0
    }
    let decided = try Self.decide(&record, at: 200)
    #expect(decided.runs == stride(from: 150.0, through: 200, by: 1).map { $0 })
    #expect(decided.proposals == [20, 20, 11])
    #expect(decided.skipped == [.misfire: 150])
  }

  // MARK: Overlap

  @Test(arguments: [
    (OverlapPolicy.allow, 0, [0.0, 10, 20]), (.allow, 3, [0, 10, 20]), (.replace, 3, [0, 10, 20]),
    (.forbid, 0, [0]), (.forbid, 1, []), (.queue(limit: 1), 0, [0, 10]), (.queue(limit: 1), 1, [0]),
    (.queue(limit: 1), 2, []), (.queue(limit: 0), 0, [0]),
  ])
  func theOverlapPolicyHasItsSay(_ overlap: OverlapPolicy, _ unended: Int, _ runs: [Double]) throws {
    var record = try Self.job { $0.overlap = overlap }
    let decided = try Self.decide(&record, at: 25, unended: unended)
    #expect(decided.runs == runs)
    let reason = overlap == .forbid ? SkipReason.overlap : .queueFull
    #expect(decided.skipped == (runs.count == 3 ? [:] : [reason: 3 - runs.count]))
    #expect(record.nextRunTime == Self.after(30))
  }

  @Test func missedRunsOverlapToo() throws {
    var record = try Self.job {
      $0.overlap = .forbid
      $0.misfire.action = .all
      $0.misfire.graceMillis = 5_000
    }
    let decided = try Self.decide(&record, at: 95)
    #expect(decided.runs == [0] && decided.skipped == [.overlap: 9])
  }

  @Test func aTriggerIsRefusedByNameOrMakesARunOfItsOwn() throws {
    let record = try Self.job { $0.overlap = .forbid }
    let plan = try Self.plan(record)
    #expect(
      plan.triggered(at: Self.after(1), params: [:], Self.busy(1)) { _ in false }
        == .refused(.overlap, runID: "busy"))
    let taken = runID(for: Self.after(1))
    let asked = plan.triggered(at: Self.after(1), params: ["a": "b"], JobActivity()) { $0 == taken }
    guard case .run(let run, let changed) = asked else {
      Issue.record("it was refused")
      return
    }
    #expect(run.scheduledTime == Self.after(1.001) && run.trigger == .manual && run.params == ["a": "b"])
    #expect(changed.lastRunTime == run.scheduledTime && changed.scheduleStates == record.scheduleStates)
  }

  // MARK: Bounds and several schedules

  @Test func leftOutOccurrencesAreNoneOfTheMaxRuns() throws {
    var record = try Self.job {
      $0.schedules[0].maxRuns = 2
      $0.misfire.action = .skip
      $0.misfire.graceMillis = 5_000
    }
    #expect(try Self.decide(&record, at: 95).runs == [90])
    #expect(record.nextRunTime == Self.after(100))
    #expect(try Self.decide(&record, at: 200).runs == [200])
    #expect(record.nextRunTime == nil && record.scheduleStates[0].runs == 2)
  }

  @Test func oneInstantOfSeveralSchedulesIsOneRun() throws {
    var record = try Self.job { $0.schedules = [Self.every(10), Self.every(20), cron("* * * * *")] }
    #expect(try Self.decide(&record, at: 60).runs == [0, 10, 20, 30, 40, 50, 60])
    #expect(record.scheduleStates.map(\.runs) == [7, 4, 2])
    #expect(record.scheduleStates.allSatisfy { $0.decidedThrough == Self.after(60) })
  }

  @Test func theNextRunIsSkippedOnRequest() throws {
    let record = try Self.job { $0.schedules = [Self.every(10), Self.every(20)] }
    var skipped = try #require(try Self.plan(record).skippingNext(JobActivity(), at: Self.after(-5)))
    #expect(skipped.nextRunTime == Self.after(10))
    #expect(skipped.skips.count == 1 && skipped.skips.lastReason == .requested)
    skipped.skips = SkipSummary()
    #expect(try Self.decide(&skipped, at: 20).runs == [10, 20])
  }

  @Test func anOccurrenceWithARunIsDecided() throws {
    var record = try Self.job { $0.misfire.graceMillis = 5_000 }
    let decided = try Self.decide(&record, at: 95, existing: [30, 90])
    #expect(decided.runs == [80])
    // 30 was missed, but somebody has made its run.
    #expect(decided.skipped == [.misfire: 7])
  }

  @Test func aJobWithoutSchedulesIsDueOnce() throws {
    var record = try Self.job {
      $0.schedules = []
      $0.executionTime = Self.after(5)
    }
    #expect(try Self.decide(&record, at: 4).runs == [])
    #expect(try Self.decide(&record, at: 6).runs == [5])
    #expect(record.nextRunTime == nil && record.lastRunTime == Self.after(5))
    record.cancelRequestedAt = Self.after(7)
    #expect(try Self.plan(record).skippingNext(JobActivity(), at: Self.after(8)) == nil)
  }

  // MARK: Fixed delay

  @Test func aFixedDelayCountsFromTheEndOfTheRun() throws {
    var record = try Self.job {
      $0.schedules[0].rule = .fixedDelay(delayMillis: 5_000)
      $0.misfire.graceMillis = 5_000
    }
    #expect(record.nextRunTime == Self.start)
    #expect(try Self.decide(&record, at: 1).runs == [0])
    #expect(record.nextRunTime == nil)
    var ended = JobActivity()
    ended.lastEnd = Timestamp(microseconds: Self.after(7).microseconds + 500)
    #expect(try Self.plan(record).refreshed(ended).nextRunTime == Self.after(12))
    #expect(try Self.plan(record).refreshed(Self.busy(1)).nextRunTime == nil)
  }

  @Test func aFixedDelayThatWasMissedCountsFromNow() throws {
    var record = try Self.job {
      $0.schedules[0].rule = .fixedDelay(delayMillis: 5_000)
      $0.misfire.action = .skip
      $0.misfire.graceMillis = 5_000
    }
    let decided = try Self.decide(&record, at: 100)
    #expect(decided.runs == [] && decided.skipped == [.misfire: 1])
    #expect(record.nextRunTime == Self.after(105))
  }

  // MARK: Left out for good

  /// Nothing of such a job ever runs, so it must not wait for ever.
  @Test(arguments: [true, false]) func aJobThatWasLeftOutForGoodComesToRest(hasSchedule: Bool) throws {
    var record = try Self.job {
      $0.schedules = hasSchedule ? [Schedule(.at(Self.after(5)))] : []
      if !hasSchedule { $0.executionTime = Self.after(5) }
      $0.misfire.action = .skip
      $0.misfire.graceMillis = 1_000
    }
    var cache = ClusterCache(recentJobs: 0)
    cache.apply(.job(anyJob, Versioned(record, createRevision: 2, modRevision: 2)), at: 2)
    #expect(cache.status(of: anyJob) == .pending && record.leftOutReason == nil)
    #expect(try Self.decide(&record, at: 60).skipped == [.misfire: 1])
    cache.apply(.job(anyJob, Versioned(record, createRevision: 2, modRevision: 3)), at: 3)
    #expect(cache.status(of: anyJob) == .cancelled)
    #expect(cache.jobs.facts(of: anyJob)?.record == JobFacts(record))
    #expect(record.leftOutReason?.contains("misfire policy") == true)
    // Given another time it waits again.
    record.nextRunTime = Self.after(100)
    cache.apply(.job(anyJob, Versioned(record, createRevision: 2, modRevision: 4)), at: 4)
    #expect(cache.status(of: anyJob) == .pending && record.leftOutReason == nil)
  }
}
