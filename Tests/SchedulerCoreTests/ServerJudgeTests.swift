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

  @Test func whoComesBackIsJudgedAnew() {
    var bench = Bench()
    for _ in 0..<3 { bench.round(ids) { $1.overdue = $0 == "c" ? 50_000 : 0 } }
    bench.judge.forget("c")
    #expect(bench.judge.share(of: "c") == 1_000)
  }
}
