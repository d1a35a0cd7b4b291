import Testing

@testable import SchedulerCore

/// What the leader decides about runs, jobs and slots.
struct LeaderMachineTests {
  // MARK: Lost agents

  @Test func aLostAgentsRunsGoElsewhere() throws {
    var bench = LeaderBench()
    let old = bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.connect("b", session: 2)
    bench.etcd.lapse(agent: "a")
    bench.watch()
    bench.pass(0)
    #expect(bench.server.closedSessions == [1])
    #expect(bench.server.inFlight.first?.proposal.guards.contains(.agentGone(old)) == true)
    bench.settle()
    #expect(try bench.current(run).attempt == 2)
    #expect(bench.etcd.runs[run]?.record.owner?.agentID == "b")
    #expect(bench.used("b") == 1)
    #expect(try bench.machine.counters.lostRuns == 1)
  }

  @Test func anAgentThatCameBackIsAnother() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    bench.etcd.lapse(agent: "a")
    let new = bench.register("a", slots: 2)
    bench.pass(0)
    #expect(bench.server.closedSessions == [1] && bench.used("a") == 0)
    bench.hello(new, session: 2)
    // What it still says of its former life comes too late once that has been written.
    bench.settle()
    bench.say(2, 1, bench.ended(ref))
    bench.settle()
    #expect(try bench.current(run).attempt == 2 && bench.current(run).incarnation == new.createRevision)
    #expect(bench.used("a") == 1)
  }

  @Test func aResultCountsUntilTheLossIsWritten() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run)))
    bench.lapse("a")
    bench.settle()
    #expect(bench.state(run) == .completed)
  }

  // MARK: Cancelling

  @Test func queuedRunsAreCancelledAtOnce() throws {
    var bench = LeaderBench()
    let run = bench.submit()
    bench.settle()
    try bench.cancel(run.job)
    bench.settle()
    #expect(bench.state(run) == .cancelled)
    #expect(try bench.machine.readyCount == 0)
  }

  @Test func retryingRunsAreCancelledAtOnce() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.maxRetries = 1 }
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run), code: 1))
    bench.settle()
    #expect(bench.state(run) == .retrying)
    try bench.cancel(run.job)
    bench.settle()
    #expect(bench.state(run) == .cancelled)
    bench.pass(10_000)
    #expect(bench.server.inFlight.isEmpty)
  }

  @Test func cancelledJobsAreNeverFired() throws {
    var bench = LeaderBench()
    let due = bench.now.adding(milliseconds: 1_000)
    let run = bench.submit { $0.executionTime = due }
    try bench.cancel(run.job)
    bench.pass(5_000)
    #expect(bench.server.inFlight.isEmpty)
    #expect(bench.server.cache.status(of: run.job) == .cancelled)
  }

  @Test func runningRunsAreStoppedOnceInASession() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    let ref = try bench.current(run)
    try bench.cancel(run.job)
    bench.say(1, 1, bench.started(ref))
    bench.settle()
    let stop = ServerMessage.stop([ref], forget: false, reason: "enough")
    #expect(bench.sent(1).filter { $0 == stop }.count == 1)
    // On another session it has to be said again.
    bench.server.closed(1)
    bench.hello(agent, session: 2, attempts: [ref])
    #expect(bench.sent(2).filter { $0 == stop }.count == 1)
    bench.say(2, 1, bench.ended(ref, .cancelled))
    bench.settle()
    #expect(bench.state(run) == .cancelled && bench.used("a") == 0)
    #expect(try bench.machine.sessions[2]?.stopsSent.isEmpty == true)
    #expect(try bench.machine.sessions[2]?.known.isEmpty == true)
  }

  @Test func aCancellationThatMeetsAnAssignmentFollowsIt() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.pass(0)
    _ = bench.sent(1)
    try bench.cancel(run.job)
    bench.evaluate()
    bench.report()
    let messages = bench.sent(1)
    let ref = try bench.current(run)
    let kinds = messages.map { message in
      switch message {
      case .assign: "assign"
      case .stop(let refs, _, _): refs == [ref] ? "stop" : "stop another"
      default: "other"
      }
    }
    #expect(kinds == ["assign", "stop"])
  }

  // MARK: Schedules

  @Test func aDueJobIsFiredOnce() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let due = bench.now.adding(milliseconds: 1_000)
    let run = bench.submit { $0.executionTime = due }
    #expect(bench.server.firing.nextDeadline == due)
    bench.pass(999)
    #expect(bench.server.inFlight.isEmpty)
    bench.pass(1)
    bench.pass(1)
    #expect(bench.server.inFlight.count == 1)
    bench.settle()
    #expect(bench.state(run) == .assigned)
    #expect(bench.etcd.jobs[run.job]?.record.nextRunTime == nil)
    #expect(bench.etcd.jobs[run.job]?.record.lastRunTime == due)
    #expect(bench.server.firing.counters.fired == 1)
    #expect(try bench.machine.counters.assigned == 1, "in the transaction that made it")
  }

  @Test func whatWasMissedIsFiredByTheNextOwner() {
    var bench = LeaderBench()
    let due = bench.now.adding(milliseconds: 1_000)
    let run = bench.submit { $0.executionTime = due }
    bench.now = bench.now.adding(milliseconds: 60_000)
    bench.succeed()
    bench.settle()
    #expect(bench.state(run) == .queued)
  }

  @Test func aRefusedFiringIsTriedAgain() {
    var bench = LeaderBench()
    let due = bench.now.adding(milliseconds: 1_000)
    let run = bench.submit { $0.executionTime = due }
    bench.pass(1_000)
    bench.refuse()
    bench.report()
    #expect(bench.server.inFlight.isEmpty)
    bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    bench.settle()
    #expect(bench.state(run) == .queued)
  }

  // MARK: Slots

  @Test func slotsAreGivenOutOnceAndComeBack() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    let runs = (0..<5).map { _ in bench.submit() }
    bench.settle()
    #expect(runs.count { bench.state($0) == .assigned } == 2 && bench.used("a") == 2)
    for (index, run) in runs.enumerated() {
      bench.say(1, UInt64(index + 1), bench.ended(try bench.current(run)))
      bench.settle()
    }
    #expect(runs.allSatisfy { bench.state($0) == .completed })
    #expect(bench.used("a") == 0)
    #expect(try bench.machine.holders.isEmpty && bench.machine.slotsHeld.isEmpty)
  }

  @Test func anAssignmentThatCameToNothingGivesItsSlotBack() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.pass(0)
    #expect(bench.used("a") == 1)
    bench.refuse()
    bench.report()
    #expect(bench.used("a") == 0 && bench.server.inFlight.isEmpty)
    bench.pass(LeaderMachine.Limits.refusalPauseMillis)
    bench.settle()
    #expect(bench.state(run) == .assigned && bench.used("a") == 1)
  }

  @Test func nothingIsAssignedToAnAgentThatIsJustGone() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.pass(0)
    bench.etcd.lapse(agent: "a")
    bench.evaluate()
    bench.report()
    #expect(bench.state(run) == .queued)
    #expect(try !bench.machine.isConnected("a"))
    bench.connect("b", session: 2)
    bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    bench.settle()
    #expect(bench.assigned(2).count == 1)
  }

  @Test func whatCannotBePlacedBlocksNothingElse() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    let gpu = (0..<3).map { _ in
      bench.submit {
        $0.priority = 100
        $0.constraints = [Constraint(label: "gpu", op: .exists)]
      }
    }
    let plain = bench.submit { $0.priority = 1 }
    bench.settle()
    #expect(bench.state(plain) == .assigned)
    #expect(gpu.allSatisfy { bench.state($0) == .queued })
    #expect(
      try bench.machine.waitingReason(of: gpu[0], bench.server.cache, now: bench.now)?.contains("gpu") == true
    )
    bench.connect("g", session: 2, slots: 3, labels: ["gpu": "1"])
    bench.settle()
    #expect(gpu.allSatisfy { bench.state($0) == .assigned })
  }

  @Test func aRetryPrefersAnotherAgent() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 8)
    let run = bench.submit { $0.maxRetries = 1 }
    bench.settle()
    bench.connect("b", session: 2)
    // The other one is busier.
    bench.submit()
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run), code: 1))
    bench.settle()
    bench.pass(999)
    #expect(bench.state(run) == .retrying)
    bench.connect("c", session: 3)
    bench.pass(1)
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.owner?.agentID != "a")
    #expect(bench.etcd.runs[run]?.record.retryCount == 1)
  }

  // MARK: Admission

  @Test func aNewRunGoesStraightToAnAgentWhileNobodyWaits() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let sent = try #require(Self.admit("n1", &bench))
    #expect(sent.proposal.guards.contains(.agentPresent(agent)))
    #expect(bench.used("a") == 1)
    #expect(Self.admit("n2", &bench) == nil)
    bench.server.inFlight.append(sent)
    bench.settle()
    #expect(bench.assigned(1).map(\.run.job.jobID) == ["n1"])
  }

  @Test func anAdmissionThatFailsLeavesNothing() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let sent = try #require(Self.admit("n1", &bench))
    bench.etcd.lapse(agent: "a")
    bench.server.inFlight.append(sent)
    bench.settle()
    bench.pass(1_000)
    #expect(bench.etcd.jobs.isEmpty)
    #expect(try bench.machine.holders.isEmpty && bench.machine.busyRuns.isEmpty)
    #expect(try bench.machine.proposalsInFlight == 0)
  }

  private static func admit(_ id: String, _ bench: inout LeaderBench) -> SimulatedServer.InFlight? {
    let key = JobKey(namespace: "default", jobID: id)
    let job = JobRecord(key: key, uid: id, spec: JobSpec(task: .noop), createdAt: bench.now)
    let run = RunRecord(
      key: RunKey(job: key, runID: "r"), scheduledTime: bench.now, createdAt: bench.now)
    let plain = Proposal(guards: [.jobAbsent(key), .runAbsent(run.key)], writes: [.job(job), .run(run)])
    return bench.server.admit(run, of: job, plain, now: bench.now)
  }

  // MARK: Terms

  @Test func aNewLeaderGoesOnWhereTheOldOneStopped() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1, slots: 2)
    let (owned, queued) = (
      bench.submit(), bench.submit { $0.constraints = [Constraint(label: "x", op: .exists)] }
    )
    bench.settle()
    let old = bench.server
    bench.succeed()
    #expect(bench.used("a") == 1)
    #expect(try bench.machine.epoch.createRevision > #require(old.machine).epoch.createRevision)
    bench.hello(agent, session: 5, attempts: [try bench.current(owned)])
    bench.settle()
    #expect(bench.assigned(5).isEmpty && bench.state(queued) == .queued)
    bench.say(5, 1, bench.ended(try bench.current(owned)))
    bench.settle()
    #expect(bench.state(owned) == .completed && bench.used("a") == 0)
  }

  @Test func aDeposedLeaderCanWriteNothing() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.pass(0)
    bench.etcd.lapse(leader: 1)
    for _ in 0..<3 {
      bench.evaluate()
      bench.report()
      bench.pass(LeaderMachine.Limits.conflictPauseMillis)
    }
    #expect(bench.state(run) == .queued)
    #expect(try bench.machine.counters.conflicts == 3)
    #expect(bench.assigned(1).isEmpty)
    bench.watch()
    #expect(bench.server.machine == nil)
  }

  /// A server that led, did not, and leads again in the same term has two machines, one after the other.
  @Test func outcomesOfAnEarlierMachineAreNotMistakenForOnesOwn() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.pass(0)
    bench.evaluate()
    let late = bench.server.reports
    bench.server.reports = []
    bench.server.lease = nil
    bench.server.review(now: bench.now)
    bench.server.lease = 1
    bench.server.review(now: bench.now)
    let another = bench.submit()
    try bench.cancel(another.job)
    #expect(try bench.machine.proposalsInFlight == 1)
    for report in late { bench.server.hear(report, now: bench.now) }
    #expect(try bench.machine.proposalsInFlight == 1)
    bench.settle()
    #expect(bench.state(run) == .assigned && bench.state(another) == .cancelled)
  }
}
