@testable import SchedulerCore

/// A server: the shell around a leader's machine, as `Replica` is, with its commits and its watch.
struct SimulatedServer {
  /// A proposal on its way to etcd.
  struct InFlight {
    /// Which machine made it.
    enum Origin {
      case leader(LeaderEpoch)
      case firing(FiringNote)
    }

    var id: LeaderMachine.ProposalID
    var origin: Origin
    var proposal: Proposal
    /// Of a firing whose run the leader on the same server took: what the leader calls it.
    var rider: (term: LeaderEpoch, id: LeaderMachine.ProposalID)?
    /// Of a submission that was admitted straight to an agent: what is submitted if that fails.
    var fallback: Proposal?

    /// What the server knew, where it decided as an owner.
    var note: FiringNote? { if case .firing(let note) = origin { note } else { nil } }
  }

  /// What the shell sends to an agent.
  enum Outgoing {
    case message(ServerMessage)
    /// It carries the run's checkpoint once that is read.
    case resumption(Assignment, isRead: Bool)

    var sortKey: String {
      switch self {
      case .message(let message): message.sortKey
      case .resumption(let assignment, _): "1 " + assignment.ref.sortKey
      }
    }
  }

  /// What became of it, on its way back.
  struct Report {
    var sent: InFlight
    var result: SimulatedEtcd.Result?
  }

  let index: Int
  let configuration: LeaderMachine.Configuration
  /// Packs jobs soon, as a server with many of them does.
  var cache: ClusterCache
  var machine: LeaderMachine?
  /// What it does as an owner of segments.
  var firing: FiringMachine
  /// How far its wall clock is off, milliseconds. Only what owners decide goes by it here: what it does to waits and
  /// retention is no concern of theirs.
  var clockOffset: Int64 = 0
  /// What is changed in what it decides as an owner, for the sake of a test.
  var mutation = LeaderSimulation.Mutation.none
  /// The alerts that somebody is to be told of.
  var tellings: [(record: AlertRecord, delivery: Int)] = []
  /// How much of etcd's history the watch has brought.
  var watched = 0
  var lease: Int64?
  var leaseEnds: Int64 = 0
  var frozenUntil: Int64 = 0
  /// Whether it asks for its segments to be taken away.
  var isDraining = false
  var nextSession: LeaderMachine.SessionID = 1
  var inFlight: [InFlight] = []
  var reports: [Report] = []
  /// Sessions that the machine knows, or that have to be closed.
  var closedSessions: [LeaderMachine.SessionID] = []
  var outgoing: [(LeaderMachine.SessionID, Outgoing)] = []
  /// What was given to agents beyond their slots.
  var overbooked: [String] = []
  /// Machines made, so that each gets another seed.
  var terms: UInt64 = 0

  init(index: Int, configuration: LeaderMachine.Configuration) {
    self.index = index
    self.configuration = configuration
    cache = ClusterCache(segmentCount: configuration.segmentCount, recentJobs: 2)
    firing = FiringMachine(
      serverID: "s\(index)", zones: .utcOnly, segmentCount: configuration.segmentCount, seed: 1 << 60)
  }

  private func clock(_ now: Timestamp) -> Timestamp { now.adding(milliseconds: clockOffset) }

  var record: ServerRecord {
    var record = ServerRecord(
      serverID: "s\(index)", grpcAddress: "s\(index):1", httpAddress: "s\(index):2", version: "1",
      startedAt: Timestamp(milliseconds: 0))
    record.lease = lease ?? 0
    record.draining = isDraining
    return record
  }

  /// As it reports of itself now and then.
  func reportingRecord(now: Timestamp) -> ServerRecord {
    var record = record
    record.figures = firing.figures(at: clock(now))
    return record
  }

  // MARK: News

  /// Starts with a listing, as a new process does.
  mutating func list(_ etcd: SimulatedEtcd, now: Timestamp) {
    cache = ClusterCache(segmentCount: configuration.segmentCount, recentJobs: 2)
    for change in etcd.listing { cache.apply(mutation.distorted(change).listed, at: etcd.revision) }
    cache.advance(to: etcd.revision)
    watched = etcd.history.count
    for number in cache.segments.keys.sorted() { ownershipChanged(number, now: now) }
  }

