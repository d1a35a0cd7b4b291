import Testing

@testable import SchedulerCore

/// What the leader and its agents say to each other.
struct LeaderSessionTests {
  // MARK: Hello

  @Test func helloBringsWhatTheAgentLacksAndDropsWhatIsNotItsOwn() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1, slots: 3)
    let (lacked, had) = (bench.submit(), bench.submit())
    bench.settle()
    #expect(bench.assigned(1).count == 2)
    bench.server.closed(1)
    let stranger = AttemptRef(
      run: RunKey(job: LeaderBench.job, runID: "x"), attempt: 1, fence: 1, incarnation: agent.createRevision)
    bench.hello(agent, session: 2, attempts: [try bench.current(had), stranger])
    let messages = bench.sent(2)
    #expect(messages.first == .welcome(serverID: "s0", leaderEpoch: try bench.machine.epoch.createRevision))
    let assignments = messages.compactMap { if case .assign(let some) = $0 { some } else { nil } }.flatMap {
      $0
    }
    #expect(assignments.map(\.ref) == [try bench.current(lacked)])
    let stops = messages.compactMap { if case .stop(let refs, true, _) = $0 { refs } else { nil } }
    #expect(stops == [[stranger]])
  }

  @Test func anAgentWithoutThatLeaseIsTurnedAway() {
    var bench = LeaderBench()
    let agent = bench.register("a")
    bench.hello(Incarnation(agentID: "a", createRevision: agent.createRevision + 1), session: 1)
    bench.hello(Incarnation(agentID: "b", createRevision: 1), session: 2)
    #expect(bench.server.closedSessions == [1, 2])
    #expect(bench.sent(1).isEmpty)
  }

  @Test func anotherSessionOfTheSameAgentReplacesTheFirst() {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    bench.hello(agent, session: 2)
    #expect(bench.server.closedSessions == [1])
    // That the first one ends is no news.
    bench.server.closed(1)
    bench.submit()
    bench.settle()
    #expect(bench.assigned(1).isEmpty && bench.assigned(2).count == 1)
  }

  @Test func nothingIsGivenToAnAgentWithoutASession() {
    var bench = LeaderBench()
    bench.register("a")
    let run = bench.submit()
    bench.settle()
    #expect(bench.state(run) == .queued)
    #expect(
      bench.server.machine?.waitingReason(of: run, bench.server.cache, now: bench.now)?.contains(
        "not connected") == true)
  }

  @Test func whatIsCommittedWhileTheSessionIsGoneIsToldOnTheNext() {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit()
    bench.pass(0)
    bench.evaluate()
    bench.server.closed(1)
    bench.report()
    #expect(bench.state(run) == .assigned)
    bench.hello(agent, session: 2)
    #expect(bench.assigned(2).count == 1)
  }

  @Test func aRestartedAgentGoesOnRefusingDeposedLeaders() {
    var machine = AgentMachine(limits: AgentMachine.Limits(slots: 1))
    machine.recovered([], leaderEpoch: 7)
    let (old, present) = (machine.sessionOpened(leaderEpoch: 6), machine.sessionOpened(leaderEpoch: 7))
    #expect(!old && present)
  }

  // MARK: Acknowledgements

  @Test func acknowledgedIsOnlyWhatIsDurable() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    let (first, second) = (bench.submit(), bench.submit())
    bench.settle()
    _ = bench.sent(1)
    bench.say(1, 1, bench.ended(try bench.current(first)))
    bench.say(1, 2, bench.ended(try bench.current(second)))
    #expect(bench.acknowledged(1).isEmpty)
    bench.evaluate()
    #expect(bench.acknowledged(1).isEmpty)
    // The second is heard of first: nothing can be acknowledged yet.
    let reports = bench.server.reports
    bench.server.reports = []
    bench.server.hear(reports[1], now: bench.now)
    bench.server.turn(now: bench.now)
    #expect(bench.acknowledged(1).isEmpty)
    bench.server.hear(reports[0], now: bench.now)
    bench.server.turn(now: bench.now)
    #expect(bench.acknowledged(1) == [2])
  }

  /// An end said twice, on two sessions, is one result: the second saying is no more durable than the first.
  @Test func anEndSaidAgainIsNotAcknowledgedBeforeTheFirstIsDurable() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    bench.say(1, 1, bench.ended(ref))
    bench.server.closed(1)
    bench.hello(agent, session: 2, attempts: [ref])
    bench.say(2, 1, bench.ended(ref))
    bench.refuse()
    bench.report()
    bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    #expect(bench.acknowledged(2).isEmpty && bench.state(run) == .assigned)
    bench.settle()
    #expect(bench.acknowledged(2) == [1] && bench.state(run) == .completed)
    #expect(try bench.machine.news.isEmpty && bench.machine.counters.repeatedUpdates == 1)
  }

  @Test func theTrackerCountsInOrder() {
    var tracker = AckTracker()
    let taken = [tracker.expect(1, updates: 2), tracker.expect(2, updates: 0), tracker.expect(3, updates: 1)]
    #expect(taken == [true, true, true])
    let refused = [3, 5, 0, UInt64.max].map { tracker.expect($0, updates: 1) }
    #expect(refused == [false, false, false, false])
    tracker.resolve(3)
    tracker.resolve(1)
    var acknowledged = [tracker.takeAcknowledgement()]
    tracker.resolve(1)
    tracker.resolve(9)
    acknowledged += [tracker.takeAcknowledgement(), tracker.takeAcknowledgement()]
    #expect(acknowledged == [nil, 3, nil])
  }

  /// A sequence far ahead must not make the leader count up to it.
  @Test(arguments: [2, 0, UInt64.max]) func statusesOutOfOrderEndTheSession(sequence: UInt64) throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.say(1, sequence, bench.ended(try bench.current(run)))
    #expect(bench.server.closedSessions == [1])
    #expect(bench.state(run) == .assigned)
    #expect(try !bench.machine.isConnected("a"))
  }

  @Test func staleNewsAreAcknowledgedAndTheAttemptIsDropped() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    bench.say(1, 1, bench.ended(ref))
    bench.settle()
    _ = bench.sent(1)
    // The same end again, and an attempt that never was.
    let wrong = AttemptRef(run: run, attempt: 9, fence: 9, incarnation: ref.incarnation)
    bench.say(1, 2, bench.ended(ref), bench.started(wrong))
    let messages = bench.sent(1)
    #expect(messages.contains(.ack(2)))
    #expect(messages.contains { if case .stop([wrong], true, _) = $0 { true } else { false } })
    #expect(try bench.machine.counters.repeatedUpdates == 1)
    #expect(try bench.machine.counters.staleUpdates == 1)
    #expect(bench.state(run) == .completed)
  }

  @Test func anAgentCannotSpeakForAnother() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.connect("b", session: 2)
    bench.say(2, 1, bench.ended(try bench.current(run)))
    bench.settle()
    #expect(bench.state(run) == .assigned)
    #expect(bench.acknowledged(2) == [1])
  }

  // MARK: Conflicts and refusals

  @Test func afterAConflictTheNewsAreProposedAgain() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    _ = bench.sent(1)
    bench.say(1, 1, bench.started(try bench.current(run)))
    // Somebody writes the same record without changing it: a conflict.
    _ = bench.etcd.commit(Proposal(guards: [], writes: [.run(try #require(bench.etcd.runs[run]).record)]))
    // Meanwhile it ends.
    bench.say(1, 2, bench.ended(try bench.current(run)))
    bench.evaluate()
    bench.report()
    #expect(try bench.machine.counters.conflicts == 1)
    #expect(bench.acknowledged(1).isEmpty && bench.used("a") == 1)
    bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    bench.settle()
    #expect(bench.state(run) == .completed)
    #expect(bench.etcd.runs[run]?.record.attempts.last?.startedAt != nil)
    #expect(bench.acknowledged(1) == [2])
  }

  @Test func whileEtcdTakesNothingResultsAreKept() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    _ = bench.sent(1)
    bench.say(1, 1, bench.ended(try bench.current(run)))
    for _ in 0..<3 {
      bench.refuse()
      bench.report()
      // Not before the pause is over.
      #expect(bench.server.inFlight.isEmpty && bench.acknowledged(1).isEmpty)
      bench.pass(LeaderMachine.Limits.refusalPauseMillis)
      #expect(bench.server.inFlight.count == 1)
    }
    bench.settle()
    #expect(bench.state(run) == .completed && bench.acknowledged(1) == [1])
    #expect(try bench.machine.counters.refusals == 3)
  }

  // MARK: Trust and draining

  @Test func anAgentThatFencedItselfGetsNoWorkForAWhile() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    let run = bench.submit()
    bench.settle()
    _ = bench.sent(1)
    bench.say(1, 1, bench.ended(try bench.current(run), .fenced))
    bench.settle()
    #expect(bench.state(run) == .queued && bench.assigned(1).isEmpty)
    bench.connect("b", session: 2)
    bench.settle()
    #expect(try bench.current(run).incarnation == bench.etcd.agents["b"]?.createRevision)
    let next = bench.submit()
    bench.pass(LeaderMachine.Limits.distrustMillis)
    bench.settle()
    #expect(try bench.current(next).incarnation == bench.etcd.agents["a"]?.createRevision)
  }

  @Test func aDrainingAgentKeepsWhatItHasAndGetsNothingNew() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    let first = bench.submit()
    bench.settle()
    bench.server.received(.status(AgentStatus(draining: true)), on: 1, now: bench.now)
    let second = bench.submit()
    bench.settle()
    #expect(bench.state(first) == .assigned && bench.state(second) == .queued)
    #expect(try bench.machine.isDraining("a"))
    bench.server.received(.status(AgentStatus(draining: false)), on: 1, now: bench.now)
    bench.settle()
    #expect(bench.state(second) == .assigned)
  }

  // MARK: Sizes

  @Test func largeAssignmentsAreSpreadOverMessages() {
    var bench = LeaderBench()
    let agent = bench.register("a", slots: 30)
    bench.hello(agent, session: 1)
    let script = String(repeating: "x", count: 100_000)
    for _ in 0..<30 { bench.submit { $0.task = .shell(script: script, interpreter: ["/bin/sh"]) } }
    bench.settle()
    let sizes = bench.sent(1).compactMap { if case .assign(let some) = $0 { some.count } else { nil } }
    #expect(sizes.reduce(0, +) == 30)
    #expect(sizes.allSatisfy { $0 * 100_000 <= LeaderMachine.Limits.assignmentBytesPerMessage })
  }
}
