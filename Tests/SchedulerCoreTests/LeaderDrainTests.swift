import Testing

@testable import SchedulerCore

/// Agents that somebody takes out of service.
struct LeaderDrainTests {
  @Test func aDrainedAgentGetsNoNewWorkAndKeepsWhatItHas() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 4)
    let first = bench.submit()
    bench.settle()
    bench.drain("a")
    let second = bench.submit()
    bench.settle()
    #expect(bench.state(first) == .assigned && bench.state(second) == .queued)
    #expect(
      try bench.machine.waitingReason(of: second, bench.server.cache, now: bench.now) == "1 agent: 1 draining"
    )
    bench.pass(3_600_000)
    bench.settle()
    #expect(bench.handedOver(1).isEmpty, "without a deadline it may finish")
    bench.undrain("a")
    bench.settle()
    #expect(bench.state(second) == .assigned)
  }

  @Test func atTheDeadlineWhatRunsGoesToOthers() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    bench.say(1, 1, bench.started(ref))
    bench.settle()
    bench.drain("a", deadline: bench.now.adding(milliseconds: 5_000))
    bench.pass(4_999)
    #expect(bench.handedOver(1).isEmpty)
    bench.pass(1)
    #expect(bench.handedOver(1) == [ref])
    bench.pass(60_000)
    #expect(bench.handedOver(1).isEmpty, "once in a session")
    bench.connect("b", session: 2)
    bench.say(1, 2, bench.ended(ref, .agentStopped))
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
    #expect(try bench.current(run).attempt == 2 && bench.machine.counters.handedOver == 1)
    #expect(try bench.machine.sessions[1]?.handOversSent.isEmpty == true)
  }

  @Test func aDeadlineThatHasPassedHoldsAtOnce() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.drain("a", deadline: bench.now.adding(milliseconds: -1))
    #expect(bench.handedOver(1) == [try bench.current(run)])
  }

  @Test func anotherLeaderGoesOnWithTheDrain() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    bench.drain("a", deadline: bench.now.adding(milliseconds: 5_000))
    bench.succeed()
    bench.hello(agent, session: 2, attempts: [ref])
    let waiting = bench.submit()
    bench.settle()
    #expect(bench.state(waiting) == .queued && bench.handedOver(2).isEmpty)
    bench.pass(5_000)
    #expect(bench.handedOver(2) == [ref])
    // One that begins after the deadline, too.
    bench.succeed()
    bench.hello(agent, session: 3, attempts: [ref])
    bench.settle()
    #expect(bench.handedOver(3) == [ref])
  }

  @Test func anAgentThatComesBackStaysDrained() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    bench.drain("a")
    bench.lapse("a")
    bench.settle()
    bench.connect("a", session: 2)
    let run = bench.submit()
    bench.settle()
    #expect(bench.state(run) == .queued)
  }

  @Test func whatIsCancelledIsNotHandedOver() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    try bench.cancel(run.job)
    bench.drain("a", deadline: bench.now)
    bench.settle()
    #expect(bench.handedOver(1).isEmpty)
    bench.say(1, 1, bench.ended(ref, .cancelled))
    bench.settle()
    #expect(bench.state(run) == .cancelled)
  }

  @Test func whatIsHandedOverCanStillBeCancelled() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    bench.drain("a", deadline: bench.now)
    #expect(bench.handedOver(1) == [ref])
    try bench.cancel(run.job)
    bench.settle()
    #expect(bench.sent(1).contains { if case .stop([ref], false, _) = $0 { true } else { false } })
  }
}

extension LeaderBench {
  /// Somebody drains an agent.
  fileprivate mutating func drain(_ id: String, deadline: Timestamp? = nil) {
    let record = DrainRecord(requestedAt: now, deadline: deadline, note: "kernel")
    _ = etcd.commit([Proposal(guards: [], writes: [.drain(id, record)])])
    watch()
    server.turn(now: now)
  }

  fileprivate mutating func undrain(_ id: String) {
    _ = etcd.commit([Proposal(guards: [], writes: [.deleteDrain(id)])])
    watch()
    server.turn(now: now)
  }

  /// Takes what a session was told to hand over.
  fileprivate mutating func handedOver(_ session: UInt64) -> [AttemptRef] {
    sent(session).flatMap { message -> [AttemptRef] in
      if case .handOver(let refs, _) = message { refs } else { [] }
    }
  }
}
