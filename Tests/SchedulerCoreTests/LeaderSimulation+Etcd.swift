@testable import SchedulerCore

/// An etcd as the leader sees it: revisions, guards, a history for watches. Proposals are evaluated
/// exactly; what is delayed, reordered or refused is the world's choice.
struct SimulatedEtcd {
  struct Event {
    var revision: Int64
    var change: CacheChange
  }

  private(set) var revision: Int64 = 1
  private(set) var jobs: [JobKey: Versioned<JobRecord>] = [:]
  private(set) var runs: [RunKey: Versioned<RunRecord>] = [:]
  private(set) var checkpoints: [RunKey: CheckpointRecord] = [:]
  private(set) var agents: [String: Versioned<AgentRecord>] = [:]
  private(set) var leaders: [Int64: Versioned<ServerRecord>] = [:]
  private(set) var servers: [String: Versioned<ServerRecord>] = [:]
  private(set) var segments: [Int: Versioned<SegmentRecord>] = [:]
  private(set) var segmentLeases: [Int: Int64] = [:]
  private(set) var calendars: [CalendarKey: Versioned<CalendarRecord>] = [:]
  private(set) var groups: [GroupKey: Versioned<GroupRecord>] = [:]
  private(set) var backfills: [BackfillKey: Versioned<BackfillRecord>] = [:]
  private(set) var queues: [String: Versioned<QueueRecord>] = [:]
  private(set) var drains: [String: Versioned<DrainRecord>] = [:]
  private(set) var alerts: [AlertKey: AlertRecord] = [:]
  private(set) var quotas: [String: Versioned<QuotaRecord>] = [:]
  private(set) var versions: [VersionKey: VersionRecord] = [:]
  private(set) var history: [Event] = []
  /// The mutation "fencing off": commits whatever the guards say.
  var ignoresGuards = false
  /// The mutation "no epochs": who has lost a segment may still write.
  var ignoresEpochs = false
  /// The mutation "no order": a job is written whatever was written meanwhile.
  var ignoresJobs = false
  /// The mutation "checkpoints written by themselves": they are written even where the run's record is not.
  var leavesCheckpointsUnguarded = false

  enum Result {
    case committed(revision: Int64)
    case conflict(current: [CacheChange], revision: Int64)
  }

  // MARK: Transactions

  /// Commits proposals that touch nothing of each other's in one transaction, if all guards hold.
  mutating func commit(_ proposals: [Proposal]) -> Bool {
    guard proposals.allSatisfy({ $0.guards.allSatisfy(holds) }) else {
      guard leavesCheckpointsUnguarded else { return false }
      for case .checkpoint(let key, let record) in proposals.flatMap(\.writes) { checkpoints[key] = record }
      return false
    }
    revision += 1
    for write in proposals.flatMap(\.writes) { put(write) }
    return true
  }

  /// Commits a proposal, or says what is there instead.
  mutating func commit(_ proposal: Proposal) -> Result {
    if commit([proposal]) { return .committed(revision: revision) }
    return conflict(of: proposal)
  }

  /// What the proposer is told of what is there instead.
  func conflict(of proposal: Proposal) -> Result {
    .conflict(current: current(of: proposal), revision: revision)
  }

