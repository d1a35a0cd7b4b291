@testable import SchedulerCore

/// A whole cluster in one value, driven by one seed: etcd, servers that lead in turn, agents, users, and
/// faults. Everything that takes time in the real system takes a random time here; nothing sleeps.
struct LeaderSimulation {
  /// What is switched off, to show that the checker notices.
  enum Mutation: Sendable {
    case none, guardsIgnored, agentsNeverFence, checkpointsUnguarded
    /// Of owners of segments: their epochs, or the order of their writes.
    case epochsIgnored, jobsUnordered
    /// What they have not decided yet is forgotten; the schedules' states are not written with the runs; what a misfire
    /// policy has left out is run besides.
    case missedForgotten, statesUnwritten, misfireTwice
    /// Of leaders: what jobs say of failures and losses.
    case filtersForgotten, totalTimeoutsForgotten, waitsForgotten, atMostOnceForgotten, limitsForgotten
    /// Of users: a run that has ended is queued again, in place of a new one.
    case endsReopened
  }

  /// A session between an agent and a server; each end may learn late that it is over.
  struct Channel {
    var agent: Int
    var server: Int
    var session: LeaderMachine.SessionID?
    var hello: AgentHello
    var up: [AgentMessage] = []
    var down: [SimulatedServer.Outgoing] = []
    var isBroken = false
    var agentKnows = false
    var serverKnows = false
  }

  static let agentTTL: Int64 = 1_000
  static let margin: Int64 = 300
  static let serverTTL: Int64 = 800
  static let segmentCount = 6
  static let chaosSteps = 120
  static let healingSteps = 3_000

  var random: SplitMix
  /// For what has to do with queues, of which every third story tells.
  var queueRandom: SplitMix
  let hasQueues: Bool
  var now: Int64 = 1_000_000
  /// Whether the story ends with the first violation; if not, others may see what comes of it.
  var endsAtViolation = true
  var etcd = SimulatedEtcd()
  var servers: [SimulatedServer] = []
  var agents: [SimulatedAgent] = []
  var channels: [Channel] = []
  /// Commits whose server is gone: they may still arrive at etcd.
  var strays: [(proposal: Proposal, note: FiringNote?)] = []
  var checker = SimulationChecker()
  var isChaos = true
  var etcdRefusesUntil: Int64 = 0
  var nextLease: Int64 = 1
  var nextJob = 0
  var cancelled: Set<JobKey> = []
  /// How much more often than usual servers crash and what they had sent arrives late.
  var leaderFaults = 1.0
  var takeovers = 0
  /// Whether users schedule jobs, and clocks are off, besides.
  let hasSchedules: Bool
  let mutation: Mutation
  var scheduledJobs = 0
  var removesEarly = false
  let keyspace: Keyspace
  var firingChecker = FiringChecker()
  var firingsChecked = 0
  var firingViolationsTold = 0

  init(seed: UInt64, mutation: Mutation = .none, hasSchedules: Bool = false) {
    random = SplitMix(seed: seed)
    queueRandom = SplitMix(seed: ~seed)
    hasQueues = Int.random(in: 0..<3, using: &queueRandom) == 0
    self.hasSchedules = hasSchedules
    self.mutation = mutation
    var configuration = LeaderMachine.Configuration()
    configuration.segmentCount = Self.segmentCount
    keyspace = Keyspace(segmentCount: Self.segmentCount)
    // Small enough to happen here.
    configuration.judge.failures = 3
    configuration.judge.jobs = 2
    configuration.judge.firstWaitMillis = 200
    configuration.judge.longestWaitMillis = 800
    if Bool.random(using: &random) {
      configuration.brake.fleet = 2
      configuration.brake.windowMillis = 1_000
      configuration.brake.pauseMillis = 300
      configuration.brake.longestPauseMillis = 600
      configuration.brake.runsPerSecond = 20
      configuration.brake.burst = 3
    }
    if Bool.random(using: &random) {
      configuration.retentionMillis = 3_000
      removesEarly = true
    }
    for index in 0..<Int.random(in: 1...3, using: &random) {
      servers.append(SimulatedServer(index: index, configuration: configuration))
    }
    for index in 0..<Int.random(in: 1...4, using: &random) {
      agents.append(SimulatedAgent(index: index, slots: Int.random(in: 1...3, using: &random)))
      agents[index].neverFences = mutation == .agentsNeverFence
    }
    for index in servers.indices { servers[index].mutation = mutation }
    putGroups()
    etcd.ignoresEpochs = mutation == .epochsIgnored
    etcd.ignoresJobs = mutation == .jobsUnordered
    if mutation == .epochsIgnored || mutation == .jobsUnordered { leaderFaults = 8 }
    etcd.ignoresGuards = mutation == .guardsIgnored
    etcd.leavesCheckpointsUnguarded = mutation == .checkpointsUnguarded
    if mutation == .checkpointsUnguarded { leaderFaults = 8 }
    if hasQueues { putQueues() }
  }

