import Testing

@testable import SchedulerCore

/// Each cause is built, and the explanation names it and nothing else that would hold the run back.
struct ExplainTests {
  @Test func everyReasonHasItsPlaceAndItsName() {
    let codes = FindingCode.allCases.map(\.rawValue)
    #expect(Set(codes).count == codes.count)
    let findings = FindingCode.allCases.shuffled().map { Finding($0, "because") }
    #expect(findings.inOrderOfFixing.map(\.code) == codes)
    let unknown = Finding(code: "of_a_newer_server", kind: .blocks, message: "because")
    #expect(([unknown] + findings).inOrderOfFixing.last == unknown)
  }

  // MARK: Placement

  @Test func withoutAgents() throws {
    var bench = LeaderBench()
    let run = bench.submit()
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["no_agents"] && explanation.state == .queued)
    #expect(explanation.findings[0].kind == .blocks && !explanation.findings[0].fix.isEmpty)
    #expect(explanation.findings[0].runID == run.runID)
  }

  @Test func constraintsThatNobodyMeets() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, labels: ["zone": "eu", "gpu": "old"])
    bench.connect("b", session: 2, labels: ["zone": "us", "gpu": "new"])
    bench.connect("c", session: 3, labels: ["zone": "us", "gpu": "new"])
    let run = bench.submit {
      $0.constraints = [
        Constraint(label: "zone", op: .equal, values: ["eu"]),
        Constraint(label: "gpu", op: .isIn, values: ["new", "newer"]),
      ]
    }
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["no_matching_agent"])
    let finding = explanation.findings[0]
    #expect(
      finding.facts == [
        "agents": "3", "agents_matching": "0", "excluded_by: zone=eu": "2",
        "excluded_by: gpu in (new,newer)": "1",
      ])
    #expect(finding.message.contains("'zone=eu' excludes 2"))
    #expect(finding.fix.hasPrefix("without 'zone=eu' 2 agents would do"))
  }

  @Test func aKindOfWorkThatNobodyOffers() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.task = .task(name: "resize", payload: "null") }
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["no_matching_agent"])
    #expect(explanation.findings[0].facts["excluded_by: task resize"] == "1")
  }

  @Test func agentsWithoutAFreeSlot() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 2)
    bench.connect("other", session: 2, labels: ["zone": "us"])
    for _ in 0..<2 { bench.submit { $0.constraints = [Constraint(label: "zone", op: .notExists)] } }
    bench.settle()
    let run = bench.submit { $0.constraints = [Constraint(label: "zone", op: .notExists)] }
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["agents_busy"])
    let facts = explanation.findings[0].facts
    #expect(facts["slots"] == "2" && facts["slots_used"] == "2" && facts["worker_ids"] == "a")
    #expect(facts["agents"] == "2" && facts["agents_matching"] == "1" && facts["waiting_runs"] == "1")
  }

  @Test func agentsThatTakeNothing() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    bench.drain("a", note: "new disk")
    bench.connect("b", session: 2)
    var health = AgentHealth()
    health.unhealthyReason = "no disk"
    bench.server.received(.status(AgentStatus(health: health)), on: 2, now: bench.now)
    bench.register("c")
    let run = bench.submit()
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["agents_draining", "agents_unhealthy", "agents_disconnected"])
    #expect(explanation.findings[0].message.contains("a: new disk"))
    #expect(explanation.findings[0].fix == "rota agents undrain a")
    #expect(explanation.findings[1].message.contains("b: no disk"))
    #expect(explanation.findings[2].facts["worker_ids"] == "c")
  }

  @Test func nothingHoldsItBack() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    // The leader has seen it and has had no turn.
    #expect(try bench.explain(run).codes == ["starting"])
    bench.server.turn(now: bench.now)
    #expect(try bench.explain(run).codes == ["being_written"])
    bench.settle()
    #expect(try bench.explain(run).codes == ["assigned"])
  }

  @Test func agentsOnWhichEverythingFails() throws {
    var rules = LeaderMachine.Configuration()
    (rules.judge.failures, rules.judge.jobs) = (2, 2)
    var bench = LeaderBench(rules)
    bench.connect("bad", session: 1, labels: ["x": "bad"])
    bench.connect("good", session: 2, labels: ["x": "good"])
    var said: UInt64 = 0
    for (label, code) in [("bad", 1), ("good", 0), ("bad", 1)] {
      let run = bench.submit { $0.constraints = [Constraint(label: "x", op: .equal, values: [label])] }
      bench.settle()
      said += label == "bad" ? 1 : 0
      bench.say(
        label == "bad" ? 1 : 2, label == "bad" ? said : 1, bench.ended(try bench.current(run), code: code))
      bench.settle()
    }
    let run = bench.submit { $0.constraints = [Constraint(label: "x", op: .equal, values: ["bad"])] }
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["agents_avoided"])
    #expect(explanation.findings[0].message.contains("attempts on it failed"))
  }

  @Test func manyNamesAreCut() throws {
    var bench = LeaderBench()
    for index in 0..<9 { bench.register("a\(index)") }
    let run = bench.submit()
    bench.settle()
    let finding = try bench.explain(run).findings[0]
    #expect(finding.code == "agents_disconnected")
    #expect(finding.message.hasSuffix("a0, a1, a2, a3, a4 and 4 more"))
    #expect(finding.facts["worker_ids"] == "a0,a1,a2,a3,a4" && finding.facts["count"] == "9")
  }

  // MARK: Runs

  @Test func runsThatMayNotBeBesideEachOther() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 8)
    let first = bench.submit { $0.overlap = .queue(limit: 5) }
    bench.settle()
    let second = try bench.add(to: first.job)
    let third = try bench.add(to: first.job)
    bench.settle()
    let explanation = try bench.explain(third)
    #expect(explanation.codes == ["serial_overlap"])
    let facts = explanation.findings[0].facts
    #expect(facts["run_id"] == first.runID && facts["runs_before"] == "2" && facts["worker_id"] == "a")
    #expect(try bench.explain(second).findings[0].facts["runs_before"] == "1")
    // All of the job's, oldest first within a reason.
    let whole = try bench.explain(first.job)
    #expect(whole.unendedRuns == 3 && whole.codes == ["serial_overlap", "serial_overlap", "assigned"])
    #expect(whole.findings.map(\.runID) == [second.runID, third.runID, first.runID])
  }

  @Test func aRetryThatIsNotDue() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.maxRetries = 2 }
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run), code: 3))
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["backoff"])
    let finding = explanation.findings[0]
    #expect(finding.until == bench.now.adding(milliseconds: 1_000))
    #expect(finding.facts["exit_code"] == "3" && finding.facts["retry_count"] == "1")
    bench.lapse("a")
    bench.pass(1_000)
    bench.rest()
    #expect(try bench.explain(run).codes == ["no_agents"])
  }

  @Test func theAgentThatItWaitsFor() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    bench.connect("b", session: 2)
    let run = bench.submit {
      $0.onAgentLoss = .wait
      $0.constraints = [Constraint(label: "x", op: .notExists)]
    }
    bench.settle()
    let owner = try #require(bench.etcd.runs[run]?.record.owner?.agentID)
    bench.lapse(owner)
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["awaiting_agent"], "the other agent is free, and may not have it yet")
    #expect(explanation.findings[0].facts["worker_id"] == owner)
    #expect(explanation.findings[0].facts["agent_present"] == "false")
    #expect(
      explanation.findings[0].until == bench.now.adding(milliseconds: JobSpec.Defaults.agentLossWaitMillis))
  }

  @Test func whatAnAgentHas() throws {
    var bench = LeaderBench()
    let agent = bench.connect("a", session: 1)
    let run = bench.submit { $0.timeoutMillis = 60_000 }
    bench.settle()
    bench.say(1, 1, bench.started(try bench.current(run)))
    bench.settle()
    let running = try bench.explain(run)
    #expect(running.codes == ["running"] && running.findings[0].kind == .tells)
    #expect(running.findings[0].until == bench.now.adding(milliseconds: 60_000))
    bench.server.closed(1)
    bench.settle()
    #expect(try bench.explain(run).codes == ["agent_disconnected", "running"])
    bench.hello(agent, session: 2, attempts: [try bench.current(run)])
    try bench.cancel(run.job)
    bench.settle()
    #expect(try bench.explain(run).codes == ["stopping", "running"])
    bench.say(2, 1, bench.ended(try bench.current(run), .cancelled))
    bench.settle()
    #expect(try bench.explain(run).codes == ["ended"])
    #expect(try bench.explain(run.job).codes == ["cancelled", "ended"])
  }

  @Test func anAgentThatIsGone() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.lapse("a")
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["agent_lost", "assigned"])
    #expect(explanation.findings[0].facts["worker_id"] == "a")
    bench.settle()
    #expect(try bench.explain(run).codes == ["no_agents"])
  }

  @Test func lostAgents() throws {
    var bench = LeaderBench()
    for index in 0..<12 { bench.connect("a\(index)", session: UInt64(index + 1)) }
    let runs = (0..<12).map { _ in bench.submit() }
    bench.settle()
    for index in 0..<11 { bench.etcd.lapse(agent: "a\(index)") }
    bench.watch()
    bench.pass(0)
    let lost = try #require(runs.first { bench.etcd.runs[$0]?.record.owner?.agentID == "a3" })
    let explanation = try bench.explain(lost)
    #expect(explanation.codes == ["loss_brake", "assigned"])
    #expect(explanation.findings[0].facts["agents_lost"] == "11")
    #expect(explanation.findings[0].until == bench.now.adding(milliseconds: 10_000))
    let kept = try #require(runs.first { bench.etcd.runs[$0]?.record.owner?.agentID == "a11" })
    #expect(try bench.explain(kept).codes == ["assigned"])
  }

  // MARK: The cluster

  @Test func withoutALeader() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    bench.etcd.lapse(leader: bench.server.lease ?? 0)
    let run = bench.submit()
    bench.watch()
    var explanation = try bench.explain(run, leads: false)
    #expect(explanation.codes == ["no_leader"])
    let condition = EtcdCondition(error: "timed out", noSpace: "history is being removed")
    explanation = try bench.explain(run, leads: false, condition)
    #expect(explanation.codes == ["etcd_unavailable", "etcd_no_space", "no_leader"])
  }

  @Test func whatHoldsAllBackIsNoConcernOfWhatRuns() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.say(1, 1, bench.started(try bench.current(run)))
    bench.settle()
    let condition = EtcdCondition(noSpace: "history is being removed")
    #expect(try bench.explain(run, condition).codes == ["running"])
  }

  @Test func whoDoesNotLeadSaysWhatItKnows() throws {
    var bench = LeaderBench()
    let run = bench.submit()
    bench.settle()
    #expect(try bench.explain(run, leads: false).codes.isEmpty, "of agents only the leader knows")
    #expect(try bench.explain(run.job, leads: false).unendedRuns == 1)
  }
}

