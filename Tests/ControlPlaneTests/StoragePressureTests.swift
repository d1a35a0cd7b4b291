import SchedulerCore
import Testing

@testable import ControlPlane

/// How retention follows the space that is left.
struct StoragePressureTests {
  private let base = LeaderMachine.Retention(millis: 7 * 86_400_000, runsPerJob: 100)
  private var pressure = StoragePressure(quotaBytes: 1_000, share: 0.8)

  private mutating func look(_ inUse: Int64, times: Int = 1) {
    for _ in 0..<times { pressure.look(.init(total: 1_000, inUse: inUse)) }
  }

  @Test mutating func nothingChangesWhileThereIsSpace() {
    look(799, times: 5)
    #expect(pressure.level == 0 && pressure.retention(of: base) == base)
  }

  @Test mutating func eachLookPastTheShareHalvesIt() {
    look(800)
    #expect(pressure.retention(of: base) == .init(millis: base.millis / 2, runsPerJob: 50))
    look(900)
    #expect(pressure.retention(of: base) == .init(millis: base.millis / 4, runsPerJob: 25))
    // In between it stays.
    look(700)
    #expect(pressure.level == 2)
    look(599)
    #expect(pressure.level == 1)
    look(10, times: 5)
    #expect(pressure.retention(of: base) == base)
  }

  @Test mutating func somethingIsKeptInAnyCase() {
    look(1_000, times: 50)
    #expect(pressure.retention(of: base) == .init(millis: 60_000, runsPerJob: 1))
    let short = LeaderMachine.Retention(millis: 30_000, runsPerJob: 1)
    #expect(pressure.retention(of: short) == short, "never more than was asked for")
  }

  @Test mutating func anAlarmTakesAllThatMayGoAndTellsTheQuota() {
    pressure.alarm(.init(total: 400, inUse: 350))
    #expect(pressure.quotaBytes == 400)
    #expect(pressure.retention(of: base) == .init(millis: 60_000, runsPerJob: 1))
    #expect(!pressure.allowsDisarming(.init(total: 390, inUse: 10)))
    #expect(pressure.allowsDisarming(.init(total: 380, inUse: 10)))
    // One that is larger than was said means nothing: the databases of members differ.
    pressure.alarm(.init(total: 2_000, inUse: 350))
    #expect(pressure.quotaBytes == 400)
  }

  @Test func aLargeDatabaseThatIsMostlyFreeIsDefragmented() {
    #expect(pressure.callsForDefragmentation(.init(total: 900, inUse: 500)))
    #expect(!pressure.callsForDefragmentation(.init(total: 900, inUse: 700)))
    #expect(!pressure.callsForDefragmentation(.init(total: 700, inUse: 100)))
  }
}
