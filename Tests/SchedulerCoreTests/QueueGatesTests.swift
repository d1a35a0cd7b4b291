@testable import SchedulerCore
import Testing

/// Which queues may give out runs.
@Suite struct QueueGatesTests {
  private func run(_ number: Int) -> RunKey {
    RunKey(job: JobKey(namespace: "n", jobID: "j\(number)"), runID: "r")
  }

  private func time(_ millis: Int64) -> Timestamp { Timestamp(milliseconds: 1_000_000 + millis) }

  private func record(_ change: (inout QueueRecord) -> Void) -> QueueRecord {
    var record = QueueRecord(name: "q", createdAt: time(0))
    change(&record)
    return record
  }

  @Test func aQueueThatNobodyHasPutIsOpen() {
    var gates = QueueGates()
    #expect(gates.block(of: "q", at: time(0)) == nil)
    gates.hold(run(1), in: "q")
    gates.dispatched("q", at: time(0))
    #expect(gates.running(in: "q") == 1 && gates.dispatched(of: "q") == 1 && gates.inUse == ["q"])
    gates.hold(run(1), in: nil)
    #expect(gates.running(in: "q") == 0 && gates.inUse.isEmpty && gates.takeReopened() == ["q"])
  }

  @Test func aPausedQueueIsClosedUntilItIsResumed() {
    var gates = QueueGates()
    gates.set("q", record { $0.pausedAt = time(0) }, now: time(0))
    #expect(gates.block(of: "q", at: time(9_999))?.why == .paused)
    gates.set("q", record { _ in }, now: time(10_000))
    #expect(gates.block(of: "q", at: time(10_000)) == nil && gates.takeReopened() == ["q"])
    #expect(gates.takeReopened().isEmpty)
  }

  @Test func aFullQueueOpensWithTheEndOfARun() {
    var gates = QueueGates()
    for number in 1...2 { gates.hold(run(number), in: "q") }
    gates.set("q", record { $0.spec.maxRunning = 2 }, now: time(0))
    #expect(gates.block(of: "q", at: time(0))?.why == .full)
    #expect(gates.holders(of: "q", limit: 1) == [run(1)])
    _ = gates.takeReopened()
    // Whoever holds it: a run that is given another queue by its job leaves room.
    gates.hold(run(1), in: "other")
    #expect(gates.block(of: "q", at: time(0)) == nil && gates.takeReopened() == ["q"])
    gates.hold(run(3), in: "q")
    gates.hold(run(3), in: "q")
    #expect(gates.running(in: "q") == 2 && gates.block(of: "q", at: time(0))?.why == .full)
    gates.set("q", nil, now: time(0))
    #expect(gates.block(of: "q", at: time(0)) == nil && gates.running(in: "q") == 2)
  }

  @Test func aRateBeginsWithNothingSavedUp() throws {
    var gates = QueueGates()
    let record = record {
      $0.spec.dispatchRate = 2
      $0.spec.dispatchBurst = 3
    }
    gates.set("q", record, now: time(0))
    let block = try #require(gates.block(of: "q", at: time(0)))
    #expect(block.why == .rateLimited && block.until == time(500))
    #expect(gates.block(of: "q", at: time(500)) == nil)
    // What changes something else of the queue gives nothing away.
    gates.set("q", record, now: time(400))
    #expect(gates.block(of: "q", at: time(500)) == nil)
    for _ in 0..<3 {
      #expect(gates.block(of: "q", at: time(60_000)) == nil)
      gates.dispatched("q", at: time(60_000))
    }
    #expect(gates.block(of: "q", at: time(60_000))?.until == time(60_500))
  }

  /// In no stretch of time are more given out than the burst and what the rate brings meanwhile.
  @Test(arguments: [1, 2, 3, 4]) func aRateIsKept(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let perSecond = Double(Int.random(in: 1...5_000, using: &random)) / 10
    let burst = Int.random(in: 1...50, using: &random)
    var rate = DispatchRate(perSecond: perSecond, burst: burst, startingAt: time(0))
    var given: [Int64] = []
    var now = time(0)
    for _ in 0..<4_000 {
      if let next = rate.next(after: now) {
        #expect(next > now)
        let step = Int64.random(in: 0...20_000, using: &random)
        now = Bool.random(using: &random) ? next : Timestamp(microseconds: now.microseconds + step)
      } else {
        rate.take(at: now)
        given.append(now.microseconds)
      }
    }
    let sorted = given.sorted()
    for (index, start) in sorted.enumerated() where index % 37 == 0 {
      for (place, end) in sorted.enumerated() where place >= index && place % 41 == 0 {
        let seconds = Double(end - start) / 1_000_000
        #expect(Double(place - index + 1) <= Double(burst) + 1 + perSecond * seconds)
      }
    }
    #expect(given.count > 100)
  }

  @Test func aClockThatIsSetBackEarnsNothing() {
    var rate = DispatchRate(perSecond: 1, burst: 5, startingAt: time(0))
    #expect(rate.next(after: time(1_000)) == nil)
    rate.take(at: time(1_000))
    #expect(rate.next(after: time(-60_000)) == time(-59_000))
    rate.take(at: time(5_000))
    #expect(rate.next(after: time(5_000)) == nil)
  }

  @Test func noneIsForgottenWhileSomethingOfItRuns() {
    var gates = QueueGates()
    gates.hold(run(0), in: "kept")
    for number in 1...(QueueGates.Limits.unnamedQueues + 10) {
      gates.hold(run(1), in: "q\(number)")
      gates.hold(run(1), in: nil)
    }
    #expect(gates.running(in: "kept") == 1)
  }
}
