import Testing

@testable import SchedulerCore

/// What becomes of occurrences that a calendar excluded once it excludes them no more.
struct CalendarChangeTests {
  private static let calendar = CalendarKey(namespace: "default", name: "closed")
  private static let start = Timestamp(milliseconds: 1_800_000_000_000)

  /// The owner of all segments, and what etcd holds: each proposal is committed at once.
  private struct Owner {
    var machine = FiringMachine(serverID: "s", zones: .utcOnly, seed: 1)
    var cache = ClusterCache()
    var created: [Timestamp] = []
    private var revision: Int64 = 1

    init() {
      for segment in 0..<MetaRecord.current.segmentCount {
        machine.ownershipChanged(segment, epoch: 1, cache, now: start)
      }
    }

    func job() throws -> JobRecord { try #require(cache.jobs[anyJob]?.job.record) }

    mutating func write(_ record: JobRecord) {
      revision += 1
      let created = cache.jobs[anyJob]?.job.createRevision ?? revision
      let job = Versioned(record, createRevision: created, modRevision: revision)
      cache.apply(.job(anyJob, job), at: revision)
      cache.advance(to: revision)
    }

    mutating func write(_ job: JobRecord, now: Timestamp) {
      write(job)
      machine.jobChanged(anyJob, cache, now: now)
      turn(now: now)
    }

    mutating func exclude(_ days: [String], now: Timestamp) {
      revision += 1
      var spec = CalendarSpec()
      spec.days = days
      let record = CalendarRecord(key: calendar, spec: spec, createdAt: now)
      let versioned = Versioned(record, createRevision: revision, modRevision: revision)
      cache.apply(.calendar(calendar, versioned), at: revision)
      cache.advance(to: revision)
      machine.calendarChanged(calendar, cache, now: now)
      turn(now: now)
    }

    mutating func turn(now: Timestamp) {
      for _ in 0..<10 {
        let effects = machine.turn(cache, now: now)
        if effects.isEmpty { return }
        for case .propose(let id, let proposal, _) in effects {
          for case .run(let run) in proposal.writes { created.append(run.scheduledTime) }
          for case .job(let record) in proposal.writes { write(record) }
          machine.concluded(id, .committed, cache, now: now)
        }
      }
      Issue.record("it never comes to rest")
    }

    private let start = CalendarChangeTests.start
    private let calendar = CalendarChangeTests.calendar
  }

  private static let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

  private static func after(_ seconds: Int64) -> Timestamp { start.adding(milliseconds: seconds * 1_000) }

  /// An owner of a job that is due every second, from the start for a minute.
  private static func owner() throws -> Owner {
    var owner = Owner()
    owner.exclude([], now: start)
    var spec = JobSpec(task: .noop)
    spec.schedules = [cron("* * * * * *")]
    spec.schedules[0].calendars = [calendar.name]
    spec.schedules[0].endTime = after(60)
    let record = JobRecord(key: anyJob, uid: "u", spec: spec, createdAt: start)
    let plan = try JobPlan(record, zones: .utcOnly) { _ in nil }
    owner.write(plan.started(at: start), now: start)
    owner.turn(now: after(2))
    #expect(owner.created == (0...2).map(after))
    return owner
  }

  @Test func whatWasExcludedStaysLeftOutThoughNothingWasDueAnyMore() throws {
    var owner = try Self.owner()
    owner.exclude(Self.week, now: Self.after(2))
    #expect(try owner.job().nextRunTime == nil)
    owner.turn(now: Self.after(9))
    owner.exclude([], now: Self.after(10))
    #expect(try owner.job().nextRunTime == Self.after(11))
    owner.turn(now: Self.after(11))
    #expect(owner.created == [0, 1, 2, 11].map(Self.after))
  }

  @Test func whatAPauseHoldsUpIsNoneOfIt() throws {
    var owner = try Self.owner()
    var paused = try owner.job()
    paused.pausedAt = Self.after(2)
    owner.write(paused, now: Self.after(2))
    owner.turn(now: Self.after(9))
    owner.exclude([], now: Self.after(10))
    var resumed = try owner.job()
    resumed.pausedAt = nil
    owner.write(resumed, now: Self.after(10))
    #expect(owner.created == (0...10).map(Self.after))
  }

  @Test func whatWasExcludedDuringAPauseStaysLeftOut() throws {
    var owner = try Self.owner()
    var paused = try owner.job()
    paused.pausedAt = Self.after(2)
    owner.write(paused, now: Self.after(2))
    owner.exclude(Self.week, now: Self.after(2))
    owner.exclude([], now: Self.after(10))
    var resumed = try owner.job()
    resumed.pausedAt = nil
    owner.write(resumed, now: Self.after(10))
    owner.turn(now: Self.after(11))
    #expect(owner.created == [0, 1, 2, 11].map(Self.after))
  }
}
