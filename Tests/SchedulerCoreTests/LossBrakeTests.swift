import Testing

@testable import SchedulerCore

/// When the brake engages, what it lets through, and when it lets go.
struct LossBrakeTests {
  private var brake = LossBrake(rules: .init())
  private var now = Timestamp(milliseconds: 1_000_000)

  private mutating func pass(_ milliseconds: Int64) { now = now.adding(milliseconds: milliseconds) }

  private mutating func lose(_ ids: Range<Int>) { for id in ids { brake.lost("a\(id)", at: now) } }

  @Test mutating func moreThanHalfOfTenOrMore() {
    lose(0..<5)
    brake.review(agents: 5, waiting: 1, now: now)
    #expect(!brake.isEngaged, "half is not more than half")
    lose(5..<6)
    brake.review(agents: 4, waiting: 1, now: now)
    #expect(brake.isEngaged)
    let engagement = brake.engagement(agents: 4)
    #expect(engagement?.lost == 6 && engagement?.known == 10)
    #expect(engagement?.pausedUntil == now.adding(milliseconds: 10_000))
  }

  @Test mutating func aSmallFleetIsNotBraked() {
    lose(0..<9)
    brake.review(agents: 0, waiting: 9, now: now)
    #expect(!brake.isEngaged && brake.allow(9, at: now) == 9)
  }

  @Test mutating func lossesThatAreFarApartDoNotCount() {
    for id in 0..<10 {
      lose(id..<(id + 1))
      brake.review(agents: 12 - id, waiting: 0, now: now)
      pass(10_000)
    }
    #expect(!brake.isEngaged)
  }

  @Test mutating func nothingIsGivenBackInThePauseThenAtARate() {
    lose(0..<100)
    brake.review(agents: 10, waiting: 50_000, now: now)
    var given = 0
    for _ in 0..<99 {
      pass(100)
      brake.review(agents: 10, waiting: 50_000, now: now)
      given += brake.allow(50_000 - given, at: now)
    }
    #expect(given == 0)
    #expect(brake.nextChance(at: now) == now.adding(milliseconds: 100))
    // Ten seconds after the pause.
    for _ in 0..<101 {
      pass(100)
      given += brake.allow(50_000 - given, at: now)
      brake.review(agents: 10, waiting: 50_000 - given, now: now)
    }
    #expect((9_000...10_200).contains(given))
  }

  @Test mutating func thePauseFollowsTheLossesButNotForEver() {
    for round in 0..<60 {
      lose((round * 20)..<(round * 20 + 20))
      brake.review(agents: 5, waiting: 10, now: now)
      pass(1_000)
    }
    #expect(brake.engagement(agents: 5)?.pausedUntil == Timestamp(milliseconds: 1_000_000 + 30_000))
  }

  @Test mutating func agentsThatComeBackEndThePause() {
    lose(0..<20)
    brake.review(agents: 5, waiting: 100, now: now)
    #expect(brake.allow(100, at: now) == 0)
    for id in 0..<15 { brake.present("a\(id)") }
    pass(2_000)
    brake.review(agents: 20, waiting: 100, now: now)
    #expect(brake.isEngaged, "runs still wait")
    pass(500)
    #expect(brake.allow(100, at: now) == 100)
    brake.review(agents: 20, waiting: 0, now: now)
    #expect(!brake.isEngaged)
  }

  @Test mutating func itLetsGoWhenAllIsLongAgo() {
    lose(0..<20)
    brake.review(agents: 0, waiting: 0, now: now)
    pass(29_000)
    brake.review(agents: 0, waiting: 0, now: now)
    #expect(brake.isEngaged)
    pass(1_000)
    brake.review(agents: 0, waiting: 0, now: now)
    #expect(!brake.isEngaged)
  }

  @Test mutating func theRateHoldsWithoutTheBrakeToo() {
    #expect(brake.allow(20_000, at: now) == 5_000)
    #expect(brake.allow(20_000, at: now) == 0)
    pass(1_000)
    #expect(brake.allow(20_000, at: now) == 1_000)
    pass(3_600_000)
    #expect(brake.allow(20_000, at: now) == 5_000)
    // A clock that is set back gives nothing away, and breaks nothing.
    pass(-3_600_000)
    #expect(brake.allow(20_000, at: now) == 0)
    pass(1_000)
    #expect(brake.allow(20_000, at: now) == 1_000)
  }
}
