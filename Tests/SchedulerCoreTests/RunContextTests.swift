import Testing

@testable import SchedulerCore

/// What a run is told of what surrounds it.
struct RunContextTests {
  private static let key = JobKey(namespace: "default", jobID: "j")

  private func time(_ text: String) throws -> Timestamp { try Timestamp(rfc3339: text) }

  private func job(_ schedules: [Schedule]) throws -> JobRecord {
    var spec = JobSpec(task: .noop)
    spec.schedules = schedules
    spec.params = ["a": "job", "b": "job"]
    var job = JobRecord(key: Self.key, uid: "u", spec: spec, createdAt: try time("2026-01-01T00:00:00Z"))
    job.scheduleStates = schedules.map { _ in ScheduleState(decidedThrough: job.createdAt) }
    return job
  }

  private func run(_ scheduled: Timestamp, _ state: RunState = .queued) -> RunRecord {
    var run = RunRecord(
      key: RunKey(job: Self.key, runID: runID(for: scheduled)), scheduledTime: scheduled, createdAt: scheduled
    )
    run.state = state
    return run
  }

  private func cache(_ job: JobRecord, _ runs: [RunRecord] = [], calendars: [CalendarRecord] = [])
    -> ClusterCache
  {
    var cache = ClusterCache()
    var revision: Int64 = 1
    func next() -> Int64 {
      revision += 1
      return revision
    }
    func versioned<Record: Sendable>(_ record: Record) -> Versioned<Record> {
      let revision = next()
      return Versioned(record, createRevision: revision, modRevision: revision)
    }
    for calendar in calendars { cache.apply(.calendar(calendar.key, versioned(calendar)), at: revision) }
    cache.apply(.job(job.key, versioned(job)), at: revision)
    for run in runs { cache.apply(.run(run.key, versioned(run)), at: revision) }
    return cache
  }

  @Test func theOccurrencesAround() throws {
    var hourly = Schedule(.cron("0 * * * *"))
    hourly.endTime = try time("2026-02-01T12:30:00Z")
    let job = try job([hourly, Schedule(.cron("45 11 * * *"))])
    var contexts = RunContexts(zones: .utcOnly)
    let context = contexts.context(of: run(try time("2026-02-01T12:00:00Z")), job, cache(job))
    #expect(context.previousScheduledTime == (try time("2026-02-01T11:45:00Z")))
    #expect(context.nextScheduledTime == (try time("2026-02-02T11:45:00Z")))
    #expect(context.lastSuccessTime == nil && context.trigger == .schedule)
    // A run that was triggered at some other time has occurrences around it, too.
    var manual = run(try time("2026-02-01T09:10:11Z"))
    manual.trigger = .manual
    manual.params = ["b": "run", "c": "run"]
    let around = contexts.context(of: manual, job, cache(job))
    #expect(around.previousScheduledTime == (try time("2026-02-01T09:00:00Z")))
    #expect(around.nextScheduledTime == (try time("2026-02-01T10:00:00Z")))
    #expect(around.params == ["a": "job", "b": "run", "c": "run"] && around.trigger == .manual)
    #expect(contexts.failures == 0)
  }

  @Test func aJobWithoutSchedulesHasNone() throws {
    let job = try job([])
    var contexts = RunContexts(zones: .utcOnly)
    var expected = RunContext()
    expected.params = job.spec.params
    #expect(contexts.context(of: run(job.createdAt), job, cache(job)) == expected)
  }

  @Test func theLastOfSoManyRunsHasNoNext() throws {
    var schedule = Schedule(.fixedRate(everyMillis: 60_000))
    schedule.maxRuns = 3
    var job = try job([schedule])
    let times = (1...4).map { job.createdAt.adding(milliseconds: 60_000 * $0) }
    job.scheduleStates = [ScheduleState(decidedThrough: times[2], runs: 3)]
    var contexts = RunContexts(zones: .utcOnly)
    let last = contexts.context(of: run(times[2]), job, cache(job))
    #expect(last.previousScheduledTime == times[1] && last.nextScheduledTime == nil)
    #expect(contexts.context(of: run(times[1]), job, cache(job)).nextScheduledTime == times[2])
    #expect(contexts.context(of: run(times[0]), job, cache(job)).previousScheduledTime == nil)
  }

