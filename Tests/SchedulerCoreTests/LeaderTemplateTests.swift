import Testing

@testable import SchedulerCore

/// Templates as the leader fills them in, and what becomes of those that it cannot.
struct LeaderTemplateTests {
  private static let unfit = TaskSpec.exec(argv: ["run", "{{params.x}}"])

  /// An agent's answer to a request to stop what it never had.
  private func neverHad(_ ref: AttemptRef, _ bench: LeaderBench) -> AttemptUpdate {
    let end = AttemptEnd(
      endedAt: bench.now, reason: .cancelled, error: "the agent does not have this attempt")
    return AttemptUpdate(ref: ref, end: end)
  }

  private func assignments(_ messages: [ServerMessage]) -> [Assignment] {
    messages.flatMap { message -> [Assignment] in
      if case .assign(let assignments) = message { assignments } else { [] }
    }
  }

  private func stops(_ messages: [ServerMessage]) -> [AttemptRef] {
    messages.flatMap { message -> [AttemptRef] in
      if case .stop(let refs, forget: false, _) = message { refs } else { [] }
    }
  }

  @Test func theAgentGetsWhatIsFilledIn() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit {
      $0.task = .exec(argv: ["run", "{{job_id}}", "{{params.x}}", "{{attempt}}"])
      $0.params = ["x": "a b"]
    }
    bench.settle()
    let assignment = try #require(assignments(bench.sent(1)).first)
    #expect(assignment.spec.task == .exec(argv: ["run", run.job.jobID, "a b", "1"]))
    #expect(assignment.context.params == ["x": "a b"] && assignment.spec.params.isEmpty)
    // A retry is filled in anew.
    bench.say(
      1, 1, AttemptUpdate(ref: assignment.ref, end: AttemptEnd(endedAt: bench.now, reason: .agentStopped)))
    bench.settle()
    #expect(assignments(bench.sent(1)).last?.spec.task == .exec(argv: ["run", run.job.jobID, "a b", "2"]))
  }

  @Test func whatCannotBeFilledInIsAFailedStart() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit {
      $0.task = Self.unfit
      $0.params = ["x": "a\0b"]
      $0.maxRetries = 1
    }
    bench.settle()
    let first = try bench.current(run)
    var messages = bench.sent(1)
    #expect(stops(messages) == [first] && bench.state(run) == .assigned)
    #expect(assignments(messages).isEmpty)
    bench.say(1, 1, neverHad(first, bench))
    bench.settle()
    #expect(bench.state(run) == .retrying)
    bench.pass(1_000)
    bench.settle()
    let second = try bench.current(run)
    messages = bench.sent(1)
    #expect(second.attempt == 2 && stops(messages) == [second])
    bench.say(1, 2, neverHad(second, bench))
    bench.settle()
    let record = try #require(bench.etcd.runs[run]?.record)
    #expect(record.state == .failed && record.attempts.map(\.endReason) == [.startFailed, .startFailed])
    #expect(
      record.attempts[0].error?.hasPrefix("a template cannot be filled in: exec[1]: a NUL character") == true)
  }

  @Test func aCancelledJobIsStillCancelled() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.task = Self.unfit }
    bench.settle()
    let ref = try bench.current(run)
    try bench.cancel(run.job)
    bench.say(1, 1, neverHad(ref, bench))
    bench.settle()
    #expect(bench.state(run) == .cancelled)
  }

  /// The agent may have it, told by an earlier leader of an earlier specification: then it stops it.
  @Test func whatHasRunIsNoFailedStart() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.task = Self.unfit }
    bench.settle()
    let ref = try bench.current(run)
    var update = neverHad(ref, bench)
    update.startedAt = bench.now
    bench.say(1, 1, update)
    bench.settle()
    let record = try #require(bench.etcd.runs[run]?.record)
    #expect(record.state == .cancelled && record.attempts[0].endReason == .cancelled)
  }

  @Test func theNextSessionIsAskedAgain() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit { $0.task = Self.unfit }
    bench.settle()
    bench.server.closed(1)
    bench.hello(agent, session: 2)
    #expect(stops(bench.sent(2)) == [try bench.current(run)])
  }
}
