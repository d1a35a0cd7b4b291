@testable import SchedulerCore

// Agents, sessions, and the end of the story.

extension LeaderSimulation {
  // MARK: Agents

  mutating func stepAgent(_ index: Int) {
    agents[index].fence(now: now)
    agents[index].reap(now: now, &checker)
    if fault(0.8) { return crashAgent(index) }
    if fault(2), !agents[index].isReplaced { return replaceAgent(index) }
    if fault(1.2) { agents[index].frozenUntil = now + Int64.random(in: 100...1_800, using: &random) }
    if fault(1.2) { agents[index].cutFromEtcdUntil = now + Int64.random(in: 100...1_800, using: &random) }
    if fault(0.3) { agents[index].machine.drain(at: SimulatedAgent.moment(now)) }
    guard agents[index].frozenUntil <= now else { return }
    if agents[index].isReplaced { agents[index].adopt(now: now, &random, &checker) }
    // The machine fences before anything else is believed.
    agents[index].machine.tick(at: SimulatedAgent.moment(now))
    if chance(80) { reportStarts(index) }
    if chance(80) { agents[index].deliverEvents() }
    if agents[index].cutFromEtcdUntil <= now { keepLease(index) }
    settle(index)
    if chance(70) { sendStatus(index) }
    saveCheckpoints(index)
    connect(index)
  }

  mutating func settle(_ index: Int) { agents[index].settle(now: now, &random, &checker, etcd) }

  mutating func reportStarts(_ index: Int) {
    for place in agents[index].tasks.indices where !agents[index].tasks[place].hasReportedStart {
      guard chance(70) else { continue }
      agents[index].tasks[place].hasReportedStart = true
      agents[index].events.append(.started(agents[index].tasks[place].assignment.ref, now))
    }
  }

  mutating func keepLease(_ index: Int) {
    let agent = agents[index]
    let held = etcd.agents[agent.id]?.createRevision
    if let incarnation = agent.machine.incarnation {
      guard held == incarnation else {
        agents[index].loseIncarnation(now: now)
        agents[index].saved = nil
        leave(index)
        return
      }
      if now - agent.renewedAt > 200 || chance(20) { renew(index) }
    } else if let held, held == agent.saved {
      // The process was restarted within its lease.
      agents[index].machine.newIncarnation(held)
      renew(index)
    } else if agent.saved != nil {
      // What it has adopted is nobody's any more.
      agents[index].loseIncarnation(now: now)
      agents[index].saved = nil
    } else if held == nil, agent.machine.activeCount == 0, agent.tasks.isEmpty, chance(50) {
      let revision = etcd.register(agent.record)
      agents[index].saved = revision
      agents[index].machine.newIncarnation(revision)
      renew(index)
    }
  }

  mutating func renew(_ index: Int) {
    let sent = now - Int64.random(in: 0...50, using: &random)
    agents[index].leaseEnds = now + Self.agentTTL
    // The answer may be lost.
    guard !fault(10) else { return }
    agents[index].renewedAt = now
    agents[index].trust(until: sent + Self.agentTTL - Self.margin, now: now)
  }

  mutating func crashAgent(_ index: Int) {
    agents[index].crash(now: now, &checker)
    agents[index].frozenUntil = now + Int64.random(in: 10...1_500, using: &random)
    leave(index)
  }

  mutating func replaceAgent(_ index: Int) {
    agents[index].leaveTasks()
    agents[index].frozenUntil = now + Int64.random(in: 5...600, using: &random)
    leave(index)
  }

  /// The agent's end of its session is gone.
  mutating func leave(_ index: Int) {
    agents[index].machine.sessionClosed()
    for place in channels.indices where channels[place].agent == index {
      channels[place].isBroken = true
      channels[place].agentKnows = true
    }
  }

  mutating func sendStatus(_ index: Int) {
    if chance(5) { agents[index].machine.healthSampled(health()) }
    guard var status = agents[index].machine.takeStatus() else { return }
    status.updates.sort { $0.ref.sortKey < $1.ref.sortKey }
    agents[index].machine.statusWritten()
    if status.sequence > 0 { addProgress(to: &status, of: index) }
    send(.status(status), from: index)
  }

  private mutating func send(_ message: AgentMessage, from index: Int) {
    for place in channels.indices where channels[place].agent == index && !channels[place].agentKnows {
      if !channels[place].isBroken { channels[place].up.append(message) }
    }
  }

