import Testing

@testable import SchedulerCore

/// What the leader promises of agents, and to whom.
struct LeaderPlacementTests {
  /// A bench with agents of so many processors, whose sessions are numbered from 1.
  private func bench(_ agents: [(id: String, cpus: Double)], slots: Int = 10) -> LeaderBench {
    var bench = LeaderBench()
    for (index, agent) in agents.enumerated() {
      bench.connect(
        agent.id, session: UInt64(index + 1), slots: slots, resources: Resources(cpus: agent.cpus))
    }
    return bench
  }

  private func promised(_ agent: String, _ bench: LeaderBench) throws -> Double? {
    try bench.machine.pool.promised(by: agent)?.cpus
  }

  @Test func anAttemptIsPromisedWhatItsJobAsksFor() throws {
    var bench = bench([("a", 4)])
    let runs = (0..<3).map { _ in bench.submit { $0.resources.cpus = 1.5 } }
    bench.rest()
    #expect(runs.map(bench.state) == [.assigned, .assigned, .queued])
    #expect(bench.etcd.runs[runs[0]]?.record.attempts.last?.resources == Resources(cpus: 1.5))
    #expect(try promised("a", bench) == 3)
    #expect(
      try bench.machine.waitingReason(of: runs[2], bench.server.cache, now: bench.now)
        == "1 agent: 1 with less than 1.5 cpus free")
    bench.say(1, 1, bench.ended(try bench.current(runs[0])))
    bench.rest()
    #expect(bench.state(runs[2]) == .assigned)
    bench.say(1, 2, bench.ended(try bench.current(runs[1])), bench.ended(try bench.current(runs[2])))
    bench.rest()
    #expect(try promised("a", bench) == 0 && bench.machine.promises.isEmpty)
  }

  /// What was promised is in the record: it holds for who leads next, and when the job has been changed since.
  @Test func promisesOutliveLeadersAndChanges() throws {
    var bench = bench([("a", 4)])
    let run = bench.submit { $0.resources.cpus = 3 }
    bench.rest()
    try bench.change(run.job) { $0.spec.resources.cpus = 1 }
    bench.succeed()
    let agent = Incarnation(agentID: "a", createRevision: bench.etcd.agents["a"]?.createRevision ?? 0)
    bench.hello(agent, session: 7, attempts: [try bench.current(run)])
    #expect(try promised("a", bench) == 3)
    let other = bench.submit { $0.resources.cpus = 2 }
    bench.rest()
    #expect(bench.state(other) == .queued)
    bench.say(7, 1, bench.ended(try bench.current(run)))
    bench.rest()
    #expect(bench.state(other) == .assigned)
    #expect(try promised("a", bench) == 2)
  }

  @Test func whatALostAgentHadPromisedIsPromisedElsewhere() throws {
    var bench = bench([("a", 4), ("b", 4)])
    let run = bench.submit {
      $0.resources.cpus = 3
      $0.placement.strategy = .binPack
    }
    bench.rest()
    #expect(try promised("a", bench) == 3)
    bench.lapse("a")
    bench.rest()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
    #expect(try promised("b", bench) == 3)
    bench.connect("a", session: 9, slots: 10, resources: Resources(cpus: 4))
    #expect(try promised("a", bench) == 0)
  }

  @Test func aFailedCommitPromisesNothing() throws {
    var bench = bench([("a", 4)])
    let run = bench.submit { $0.resources.cpus = 3 }
    bench.pass(0)
    #expect(try promised("a", bench) == 3)
    bench.refuse()
    bench.report()
    #expect(try promised("a", bench) == 0 && bench.machine.promises.isEmpty)
    bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    bench.rest()
    #expect(bench.state(run) == .assigned)
  }

  /// A large run at the head of the queue keeps nothing from the small ones behind it.
  @Test func aBlockedHeadBlocksNobody() throws {
    var bench = bench([("a", 2)])
    let large = bench.submit {
      $0.resources.cpus = 3
      $0.priority = 100
    }
    let small = bench.submit { $0.resources.cpus = 1 }
    let none = bench.submit()
    bench.rest()
    #expect(
      bench.state(large) == .queued && bench.state(small) == .assigned && bench.state(none) == .assigned)
    #expect(
      try bench.machine.waitingReason(of: large, bench.server.cache, now: bench.now)
        == "1 agent: 1 with less than 3 cpus")
  }

  @Test func runsOfOneJobStayApart() throws {
    var bench = bench([("a", 4), ("b", 4)])
    let first = bench.submit { $0.placement.antiAffinity = .required }
    let second = try bench.add(to: first.job)
    let third = try bench.add(to: first.job)
    bench.rest()
    let owners = [first, second].map { bench.etcd.runs[$0]?.record.owner?.agentID }
    #expect(Set(owners) == ["a", "b"] && bench.state(third) == .queued)
    // Whoever leads.
    bench.succeed()
    for (index, id) in ["a", "b"].enumerated() {
      let agent = Incarnation(agentID: id, createRevision: bench.etcd.agents[id]?.createRevision ?? 0)
      let held = [first, second].filter { bench.etcd.runs[$0]?.record.owner == agent }
      bench.hello(agent, session: UInt64(20 + index), attempts: try held.map { try bench.current($0) })
    }
    bench.rest()
    #expect(bench.state(third) == .queued)
    let session: UInt64 = owners[0] == "a" ? 20 : 21
    bench.say(session, 1, bench.ended(try bench.current(first)))
    bench.rest()
    #expect(bench.etcd.runs[third]?.record.owner?.agentID == owners[0])
  }

  @Test func aPinnedRunWaitsForItsAgent() throws {
    var bench = bench([("a", 4)])
    let run = bench.submit { $0.placement.agent = "b" }
    bench.rest()
    #expect(bench.state(run) == .queued)
    #expect(
      try bench.machine.waitingReason(of: run, bench.server.cache, now: bench.now) == "1 agent: 1 not agent b"
    )
    bench.connect("b", session: 2)
    bench.rest()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
  }

  @Test func aHashKeyIsFilledIn() throws {
    var bench = bench((0..<8).map { ("a\($0)", 4) }, slots: 100)
    func owner(_ customer: String) -> String? {
      let run = bench.submit {
        $0.params = ["customer": customer]
        $0.placement.strategy = .consistentHash
        $0.placement.hashKey = "{{params.customer}}"
      }
      bench.rest()
      return bench.etcd.runs[run]?.record.owner?.agentID
    }
    let first = (0..<10).map { owner("c\($0)") }
    #expect((0..<10).map { owner("c\($0)") } == first && Set(first).count > 2)
  }

  /// A run that waits does by the job as it is now.
  @Test func aChangedJobIsPlacedAnew() throws {
    var bench = bench([("a", 4)])
    let run = bench.submit { $0.resources.cpus = 5 }
    bench.rest()
    try bench.change(run.job) {
      $0.spec.resources.cpus = 4
      $0.generation += 1
    }
    bench.rest()
    #expect(bench.state(run) == .assigned)
    #expect(try promised("a", bench) == 4)
  }

  // MARK: Kept agents

  @Test func aLargeRunGetsItsTurn() throws {
    var bench = bench([("a", 4)])
    var small = (0..<4).map { _ in bench.submit { $0.resources.cpus = 1 } }
    bench.rest()
    let large = bench.submit { $0.resources.cpus = 4 }
    var sequence: UInt64 = 0
    /// One small run ends, and another one waits already.
    func step() throws {
      small.append(bench.submit { $0.resources.cpus = 1 })
      bench.pass(10_000)
      let next = try #require(small.first { bench.state($0) == .assigned })
      sequence += 1
      bench.say(1, sequence, bench.ended(try bench.current(next)))
      bench.rest()
    }
    for _ in 0..<5 { try step() }
    #expect(bench.used("a") == 4 && bench.state(large) == .queued)
    #expect(try bench.machine.keptAgents.isEmpty)
    for _ in 0..<4 { try step() }
    #expect(bench.state(large) == .assigned && bench.used("a") == 1)
    #expect(try bench.machine.keptAgents.isEmpty)
    sequence += 1
    bench.say(1, sequence, bench.ended(try bench.current(large)))
    bench.rest()
    #expect(bench.used("a") == 4)
  }

  @Test func aKeptAgentIsLetGoWhenItsRunIsCancelled() throws {
    var bench = bench([("a", 4)])
    let small = bench.submit { $0.resources.cpus = 1 }
    bench.rest()
    let large = bench.submit { $0.resources.cpus = 4 }
    bench.pass(PlacementLimits.keepAfterMillis)
    let waiting = bench.submit()
    bench.rest()
    #expect(bench.state(waiting) == .queued)
    #expect(try bench.machine.keptAgents.map(\.run) == [large])
    try bench.cancel(large.job)
    bench.rest()
    #expect(bench.state(waiting) == .assigned && bench.state(small) == .assigned)
    #expect(try bench.machine.keptAgents.isEmpty)
  }

  @Test func anAgentIsNotKeptForEver() throws {
    var bench = bench([("a", 4)])
    bench.submit { $0.resources.cpus = 1 }
    bench.rest()
    bench.submit { $0.resources.cpus = 4 }
    bench.pass(PlacementLimits.keepAfterMillis)
    let waiting = bench.submit()
    bench.rest()
    #expect(bench.state(waiting) == .queued)
    let until = bench.now.adding(milliseconds: PlacementLimits.keepMillis)
    #expect(try bench.machine.keptAgents.map(\.until) == [until])
    bench.pass(PlacementLimits.keepMillis)
    bench.rest()
    #expect(bench.state(waiting) == .assigned)
  }
}
