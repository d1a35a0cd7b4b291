import Testing

@testable import SchedulerCore

/// What the leader does when many agents are lost at once, and what it counts.
struct LeaderLossTests {
  /// A fleet of agents with one run each.
  private struct Fleet {
    var bench: LeaderBench
    var runs: [RunKey] = []
    let size: Int

    init(_ size: Int, _ configuration: LeaderMachine.Configuration = .init()) {
      self.size = size
      bench = LeaderBench(configuration)
      for index in 0..<size { _ = bench.etcd.register(Self.record(index)) }
      bench.watch()
      for index in 0..<size {
        let id = Self.name(index)
        let created = bench.etcd.agents[id]?.createRevision ?? 0
        bench.server.opened(
          UInt64(index + 1), AgentHello(agentID: id, incarnation: created, version: "1"), now: bench.now)
      }
      for _ in 0..<size { runs.append(bench.submit()) }
      bench.settle()
    }

    static func name(_ index: Int) -> String { "a\(index)" }

    static func record(_ index: Int) -> AgentRecord {
      AgentRecord(
        agentID: name(index), host: "h", labels: [:], slots: 2, version: "1",
        startedAt: Timestamp(milliseconds: 0))
    }

    /// The keys of so many agents go, then the watch brings it.
    mutating func lapse(_ range: Range<Int>) {
      for index in range { bench.etcd.lapse(agent: Self.name(index)) }
      bench.watch()
      bench.pass(0)
    }

    /// How many runs are in a state.
    func count(_ state: RunState) -> Int { runs.count { bench.state($0) == state } }

    /// Runs of which the first attempt is over.
    var givenBack: Int { runs.count { (bench.etcd.runs[$0]?.record.attempts.first?.endedAt) != nil } }
  }

  @Test func aFewLostAgentsAreNoReasonToWait() throws {
    var fleet = Fleet(20)
    fleet.lapse(0..<10)
    fleet.bench.settle()
    #expect(fleet.givenBack == 10)
    let counters = try fleet.bench.machine.counters
    #expect(counters.lostAgents == 10 && counters.lostRuns == 10)
    #expect(try fleet.bench.machine.braking(fleet.bench.server.cache) == nil)
  }

  @Test func whenMostAreLostTheirRunsWait() throws {
    var fleet = Fleet(20)
    fleet.lapse(0..<11)
    let brake = try #require(try fleet.bench.machine.braking(fleet.bench.server.cache))
    #expect(brake.waiting == 11 && brake.engagement.lost == 11 && brake.engagement.known == 20)
    fleet.bench.pass(9_900)
    fleet.bench.settle()
    #expect(fleet.givenBack == 0)
    for _ in 0..<5 {
      fleet.bench.pass(100)
      fleet.bench.settle()
    }
    #expect(fleet.givenBack == 11)
    // What there are slots for runs again, on those that are left.
    #expect(fleet.count(.assigned) == 18 && fleet.count(.queued) == 2)
    #expect(try fleet.bench.machine.counters.reassigned == 9)
  }

  @Test func agentsThatComeBackHaveTheRunsGivenBackSoon() throws {
    var fleet = Fleet(20)
    fleet.lapse(0..<15)
    fleet.bench.pass(2_000)
    #expect(fleet.givenBack == 0)
    for index in 0..<15 { _ = fleet.bench.etcd.register(Fleet.record(index)) }
    fleet.bench.watch()
    for _ in 0..<5 {
      fleet.bench.pass(100)
      fleet.bench.settle()
    }
    #expect(fleet.givenBack == 15)
    #expect(try fleet.bench.machine.braking(fleet.bench.server.cache) == nil)
  }

  @Test func aLeaderThatStartsAmidTheLossHasTheBrakeOn() throws {
    var fleet = Fleet(20)
    for index in 0..<15 { fleet.bench.etcd.lapse(agent: Fleet.name(index)) }
    // The old leader has seen nothing of it when it goes.
    fleet.bench.succeed()
    #expect(fleet.givenBack == 0)
    let brake = try #require(try fleet.bench.machine.braking(fleet.bench.server.cache))
    #expect(brake.waiting == 15)
    fleet.bench.pass(10_100)
    fleet.bench.settle()
    fleet.bench.pass(1_000)
    fleet.bench.settle()
    #expect(fleet.givenBack == 15)
  }

  @Test func agentsThatLeaveInOrderAreNoLoss() throws {
    var fleet = Fleet(20)
    for index in 0..<20 {
      fleet.bench.server.received(
        .status(AgentStatus(draining: true)), on: UInt64(index + 1), now: fleet.bench.now)
    }
    fleet.lapse(0..<20)
    #expect(try fleet.bench.machine.counters.lostAgents == 0)
    #expect(try fleet.bench.machine.braking(fleet.bench.server.cache) == nil)
  }