  /// Tasks say how far they are; it rises with time.
  private mutating func addProgress(to status: inout AgentStatus, of index: Int) {
    for task in agents[index].tasks where chance(30) {
      let progress = Progress(fraction: Double(now % 10_000_000) / 10_000_000, at: time)
      status.updates.append(AttemptUpdate(ref: task.assignment.ref, progress: progress))
    }
  }

  /// Tasks save where they are, now and then; so does what was left behind of a task that has ended.
  private mutating func saveCheckpoints(_ index: Int) {
    guard agents[index].machine.hasSession else { return }
    for place in agents[index].tasks.indices where chance(15) {
      agents[index].tasks[place].saves += 1
      let task = agents[index].tasks[place]
      let report = Saved(attempt: task.assignment.ref, sequence: task.saves).report
      agents[index].unanswered.append(report)
      send(.checkpoint(report), from: index)
      if fault(10) { send(.checkpoint(report), from: index) }
    }
    if fault(3), let ref = agents[index].past.randomElement(using: &random) {
      send(.checkpoint(Saved(attempt: ref, sequence: 1_000).report), from: index)
    }
  }

  private mutating func health() -> AgentHealth {
    var health = AgentHealth()
    health.cpu = Double.random(in: 0...1, using: &random)
    return health
  }

  mutating func connect(_ index: Int) {
    guard !channels.contains(where: { $0.agent == index && !$0.agentKnows }), chance(30),
      let hello = agents[index].hello
    else { return }
    let leader = servers.firstIndex { $0.lease != nil && $0.lease == oldestLease }
    let server = chance(70) ? leader : servers.indices.randomElement(using: &random)
    guard let server else { return }
    channels.append(Channel(agent: index, server: server, hello: hello))
  }

  private var oldestLease: Int64? {
    etcd.leaders.min { $0.value.createRevision < $1.value.createRevision }?.key
  }

  // MARK: Sessions

  mutating func stepChannels() {
    for place in channels.indices {
      if fault(2.5) { channels[place].isBroken = true }
      let isStale = servers[channels[place].server].lease != oldestLease
      if isStale, chance(10) { channels[place].isBroken = true }
      if servers[channels[place].server].frozenUntil <= now { stepServerEnd(place) }
      if agents[channels[place].agent].frozenUntil <= now { stepAgentEnd(place) }
    }
    channels.removeAll { $0.isBroken && $0.agentKnows && $0.serverKnows }
  }

  private mutating func stepServerEnd(_ place: Int) {
    let index = channels[place].server
    if channels[place].isBroken {
      guard !channels[place].serverKnows, chance(40) else { return }
      channels[place].serverKnows = true
      if let session = channels[place].session {
        servers[index].closed(session)
        turn(index)
      }
      return
    }
    if channels[place].session == nil {
      guard chance(50) else { return }
      open(place)
      return turn(index)
    }
    while chance(70), !channels[place].up.isEmpty, !channels[place].isBroken,
      let session = channels[place].session
    {
      let message = channels[place].up.removeFirst()
      servers[index].received(message, on: session, now: time)
      if chance(50) { turn(index) }
    }
  }

  private mutating func open(_ place: Int) {
    let index = channels[place].server
    let hello = channels[place].hello
    guard servers[index].machine != nil else {
      channels[place].isBroken = true
      channels[place].serverKnows = true
      return
    }
    // It waits for the watch to bring the agent's key.
    guard servers[index].cache.revision >= hello.incarnation else { return }
    let session = servers[index].nextSession
    servers[index].nextSession += 1
    channels[place].session = session
    servers[index].opened(session, hello, now: time)
  }

  private mutating func stepAgentEnd(_ place: Int) {
    let index = channels[place].agent
    guard !channels[place].agentKnows else { return }
    while chance(70), !channels[place].down.isEmpty, !channels[place].agentKnows {
      switch channels[place].down.removeFirst() {
      case .message(let message): receive(message, on: place)
      case .resumption(let assignment, let isRead): resume(assignment, isRead: isRead, on: place)
      }
      settle(index)
    }
    if channels[place].isBroken, chance(40) { leaveChannel(place) }
  }

  private mutating func leaveChannel(_ place: Int) {
    channels[place].isBroken = true
    channels[place].agentKnows = true
    agents[channels[place].agent].machine.sessionClosed()
  }

