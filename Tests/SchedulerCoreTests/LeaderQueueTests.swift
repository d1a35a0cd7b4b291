import Testing

@testable import SchedulerCore

/// What the leader makes of queues.
struct LeaderQueueTests {
  private func put(
    _ bench: inout LeaderBench, _ name: String = "q", _ change: (inout QueueRecord) -> Void = { _ in }
  ) {
    var record = bench.etcd.queues[name]?.record ?? QueueRecord(name: name, createdAt: bench.now)
    change(&record)
    record.generation += 1
    _ = bench.etcd.commit([Proposal(guards: [], writes: [.queue(record)])])
    bench.watch()
    bench.server.turn(now: bench.now)
  }

  private func submit(_ bench: inout LeaderBench, _ count: Int, queue: String = "q") -> [RunKey] {
    (0..<count).map { _ in bench.submit { $0.queue = queue } }
  }

  private func figures(_ bench: LeaderBench) throws -> QueueFigures {
    try bench.machine.queueFigures("q", now: bench.now)
  }

  @Test func aPausedQueueGivesOutNothingUntilItIsResumed() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 5)
    let now = bench.now
    put(&bench) {
      $0.pausedAt = now
      $0.pauseNote = "stock-taking"
    }
    let held = submit(&bench, 2)
    let free = bench.submit()
    bench.settle()
    #expect(held.allSatisfy { bench.state($0) == .queued } && bench.state(free) == .assigned)
    #expect(try figures(bench).waiting == 2 && figures(bench).block == .paused)
    let reason = try bench.machine.waitingReason(of: held[0], bench.server.cache, now: bench.now)
    #expect(reason == "queue 'q' is paused: stock-taking")
    put(&bench) { $0.pausedAt = nil }
    bench.settle()
    #expect(held.allSatisfy { bench.state($0) == .assigned })
    #expect(try figures(bench).running == 2 && figures(bench).dispatched == 2)
  }

  @Test func noMoreRunThanMay() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 5)
    put(&bench) { $0.spec.maxRunning = 2 }
    let runs = submit(&bench, 4)
    bench.settle()
    #expect(runs.map { bench.state($0) } == [.assigned, .assigned, .queued, .queued])
    #expect(try figures(bench).block == .full && figures(bench).running == 2)
    bench.say(1, 1, bench.ended(try bench.current(runs[0])))
    bench.settle()
    #expect(bench.state(runs[2]) == .assigned && bench.state(runs[3]) == .queued)
    put(&bench) { $0.spec.maxRunning = 3 }
    bench.settle()
    #expect(bench.state(runs[3]) == .assigned)
  }

  @Test func theNextLeaderCountsByTheRecords() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 5)
    put(&bench) { $0.spec.maxRunning = 2 }
    let runs = submit(&bench, 3)
    bench.settle()
    bench.succeed()
    bench.connect("b", session: 9, slots: 5)
    bench.settle()
    #expect(bench.state(runs[2]) == .queued)
    #expect(try figures(bench).running == 2 && figures(bench).dispatched == 0)
  }

  @Test func aLostAgentsRunsLeaveRoom() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 5)
    put(&bench) { $0.spec.maxRunning = 1 }
    let runs = submit(&bench, 2)
    bench.settle()
    bench.connect("b", session: 2, slots: 5)
    bench.lapse("a")
    bench.settle()
    #expect(runs.map { bench.state($0) } == [.assigned, .queued])
    #expect(bench.etcd.runs[runs[0]]?.record.owner?.agentID == "b")
    #expect(try figures(bench).running == 1)
  }

  @Test func aRateLetsOneGoAtATime() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 9)
    put(&bench) { $0.spec.dispatchRate = 2 }
    let runs = submit(&bench, 3)
    let free = bench.submit()
    bench.settle()
    #expect(runs.allSatisfy { bench.state($0) == .queued } && bench.state(free) == .assigned)
    #expect(try bench.machine.nextDeadline == bench.now.adding(milliseconds: 500))
    for count in 1...3 {
      bench.pass(500)
      bench.settle()
      #expect(runs.count { bench.state($0) == .assigned } == count)
    }
  }

  @Test func onlyAgentsThatServeItGetItsRuns() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 5)
    put(&bench) { $0.spec.agents = [Constraint(label: "pool", op: .equal, values: ["batch"])] }
    let run = submit(&bench, 1)[0]
    bench.settle()
    #expect(bench.state(run) == .queued)
    let reason = try bench.machine.waitingReason(of: run, bench.server.cache, now: bench.now)
    #expect(reason == "1 agent: 1 without label pool=batch")
    bench.connect("b", session: 2, slots: 5, labels: ["pool": "batch"])
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
  }

  @Test func aJobThatIsGivenAnotherQueueWaitsThere() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 5)
    let now = bench.now
    put(&bench) { $0.pausedAt = now }
    let run = submit(&bench, 1)[0]
    bench.settle()
    try bench.change(run.job) {
      $0.spec.queue = "other"
      $0.generation += 1
    }
    bench.watch()
    bench.settle()
    #expect(bench.state(run) == .assigned)
    #expect(try figures(bench).waiting == 0)
    #expect(try bench.machine.queueFigures("other", now: bench.now).running == 1)
  }

  // MARK: Straight to an agent

  private func admit(_ bench: inout LeaderBench, queue: String = "q") throws -> Bool {
    var spec = JobSpec(task: .noop)
    spec.queue = queue
    let key = JobKey(namespace: "default", jobID: "new\(bench.submitted)")
    let job = JobRecord(key: key, uid: "u", spec: spec, createdAt: bench.now)
    let run = RunRecord(
      key: RunKey(job: key, runID: "r"), scheduledTime: bench.now, createdAt: bench.now)
    let cache = bench.server.cache
    return bench.server.machine?.admit(run, of: job, cache, now: bench.now) != nil
  }

  @Test func aNewcomerGoesThroughTheSameGates() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 9)
    put(&bench) { $0.spec.maxRunning = 1 }
    #expect(try admit(&bench))
    #expect(try figures(bench).running == 1)
    let again = try admit(&bench)
    #expect(!again)
    // What waits in a closed queue keeps none of another queue waiting.
    _ = submit(&bench, 1)
    bench.settle()
    let other = bench.submit { $0.queue = "other" }
    bench.settle()
    #expect(bench.state(other) == .assigned)
    #expect(try admit(&bench, queue: "third"))
    let now = bench.now
    put(&bench) { $0.pausedAt = now }
    let paused = try admit(&bench)
    #expect(!paused)
  }

  @Test func aNewcomerDoesNotOvertakeItsLike() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 1)
    let first = submit(&bench, 2)
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(first[0])))
    // The slot is free once that is recorded, and is the second's.
    let overtakes = try admit(&bench)
    #expect(!overtakes)
    bench.settle()
    #expect(bench.state(first[1]) == .assigned)
  }
}