  /// Queues that hold back in one way each, all the while.
  private mutating func putQueues() {
    var narrow = QueueRecord(name: "narrow", createdAt: time)
    narrow.spec.maxRunning = Int.random(in: 1...2, using: &queueRandom)
    narrow.spec.priority = Int.random(in: 1...100, using: &queueRandom)
    checker.queueLimits["narrow"] = narrow.spec.maxRunning
    var slow = QueueRecord(name: "slow", createdAt: time)
    slow.spec.dispatchRate = 20
    var picky = QueueRecord(name: "picky", createdAt: time)
    picky.spec.agents = [Constraint(label: "zone", op: .equal, values: ["even"])]
    for record in [narrow, slow, picky] {
      _ = etcd.commit([Proposal(guards: [], writes: [.queue(record)])])
    }
  }

  /// A job's queue: that of those which name none, as a rule.
  private mutating func queue() -> String {
    switch Int.random(in: 0..<10, using: &queueRandom) {
    case 0, 1: "narrow"
    case 2: "slow"
    case 3: "picky"
    default: JobSpec.Defaults.queue
    }
  }

  var time: Timestamp { Timestamp(milliseconds: now) }

  mutating func chance(_ percent: Double) -> Bool { random.next() >> 11 < UInt64(percent * 0x1p53 / 100) }
  /// A fault's chance: none once faults have stopped.
  mutating func fault(_ percent: Double) -> Bool { isChaos && chance(percent) }

  // MARK: Running

  /// Runs the whole story. What went wrong is in the result; empty means nothing.
  mutating func run() -> [String] {
    for _ in 0..<Self.chaosSteps where goesOn { step() }
    heal()
    var quiet = 0
    for _ in 0..<Self.healingSteps where goesOn && quiet < 3 {
      step()
      quiet = isQuiet ? quiet + 1 : 0
    }
    if checker.violations.isEmpty {
      if quiet < 3 { checker.fail("not quiet after the faults stopped: \(whatIsStuck)") }
      checkTheEnd()
    }
    return checker.violations
  }

  private var goesOn: Bool { checker.violations.isEmpty || !endsAtViolation }

  mutating func step() {
    now += Int64.random(in: 1...40, using: &random)
    checker.diary?.now = now
    for index in agents.indices { stepAgent(index) }
    lapseLeases()
    if isChaos { stepUsers() }
    if isChaos, hasSchedules { stepSchedulers() }
    for index in servers.indices { stepServer(index) }
    stepChannels()
    if fault(5 * leaderFaults), !strays.isEmpty { commitStray() }
    if fault(1) { etcdRefusesUntil = now + Int64.random(in: 50...500, using: &random) }
    reviewFirings()
    checker.review(etcd)
    for server in servers { check(server) }
  }

  mutating func lapseLeases() {
    for agent in agents where etcd.agents[agent.id] != nil && agent.leaseEnds <= now {
      etcd.lapse(agent: agent.id)
    }
    for server in servers {
      if let lease = server.lease, server.leaseEnds <= now { etcd.lapse(leader: lease) }
    }
    checker.review(etcd)
  }

