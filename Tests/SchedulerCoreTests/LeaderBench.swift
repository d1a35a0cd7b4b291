import Testing

@testable import SchedulerCore

/// One server, which leads and owns all segments, and its etcd, where everything happens when the test says so.
struct LeaderBench {
  static let job = JobKey(namespace: "default", jobID: "j")

  var etcd = SimulatedEtcd()
  var server: SimulatedServer
  var now = Timestamp(milliseconds: 1_000_000)
  private(set) var submitted = 0

  init(_ configuration: LeaderMachine.Configuration = .init()) {
    server = SimulatedServer(index: 0, configuration: configuration)
    stand(lease: 1)
  }

  private mutating func stand(lease: Int64) {
    server.lease = lease
    etcd.register(server.record)
    etcd.stand(server.record, lease: lease)
    server.list(etcd, now: now)
    server.review(now: now)
    settle()
  }

  /// The server's lease lapses, and another one takes over.
  mutating func succeed() {
    etcd.lapse(leader: server.lease ?? 0)
    let next = server.index + 1
    server = SimulatedServer(index: next, configuration: server.configuration)
    stand(lease: Int64(next) + 1)
  }

  var machine: LeaderMachine { get throws { try #require(server.machine) } }

  // MARK: The world

  mutating func pass(_ milliseconds: Int64) {
    now = now.adding(milliseconds: milliseconds)
    server.turn(now: now)
  }

  /// The watch brings all.
  mutating func watch() { server.watch(etcd, count: .max / 2, now: now) }

  @discardableResult
  mutating func register(
    _ id: String, slots: Int = 1, labels: [String: String] = [:], resources: Resources = Resources()
  ) -> Incarnation {
    var agent = AgentRecord(
      agentID: id, host: id, labels: labels, slots: slots, version: "1", startedAt: now)
    agent.resources = resources
    let revision = etcd.register(agent)
    watch()
    return Incarnation(agentID: id, createRevision: revision)
  }

  mutating func lapse(_ id: String) {
    etcd.lapse(agent: id)
    watch()
  }

  /// Registers an agent and opens a session with the same number as its slots' owner has.
  @discardableResult
  mutating func connect(
    _ id: String, session: UInt64, slots: Int = 1, labels: [String: String] = [:],
    resources: Resources = Resources()
  ) -> Incarnation {
    let agent = register(id, slots: slots, labels: labels, resources: resources)
    hello(agent, session: session)
    return agent
  }

  mutating func hello(_ agent: Incarnation, session: UInt64, attempts: [AttemptRef] = []) {
    let hello = AgentHello(
      agentID: agent.agentID, incarnation: agent.createRevision, version: "1", attempts: attempts)
    server.opened(session, hello, now: now)
    server.turn(now: now)
  }

  /// Submits a job, which runs at once unless it has an execution time.
  @discardableResult
  mutating func submit(
    _ id: String? = nil, _ change: (inout JobSpec) -> Void = { _ in }
  ) -> RunKey {
    submitted += 1
    var spec = JobSpec(task: .exec(argv: ["true"]))
    spec.backoff = Backoff(curve: .list([1_000]), jitter: 0)
    change(&spec)
    let key = JobKey(namespace: "default", jobID: id ?? "j\(submitted)")
    var job = JobRecord(key: key, uid: "u\(submitted)", spec: spec, createdAt: now)
    job.nextRunTime = spec.executionTime
    let due = spec.executionTime ?? now
    var run = RunRecord(key: RunKey(job: key, runID: runID(for: due)), scheduledTime: due, createdAt: now)
    run.joinGroup(of: spec)
    var proposal = Proposal(guards: [.jobAbsent(key)], writes: [.job(job)])
    if spec.executionTime == nil { proposal.writes.append(.run(run)) }
    _ = etcd.commit(proposal)
    watch()
    return run.key
  }

  /// Creates another run of a job in one transaction with a write of the job, as a trigger does.
  /// - Parameter isSeen: Whether the watch brings it at once.
  @discardableResult
  mutating func add(
    to job: JobKey, _ trigger: RunTrigger = .manual, isSeen: Bool = true
  ) throws -> RunKey {
    let record = try #require(etcd.jobs[job]).record
    now = now.adding(milliseconds: 1)
    var run = RunRecord(key: RunKey(job: job, runID: runID(for: now)), scheduledTime: now, createdAt: now)
    run.trigger = trigger
    run.joinGroup(of: record.spec)
    _ = etcd.commit([Proposal(guards: [.runAbsent(run.key)], writes: [.job(record), .run(run)])])
    if isSeen {
      watch()
      server.turn(now: now)
    }
    return run.key
  }

  /// Changes a job's record.
  mutating func change(_ key: JobKey, _ change: (inout JobRecord) -> Void) throws {
    var job = try #require(etcd.jobs[key]).record
    change(&job)
    _ = etcd.commit([Proposal(guards: [], writes: [.job(job)])])
    watch()
    server.turn(now: now)
  }

  mutating func cancel(_ key: JobKey) throws {
    let time = now
    try change(key) {
      $0.cancelRequestedAt = time
      $0.cancelReason = "enough"
      $0.nextRunTime = nil
    }
  }

  mutating func delete(_ key: JobKey) throws {
    let time = now
    try change(key) {
      $0.cancelRequestedAt = time
      $0.deleteRequestedAt = time
      $0.nextRunTime = nil
    }
  }

  // MARK: Commits

  /// etcd commits all that is on its way, and what follows from it, until nothing is.
  mutating func settle() {
    server.turn(now: now)
    while !server.inFlight.isEmpty || !server.reports.isEmpty {
      evaluate()
      report()
    }
    watch()
    server.turn(now: now)
  }

  /// All that follows from one another happens, and is seen.
  mutating func rest() {
    repeat { settle() } while !server.inFlight.isEmpty
  }

  /// etcd evaluates what is on its way; nobody has heard of it yet.
  mutating func evaluate() {
    for sent in server.inFlight {
      server.reports.append(.init(sent: sent, result: etcd.commit(sent.proposal)))
    }
    server.inFlight = []
  }

  /// etcd takes nothing of what is on its way.
  mutating func refuse() {
    server.reports += server.inFlight.map { .init(sent: $0, result: nil) }
    server.inFlight = []
  }

  /// The server hears what became of its proposals.
  mutating func report() {
    let reports = server.reports
    server.reports = []
    for report in reports { server.hear(report, now: now) }
    server.turn(now: now)
  }

  // MARK: What was said

  /// Takes what was sent on a session since the last time, with the checkpoints read from etcd.
  mutating func sent(_ session: UInt64) -> [ServerMessage] {
    let messages = server.outgoing.filter { $0.0 == session }.map { outgoing in
      switch outgoing.1 {
      case .message(let message): return message
      case .resumption(var assignment, _):
        assignment.checkpoint = etcd.checkpoints[assignment.ref.run]?.data ?? []
        return .assign([assignment])
      }
    }
    server.outgoing.removeAll { $0.0 == session }
    return messages
  }

  /// Takes the assignments of that.
  mutating func assigned(_ session: UInt64) -> [AttemptRef] {
    sent(session).flatMap { message -> [AttemptRef] in
      if case .assign(let assignments) = message { assignments.map(\.ref) } else { [] }
    }
  }

  /// Takes the acknowledgements of that.
  mutating func acknowledged(_ session: UInt64) -> [UInt64] {
    sent(session).compactMap { if case .ack(let sequence) = $0 { sequence } else { nil } }
  }

  mutating func say(_ session: UInt64, _ sequence: UInt64, _ updates: AttemptUpdate...) {
    server.received(.status(AgentStatus(sequence: sequence, updates: updates)), on: session, now: now)
    server.turn(now: now)
  }

  mutating func save(_ session: UInt64, _ ref: AttemptRef, _ sequence: UInt64, _ data: String) {
    let report = CheckpointReport(ref: ref, sequence: sequence, data: Array(data.utf8))
    server.received(.checkpoint(report), on: session, now: now)
    server.turn(now: now)
  }

  func started(_ ref: AttemptRef) -> AttemptUpdate { AttemptUpdate(ref: ref, startedAt: now) }

  func ended(_ ref: AttemptRef, _ reason: EndReason = .exited, code: Int = 0) -> AttemptUpdate {
    AttemptUpdate(ref: ref, startedAt: now, end: AttemptEnd(endedAt: now, reason: reason, exitCode: code))
  }

  func state(_ key: RunKey) -> RunState? { etcd.runs[key]?.record.state }
  func current(_ key: RunKey) throws -> AttemptRef { try #require(etcd.runs[key]?.record.current) }
  func used(_ agent: String) -> Int? { server.machine?.pool.usedSlots(of: agent) }
}
