import Testing

@testable import SchedulerCore

/// What becomes of occurrences that a calendar excluded once it excludes them no more.
struct CalendarChangeTests {
  private static let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

  /// An owner of a job that is due every second, from the start for a minute.
  private static func owner() throws -> OwnerBench {
    var owner = OwnerBench()
    owner.exclude([], now: OwnerBench.start)
    var schedule = cron("* * * * * *")
    schedule.calendars = [OwnerBench.calendar.name]
    schedule.endTime = after(60)
    try owner.submit(schedule)
    owner.turn(now: after(2))
    #expect(owner.created == (0...2).map(after))
    return owner
  }

  @Test func whatWasExcludedStaysLeftOutThoughNothingWasDueAnyMore() throws {
    var owner = try Self.owner()
    owner.exclude(Self.week, now: after(2))
    #expect(try owner.job().nextRunTime == nil)
    owner.turn(now: after(9))
    owner.exclude([], now: after(10))
    #expect(try owner.job().nextRunTime == after(11))
    owner.turn(now: after(11))
    #expect(owner.created == [0, 1, 2, 11].map(after))
  }

  @Test func whatAPauseHoldsUpIsNoneOfIt() throws {
    var owner = try Self.owner()
    try owner.change(now: after(2)) { $0.pausedAt = after(2) }
    owner.turn(now: after(9))
    owner.exclude([], now: after(10))
    try owner.change(now: after(10)) { $0.pausedAt = nil }
    #expect(owner.created == (0...10).map(after))
  }

  @Test func whatWasExcludedDuringAPauseStaysLeftOut() throws {
    var owner = try Self.owner()
    try owner.change(now: after(2)) { $0.pausedAt = after(2) }
    owner.exclude(Self.week, now: after(2))
    owner.exclude([], now: after(10))
    try owner.change(now: after(10)) { $0.pausedAt = nil }
    owner.turn(now: after(11))
    #expect(owner.created == [0, 1, 2, 11].map(after))
  }

  /// Also of a job that nothing was due of, and has never run.
  @Test(arguments: [Int64(0), 3]) func aNewOwnerFindsTheChangeThatNobodySaw(closed: Int64) throws {
    var owner = OwnerBench()
    var schedule = cron("* * * * * *")
    schedule.startTime = after(1)
    schedule.calendars = [OwnerBench.calendar.name]
    owner.exclude(closed == 0 ? Self.week : [], now: after(0))
    try owner.submit(schedule)
    if closed > 0 { owner.turn(now: after(closed)) }
    owner.exclude(Self.week, now: after(closed))
    #expect(try owner.job().nextRunTime == nil)
    owner.exclude([], now: after(4), tellsOwner: false)
    owner.takeOver(now: after(4))
    owner.turn(now: after(5))
    #expect(owner.created.last == after(5))
    #expect(try owner.job().nextRunTime == after(6))
  }
}