  private func holds(_ condition: Proposal.Guard) -> Bool {
    if ignoresGuards { return true }
    return switch condition {
    case .leads(let epoch): leaders[epoch.lease]?.createRevision == epoch.createRevision
    case .runUnchanged(let key, let revision): runs[key]?.modRevision == revision
    case .runAbsent(let key): runs[key] == nil
    case .jobUnchanged(let key, let revision): ignoresJobs || jobs[key]?.modRevision == revision
    case .jobAbsent(let key): jobs[key] == nil
    case .agentPresent(let agent): agents[agent.agentID]?.createRevision == agent.createRevision
    case .agentGone(let agent): agents[agent.agentID]?.createRevision != agent.createRevision
    case .serverPresent(let id, let lease): servers[id]?.record.lease == lease
    case .segmentUnchanged(let number, let revision):
      ignoresEpochs || (segments[number]?.modRevision ?? 0) == revision
    case .calendarUnchanged(let key, let revision): (calendars[key]?.modRevision ?? 0) == revision
    case .groupUnchanged(let key, let revision): (groups[key]?.modRevision ?? 0) == revision
    case .backfillUnchanged(let key, let revision): (backfills[key]?.modRevision ?? 0) == revision
    case .alertAbsent(let key): alerts[key] == nil
    case .queueUnchanged(let name, let revision): (queues[name]?.modRevision ?? 0) == revision
    case .drainUnchanged(let id, let revision): (drains[id]?.modRevision ?? 0) == revision
    case .quotaUnchanged(let namespace, let revision): (quotas[namespace]?.modRevision ?? 0) == revision
    }
  }

  private func current(of proposal: Proposal) -> [CacheChange] {
    proposal.guards.compactMap { condition in
      switch condition {
      case .leads, .alertAbsent: nil
      case .serverPresent(let id, _): .server(id, servers[id])
      case .segmentUnchanged(let number, _): .segment(number, segments[number])
      case .calendarUnchanged(let key, _): .calendar(key, calendars[key])
      case .groupUnchanged(let key, _): .group(key, groups[key])
      case .backfillUnchanged(let key, _): .backfill(key, backfills[key])
      case .queueUnchanged(let name, _): .queue(name, queues[name])
      case .drainUnchanged(let id, _): .drain(id, drains[id])
      case .quotaUnchanged(let namespace, _): .quota(namespace, quotas[namespace])
      case .runUnchanged(let key, _), .runAbsent(let key): .run(key, runs[key])
      case .jobUnchanged(let key, _), .jobAbsent(let key): .job(key, jobs[key])
      case .agentPresent(let agent), .agentGone(let agent): .agent(agent.agentID, agents[agent.agentID])
      }
    }
  }

  private mutating func put(_ write: Proposal.Write) {
    switch write {
    case .run(let record):
      let value = versioned(record, over: runs[record.key]?.createRevision)
      runs[record.key] = value
      note(.run(record.key, value))
    case .job(let record):
      let value = versioned(record, over: jobs[record.key]?.createRevision)
      jobs[record.key] = value
      note(.job(record.key, value))
    case .checkpoint(let key, let record): checkpoints[key] = record
    case .deleteCheckpoint(let key): checkpoints[key] = nil
    case .deleteRun(let key):
      if runs.removeValue(forKey: key) != nil { note(.run(key, nil)) }
    case .deleteJob(let key):
      if jobs.removeValue(forKey: key) != nil { note(.job(key, nil)) }
    case .segment(let number, let record, let lease):
      segments[number] = versioned(record, over: segments[number]?.createRevision)
      segmentLeases[number] = lease
      note(.segment(number, segments[number]))
    case .calendar(let record):
      calendars[record.key] = versioned(record, over: calendars[record.key]?.createRevision)
      note(.calendar(record.key, calendars[record.key]))
    case .group(let record):
      groups[record.key] = versioned(record, over: groups[record.key]?.createRevision)
      note(.group(record.key, groups[record.key]))
    case .deleteGroup(let key):
      if groups.removeValue(forKey: key) != nil { note(.group(key, nil)) }
    case .deleteCalendar(let key):
      if calendars.removeValue(forKey: key) != nil { note(.calendar(key, nil)) }
    case .backfill(let record):
      backfills[record.key] = versioned(record, over: backfills[record.key]?.createRevision)
      note(.backfill(record.key, backfills[record.key]))
    case .deleteBackfill(let key):
      if backfills.removeValue(forKey: key) != nil { note(.backfill(key, nil)) }
    case .queue(let record):
      queues[record.name] = versioned(record, over: queues[record.name]?.createRevision)
      note(.queue(record.name, queues[record.name]))
    case .deleteQueue(let name):
      if queues.removeValue(forKey: name) != nil { note(.queue(name, nil)) }
    case .drain(let id, let record):
      drains[id] = versioned(record, over: drains[id]?.createRevision)
      note(.drain(id, drains[id]))
    case .deleteDrain(let id):
      if drains.removeValue(forKey: id) != nil { note(.drain(id, nil)) }
    case .alert(let record): alerts[record.key] = record
    case .deleteAlert(let key): alerts[key] = nil
    case .quota(let record):
      quotas[record.namespace] = versioned(record, over: quotas[record.namespace]?.createRevision)
      note(.quota(record.namespace, quotas[record.namespace]))
    case .deleteQuota(let namespace):
      if quotas.removeValue(forKey: namespace) != nil { note(.quota(namespace, nil)) }
    case .version(let record): versions[record.key] = record
    case .deleteVersion(let key): versions[key] = nil
    }
  }