  private mutating func ownershipChanged(_ number: Int, now: Timestamp) {
    let owner = cache.segments[number]
    let epoch = owner?.record.serverID == record.serverID ? owner?.modRevision : nil
    firing.ownershipChanged(number, epoch: epoch, cache, now: clock(now))
  }

  /// The watch brings about so many events, all those of a revision together.
  mutating func watch(_ etcd: SimulatedEtcd, count: Int, now: Timestamp) {
    var end = min(watched + count, etcd.history.count)
    guard end > watched else { return }
    while end < etcd.history.count, etcd.history[end].revision == etcd.history[end - 1].revision { end += 1 }
    for event in etcd.history[watched..<end] where event.revision > cache.revision {
      let change = mutation.distorted(event.change)
      if cache.apply(change, at: event.revision) { noticed(change, now: now) }
    }
    cache.advance(to: etcd.history[end - 1].revision)
    watched = end
    review(now: now)
  }

  private mutating func noticed(_ change: CacheChange, now: Timestamp) {
    switch change {
    case .job(let key, _), .listedJob(let key, _):
      machine?.jobChanged(key, cache, now: now)
      firing.jobChanged(key, cache, now: clock(now))
    case .run(let key, _):
      machine?.runChanged(key, cache, now: now)
      firing.runChanged(key, cache, now: clock(now))
    case .agent(let id, _): machine?.agentChanged(id, cache, now: now)
    case .server(let id, _): machine?.serverChanged(id, cache, now: now)
    case .segment(let number, _):
      machine?.segmentChanged(number)
      ownershipChanged(number, now: now)
    case .group(let key, _): machine?.groupChanged(key, cache)
    case .calendar(let key, _): firing.calendarChanged(key, cache, now: clock(now))
    case .backfill(let key, _):
      machine?.backfillChanged(key, cache)
      firing.backfillChanged(key, cache, now: clock(now))
    case .queue(let name, _): machine?.queueChanged(name, cache, now: now)
    case .drain(let id, _): machine?.drainChanged(id, cache, now: now)
    case .quota(let namespace, _): machine?.quotaChanged(namespace, cache, now: now)
    case .leader: break
    }
  }

  /// Leads exactly while the watched state says so.
  mutating func review(now: Timestamp) {
    var epoch: LeaderEpoch?
    if let oldest = cache.leader, oldest.lease == lease {
      epoch = LeaderEpoch(lease: oldest.lease, createRevision: oldest.candidate.createRevision)
    }
    guard epoch != machine?.epoch else { return }
    machine = nil
    guard let epoch else { return }
    terms += 1
    machine = LeaderMachine(
      epoch: epoch, serverID: record.serverID, configuration: configuration,
      seed: UInt64(index + 1) << 40 + terms << 20)
    machine?.start(cache, now: now)
  }

  // MARK: Sessions

  mutating func opened(_ session: LeaderMachine.SessionID, _ hello: AgentHello, now: Timestamp) {
    machine?.opened(session, hello, cache, now: now)
  }

  mutating func received(_ message: AgentMessage, on session: LeaderMachine.SessionID, now: Timestamp) {
    switch message {
    case .status(let status): machine?.received(status, on: session, cache, now: now)
    case .checkpoint(let report): machine?.received(report, on: session, cache, now: now)
    case .hello: break  // Only the first message of a session is one.
    }
  }

  mutating func closed(_ session: LeaderMachine.SessionID) { machine?.closed(session, cache) }

  // MARK: Turns and reports

