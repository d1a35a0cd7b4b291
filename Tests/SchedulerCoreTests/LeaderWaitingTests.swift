import Testing

@testable import SchedulerCore

/// What bounds the waiting of runs: total timeouts, and the agents that they wait for.
struct LeaderWaitingTests {
  private func timeouts(_ messages: [ServerMessage]) -> [Int64?] {
    messages.flatMap { message -> [Int64?] in
      if case .assign(let assignments) = message { assignments.map(\.spec.timeoutMillis) } else { [] }
    }
  }

  private func stops(_ messages: [ServerMessage]) -> [String] {
    messages.compactMap { if case .stop(_, forget: false, let reason) = $0 { reason } else { nil } }
  }

  /// An agent's answer to a request to stop an attempt.
  private func stopped(_ ref: AttemptRef, started: Bool, _ bench: LeaderBench) -> AttemptUpdate {
    AttemptUpdate(
      ref: ref, startedAt: started ? bench.now : nil,
      end: AttemptEnd(endedAt: bench.now, reason: .cancelled, error: "asked"))
  }

  /// Nothing is set for a run any more.
  private func isForgotten(_ run: RunKey, _ bench: LeaderBench) throws -> Bool {
    let machine = try bench.machine
    let deadlines: [LeaderMachine.Deadline] = [.retry(run), .again(run), .overall(run), .awaited(run)]
    return machine.awaited.agent(of: run) == nil
      && deadlines.allSatisfy { machine.deadlines.deadline(of: $0) == nil }
  }

  private static let over = "the total timeout of 5s is over"

  // MARK: Total timeouts

  @Test(arguments: [(nil, 5_000), (3_000, 3_000), (9_000, 5_000)])
  func anAttemptEndsWithItsRun(timeout: Int?, told: Int) throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    bench.submit {
      $0.totalTimeoutMillis = 5_000
      $0.timeoutMillis = timeout.map(Int64.init)
      $0.retryOn = FailureFilter(reasons: [.timeout])
    }
    bench.settle()
    let messages = bench.sent(1)
    #expect(timeouts(messages) == [Int64(told)])
    guard case .assign(let assignments)? = messages.last else { return #expect(Bool(false), "\(messages)") }
    #expect(assignments[0].spec.totalTimeoutMillis == nil && assignments[0].spec.retryOn == nil)
  }