  @Test func aFixedDelayGoesByRuns() throws {
    let job = try job([Schedule(.fixedDelay(delayMillis: 1_000))])
    let times = [1, 5, 9].map { job.createdAt.adding(milliseconds: 1_000 * $0) }
    var contexts = RunContexts(zones: .utcOnly)
    let cache = cache(job, times.map { run($0, .completed) })
    let context = contexts.context(of: run(times[2]), job, cache)
    #expect(context.previousScheduledTime == times[1] && context.nextScheduledTime == nil)
  }

  @Test func theLastSuccessIsTheNewestOfThoseKept() throws {
    let job = try job([Schedule(.cron("* * * * *"))])
    let times = (0..<5).map { job.createdAt.adding(milliseconds: 60_000 * $0) }
    let states: [RunState] = [.completed, .completed, .failed, .cancelled, .running]
    let runs = zip(times, states).map { run($0, $1) }
    var contexts = RunContexts(zones: .utcOnly)
    #expect(contexts.context(of: runs[4], job, cache(job, runs)).lastSuccessTime == times[1])
    #expect(contexts.context(of: runs[4], job, cache(job, [runs[2], runs[4]])).lastSuccessTime == nil)
  }

  @Test func calendarsCount() throws {
    var calendar = CalendarSpec()
    calendar.days = ["sat", "sun", "2026-02-06"]
    let key = CalendarKey(namespace: "default", name: "free")
    var record = CalendarRecord(key: key, spec: calendar, createdAt: try time("2026-01-01T00:00:00Z"))
    // Each second, so that stepping back through excluded ones would take long.
    var schedule = Schedule(.cron("* * * * * *"))
    schedule.calendars = ["free", "missing"]
    let job = try job([schedule])
    var contexts = RunContexts(zones: .utcOnly)
    let monday = run(try time("2026-02-09T00:00:00Z"))
    let context = contexts.context(of: monday, job, cache(job, calendars: [record]))
    #expect(context.previousScheduledTime == (try time("2026-02-05T23:59:59Z")))
    #expect(context.nextScheduledTime == (try time("2026-02-09T00:00:01Z")))
    // A change of the calendar counts at once.
    record.spec.days = ["sun"]
    var changed = cache(job, calendars: [record])
    changed.apply(.calendar(key, Versioned(record, createRevision: 2, modRevision: 99)), at: 99)
    #expect(
      contexts.context(of: monday, job, changed).previousScheduledTime == (try time("2026-02-07T23:59:59Z")))
  }

  @Test func everythingBeforeIsExcluded() throws {
    var calendar = CalendarSpec()
    calendar.ranges = [CalendarSpec.Range(from: "1970-01-01", to: "2026-02-01")]
    let compiled = try CompiledCalendar(calendar, name: "c", zones: .utcOnly)
    let schedule = try CompiledSchedule(
      Schedule(.cron("*/10 * * * * *")), job: Self.key, createdAt: .earliest, zones: .utcOnly)
    let first = try time("2026-02-01T00:00:00Z")
    #expect(schedule.last(before: first, excluding: [compiled]) == nil)
    #expect(schedule.last(before: first.adding(milliseconds: 1), excluding: [compiled]) == first)
  }

  /// Against looking at one occurrence after the other.
  @Test func previousIsTheOneBeforeNext() throws {
    var random = SplitMix64(seed: 6)
    let start = try time("2026-01-01T00:00:00Z")
    for _ in 0..<60 {
      var calendar = CalendarSpec()
      calendar.cron = ["\(Int.random(in: 0...59, using: &random)) * * * *"]
      calendar.days = ["2026-01-0\(Int.random(in: 1...9, using: &random))"]
      let compiled = try CompiledCalendar(calendar, name: "c", zones: .utcOnly)
      let text =
        "\(Int.random(in: 0...59, using: &random)) */\(Int.random(in: 1...7, using: &random)) * * * *"
      let schedule = try CompiledSchedule(
        Schedule(.cron(text)), job: Self.key, createdAt: start, zones: .utcOnly)
      var previous = try #require(schedule.next(after: start, excluding: [compiled]))
      for _ in 0..<300 {
        let next = try #require(schedule.next(after: previous, excluding: [compiled]))
        #expect(schedule.last(before: next, excluding: [compiled]) == previous, "\(text) \(calendar)")
        previous = next
      }
    }
  }
}