  mutating func commitStray() {
    let stray = strays.remove(at: Int.random(in: strays.indices, using: &random))
    if chance(70) { commit([stray]) }
  }

  // MARK: Users

  mutating func stepUsers() {
    if chance(30) { submit() }
    if chance(4) { retryByHand() }
    if chance(3), let key = etcd.jobs.keys.sorted().randomElement(using: &random) { cancel(key) }
    if chance(1.5), let agent = agents.randomElement(using: &random) { drain(agent.id) }
    if chance(4), let id = etcd.drains.keys.sorted().randomElement(using: &random) { undrain(id) }
  }

  /// An operator drains an agent: for ever, for a while, or as of now.
  mutating func drain(_ id: String) {
    let deadline = chance(70) ? time.adding(milliseconds: Int64.random(in: -10...500, using: &random)) : nil
    _ = etcd.commit([
      Proposal(guards: [], writes: [.drain(id, DrainRecord(requestedAt: time, deadline: deadline))])
    ])
  }

  mutating func undrain(_ id: String) { _ = etcd.commit([Proposal(guards: [], writes: [.deleteDrain(id)])]) }

  /// Resources that some agent has when it is idle, and wishes.
  private mutating func randomPlacement(of spec: inout JobSpec) {
    if chance(25) {
      spec.resources.cpus = Double.random(in: 0.2...1, using: &random)
      if chance(50) { spec.resources.memoryBytes = Int64.random(in: 1...(1 << 30), using: &random) }
      if chance(20) { spec.resources.custom = ["gpu": 1] }
    }
    guard chance(15) else { return }
    spec.placement.strategy = Placement.Strategy.allCases.randomElement(using: &random) ?? .random
    if chance(30) { spec.placement.affinity = [.init(Constraint(label: "zone", op: .exists), weight: 5)] }
    if chance(30) { spec.placement.spread = .init(label: "zone") }
    if chance(30) { spec.placement.antiAffinity = .required }
  }

  mutating func submit() {
    nextJob += 1
    var spec = JobSpec(task: chance(30) ? .noop : .exec(argv: ["true"]))
    randomFailurePolicy(of: &spec)
    spec.priority = Int.random(in: 1...100, using: &random)
    spec.userID = "m\(nextJob)"
    if hasQueues { spec.queue = queue() }
    if chance(20) { spec.constraints = [Constraint(label: "zone", op: .equal, values: ["even"])] }
    if chance(3) { spec.constraints = [Constraint(label: "gpu", op: .exists)] }
    randomPlacement(of: &spec)
    randomLimits(of: &spec)
    let key = JobKey(namespace: "default", jobID: "j\(nextJob)")
    var job = JobRecord(key: key, uid: "u\(nextJob)", spec: spec, createdAt: time)
    var proposal = Proposal(guards: [.jobAbsent(key)], writes: [])
    if chance(30) {
      job.nextRunTime = time.adding(milliseconds: Int64.random(in: 1...2_000, using: &random))
      job.spec.executionTime = job.nextRunTime
      proposal.writes = [.job(job)]
    } else {
      job.lastRunTime = time
      var run = RunRecord(
        key: RunKey(job: key, runID: runID(for: time)), scheduledTime: time, createdAt: time)
      run.joinGroup(of: spec)
      proposal.guards.append(.runAbsent(run.key))
      proposal.writes = [.job(job), .run(run)]
      if chance(50), admit(run, of: job, proposal) {
        checker.diary?.submitted(job, isKnown: false)
        return
      }
    }
    if case .committed = etcd.commit(proposal) { checker.diary?.submitted(job, isKnown: true) }
    checker.review(etcd)
  }

  /// Submits to a server that leads: the run may go straight to an agent.
  private mutating func admit(_ run: RunRecord, of job: JobRecord, _ plain: Proposal) -> Bool {
    let leading = servers.indices.filter { servers[$0].machine != nil && servers[$0].frozenUntil <= now }
    guard let index = leading.randomElement(using: &random),
      let sent = servers[index].admit(run, of: job, plain, now: time)
    else { return false }
    servers[index].inFlight.append(sent)
    return true
  }

