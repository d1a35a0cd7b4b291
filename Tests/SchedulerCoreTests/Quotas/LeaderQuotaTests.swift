import Testing

@testable import SchedulerCore

/// How many runs of a namespace a leader gives to agents, by the namespace's quota.
struct LeaderQuotaTests {
  /// A leader with one agent of many slots; all jobs are in one namespace.
  private struct Story {
    var bench = LeaderBench()
    let agent: Incarnation
    private var session: UInt64 = 1
    private var sequence: UInt64 = 0

    init() { agent = bench.connect("a", session: 1, slots: 9) }

    mutating func put(running limit: Int?) {
      var spec = QuotaSpec()
      spec.maxRunningRuns = limit
      let record = QuotaRecord(
        namespace: LeaderBench.job.namespace, spec: spec, createdAt: bench.now)
      _ = bench.etcd.commit([Proposal(guards: [], writes: [.quota(record)])])
      bench.watch()
      bench.pass(1)
      bench.rest()
    }

    mutating func delete() {
      _ = bench.etcd.commit([Proposal(guards: [], writes: [.deleteQuota(LeaderBench.job.namespace)])])
      bench.watch()
      bench.pass(1)
      bench.rest()
    }

    @discardableResult
    mutating func submit(_ change: (inout JobSpec) -> Void = { _ in }) -> RunKey {
      bench.pass(1)
      let run = bench.submit(nil, change)
      bench.rest()
      return run
    }

    mutating func end(_ run: RunKey) throws {
      sequence += 1
      bench.say(session, sequence, bench.ended(try bench.current(run)))
      bench.rest()
    }

    mutating func succeed() throws {
      let attempts = bench.etcd.runs.values.compactMap(\.record.current)
      bench.succeed()
      session += 1
      sequence = 0
      bench.hello(agent, session: session, attempts: attempts)
      bench.rest()
    }

    func states(_ runs: [RunKey]) -> [RunState?] { runs.map(bench.state) }
  }

  @Test func noMoreThanTheQuotaAreGivenOut() throws {
    var story = Story()
    story.put(running: 2)
    let runs = (0..<4).map { _ in story.submit() }
    #expect(story.states(runs) == [.assigned, .assigned, .queued, .queued])
    let cache = story.bench.server.cache
    let subject = RunSubject(
      run: try #require(cache.runs[runs[3]]), job: try #require(cache.jobs[runs[3].job]?.job.record),
      now: story.bench.now)
    let findings = try story.bench.machine.findings(of: subject, cache)
    #expect(findings.map(\.code) == ["quota_running_runs"])
    #expect(findings.first?.facts["running_runs"] == "2" && findings.first?.facts["max_running_runs"] == "2")
    try story.end(runs[0])
    #expect(story.states(runs) == [.completed, .assigned, .assigned, .queued])
    for run in runs[1...] { try story.end(run) }
    #expect(try story.bench.machine.limits.isEmpty)
  }

  @Test func whatIsThereCountsWhenAQuotaComes() throws {
    var story = Story()
    let runs = (0..<4).map { _ in story.submit() }
    story.put(running: 2)
    #expect(story.states(runs) == [.assigned, .assigned, .assigned, .assigned], "it stays where it is")
    let next = story.submit()
    try story.end(runs[0])
    try story.end(runs[1])
    #expect(story.states([next]) == [.queued])
    try story.end(runs[2])
    #expect(story.states([next]) == [.assigned])
  }

  @Test func aRaisedOrDeletedQuotaLetsOthersGo() throws {
    var story = Story()
    story.put(running: 1)
    let runs = (0..<5).map { _ in story.submit() }
    #expect(story.states(runs).count { $0 == .assigned } == 1)
    story.put(running: 3)
    #expect(story.states(runs).count { $0 == .assigned } == 3)
    story.delete()
    #expect(story.states(runs).count { $0 == .assigned } == 5)
    #expect(try story.bench.machine.limits.isEmpty)
  }

  @Test func theNextLeaderCountsTheSame() throws {
    var story = Story()
    story.put(running: 2)
    let runs = (0..<3).map { _ in story.submit() }
    try story.succeed()
    story.bench.pass(5_000)
    story.bench.rest()
    #expect(story.states(runs) == [.assigned, .assigned, .queued])
    try story.end(runs[1])
    #expect(story.states(runs) == [.assigned, .completed, .assigned])
  }

  /// A run that no agent can take does not keep the slot from the others.
  @Test func aBlockedHeadKeepsNoSlot() throws {
    var story = Story()
    story.put(running: 1)
    let first = story.submit()
    let blocked = story.submit {
      $0.priority = 100
      $0.constraints = [Constraint(label: "gpu", op: .exists)]
    }
    let last = story.submit()
    try story.end(first)
    #expect(story.states([blocked, last]) == [.queued, .assigned])
  }

  /// However runs come, end and are lost, there are never more than the quota, and no slot is lost.
  @Test(arguments: 1...10) func itIsNeverExceededAndNoSlotLeaks(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    var story = Story()
    let limit = Int.random(in: 1...3, using: &random)
    story.put(running: limit)
    func running() -> [RunKey] {
      story.bench.etcd.runs.values.map(\.record).filter(\.state.isOwned).map(\.key).sorted()
    }
    for _ in 0..<60 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5: story.submit()
      case 5..<9:
        if let run = running().randomElement(using: &random) { try story.end(run) }
      default: try story.succeed()
      }
      #expect(running().count <= limit)
    }
    while let run = running().first { try story.end(run) }
    #expect(story.bench.etcd.runs.values.allSatisfy { $0.record.state == .completed })
    #expect(try story.bench.machine.limits.isEmpty)
  }
}