  /// The server's shell sends an assignment with its checkpoint, or tells its machine that it could not.
  private mutating func resume(_ assignment: Assignment, isRead: Bool, on place: Int) {
    var outgoing = SimulatedServer.Outgoing.resumption(assignment, isRead: isRead)
    if !isRead, !fault(20) { outgoing = read(outgoing) }
    guard case .resumption(let assignment, true) = outgoing else {
      guard let session = channels[place].session else { return }
      let now = time
      servers[channels[place].server].machine?.untold(assignment.ref, on: session, now: now)
      return
    }
    receive(.assign([assignment]), on: place)
  }

  private mutating func receive(_ message: ServerMessage, on place: Int) {
    let index = channels[place].agent
    let moment = SimulatedAgent.moment(now)
    switch message {
    case .welcome(_, let epoch):
      guard agents[index].machine.sessionOpened(leaderEpoch: epoch) else { return leaveChannel(place) }
      if epoch > 0 { takeovers += 1 }
      for report in agents[index].unanswered { channels[place].up.append(.checkpoint(report)) }
    case .assign(let assignments):
      agents[index].machine.assign(assignments, at: moment)
      // Delivered twice, it must not start twice.
      if fault(10) { agents[index].machine.assign(assignments, at: moment) }
    case .stop(let refs, let forget, let reason):
      agents[index].machine.stop(refs, forget: forget, reason: reason, at: moment)
    case .handOver(let refs, let reason):
      agents[index].machine.handOver(refs, reason: reason, at: moment)
    case .ack(let sequence): agents[index].machine.acknowledged(sequence)
    case .checkpointAck(let ref, let sequence, let error):
      agents[index].unanswered.removeAll { $0.ref == ref && $0.sequence == sequence }
      if error == nil { checker.acknowledged(Saved(attempt: ref, sequence: sequence)) }
    }
  }

  // MARK: The end

  /// Faults stop.
  mutating func heal() {
    isChaos = false
    etcdRefusesUntil = 0
    strays = []
    for index in servers.indices {
      servers[index].frozenUntil = min(servers[index].frozenUntil, now + 500)
      servers[index].clockOffset = 0
      servers[index].isDraining = false
    }
    resumeAll()
    for id in etcd.drains.keys.sorted() { undrain(id) }
    for index in agents.indices {
      agents[index].frozenUntil = min(agents[index].frozenUntil, now + 500)
      agents[index].cutFromEtcdUntil = 0
      if agents[index].machine.isDraining { crashAgent(index) }
    }
    // What no agent can run waits for ever, rightly.
    for (key, job) in etcd.jobs.sorted(by: { $0.key < $1.key }) {
      let requirement = Requirement(job.record.spec)
      if !agents.contains(where: { requirement.isMet(by: AgentTraits($0.record)) }) { cancel(key) }
    }
  }

  var unendedRuns: [Versioned<RunRecord>] { etcd.runs.values.filter { !$0.record.state.isTerminal } }

  /// Nothing is left to do, nor on its way.
  var isQuiet: Bool {
    unendedRuns.isEmpty && etcd.jobs.values.allSatisfy { $0.record.nextRunTime == nil }
      && etcd.backfills.values.allSatisfy { $0.record.state != .running }
      && servers.allSatisfy {
        $0.inFlight.isEmpty && $0.reports.isEmpty && $0.watched == etcd.history.count
          && $0.firing.proposalsInFlight == 0
          && ($0.machine?.proposalsInFlight ?? 0) == 0
      }
      && agents.allSatisfy { $0.machine.unacknowledgedCount == 0 && $0.machine.known.isEmpty }
  }

  var whatIsStuck: String {
    let runs = unendedRuns.sorted { $0.record.key < $1.record.key }.prefix(5).map { run in
      let attempt = run.record.attempts.last
      return
        "\(run.record.key.job.jobID) is \(run.record.state), attempt \(run.record.attempt) on "
        + "\(attempt?.agent.agentID ?? "-")/\(attempt?.agent.createRevision ?? 0)"
    }
    let jobs = etcd.jobs.values.map(\.record).filter { $0.nextRunTime != nil }.map { job in
      let owner = etcd.segments[keyspace.segment(of: job.key)]?.record.serverID ?? "nobody"
      return "\(job.key.jobID) of \(owner), due in \((job.nextRunTime?.milliseconds ?? 0) - now) ms"
    }.sorted()
    let shells = servers.map {
      "s\($0.index): leads \($0.machine != nil), ready \($0.machine?.readyCount ?? 0), "
        + "\($0.machine?.proposalsInFlight ?? 0) proposed, \($0.inFlight.count) in flight, "
        + "fires in \($0.firing.nextDeadline.map { $0.milliseconds - now } ?? -1) ms"
    }
    let lives = agents.map {
      "\($0.id)/\($0.machine.incarnation ?? 0): \($0.machine.known.count) known, "
        + "\($0.machine.unacknowledgedCount) unacknowledged"
    }
    return "\(runs), not fired \(jobs), \(shells), \(lives)"
  }