  /// Lets the machine decide. What it wants is put in an order that does not depend on hashing.
  mutating func turn(now: Timestamp) {
    fire(now: now)
    guard let effects = machine?.turn(cache, now: now), let term = machine?.epoch else { return }
    var proposals: [InFlight] = []
    var messages: [(LeaderMachine.SessionID, Outgoing)] = []
    for effect in effects {
      switch effect {
      case .propose(let id, let proposal):
        proposals.append(InFlight(id: id, origin: .leader(term), proposal: proposal))
        if case .run(let run)? = proposal.writes.first, let owner = run.owner,
          proposal.guards.contains(.agentPresent(owner))
        {
          checkSlots(of: owner)
        }
      case .send(let session, let message): messages.append((session, .message(message.sorted)))
      case .resume(let session, let assignment):
        messages.append((session, .resumption(assignment, isRead: false)))
      case .close(let session, _): closedSessions.append(session)
      case .tell(let record, let delivery): tellings.append((record, delivery))
      }
    }
    inFlight += proposals.sorted { $0.proposal.sortKey < $1.proposal.sortKey }
    outgoing += messages.sorted { ($0.0, $0.1.sortKey) < ($1.0, $1.1.sortKey) }
  }

  /// Lets the owner decide. A run that it creates by itself may go straight to an agent.
  private mutating func fire(now: Timestamp) {
    let note = FiringNote(
      server: record.serverID, time: clock(now), known: cache.revision,
      calendars: Dictionary(
        uniqueKeysWithValues: cache.calendars.map { ($0.key.name, $0.value.record.spec) }))
    var proposals: [InFlight] = []
    for case .propose(let id, var proposal, let creates) in firing.turn(cache, now: clock(now)) {
      let distorted = proposal.distorted(mutation, cache, at: clock(now))
      let isDistorted = distorted != proposal
      proposal = distorted
      var rider: (LeaderEpoch, LeaderMachine.ProposalID)?
      if let new = creates, !isDistorted, let term = machine?.epoch,
        let admitted = machine?.admit(new.run, of: new.job, cache, now: now)
      {
        checkSlots(of: admitted.run.owner)
        proposal.guards += admitted.guards
        proposal.writes = proposal.writes.map { $0 == .run(new.run) ? .run(admitted.run) : $0 }
        rider = (term, admitted.id)
      }
      proposals.append(InFlight(id: id, origin: .firing(note), proposal: proposal, rider: rider))
    }
    inFlight += proposals.sorted { $0.proposal.sortKey < $1.proposal.sortKey }
  }

  /// What is owned may pass the slots, when a result could not be committed; what is given may not.
  private mutating func checkSlots(of owner: Incarnation?) {
    guard let id = owner?.agentID, let agent = machine?.pool.agent(id) else { return }
    let used = machine?.pool.usedSlots(of: id) ?? 0
    if used > agent.slots { overbooked.append("\(id) was given work for \(used) of \(agent.slots) slots") }
  }

  /// Has a submission's run admitted straight to an agent, if the machine will.
  mutating func admit(
    _ run: RunRecord, of job: JobRecord, _ plain: Proposal, now: Timestamp
  ) -> InFlight? {
    guard let term = machine?.epoch, let admitted = machine?.admit(run, of: job, cache, now: now) else {
      return nil
    }
    checkSlots(of: admitted.run.owner)
    let proposal = Proposal(
      guards: plain.guards + admitted.guards, writes: [.job(job), .run(admitted.run)])
    return InFlight(id: admitted.id, origin: .leader(term), proposal: proposal, fallback: plain)
  }

  mutating func hear(_ report: Report, now: Timestamp) {
    let outcome: ProposalOutcome
    switch report.result {
    case nil: outcome = .refused("etcd takes no writes")
    case .committed(let revision)?:
      for write in report.sent.proposal.writes {
        guard let change = change(for: write, at: revision) else { continue }
        if cache.applyAhead(change, at: revision) { noticed(change, now: now) }
      }
      outcome = .committed
    case .conflict(let current, let revision)?:
      for change in current.map(mutation.distorted) {
        // Who owns what is decided by the watch alone.
        if case .segment = change { continue }
        if cache.applyAhead(change, at: change.modRevision ?? revision) { noticed(change, now: now) }
      }
      outcome = .conflict
    }
    switch report.sent.origin {
    case .leader(let term):
      if term == machine?.epoch { machine?.concluded(report.sent.id, outcome, cache, now: now) }
    case .firing: firing.concluded(report.sent.id, outcome, cache, now: clock(now))
    }
    if let rider = report.sent.rider, rider.term == machine?.epoch {
      machine?.concluded(rider.id, outcome, cache, now: now)
    }
  }