  mutating func cancel(_ key: JobKey) {
    guard let job = etcd.jobs[key], job.record.cancelRequestedAt == nil else { return }
    var record = job.record
    record.cancelRequestedAt = time
    record.cancelReason = "asked for"
    record.nextRunTime = nil
    _ = etcd.commit(
      Proposal(guards: [.jobUnchanged(key, modRevision: job.modRevision)], writes: [.job(record)]))
    cancelled.insert(key)
    checker.review(etcd)
  }

  // MARK: Servers

  mutating func stepServer(_ index: Int) {
    if fault(leaderFaults) { crashServer(index) }
    if hasSchedules, fault(1.5) { servers[index].clockOffset = randomClockOffset() }
    if fault(1.2) { servers[index].frozenUntil = now + Int64.random(in: 50...1_500, using: &random) }
    // What is with etcd goes on even while the server stands still.
    while chance(60), !servers[index].inFlight.isEmpty { evaluateSome(index) }
    guard servers[index].frozenUntil <= now else { return }
    keepCandidacy(index)
    if chance(60) {
      let count = chance(50) ? Int.max / 2 : Int.random(in: 1...10, using: &random)
      servers[index].watch(etcd, count: count, now: time)
    }
    while chance(70), !servers[index].reports.isEmpty {
      let place = Int.random(in: servers[index].reports.indices, using: &random)
      let report = servers[index].reports.remove(at: place)
      servers[index].hear(report, now: time)
      if chance(50) { turn(index) }
    }
    turn(index)
  }

  mutating func turn(_ index: Int) {
    servers[index].turn(now: time)
    for session in servers[index].closedSessions {
      for place in channels.indices
      where channels[place].session == session && channels[place].server == index {
        channels[place].isBroken = true
        channels[place].serverKnows = true
      }
    }
    servers[index].closedSessions = []
    for (session, message) in servers[index].outgoing {
      for place in channels.indices
      where channels[place].session == session && channels[place].server == index && !channels[place].isBroken
      {
        // The checkpoint is read when its turn comes, soon or late.
        channels[place].down.append(chance(50) ? read(message) : message)
      }
    }
    servers[index].outgoing = []
    guard servers[index].machine == nil else { return }
    for place in channels.indices where channels[place].server == index && channels[place].session != nil {
      channels[place].isBroken = true
      channels[place].serverKnows = true
    }
  }

  /// Puts the checkpoint into an assignment, if etcd has it.
  func read(_ message: SimulatedServer.Outgoing) -> SimulatedServer.Outgoing {
    guard case .resumption(var assignment, false) = message,
      let saved = etcd.checkpoints[assignment.ref.run]
    else { return message }
    assignment.checkpoint = saved.data
    return .resumption(assignment, isRead: true)
  }

  /// etcd gets to some proposals, not in order, several in one transaction now and then.
  mutating func evaluateSome(_ index: Int) {
    var batch: [SimulatedServer.InFlight] = []
    var keys = Set<Touched>()
    for _ in 0..<Int.random(in: 1...4, using: &random) where !servers[index].inFlight.isEmpty {
      let place = Int.random(in: servers[index].inFlight.indices, using: &random)
      let next = servers[index].inFlight[place]
      guard keys.isDisjoint(with: next.proposal.keys) else { continue }
      keys.formUnion(next.proposal.keys)
      batch.append(servers[index].inFlight.remove(at: place))
    }
    if now < etcdRefusesUntil {
      servers[index].reports += batch.map { .init(sent: $0, result: nil) }
      // Who submitted tries again, later.
      strays += batch.compactMap(\.fallback).map { ($0, nil) }
    } else if commit(batch.map { ($0.proposal, $0.note) }) {
      let revision = etcd.revision
      servers[index].reports += batch.map { .init(sent: $0, result: .committed(revision: revision)) }
    } else {
      for sent in batch {
        if commit([(sent.proposal, sent.note)]) {
          let result = SimulatedEtcd.Result.committed(revision: etcd.revision)
          servers[index].reports.append(.init(sent: sent, result: result))
        } else {
          servers[index].reports.append(.init(sent: sent, result: etcd.conflict(of: sent.proposal)))
          if let plain = sent.fallback { strays.append((plain, nil)) }
        }
      }
    }
    checker.review(etcd)
  }

