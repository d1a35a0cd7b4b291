import Testing

@testable import SchedulerCore

/// Jobs whose next run time the end of a run tells.
struct FixedDelayTests {
  private static func owner(maxRuns: Int? = nil, endTime: Timestamp? = nil) throws -> OwnerBench {
    var owner = OwnerBench()
    var schedule = Schedule(.fixedDelay(delayMillis: 5_000))
    schedule.startTime = after(1)
    schedule.maxRuns = maxRuns
    schedule.endTime = endTime
    try owner.submit(schedule)
    owner.turn(now: after(1))
    #expect(owner.created == [after(1)])
    #expect(try owner.job().nextRunTime == nil)
    return owner
  }

  @Test func theNextIsDueADelayAfterTheEnd() throws {
    var owner = try Self.owner()
    try owner.endRun(now: after(3))
    #expect(try owner.job().nextRunTime == after(8))
    owner.turn(now: after(8))
    #expect(owner.created == [after(1), after(8)])
  }

  /// Whoever waits for the job's end must not take the moment between for it, nor must a request be refused then.
  @Test func itIsPendingAlsoBeforeTheOwnerHasSaidWhenItIsDue() throws {
    var owner = try Self.owner()
    try owner.endRun(now: after(3), tellsOwner: false)
    #expect(try owner.job().nextRunTime == nil && owner.status == .pending)
  }

  @Test func aNewOwnerFindsTheEndThatNobodySaw() throws {
    var owner = try Self.owner()
    try owner.endRun(now: after(3), tellsOwner: false)
    owner.takeOver(now: after(5))
    #expect(try owner.job().nextRunTime == after(8))
  }

  @Test func aNewOwnerLetsARunEnd() throws {
    var owner = try Self.owner()
    owner.takeOver(now: after(2))
    #expect(try owner.job().nextRunTime == nil)
    try owner.endRun(now: after(3))
    #expect(try owner.job().nextRunTime == after(8))
  }

  @Test func itIsOverAfterItsLastRun() throws {
    var owner = try Self.owner(maxRuns: 1)
    try owner.endRun(now: after(3))
    #expect(try owner.job().nextRunTime == nil && owner.status == .completed)
  }

  @Test(arguments: [(Int64(8), JobStatus.pending), (7, .completed)])
  func itIsOverWhenTheNextWouldBeTooLate(endTime: Int64, status: JobStatus) throws {
    var owner = try Self.owner(endTime: after(endTime))
    try owner.endRun(now: after(3), tellsOwner: false)
    #expect(owner.status == status)
    owner.takeOver(now: after(4))
    #expect(owner.status == status)
    #expect(try owner.job().nextRunTime == (status == .pending ? after(8) : nil))
  }

  @Test func itIsCancelledBetweenItsRuns() throws {
    var owner = try Self.owner()
    try owner.endRun(now: after(3), tellsOwner: false)
    try owner.change(now: after(3)) { $0.cancelRequestedAt = after(3) }
    #expect(owner.status == .completed)
    owner.turn(now: after(20))
    #expect(owner.created == [after(1)])
  }
}