  @Test func theNextAttemptGetsWhatIsLeft() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit {
      $0.totalTimeoutMillis = 5_000
      $0.maxRetries = 2
    }
    bench.settle()
    _ = bench.sent(1)
    bench.pass(1_500)
    bench.say(1, 1, bench.ended(try bench.current(run), code: 1))
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.message == "retry 1 of 2 after exit code 1")
    bench.pass(1_000)
    bench.rest()
    #expect(timeouts(bench.sent(1)) == [2_500])
    // Too late for another wait of a second.
    bench.pass(1_500)
    bench.say(1, 2, bench.ended(try bench.current(run), code: 1))
    bench.settle()
    #expect(bench.state(run) == .failed)
    #expect(
      bench.etcd.runs[run]?.record.message
        == "the attempt failed, and before the next one the total timeout of 5s is over")
  }

  @Test func aRunThatWaitsForAnAgentFailsInTime() throws {
    var bench = LeaderBench()
    let run = bench.submit { $0.totalTimeoutMillis = 5_000 }
    bench.settle()
    bench.pass(4_999)
    bench.settle()
    #expect(bench.state(run) == .queued)
    #expect(try bench.machine.nextDeadline == bench.now.adding(milliseconds: 1))
    bench.pass(1)
    bench.settle()
    #expect(bench.state(run) == .failed && bench.etcd.runs[run]?.record.message == Self.over)
    #expect(try bench.machine.readyCount == 0)
  }

  @Test func aRunThatWaitsForItsRetryFailsInTimeWhateverTheJobHasBecome() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit {
      $0.maxRetries = 1
      $0.backoff = Backoff(curve: .list([60_000]), jitter: 0)
    }
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run), code: 1))
    bench.settle()
    #expect(bench.state(run) == .retrying)
    try bench.change(run.job) { $0.spec.totalTimeoutMillis = 5_000 }
    bench.pass(5_000)
    bench.settle()
    #expect(bench.state(run) == .failed && bench.etcd.runs[run]?.record.message == Self.over)
  }

  @Test func whoLeadsNextKeepsTheTime() throws {
    var bench = LeaderBench()
    let run = bench.submit { $0.totalTimeoutMillis = 5_000 }
    bench.settle()
    bench.pass(3_000)
    bench.succeed()
    bench.pass(2_000)
    bench.settle()
    #expect(bench.state(run) == .failed)
  }

  @Test func anAttemptThatWasNeverToldIsNotToldTooLate() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit {
      $0.totalTimeoutMillis = 5_000
      $0.maxRetries = 3
    }
    bench.pass(0)
    bench.server.closed(1)
    bench.settle()
    #expect(bench.state(run) == .assigned)
    bench.pass(6_000)
    bench.hello(agent, session: 2)
    let messages = bench.sent(2)
    #expect(timeouts(messages).isEmpty && stops(messages) == [Self.over])
    bench.say(2, 1, stopped(try bench.current(run), started: false, bench))
    bench.settle()
    let record = try #require(bench.etcd.runs[run]?.record)
    #expect(record.state == .failed && record.message == Self.over)
    #expect(record.attempts[0].endReason == .timeout && record.attempts[0].error == Self.over)
  }

  /// The job was changed after the attempt was told, or it waited for a slot.
  @Test func anAttemptThatGoesOnIsStopped() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.maxRetries = 3 }
    bench.settle()
    let ref = try bench.current(run)
    bench.say(1, 1, bench.started(ref))
    bench.settle()
    _ = bench.sent(1)
    try bench.change(run.job) {
      $0.spec.totalTimeoutMillis = 5_000
      $0.spec.killGraceMillis = 1_000
    }
    bench.pass(5_000 + 1_000 + LeaderMachine.Limits.overdueMillis - 1)
    #expect(stops(bench.sent(1)).isEmpty)
    bench.pass(1)
    #expect(stops(bench.sent(1)) == [Self.over])
    bench.say(1, 2, stopped(ref, started: true, bench))
    bench.settle()
    let record = try #require(bench.etcd.runs[run]?.record)
    #expect(record.state == .failed && record.attempts[0].endReason == .timeout)
  }

  @Test func aJobThatIsCancelledPastItsTimeIsCancelled() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.totalTimeoutMillis = 5_000 }
    bench.settle()
    let ref = try bench.current(run)
    bench.pass(9_000)
    try bench.cancel(run.job)
    bench.say(1, 1, stopped(ref, started: true, bench))
    bench.settle()
    #expect(bench.state(run) == .cancelled)
  }

  @Test func nothingIsLeftOfARunThatHasEnded() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.totalTimeoutMillis = 5_000 }
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run)))
    bench.settle()
    #expect(try isForgotten(run, bench))
  }

  // MARK: Waiting for an agent

  /// A run that had begun on agent a, which is gone; agent b is there.
  private func lost(
    wait: Int64? = 60_000, _ change: (inout JobSpec) -> Void = { _ in }
  ) throws -> (bench: LeaderBench, run: RunKey) {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit {
      $0.onAgentLoss = .wait
      $0.agentLossWaitMillis = wait
      change(&$0)
    }
    bench.settle()
    bench.say(1, 1, bench.started(try bench.current(run)))
    bench.settle()
    bench.connect("b", session: 2)
    bench.lapse("a")
    bench.rest()
    return (bench, run)
  }

  @Test func itsOwnAgentGetsItBack() throws {
    var (bench, run) = try lost()
    #expect(bench.state(run) == .queued && bench.etcd.runs[run]?.record.waitsForWorker == "a")
    bench.pass(30_000)
    bench.rest()
    #expect(bench.state(run) == .queued && bench.used("b") == 0)
    bench.connect("a", session: 3)
    bench.rest()
    #expect(try bench.current(run).attempt == 2 && bench.etcd.runs[run]?.record.owner?.agentID == "a")
    bench.say(3, 1, bench.ended(try bench.current(run)))
    bench.rest()
    #expect(bench.state(run) == .completed)
    #expect(try isForgotten(run, bench))
  }

  @Test func anyAgentTakesItOnceTheWaitIsOver() throws {
    var (bench, run) = try lost()
    bench.pass(59_999)
    bench.rest()
    #expect(bench.state(run) == .queued)
    bench.pass(1)
    bench.rest()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
    #expect(try bench.machine.awaited.isEmpty)
  }

  @Test func itWaitsAlsoWhileItsAgentIsThereAndFull() throws {
    var (bench, run) = try lost()
    let again = bench.register("a")
    let other = bench.submit { $0.constraints = [Constraint(label: "x", op: .notExists)] }
    bench.hello(again, session: 3)
    bench.rest()
    // The queue has its order: the run that waits is older, and the other one goes to b.
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "a")
    #expect(bench.etcd.runs[other]?.record.owner?.agentID == "b")
    bench.lapse("a")
    bench.rest()
    bench.connect("a", session: 4, slots: 0)
    bench.rest()
    #expect(bench.state(run) == .queued)
    #expect(
      try bench.machine.waitingReason(of: run, bench.server.cache, now: bench.now)?.hasSuffix(
        "which has no free slot")
        == true)
    bench.pass(60_000)
    bench.say(2, 1, bench.ended(try bench.current(other)))
    bench.rest()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
  }

  @Test func whyItWaitsIsSaid() throws {
    let (bench, run) = try lost()
    let until = bench.now.adding(milliseconds: 60_000).rfc3339
    #expect(
      try bench.machine.waitingReason(of: run, bench.server.cache, now: bench.now)
        == "for agent 'a' until \(until), which is not there")
  }

  @Test func whoLeadsNextWaitsToo() throws {
    var (bench, run) = try lost()
    bench.pass(30_000)
    bench.succeed()
    let back = bench.etcd.agents["b"]?.createRevision ?? 0
    bench.hello(Incarnation(agentID: "b", createRevision: back), session: 5)
    bench.rest()
    #expect(bench.state(run) == .queued)
    bench.pass(30_000)
    bench.rest()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
  }

  @Test func aJobThatIsChangedWaitsNoLonger() throws {
    var (bench, run) = try lost()
    try bench.change(run.job) { $0.spec.onAgentLoss = .restart }
    bench.rest()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
  }

  @Test func waitingEndsWithTheTotalTimeoutAndWithACancellation() throws {
    var (bench, run) = try lost { $0.totalTimeoutMillis = 10_000 }
    bench.pass(10_000)
    bench.rest()
    #expect(bench.state(run) == .failed)
    #expect(bench.etcd.runs[run]?.record.waitsForWorker == nil)
    #expect(try bench.machine.awaited.isEmpty)
    (bench, run) = try lost()
    try bench.cancel(run.job)
    bench.rest()
    #expect(bench.state(run) == .cancelled)
    #expect(try isForgotten(run, bench))
  }
}
