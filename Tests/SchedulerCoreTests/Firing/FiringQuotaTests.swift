import Testing

@testable import SchedulerCore

/// What is due in a namespace whose quota is used up.
struct FiringQuotaTests {
  private func every(seconds: Int64) -> Schedule {
    var schedule = Schedule(.fixedRate(everyMillis: seconds * 1_000))
    schedule.startTime = OwnerBench.start.adding(milliseconds: seconds * 1_000)
    return schedule
  }

  @Test func itWaitsAndIsDecidedByTheMisfirePolicy() throws {
    var bench = OwnerBench()
    bench.limit(queuedRuns: 1)
    try bench.submit(every(seconds: 10))
    bench.turn(now: after(10))
    #expect(bench.created == [after(10)])
    // The run waits: there is no room for another.
    for second in 20...60 as ClosedRange<Int64> { bench.turn(now: after(second)) }
    #expect(bench.created == [after(10)])
    #expect(bench.machine.counters.quotaWaits > 0)
    #expect(bench.status == .pending)
    try bench.endRun(now: after(61))
    bench.turn(now: after(62))
    // What was missed is decided together, as after an outage: by default all of it is made up for.
    #expect(bench.created == (1...6).map { after($0 * 10) })
    #expect(try bench.job().nextRunTime == after(70))
  }

  /// It is looked at again after a pause, not in each turn.
  @Test func waitingIsCheap() throws {
    var bench = OwnerBench()
    bench.limit(queuedRuns: 1)
    try bench.submit(every(seconds: 10))
    bench.turn(now: after(10))
    bench.turn(now: after(20))
    let waits = bench.machine.counters.quotaWaits
    for _ in 0..<10 { bench.turn(now: after(20)) }
    #expect(bench.machine.counters.quotaWaits == waits)
    #expect(bench.machine.nextDeadline == after(20).adding(milliseconds: FiringLimits.quotaPauseMillis))
  }

  @Test func withoutAQuotaNothingWaits() throws {
    var bench = OwnerBench()
    try bench.submit(every(seconds: 10))
    for second in [10, 20, 30] as [Int64] { bench.turn(now: after(second)) }
    #expect(bench.created == [after(10), after(20), after(30)])
    bench.limit(queuedRuns: nil)
    bench.turn(now: after(40))
    #expect(bench.created.count == 4)
  }
}