/// Of jobs, whose runs have their tests above.
struct ExplainJobTests {
  @Test func aJobThatIsNotDue() throws {
    var bench = LeaderBench()
    let time = bench.now.adding(milliseconds: 90_000)
    let job = bench.submit { $0.executionTime = time }.job
    let explanation = try bench.explain(job)
    #expect(explanation.codes == ["not_due"] && explanation.findings[0].until == time)
    #expect(explanation.findings[0].message.hasSuffix("in 1m30s"))
    #expect(explanation.findings[0].fix == "to run it now: rota trigger \(job.jobID)")
  }

  @Test func aPausedJob() throws {
    var bench = LeaderBench()
    let time = bench.now.adding(milliseconds: 90_000)
    let job = bench.submit { $0.executionTime = time }.job
    let now = bench.now
    try bench.change(job) {
      $0.pausedAt = now
      $0.pauseNote = "month end"
    }
    let explanation = try bench.explain(job)
    #expect(explanation.codes == ["paused"], "when it would be due is among the facts")
    #expect(explanation.findings[0].facts["next_run_time"] == time.rfc3339)
    #expect(explanation.findings[0].facts["note"] == "month end")
    #expect(explanation.findings[0].fix == "rota resume \(job.jobID)")
  }

  @Test func aPauseHoldsNoRunBack() throws {
    var bench = LeaderBench()
    let run = bench.submit()
    let now = bench.now
    try bench.change(run.job) { $0.pausedAt = now }
    bench.settle()
    #expect(try bench.explain(run).codes == ["no_agents"])
    #expect(try bench.explain(run.job).codes == ["no_agents"], "there is nothing left to be due")
    try bench.change(run.job) { $0.nextRunTime = now.adding(milliseconds: 60_000) }
    #expect(try bench.explain(run.job).codes == ["paused", "no_agents"])
  }

