import Testing

@testable import ControlPlane

/// How many sessions may begin, and when those that may not are to come back.
struct SessionGateTests {
  private let start = ContinuousClock.now

  @Test func aBurstIsLetInThenARate() {
    let gate = SessionGate(.init(perSecond: 100, burst: 10, longestWait: .seconds(5)))
    let atOnce = (0..<50).count { _ in gate.enter(at: start) == nil }
    #expect(atOnce == 10)
    let second = (0..<50).count { _ in gate.enter(at: start + .milliseconds(50)) == nil }
    #expect(second == 5)
    let late = (0..<50).count { _ in gate.enter(at: start + .seconds(3_600)) == nil }
    #expect(late == 10, "no more than a burst, however long nobody came")
  }

  /// Each one that is sent away comes back when it was told to: then it is let in, and nobody comes much more than twice.
  @Test func thoseThatAreSentAwayComeBackOneAfterTheOther() {
    let gate = SessionGate(.init(perSecond: 100, burst: 10, longestWait: .seconds(60)))
    var waiting = (0..<1_000).map { _ in start }
    var asked = 0
    var last = start
    while !waiting.isEmpty {
      waiting.sort()
      let now = waiting.removeFirst()
      last = now
      asked += 1
      if let wait = gate.enter(at: now) { waiting.append(now + wait) }
    }
    #expect(asked <= 2_100)
    let length = start.duration(to: last)
    #expect(length >= .milliseconds(9_800) && length <= .milliseconds(11_000))
  }

  @Test func nobodyIsSentAwayForLongerThanTheBound() {
    let gate = SessionGate(.init(perSecond: 1, burst: 1, longestWait: .seconds(5)))
    let waits = (0..<100).compactMap { _ in gate.enter(at: start) }
    #expect(waits.count == 99 && waits.max() == .seconds(5))
  }
}