  mutating func keepCandidacy(_ index: Int) {
    if let lease = servers[index].lease {
      if etcd.leaders[lease] != nil {
        if chance(40) { servers[index].leaseEnds = now + Self.serverTTL }
        keepServerKey(index)
      } else if chance(20) {
        // It takes a while to notice; until then it may think that it leads.
        servers[index].lease = nil
        servers[index].review(now: time)
      }
    } else if chance(30) {
      nextLease += 1
      if servers[index].watched == 0 { servers[index].list(etcd, now: time) }
      servers[index].lease = nextLease
      servers[index].leaseEnds = now + Self.serverTTL
      etcd.register(servers[index].record)
      etcd.stand(servers[index].record, lease: nextLease)
    }
  }

  mutating func crashServer(_ index: Int) {
    let old = servers[index]
    strays += old.inFlight.map { ($0.proposal, $0.note) }
    servers[index] = SimulatedServer(index: index, configuration: old.configuration)
    servers[index].mutation = old.mutation
    servers[index].clockOffset = old.clockOffset
    servers[index].terms = old.terms
    servers[index].nextSession = old.nextSession
    servers[index].frozenUntil = now + Int64.random(in: 20...500, using: &random)
    for place in channels.indices where channels[place].server == index {
      channels[place].isBroken = true
      channels[place].serverKnows = true
    }
    // Its key stays until the lease lapses: nobody knows the lease any more.
    if let lease = old.lease { etcd.lapse(leader: lease) }
  }
}

/// A record that a proposal reads or writes, for telling whether two are independent.
private enum Touched: Hashable {
  case run(RunKey)
  case job(JobKey)
  case segment(Int)
  case calendar(CalendarKey)
  case group(GroupKey)
  case backfill(BackfillKey)
  case drain(String)
  case alert(AlertKey)
  case queue(String)
  case quota(String)
}

extension Proposal {
  fileprivate var keys: [Touched] {
    writes.map { write in
      switch write {
      case .run(let record): .run(record.key)
      case .job(let record): .job(record.key)
      case .checkpoint(let key, _), .deleteCheckpoint(let key): .run(key)
      case .deleteRun(let key): .run(key)
      case .deleteJob(let key): .job(key)
      case .segment(let number, _, _): .segment(number)
      case .calendar(let record): .calendar(record.key)
      case .deleteCalendar(let key): .calendar(key)
      case .group(let record): .group(record.key)
      case .deleteGroup(let key): .group(key)
      case .backfill(let record): .backfill(record.key)
      case .deleteBackfill(let key): .backfill(key)
      case .queue(let record): .queue(record.name)
      case .deleteQueue(let name): .queue(name)
      case .drain(let id, _), .deleteDrain(let id): .drain(id)
      case .quota(let record): .quota(record.namespace)
      case .deleteQuota(let namespace): .quota(namespace)
      case .version(let record): .job(record.key.job)
      case .deleteVersion(let key): .job(key.job)
      case .alert(let record): .alert(record.key)
      case .deleteAlert(let key): .alert(key)
      }
    }
      + guards.compactMap { condition in
        switch condition {
        case .runUnchanged(let key, _), .runAbsent(let key): .run(key)
        case .jobUnchanged(let key, _), .jobAbsent(let key): .job(key)
        case .segmentUnchanged(let number, _): .segment(number)
        case .calendarUnchanged(let key, _): .calendar(key)
        case .groupUnchanged(let key, _): .group(key)
        case .backfillUnchanged(let key, _): .backfill(key)
        case .queueUnchanged(let name, _): .queue(name)
        case .drainUnchanged(let id, _): .drain(id)
        case .alertAbsent(let key): .alert(key)
        case .quotaUnchanged(let namespace, _): .quota(namespace)
        case .leads, .agentPresent, .agentGone, .serverPresent: nil
        }
      }
  }
}