  /// Slots are what the machine says they are.
  mutating func check(_ server: SimulatedServer) {
    for text in server.overbooked { checker.fail("s\(server.index): \(text)") }
    guard let machine = server.machine else { return }
    var held: [Incarnation: Int] = [:]
    for holder in machine.holders.values { held[holder, default: 0] += 1 }
    if held != machine.slotsHeld { checker.fail("s\(server.index): slots are miscounted") }
    for (id, agent) in server.cache.agents {
      let incarnation = Incarnation(agentID: id, createRevision: agent.createRevision)
      let used = machine.pool.usedSlots(of: id)
      if used != held[incarnation] ?? 0 {
        checker.fail("s\(server.index): \(id) uses \(used ?? -1) slots of \(held[incarnation] ?? 0) held")
      }
      if machine.pool.promised(by: id) != machine.promises.held(by: incarnation).resources {
        checker.fail("s\(server.index): what \(id) has promised is miscounted")
      }
    }
  }

  mutating func checkTheEnd() {
    if hasSchedules { checkFirings() }
    for key in checker.accepted
    where key.jobID.hasPrefix("j") && !checker.ended.keys.contains(where: { $0.job == key }) {
      if !cancelled.contains(key) { checker.fail("\(key.jobID) was accepted and never ended") }
    }
    if !checker.executing.isEmpty { checker.fail("tasks are left: \(checker.executing)") }
    for server in servers {
      if server.cache.jobs.contents != etcd.jobs || server.cache.runs.contents != etcd.runs {
        checker.fail("s\(server.index): the cache is not what etcd holds")
      }
      guard let machine = server.machine else { continue }
      if !machine.promises.isEmpty || !machine.pool.ownRuns.isEmpty {
        checker.fail("s\(server.index): promises are left over")
      }
      if !machine.holders.isEmpty || machine.readyCount > 0 || !machine.news.isEmpty
        || !machine.taskReports.isEmpty || machine.checkpointBytes != 0 || !machine.limits.isEmpty
      {
        checker.fail("s\(server.index): slots, runs, news or tasks' reports are left over")
      }
    }
    let strays = etcd.runs.keys.filter { etcd.jobs[$0.job] == nil }.map(\.job.jobID)
    if !strays.isEmpty { checker.fail("runs are left of jobs that are gone: \(strays.sorted())") }
    if !etcd.checkpoints.isEmpty {
      checker.fail("checkpoints are left: \(etcd.checkpoints.keys.map(\.job.jobID).sorted())")
    }
    for agent in agents where !agent.journal.isEmpty || !agent.begun.isEmpty {
      checker.fail("\(agent.id): its disk still holds \(agent.journal.count) ends")
    }
  }

  /// Tells apart two stories: a digest of all that was ever committed.
  var digest: UInt64 {
    var text = ""
    for event in etcd.history {
      text += "\(event.revision) "
      switch event.change {
      case .run(let key, let run):
        text += "\(key.job.jobID) \(run?.record.state.rawValue ?? "-") \(run?.record.fence ?? 0)\n"
      case .job(let key, let job): text += "\(key.jobID) \(job?.record.nextRunTime?.microseconds ?? 0)\n"
      case .agent(let id, let agent): text += "\(id) \(agent?.createRevision ?? 0)\n"
      case .server, .leader, .listedJob: text += "leader\n"
      case .segment(let number, let owner): text += "\(number) \(owner?.record.serverID ?? "-")\n"
      case .calendar(let key, let calendar): text += "\(key.name) \(calendar?.record.generation ?? 0)\n"
      case .queue(let name, let queue): text += "\(name) \(queue?.record.generation ?? 0)\n"
      case .quota(let namespace, let quota): text += "\(namespace) \(quota?.modRevision ?? 0)\n"
      case .group(let key, let group): text += "\(key.name) \(group?.record.generation ?? 0)\n"
      case .drain(let id, let drain): text += "\(id) \(drain?.modRevision ?? 0)\n"
      case .backfill(let key, let backfill): text += "\(key.backfillID) \(backfill?.record.created ?? 0)\n"
      }
    }
    return Keyspace.stableHash(text.utf8, seed: 0)
  }
}