  @Test func tenThousandAtOnceAreGivenBackAtABoundedRate() throws {
    var fleet = Fleet(10_000)
    fleet.lapse(0..<9_000)
    #expect(fleet.bench.server.inFlight.isEmpty, "nothing is written in the pause")
    fleet.bench.pass(9_999)
    #expect(fleet.bench.server.inFlight.isEmpty)
    var seconds = 0
    var most = 0
    while fleet.givenBack < 9_000, seconds < 60 {
      let before = fleet.givenBack
      for _ in 0..<10 {
        fleet.bench.pass(100)
        fleet.bench.settle()
      }
      seconds += 1
      most = max(most, fleet.givenBack - before)
    }
    #expect((8...12).contains(seconds) && most <= 1_100)
    // Only as many as there are slots for are with agents.
    #expect(fleet.count(.assigned) == 2_000 && fleet.count(.queued) == 8_000)
    for _ in 0..<250 { fleet.bench.pass(100) }
    #expect(try fleet.bench.machine.braking(fleet.bench.server.cache) == nil)
  }

  // MARK: Figures

  @Test func recoveriesAreTimed() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    bench.submit()
    bench.settle()
    bench.lapse("a")
    bench.settle()
    bench.pass(1_500)
    bench.connect("b", session: 2)
    bench.settle()
    let counters = try bench.machine.counters
    #expect(
      counters.reassigned == 1 && counters.lastRecoveryMillis == 1_500 && counters.maxRecoveryMillis == 1_500)
  }

  @Test func theGapAfterTheLastLeaderLastsUntilItsWorkIsTakenUp() throws {
    var bench = LeaderBench()
    #expect(try bench.machine.failoverGapMillis == nil)
    bench.submit()
    bench.settle()
    var machine = LeaderMachine(epoch: LeaderEpoch(lease: 9, createRevision: 99), serverID: "s", seed: 1)
    machine.start(bench.server.cache, now: bench.now, lastLeaderLostAt: bench.now.adding(milliseconds: -200))
    _ = machine.turn(bench.server.cache, now: bench.now)
    #expect(machine.failoverGapMillis == nil, "a run waits, and nobody can take it")
    var idle = LeaderMachine(epoch: LeaderEpoch(lease: 9, createRevision: 99), serverID: "s", seed: 1)
    let empty = ClusterCache(segmentCount: 1)
    idle.start(empty, now: bench.now, lastLeaderLostAt: bench.now.adding(milliseconds: -200))
    _ = idle.turn(empty, now: bench.now)
    #expect(idle.failoverGapMillis == 200)
  }

  // MARK: Agents on which everything fails

  @Test func anAgentOnWhichEverythingFailsIsAvoidedThenTried() throws {
    var bench = LeaderBench()
    bench.connect("bad", session: 1, labels: ["x": "bad"])
    bench.connect("good", session: 2, labels: ["x": "good"])
    bench.connect("third", session: 3, labels: ["x": "third"])
    var said: [UInt64: UInt64] = [:]
    func run(_ label: String, _ session: UInt64, code: Int) throws {
      let run = bench.submit {
        $0.constraints = [Constraint(label: "x", op: .equal, values: [label])]
        $0.maxRetries = 0
      }
      bench.settle()
      said[session, default: 0] += 1
      bench.say(session, said[session] ?? 0, bench.ended(try bench.current(run), code: code))
      bench.settle()
    }
    for _ in 0..<4 { try run("bad", 1, code: 1) }
    try run("good", 2, code: 0)
    try run("bad", 1, code: 1)
    let judged = try #require(try bench.machine.health(judgedOf: "bad"))
    #expect(judged.state == .avoided && judged.reason?.contains("attempts on it failed") == true)
    // It gets nothing now, and the run says why it waits.
    let waiting = bench.submit { $0.constraints = [Constraint(label: "x", op: .equal, values: ["bad"])] }
    let second = bench.submit { $0.constraints = [Constraint(label: "x", op: .equal, values: ["bad"])] }
    bench.settle()
    #expect(bench.state(waiting) == .queued)
    #expect(
      try bench.machine.waitingReason(of: waiting, bench.server.cache, now: bench.now)
        == "3 agents: 2 without label x=bad, 1 avoided since attempts keep failing there")
    bench.pass(60_000)
    bench.settle()
    // One of them only: the trial.
    #expect([bench.state(waiting), bench.state(second)].count { $0 == .assigned } == 1)
    let trial = bench.state(waiting) == .assigned ? waiting : second
    bench.say(1, 6, bench.ended(try bench.current(trial)))
    bench.settle()
    #expect(bench.state(trial == waiting ? second : waiting) == .assigned)
    #expect(try bench.machine.health(judgedOf: "bad")?.state == .healthy)
  }

  @Test func anAgentThatIsNotWellGetsNothing() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    var health = AgentHealth()
    health.unhealthyReason = "no disk"
    bench.server.received(.status(AgentStatus(health: health)), on: 1, now: bench.now)
    let run = bench.submit()
    bench.settle()
    #expect(bench.state(run) == .queued)
    #expect(
      try bench.machine.waitingReason(of: run, bench.server.cache, now: bench.now) == "1 agent: 1 unhealthy")
    #expect(try bench.machine.health(judgedOf: "a")?.reason == "no disk")
    #expect(try bench.machine.unfitAgents.unhealthy == 1)
    health.unhealthyReason = nil
    bench.server.received(.status(AgentStatus(health: health)), on: 1, now: bench.now)
    bench.settle()
    #expect(bench.state(run) == .assigned)
  }
}
