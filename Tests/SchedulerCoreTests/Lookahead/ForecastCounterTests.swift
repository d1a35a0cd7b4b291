import JSON
import Testing

@testable import SchedulerCore

@Suite struct ForecastCounterTests {
  private static let start = Timestamp(microseconds: 1_800_000_000_000_000)  // 2027-01-15T08:00:00Z
  private static let hour: Int64 = 3_600_000

  private func record(_ id: String, _ schedules: [Schedule]) -> JobRecord {
    var spec = JobSpec(task: .noop)
    spec.schedules = schedules
    var record = JobRecord(
      key: JobKey(namespace: "default", jobID: id), uid: id, spec: spec,
      createdAt: Self.start.adding(milliseconds: -Self.hour))
    record.scheduleStates = schedules.map { _ in ScheduleState(decidedThrough: Self.start) }
    return record
  }

  private func fires(
    _ records: [JobRecord], from: Timestamp = start, minutes: Int64 = 60, budget: Int64 = 1_000_000
  ) throws -> ForecastCounter {
    var counter = ForecastCounter(from: from, to: from.adding(milliseconds: minutes * 60_000), budget: budget)
    for record in records {
      counter.add(record, try JobPlan.Rules(record, zones: .utcOnly, calendars: { _ in nil }))
    }
    return counter
  }

  @Test func eachMinuteHasItsFires() throws {
    let counter = try fires([
      record("minutely", [Schedule(.cron("* * * * *"))]), record("half", [Schedule(.cron("*/30 * * * *"))]),
    ])
    #expect(counter.fires.count == 60)
    // 08:00 itself has been decided.
    #expect(counter.fires[0] == 0 && counter.fires[1] == 1 && counter.fires[30] == 2)
    #expect(counter.fires.reduce(0, +) == 59 + 1)
    #expect(counter.jobs == 2 && !counter.isCut)
  }

  @Test func twoSchedulesOfOneInstantAreOneRun() throws {
    let counter = try fires([
      record("both", [Schedule(.cron("*/10 * * * *")), Schedule(.cron("*/15 * * * *"))])
    ])
    // 10, 20, 30, 40, 50 and 15, 30, 45.
    #expect(counter.fires.reduce(0, +) == 7)
    #expect(counter.fires[30] == 1)
  }

  @Test func pausedAndCancelledJobsCreateNothing() throws {
    var paused = record("paused", [Schedule(.cron("* * * * *"))])
    paused.pausedAt = Self.start
    var cancelled = record("cancelled", [Schedule(.cron("* * * * *"))])
    cancelled.cancelRequestedAt = Self.start
    let counter = try fires([paused, cancelled])
    #expect(counter.fires.reduce(0, +) == 0)
    #expect(counter.jobs == 2)
  }

  @Test func boundedRunsAreUsedUpBeforeTheRangeToo() throws {
    var schedule = Schedule(.cron("* * * * *"))
    schedule.maxRuns = 70
    let from = Self.start.adding(milliseconds: Self.hour)
    let counter = try fires([record("bounded", [schedule])], from: from)
    // 60 of them by 09:00, the last of which is in the range's first minute.
    #expect(counter.fires.reduce(0, +) == 11)
    #expect(counter.fires[0] == 1 && counter.fires[10] == 1 && counter.fires[11] == 0)
  }

  @Test func jobsWithoutSchedulesAreDueOnce() throws {
    var once = record("once", [])
    once.nextRunTime = Self.start.adding(milliseconds: 5 * 60_000 + 1)
    var later = record("later", [])
    later.nextRunTime = Self.start.adding(milliseconds: 61 * 60_000)
    let counter = try fires([once, later])
    #expect(counter.fires[5] == 1)
    #expect(counter.fires.reduce(0, +) == 1)
  }

  @Test func jitterMovesAFireToItsMinute() throws {
    var schedule = Schedule(.cron("0 * * * *"))
    schedule.jitterMillis = Self.hour
    let records = (0..<200).map { record("job-\($0)", [schedule]) }
    let from = Self.start.adding(milliseconds: Self.hour)
    let counter = try fires(records, from: from)
    // Those of 09:00 are spread over the hour; those of 08:00 have been decided.
    #expect(counter.fires.reduce(0, +) >= 198 && counter.fires.reduce(0, +) <= 200)
    #expect(counter.fires.count { $0 > 0 } > 40)
  }

  @Test func tooManyFiresCutTheRangeForAllJobs() throws {
    let records = (0..<50).map { record("job-\($0)", [Schedule(.cron("* * * * * *"))]) }
    let counter = try fires(records, budget: 20_000)
    #expect(counter.isCut)
    #expect(counter.jobs == 50)
    #expect(counter.fires.count < 60 && !counter.fires.isEmpty)
    // What is told is what each of them does.
    #expect(counter.fires.dropFirst().allSatisfy { $0 == 60 * 50 })
    #expect(counter.end == Self.start.adding(milliseconds: Int64(counter.fires.count) * 60_000))
  }

  @Test func ofOneScheduleAShortJitterWaitsForTheLongOneBefore() throws {
    var schedule = Schedule(.cron("* * * * *"))
    schedule.jitterMillis = Self.hour
    let job = record("waiting", [schedule])
    let rules = try JobPlan.Rules(job, zones: .utcOnly) { _ in nil }
    let plan = JobPlan(JobPlan(job, rules).refreshed(JobActivity()), rules)
    // What the owner does: it looks again whenever the record says so.
    var record = plan.record
    var expected = [Int64](repeating: 0, count: 60)
    while let due = record.nextRunTime, due < Self.start.adding(milliseconds: Self.hour) {
      let decision = try #require(JobPlan(record, rules).decide(at: due, JobActivity()) { _ in false })
      expected[Int((due.milliseconds - Self.start.milliseconds) / 60_000)] += Int64(decision.runs.count)
      record = decision.record
    }
    #expect(expected.contains { $0 > 1 })
    #expect(try fires([job]).fires == expected)
  }

  @Test(arguments: 0..<300) func whatMayNotFireDoesNot(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let plan = try random.job()
    var record = plan.record
    if seed % 7 == 0 { record.pausedAt = record.createdAt }
    let from = random.time(RandomSchedules.month)
    let end = from.adding(milliseconds: random.pick([60_000, 3_600_000, 86_400_000]))
    var counter = ForecastCounter(from: from, to: end)
    let mayFire = ForecastCounter.mayFire(JobFacts(record), before: counter.end)
    counter.add(record, plan.rules)
    if !mayFire { #expect(counter.fires.allSatisfy { $0 == 0 }) }
  }
}