  private func versioned<Record>(_ record: Record, over created: Int64?) -> Versioned<Record> {
    Versioned(record, createRevision: created ?? revision, modRevision: revision)
  }

  private mutating func note(_ change: CacheChange) {
    history.append(Event(revision: revision, change: change))
  }

  // MARK: Leases

  /// Writes an agent's key; returns its create revision.
  mutating func register(_ agent: AgentRecord) -> Int64 {
    revision += 1
    agents[agent.agentID] = versioned(agent, over: nil)
    note(.agent(agent.agentID, agents[agent.agentID]))
    return revision
  }

  mutating func lapse(agent id: String) {
    guard agents.removeValue(forKey: id) != nil else { return }
    revision += 1
    note(.agent(id, nil))
  }

  mutating func stand(_ server: ServerRecord, lease: Int64) {
    revision += 1
    leaders[lease] = versioned(server, over: nil)
    note(.leader(lease: lease, leaders[lease]))
  }

  /// Writes a server's own key.
  mutating func register(_ server: ServerRecord) {
    revision += 1
    servers[server.serverID] = versioned(server, over: servers[server.serverID]?.createRevision)
    note(.server(server.serverID, servers[server.serverID]))
  }

  /// A server's lease is gone, and with it, at one revision, all keys that hung on it.
  mutating func lapse(leader lease: Int64) {
    guard let server = leaders.removeValue(forKey: lease)?.record.serverID else { return }
    revision += 1
    note(.leader(lease: lease, nil))
    if servers[server]?.record.lease == lease {
      servers[server] = nil
      note(.server(server, nil))
    }
    for (number, holder) in segmentLeases.sorted(by: { $0.key < $1.key }) where holder == lease {
      segments[number] = nil
      segmentLeases[number] = nil
      note(.segment(number, nil))
    }
  }

  /// Everything, as a listing at the present revision brings it.
  var listing: [CacheChange] {
    runs.keys.sorted().map { .run($0, runs[$0]) } + jobs.keys.sorted().map { .job($0, jobs[$0]) }
      + agents.keys.sorted().map { .agent($0, agents[$0]) }
      + leaders.keys.sorted().map { .leader(lease: $0, leaders[$0]) }
      + servers.keys.sorted().map { .server($0, servers[$0]) }
      + segments.keys.sorted().map { .segment($0, segments[$0]) }
      + calendars.keys.sorted().map { .calendar($0, calendars[$0]) }
      + groups.keys.sorted().map { .group($0, groups[$0]) }
      + backfills.keys.sorted().map { .backfill($0, backfills[$0]) }
      + queues.keys.sorted().map { .queue($0, queues[$0]) }
      + drains.keys.sorted().map { .drain($0, drains[$0]) }
      + quotas.keys.sorted().map { .quota($0, quotas[$0]) }
  }
}
