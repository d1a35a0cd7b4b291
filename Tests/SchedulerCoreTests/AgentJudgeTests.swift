import Testing

@testable import SchedulerCore

/// When agents are avoided because of what becomes of the attempts on them.
struct AgentJudgeTests {
  private var judge = AgentJudge(rules: .init())
  private var now = Timestamp(milliseconds: 1_000_000)
  private var attempts = 0

  private func run(_ job: Int) -> RunKey {
    RunKey(job: JobKey(namespace: "default", jobID: "j\(job)"), runID: "r")
  }

  /// So many failures on an agent, a second apart, of so many jobs in turn; what the last led to.
  @discardableResult
  private mutating func fail(_ id: String, _ count: Int, jobs: Int = 3, agents: Int = 4) -> Timestamp? {
    var last: Timestamp?
    for _ in 0..<count {
      now = now.adding(milliseconds: 1_000)
      last = judge.failed(run(attempts % jobs), on: id, agents: agents, at: now)
      attempts += 1
    }
    return last
  }

  private mutating func succeed(_ id: String) -> Bool {
    now = now.adding(milliseconds: 1)
    return judge.succeeded(on: id, at: now)
  }

  @Test mutating func fiveFailuresOfThreeJobsWhileOthersSucceed() throws {
    fail("a", 4)
    #expect(succeed("b") == false)
    let until = try #require(fail("a", 1))
    #expect(until == now.adding(milliseconds: 60_000))
    #expect(judge.isAvoided("a") && !judge.isAvoided("b") && judge.avoidedCount == 1)
    #expect(judge.reason("a")?.contains("the last 5 attempts on it failed") == true)
  }

  @Test mutating func oneJobThatFailsEverywhereIsNoAgentsFault() {
    fail("a", 4, jobs: 2)
    _ = succeed("b")
    #expect(fail("a", 20, jobs: 2) == nil)
    #expect(!judge.isAvoided("a"))
  }

  @Test mutating func whereNobodySucceedsNobodyIsAvoided() {
    _ = succeed("b")
    // That was before the first failure, and the agent's own success ends what it had failed before.
    #expect(fail("a", 20) == nil)
    _ = succeed("a")
    #expect(fail("a", 4) == nil)
  }

  @Test mutating func aSuccessInBetweenBeginsAnew() {
    fail("a", 4)
    _ = succeed("b")
    _ = succeed("a")
    #expect(fail("a", 4) == nil)
    #expect(fail("a", 1) == nil, "nobody else has succeeded since the first of these")
    _ = succeed("b")
    #expect(fail("a", 1) != nil)
  }

  @Test mutating func itsOwnSuccessIsNotAnothers() {
    _ = succeed("b")
    fail("a", 4)
    _ = succeed("a")
    #expect(fail("a", 9) == nil)
  }

  @Test mutating func halfOfTheAgentsAtMost() {
    for id in ["a", "b", "c"] {
      fail(id, 4)
      _ = succeed("d")
      fail(id, 1)
    }
    #expect(judge.isAvoided("a") && judge.isAvoided("b") && !judge.isAvoided("c"))
    #expect(judge.avoidedCount == 2)
  }

  @Test mutating func oneRunShowsHowItIs() {
    fail("a", 4)
    _ = succeed("b")
    fail("a", 1)
    // What it still has from before says nothing new.
    #expect(fail("a", 3) == nil)
    judge.timePassed(for: "a")
    #expect(!judge.isAvoided("a"))
    let trial = run(99)
    #expect(judge.given(trial, to: "a", at: now) == now.adding(milliseconds: 60_000))
    #expect(judge.isAvoided("a"), "one run, not more")
    #expect(judge.given(run(98), to: "a", at: now) == nil)
    // It fails: twice as long.
    #expect(judge.failed(trial, on: "a", agents: 4, at: now) == now.adding(milliseconds: 120_000))
    judge.timePassed(for: "a")
    _ = judge.given(trial, to: "a", at: now)
    #expect(judge.failed(trial, on: "a", agents: 4, at: now) == now.adding(milliseconds: 240_000))
    judge.timePassed(for: "a")
    _ = judge.given(trial, to: "a", at: now)
    #expect(succeed("a") == true)
    #expect(!judge.isAvoided("a") && judge.avoidedCount == 0 && judge.reason("a") == nil)
  }

  @Test mutating func theWaitIsBounded() {
    fail("a", 4)
    _ = succeed("b")
    fail("a", 1)
    var longest: Int64 = 0
    for _ in 0..<20 {
      judge.timePassed(for: "a")
      _ = judge.given(run(1), to: "a", at: now)
      let until = judge.failed(run(1), on: "a", agents: 4, at: now)
      longest = max(longest, (until ?? now).milliseconds - now.milliseconds)
    }
    #expect(longest == 15 * 60_000)
  }

  @Test mutating func aTrialThatSaysNothingIsRepeated() {
    fail("a", 4)
    _ = succeed("b")
    fail("a", 1)
    judge.timePassed(for: "a")
    _ = judge.given(run(1), to: "a", at: now)
    #expect(judge.ended(run(2), on: "a") == false)
    #expect(judge.ended(run(1), on: "a") == true)
    #expect(!judge.isAvoided("a") && judge.avoidedCount == 1)
  }

  @Test mutating func aTrialThatLastsIsPassed() {
    fail("a", 4)
    _ = succeed("b")
    fail("a", 1)
    judge.timePassed(for: "a")
    _ = judge.given(run(1), to: "a", at: now)
    judge.timePassed(for: "a")
    #expect(!judge.isAvoided("a") && judge.avoidedCount == 0)
  }

  @Test mutating func anotherIncarnationBeginsAnew() {
    fail("a", 4)
    _ = succeed("b")
    fail("a", 1)
    #expect(judge.forget("a") == true)
    #expect(!judge.isAvoided("a") && judge.avoidedCount == 0)
    #expect(judge.forget("a") == false)
  }
}