  @Test func aJobThatIsDueAndHasNoOwner() throws {
    var bench = LeaderBench()
    let time = bench.now.adding(milliseconds: 5_000)
    let job = bench.submit { $0.executionTime = time }.job
    bench.now = bench.now.adding(milliseconds: 6_000)
    let owned = try bench.explain(job)
    #expect(owned.codes == ["being_fired"] && owned.findings[0].facts["server_id"] == "s0")
    let unowned = JobFindings(
      job: try #require(bench.server.cache.jobs[job]).job.record, status: .pending, unendedRuns: 0,
      newestUnended: nil,
      now: bench.now)
    let findings = unowned.all(segment: 7, owner: nil)
    #expect(findings.map(\.code) == ["segment_unowned"] && findings[0].facts["segment"] == "7")
  }

  @Test func aJobThatIsCancelledOrDeleted() throws {
    var bench = LeaderBench()
    let time = bench.now.adding(milliseconds: 5_000)
    let job = bench.submit { $0.executionTime = time }.job
    try bench.cancel(job)
    #expect(try bench.explain(job).codes == ["cancelled"])
    #expect(try bench.explain(job).findings[0].facts["reason"] == "enough")
    var record = try #require(bench.server.cache.jobs[job]).job.record
    record.deleteRequestedAt = bench.now
    let findings = JobFindings(
      job: record, status: .cancelled, unendedRuns: 0, newestUnended: nil, now: bench.now)
    #expect(findings.all(segment: 0, owner: nil).map(\.code) == ["deleted"])
  }

