import Testing

@testable import SchedulerCore

/// Which servers get fewer segments, and when they get them back.
struct ServerJudgeTests {
  private struct Bench {
    var judge = ServerJudge()
    var now = Timestamp(milliseconds: 1_000_000)
    var skews: [String: Int64] = [:]

    /// Every server reports, two seconds later.
    mutating func round(_ ids: [String], _ change: (String, inout ServerFigures) -> Void = { _, _ in }) {
      now = now.adding(milliseconds: 2_000)
      for id in ids { report(id, change) }
    }

    mutating func report(_ id: String, _ change: (String, inout ServerFigures) -> Void = { _, _ in }) {
      var figures = ServerFigures(reportedAt: now.adding(milliseconds: skews[id] ?? 0))
      change(id, &figures)
      judge.reported(id, figures, now: now)
    }

    func shares(_ ids: [String]) -> [Int] { ids.map { judge.share(of: $0) } }
  }

  private let ids = ["a", "b", "c"]

  @Test func aNewServerWithAWrongClockGetsNothing() {
    var bench = Bench()
    bench.round(["a", "b"])
    bench.skews["c"] = 3_600_000
    bench.report("c")
    #expect(bench.shares(ids) == [1_000, 1_000, 0])
    #expect(bench.judge.skewMillis(of: "c") == 3_600_000)
    #expect(bench.judge.heldBack("c")?.contains("3600000 ms") == true)
    bench.skews["c"] = nil
    bench.round(ids)
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000])
    #expect(bench.judge.heldBack("c") == nil)
  }

  @Test func aClockThatIsSetIsNoticedOnceAllHaveReported() {
    var bench = Bench()
    for _ in 0..<3 { bench.round(ids) }
    bench.skews["b"] = -7_200_000
    bench.report("b")
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000], "it may be the leader's own clock")
    bench.round(ids)
    bench.round(ids)
    #expect(bench.shares(ids) == [1_000, 0, 1_000])
  }

  @Test func theLeadersOwnClockIsBlamedOnTheLeaderAlone() {
    var bench = Bench()
    for _ in 0..<3 { bench.round(ids) }
    // As the leader, which is c, sees it, all others are off, and itself is not.
    bench.skews = ["a": 3_600_000, "b": 3_600_000]
    for _ in 0..<5 {
      for id in ids {
        bench.report(id)
        bench.now = bench.now.adding(milliseconds: 700)
        #expect(bench.shares(["a", "b"]) == [1_000, 1_000])
      }
    }
    #expect(bench.judge.share(of: "c") == 0)
  }

  // MARK: What an earlier leader saw

  private func reports(_ bench: Bench, _ ages: [(String, Int64)]) -> [(id: String, figures: ServerFigures)] {
    ages.map { id, age in (id, ServerFigures(reportedAt: bench.now.adding(milliseconds: -age))) }
  }

  /// It must not get segments in the moments before it reports to the new leader.
  @Test(arguments: [3_600_000, -3_600_000] as [Int64])
  func aNewLeaderSeesInTheRecordsWhoseClockIsFarOff(skew: Int64) {
    var bench = Bench()
    bench.judge.assume(reports(bench, [("a", 100), ("b", 9_000), ("c", 1_000 - skew)]), now: bench.now)
    #expect(bench.shares(ids) == [1_000, 1_000, 0])
    #expect(bench.judge.heldBack("c") != nil)
    bench.skews["c"] = skew
    bench.report("c")
    bench.report("a")
    #expect(bench.shares(ids) == [1_000, 1_000, 0])
    bench.skews["c"] = nil
    bench.round(ids)
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000])
  }

  @Test func theAgeOfReportsIsNoSkew() {
    var bench = Bench()
    bench.judge.assume(reports(bench, [("a", 9_900), ("b", 9_000), ("c", 0)]), now: bench.now)
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000])
    // Who comes now, and reports at once, is not measured by old reports either.
    bench.report("d")
    bench.report("c")
    #expect(bench.shares(ids + ["d"]) == [1_000, 1_000, 1_000, 1_000])
    // Once all have reported, the bound is the usual one.
    bench.round(ids + ["d"])
    bench.skews["d"] = 6_000
    for _ in 0..<2 { bench.round(ids + ["d"]) }
    #expect(bench.judge.share(of: "d") == 0)
  }

  // MARK: When servers go

  @Test func aWrongClockStaysWrongWhenOthersGo() {
    var bench = Bench()
    bench.round(["a", "b"])
    bench.skews["c"] = 3_600_000
    bench.round(ids)
    #expect(bench.shares(ids) == [1_000, 1_000, 0])
    bench.judge.forget("a")
    for _ in 0..<3 { bench.round(["b", "c"]) }
    #expect(bench.shares(["b", "c"]) == [1_000, 0])
    bench.skews["c"] = 1_000
    bench.round(["b", "c"])
    #expect(bench.shares(["b", "c"]) == [1_000, 1_000])
  }

  @Test func theLastServerGetsAllWhateverItsClock() {
    var bench = Bench()
    bench.round(["a", "b"])
    bench.skews["c"] = 3_600_000
    bench.round(ids)
    bench.judge.forget("a")
    bench.judge.forget("b")
    #expect(bench.judge.share(of: "c") == 1_000)
    for _ in 0..<3 { bench.round(["c"]) }
    #expect(bench.judge.share(of: "c") == 1_000)
  }

  @Test func twoServersCannotSayWhoIsRight() {
    var bench = Bench()
    bench.skews["b"] = 3_600_000
    for _ in 0..<5 { bench.round(["a", "b"]) }
    #expect(bench.shares(["a", "b"]) == [1_000, 1_000])
    #expect(bench.judge.offsetMillis(of: "b") == 3_600_000)
  }

  @Test func anOverloadedServerShedsStepByStepAndGetsItBackLater() {
    var bench = Bench()
    func late(_ id: String, _ figures: inout ServerFigures) {
      figures.fires = 500
      figures.latenessP50Millis = id == "b" ? 9_000 : 100
    }
    bench.round(ids, late)
    bench.round(ids, late)
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000], "two reports may be chance")
    bench.round(ids, late)
    #expect(bench.shares(ids) == [1_000, 750, 1_000])
    #expect(bench.judge.heldBack("b")?.contains("75%") == true)
    for _ in 0..<14 { bench.round(ids, late) }
    #expect(bench.judge.share(of: "b") == 750, "no second step within half a minute")
    bench.round(ids, late)
    #expect(bench.judge.share(of: "b") == 500)
    for _ in 0..<200 { bench.round(ids, late) }
    #expect(bench.judge.share(of: "b") == 250, "it keeps a quarter")
    for _ in 0..<29 { bench.round(ids) }
    #expect(bench.judge.share(of: "b") == 250, "a minute has to pass first")
    bench.round(ids)
    #expect(bench.judge.share(of: "b") == 500)
    for _ in 0..<60 { bench.round(ids) }
    #expect(bench.judge.share(of: "b") == 1_000)
  }

  @Test func whoIsLateLikeTheOthersKeepsItsShare() {
    var bench = Bench()
    for _ in 0..<10 {
      bench.round(ids) {
        $1.fires = 500
        $1.latenessP50Millis = $0 == "b" ? 20_000 : 8_000
      }
    }
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000])
    for _ in 0..<3 { bench.round(ids) { $1.overdue = $0 == "c" ? 50_000 : 10 } }
    #expect(bench.shares(ids) == [1_000, 1_000, 750])
  }

  /// Who has just taken over the segments of a lost server has fired the others' late runs.
  @Test func someLateRunsAreNoOverload() {
    var bench = Bench()
    for _ in 0..<10 {
      bench.round(ids) {
        guard $0 == "b" else { return }
        $1.fires = 40
        $1.latenessP50Millis = 5_000
        $1.latenessP99Millis = 6_000
      }
      bench.round(ids) {
        $1.fires = 4_000
        $1.latenessP99Millis = $0 == "b" ? 6_000 : 10
      }
    }
    #expect(bench.shares(ids) == [1_000, 1_000, 1_000])
  }

  @Test func whoIsAloneIsNotOverloaded() {
    var bench = Bench()
    for _ in 0..<20 { bench.round(["a"]) { $1.overdue = 90_000 } }
    #expect(bench.judge.share(of: "a") == 1_000)
  }

  /// Now well, now ill, a server never sheds.
  @Test func upsAndDownsAreNoOverload() {
    var bench = Bench()
    for turn in 0..<300 {
      bench.round(ids) { $1.overdue = $0 == "b" && turn % 3 != 0 ? 50_000 : 0 }
      #expect(bench.shares(ids) == [1_000, 1_000, 1_000])
    }
  }

  /// However reports vary, segments do not go to and fro.
  @Test(arguments: 0..<20) func sharesChangeSeldom(seed: Int) {
    var bench = Bench()
    var random = SplitMix(seed: UInt64(seed))
    var shares = bench.shares(ids)
    var changedAt: [Timestamp] = Array(repeating: .earliest, count: ids.count)
    var badUntil = bench.now
    var isBad = false
    for _ in 0..<1_000 {
      if badUntil <= bench.now {
        isBad.toggle()
        badUntil = bench.now.adding(milliseconds: Int64.random(in: 0...120_000, using: &random))
      }
      bench.round(ids) { id, figures in
        figures.overdue = id == "b" && isBad ? Int.random(in: 0...50_000, using: &random) : 3
      }
      let next = bench.shares(ids)
      for place in ids.indices where next[place] != shares[place] {
        let pause = next[place] < shares[place] ? 30_000 : 60_000
        #expect(changedAt[place].adding(milliseconds: Int64(pause)) <= bench.now)
        #expect(abs(next[place] - shares[place]) == 250 && next[place] >= 250)
        changedAt[place] = bench.now
      }
      shares = next
    }
    #expect(shares[0] == 1_000 && shares[2] == 1_000)
  }

  @Test func whoComesBackIsJudgedAnew() {
    var bench = Bench()
    for _ in 0..<3 { bench.round(ids) { $1.overdue = $0 == "c" ? 50_000 : 0 } }
    bench.judge.forget("c")
    #expect(bench.judge.share(of: "c") == 1_000)
  }
}