  private func change(for write: Proposal.Write, at revision: Int64) -> CacheChange? {
    switch write {
    case .job(let record):
      let created = cache.jobs[record.key]?.job.createRevision ?? revision
      return .job(record.key, Versioned(record, createRevision: created, modRevision: revision))
    case .run(let record):
      let created = cache.runs[record.key]?.createRevision ?? revision
      return .run(record.key, Versioned(record, createRevision: created, modRevision: revision))
    case .backfill(let record):
      let created = cache.backfills[record.key]?.createRevision ?? revision
      return .backfill(record.key, Versioned(record, createRevision: created, modRevision: revision))
    case .checkpoint, .deleteCheckpoint, .deleteRun, .deleteJob, .segment, .calendar, .deleteCalendar,
      .queue, .deleteQueue, .group, .deleteGroup, .deleteBackfill, .drain, .deleteDrain, .quota, .deleteQuota,
      .version, .deleteVersion, .alert, .deleteAlert:
      return nil
    }
  }
}

extension Proposal {
  /// The same for the same proposal, whatever its number.
  fileprivate var sortKey: String {
    switch writes.first {
    case .run(let record)?: "run \(record.key.job.jobID) \(record.key.runID)"
    case .job(let record)?: "job \(record.key.jobID)"
    case .checkpoint(let key, _)?, .deleteCheckpoint(let key)?: "checkpoint \(key.job.jobID) \(key.runID)"
    case .deleteRun(let key)?: "delete \(key.job.jobID) \(key.runID)"
    case .deleteJob(let key)?: "delete \(key.jobID)"
    case .segment(let number, _, _)?: "segment \(number)"
    case .calendar(let record)?: "calendar \(record.key.name)"
    case .deleteCalendar(let key)?: "delete calendar \(key.name)"
    case .group(let record)?: "group \(record.key.name)"
    case .deleteGroup(let key)?: "delete group \(key.name)"
    case .backfill(let record)?: "backfill \(record.key.job.jobID) \(record.key.backfillID)"
    case .deleteBackfill(let key)?: "delete backfill \(key.job.jobID) \(key.backfillID)"
    case .queue(let record)?: "queue \(record.name)"
    case .deleteQueue(let name)?: "delete queue \(name)"
    case .drain(let id, _)?, .deleteDrain(let id)?: "drain \(id)"
    case .alert(let record)?: "alert \(record.key.job.jobID) \(record.key.alertID)"
    case .deleteAlert(let key)?: "delete alert \(key.job.jobID) \(key.alertID)"
    case .quota(let record)?: "quota \(record.namespace)"
    case .deleteQuota(let namespace)?: "delete quota \(namespace)"
    case .version(let record)?: "version \(record.key.job.jobID) \(record.key.generation)"
    case .deleteVersion(let key)?: "delete version \(key.job.jobID) \(key.generation)"
    case nil: ""
    }
  }
}

extension AttemptRef {
  var sortKey: String { "\(run.job.jobID) \(run.runID) \(attempt)" }
}

extension ServerMessage {
  fileprivate var sorted: ServerMessage {
    switch self {
    case .assign(let assignments): .assign(assignments.sorted { $0.ref.sortKey < $1.ref.sortKey })
    case .stop(let refs, let forget, let reason):
      .stop(refs.sorted { $0.sortKey < $1.sortKey }, forget: forget, reason: reason)
    case .handOver(let refs, let reason):
      .handOver(refs.sorted { $0.sortKey < $1.sortKey }, reason: reason)
    case .welcome, .ack, .checkpointAck: self
    }
  }

  fileprivate var sortKey: String {
    switch self {
    case .welcome: "0"
    case .assign: "1"
    case .stop(let refs, let forget, _): (forget ? "2 " : "3 ") + (refs.first?.sortKey ?? "")
    case .handOver(let refs, _): "3 " + (refs.first?.sortKey ?? "")
    case .ack: "4"
    case .checkpointAck(let ref, let sequence, _): "5 \(ref.sortKey) \(sequence)"
    }
  }
}