  @Test func aFixedDelayCountsFromTheEndOfTheRun() throws {
    var job = JobRecord(
      key: LeaderBench.job, uid: "u", spec: JobSpec(task: .noop), createdAt: Timestamp(milliseconds: 0))
    job.spec.schedules = [Schedule(.fixedDelay(delayMillis: 60_000))]
    var run = RunRecord(
      key: RunKey(job: job.key, runID: "r"), scheduledTime: job.createdAt, createdAt: job.createdAt)
    run.state = .running
    let findings = JobFindings(
      job: job, status: .running, unendedRuns: 1, newestUnended: run, now: job.createdAt
    )
    .all(segment: 0, owner: "s1")
    #expect(findings.map(\.code) == ["waits_for_end"] && findings[0].facts["fixed_delay"] == "1m")
  }

  @Test func occurrencesThatWereLeftOutSinceTheLastRun() throws {
    var job = JobRecord(
      key: LeaderBench.job, uid: "u", spec: JobSpec(task: .noop), createdAt: Timestamp(milliseconds: 0))
    job.spec.schedules = [Schedule(.fixedRate(everyMillis: 1_000))]
    job.nextRunTime = Timestamp(milliseconds: 9_000)
    job.lastRunTime = Timestamp(milliseconds: 3_000)
    job.skips.count = 2
    job.skips.lastTime = Timestamp(milliseconds: 5_000)
    job.skips.lastReason = .overlap
    let now = Timestamp(milliseconds: 5_500)
    var findings = JobFindings(job: job, status: .pending, unendedRuns: 0, newestUnended: nil, now: now).all(
      segment: 0, owner: "s")
    #expect(findings.inOrderOfFixing.map(\.code) == ["not_due", "occurrences_skipped"])
    job.lastRunTime = Timestamp(milliseconds: 6_000)
    findings = JobFindings(job: job, status: .pending, unendedRuns: 0, newestUnended: nil, now: now).all(
      segment: 0, owner: "s")
    #expect(findings.map(\.code) == ["not_due"])
  }

  @Test func whatACalendarExcludes() throws {
    var job = JobRecord(
      key: LeaderBench.job, uid: "u", spec: JobSpec(task: .noop), createdAt: Timestamp(milliseconds: 0))
    var schedule = Schedule(.cron("0 12 * * *"))
    schedule.calendars = ["holidays"]
    job.spec.schedules = [schedule]
    var spec = CalendarSpec()
    spec.days = ["1970-01-01", "1970-01-02"]
    let calendar = try CompiledCalendar(spec, name: "holidays", zones: .utcOnly)
    func findings(_ now: Timestamp) -> [Finding] {
      JobFindings.excluded(of: job, now: now, zones: .utcOnly) { $0.name == "holidays" ? calendar : nil }
    }
    let excluded = findings(job.createdAt)
    #expect(excluded.map(\.code) == ["excluded_by_calendar"])
    #expect(excluded[0].facts["scheduled_time"] == "1970-01-01T12:00:00Z")
    #expect(excluded[0].facts["calendar"] == "holidays")
    #expect(findings(Timestamp(milliseconds: 2 * 86_400_000)).isEmpty)
    job.pausedAt = job.createdAt
    #expect(findings(job.createdAt).isEmpty, "what is paused is due at no time anyway")
  }
}

extension LeaderBench {
  /// What the server says of a run.
  func explain(
    _ run: RunKey, leads: Bool = true, _ etcd: EtcdCondition = EtcdCondition()
  ) throws -> Explanation { try #require(explainer(leads, etcd).run(run)) }

  func explain(_ job: JobKey, leads: Bool = true) throws -> Explanation {
    try #require(explainer(leads, EtcdCondition()).job(job))
  }

  private func explainer(_ leads: Bool, _ etcd: EtcdCondition) -> Explainer {
    Explainer(
      server.cache, leader: leads ? server.machine : nil,
      keyspace: Keyspace(segmentCount: server.configuration.segmentCount), etcd: etcd, now: now)
  }

  fileprivate mutating func drain(_ id: String, note: String) {
    _ = etcd.commit([Proposal(guards: [], writes: [.drain(id, DrainRecord(requestedAt: now, note: note))])])
    watch()
    server.turn(now: now)
  }
}

extension Explanation {
  var codes: [String] { findings.map(\.code) }
}
