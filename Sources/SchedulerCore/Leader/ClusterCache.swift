/// A record with the revisions that etcd gave it.
public struct Versioned<Record: Sendable>: Sendable {
  /// The record.
  public var record: Record
  /// The revision at which its key was created.
  public var createRevision: Int64
  /// The revision at which it was last written.
  public var modRevision: Int64

  /// Makes a versioned record.
  public init(_ record: Record, createRevision: Int64, modRevision: Int64) {
    self.record = record
    self.createRevision = createRevision
    self.modRevision = modRevision
  }
}

extension Versioned: Equatable where Record: Equatable {}

/// A change of one key, decoded: a watch event, an entry of a listing, or one's own commit.
public enum CacheChange: Sendable {
  /// A job was written, or deleted where nil.
  case job(JobKey, Versioned<JobRecord>?)
  /// A run was written, or deleted where nil.
  case run(RunKey, Versioned<RunRecord>?)
  /// An agent's key was written, or is gone where nil.
  case agent(String, Versioned<AgentRecord>?)
  /// A server's key was written, or is gone where nil.
  case server(String, Versioned<ServerRecord>?)
  /// A candidate's key was written, or is gone where nil.
  case leader(lease: Int64, Versioned<ServerRecord>?)
  /// A segment has another owner, or none where nil.
  case segment(Int, Versioned<SegmentRecord>?)
  /// A calendar was written, or deleted where nil.
  case calendar(CalendarKey, Versioned<CalendarRecord>?)
  /// A backfill was written, or deleted where nil.
  case backfill(BackfillKey, Versioned<BackfillRecord>?)
}

/// The warm copy of the cluster's state, with the indexes that queries need.
///
/// It may be told the same thing twice and, of one key, old news after new: a change counts only if
/// its revision is higher than that of the record held. What was deleted cannot come back by old
/// news: of a key that is not held, a change counts only if it tells of a time that the watch has not
/// passed, for what the watch has passed may have been deleted since.
public struct ClusterCache: Sendable {
  /// A job and the ids of its runs, oldest first.
  public struct Job: Sendable {
    /// The record.
    public var job: Versioned<JobRecord>
    /// Its runs.
    public var runIDs: [String] = []
    /// What `ClusterCache.status(of:)` said last.
    public var status = JobStatus.pending
  }

  /// Every change up to this revision has been applied.
  public private(set) var revision: Int64 = 0
  /// All jobs.
  public private(set) var jobs: [JobKey: Job] = [:]
  /// All runs.
  public private(set) var runs: [RunKey: Versioned<RunRecord>] = [:]
  /// The agents that hold a lease.
  public private(set) var agents: [String: Versioned<AgentRecord>] = [:]
  /// The servers that hold a lease.
  public private(set) var servers: [String: Versioned<ServerRecord>] = [:]
  /// The candidates for leadership by lease.
  public private(set) var leaders: [Int64: Versioned<ServerRecord>] = [:]
  /// The owners of segments, whose leases hold.
  public private(set) var segments: [Int: Versioned<SegmentRecord>] = [:]
  /// All calendars.
  public private(set) var calendars: [CalendarKey: Versioned<CalendarRecord>] = [:]
  /// All backfills.
  public private(set) var backfills: [BackfillKey: Versioned<BackfillRecord>] = [:]

  /// Jobs, by age.
  private(set) var jobOrder = AgeOrder<JobKey>()
  /// Runs, by age.
  private(set) var runOrder = AgeOrder<RunKey>()
  /// Jobs that are pending or running.
  public private(set) var activeJobs: Set<JobKey> = []
  /// Runs that have not ended.
  public private(set) var activeRuns: Set<RunKey> = []
  /// The runs that an agent owns.
  public private(set) var runsByAgent: [String: Set<RunKey>] = [:]
  /// Jobs by user.
  private(set) var jobsByUser: [String: Set<JobKey>] = [:]
  /// Runs whose job is not known (yet): a listing may bring a run first.
  private var orphans: [JobKey: Set<String>] = [:]

  /// Makes an empty cache.
  public init() {}

  /// The oldest candidate: the leader. Its create revision is its epoch.
  public var leader: (lease: Int64, candidate: Versioned<ServerRecord>)? {
    leaders.min { $0.value.createRevision < $1.value.createRevision }.map { ($0.key, $0.value) }
  }

  /// A job's runs, newest first.
  public func runs(of key: JobKey) -> [Versioned<RunRecord>] {
    (jobs[key]?.runIDs ?? []).reversed().compactMap { runs[RunKey(job: key, runID: $0)] }
  }

  // MARK: Applying changes

  /// Notes that all changes up to `revision` have been applied.
  public mutating func advance(to revision: Int64) { self.revision = max(self.revision, revision) }

  /// Applies a change. Returns whether it was news.
  /// - Parameter revision: The revision at which it was made; of a listing, the listing's.
  @discardableResult
  public mutating func apply(_ change: CacheChange, at revision: Int64) -> Bool {
    switch change {
    case .job(let key, let job): isNews(jobs[key]?.job, job, at: revision) && setJob(key, job)
    case .run(let key, let run): isNews(runs[key], run, at: revision) && setRun(key, run)
    case .agent(let id, let agent):
      isNews(agents[id], agent, at: revision) && Self.set(&agents, id, agent)
    case .server(let id, let server):
      isNews(servers[id], server, at: revision) && Self.set(&servers, id, server)
    case .leader(let lease, let candidate):
      isNews(leaders[lease], candidate, at: revision) && Self.set(&leaders, lease, candidate)
    case .segment(let number, let owner):
      isNews(segments[number], owner, at: revision) && Self.set(&segments, number, owner)
    case .calendar(let key, let calendar):
      isNews(calendars[key], calendar, at: revision) && Self.set(&calendars, key, calendar)
    case .backfill(let key, let backfill):
      isNews(backfills[key], backfill, at: revision) && Self.set(&backfills, key, backfill)
    }
  }

  /// Applies a change that was learned ahead of the watch, from a commit. Returns whether it was news.
  /// What the watch has passed already is not applied: the record may have been deleted since.
  @discardableResult
  public mutating func applyAhead(_ change: CacheChange, at committed: Int64) -> Bool {
    committed > revision ? apply(change, at: committed) : false
  }

  private func isNews<Record>(
    _ old: Versioned<Record>?, _ new: Versioned<Record>?, at revision: Int64
  ) -> Bool {
    guard let old else { return new != nil && revision >= self.revision }
    return old.modRevision < (new?.modRevision ?? revision)
  }

  private static func set<Key: Hashable, Record>(
    _ table: inout [Key: Versioned<Record>], _ key: Key, _ value: Versioned<Record>?
  ) -> Bool {
    table[key] = value
    return true
  }

  private mutating func setJob(_ key: JobKey, _ value: Versioned<JobRecord>?) -> Bool {
    guard let value else {
      guard let old = jobs.removeValue(forKey: key) else { return false }
      jobOrder.remove(key, createdAt: old.job.createRevision)
      unindex(key, user: old.job.record.spec.userID)
      activeJobs.remove(key)
      if !old.runIDs.isEmpty { orphans[key] = Set(old.runIDs) }
      return true
    }
    if var entry = jobs[key] {
      let old = entry.job
      if old.createRevision != value.createRevision {
        jobOrder.remove(key, createdAt: old.createRevision)
        jobOrder.insert(key, createdAt: value.createRevision)
      }
      if old.record.spec.userID != value.record.spec.userID {
        unindex(key, user: old.record.spec.userID)
        jobsByUser[value.record.spec.userID, default: []].insert(key)
      }
      entry.job = value
      jobs[key] = entry
    } else {
      let adopted = (orphans.removeValue(forKey: key) ?? []).sorted()
      jobs[key] = Job(job: value, runIDs: adopted)
      jobOrder.insert(key, createdAt: value.createRevision)
      jobsByUser[value.record.spec.userID, default: []].insert(key)
    }
    refreshStatus(of: key)
    return true
  }

  private mutating func setRun(_ key: RunKey, _ value: Versioned<RunRecord>?) -> Bool {
    let old = runs[key]
    runs[key] = value
    if let owner = old?.record.owner, owner != value?.record.owner {
      runsByAgent[owner.agentID]?.remove(key)
      if runsByAgent[owner.agentID]?.isEmpty == true { runsByAgent[owner.agentID] = nil }
    }
    if let owner = value?.record.owner { runsByAgent[owner.agentID, default: []].insert(key) }
    if let value, !value.record.state.isTerminal { activeRuns.insert(key) } else { activeRuns.remove(key) }
    if old?.createRevision != value?.createRevision {
      if let old { runOrder.remove(key, createdAt: old.createRevision) }
      if let value { runOrder.insert(key, createdAt: value.createRevision) }
    }
    if (old == nil) != (value == nil) { link(key, exists: value != nil) }
    refreshStatus(of: key.job)
    return true
  }

  /// Adds a run to its job's list, or takes it away.
  private mutating func link(_ key: RunKey, exists: Bool) {
    guard jobs[key.job] != nil else {
      if exists {
        orphans[key.job, default: []].insert(key.runID)
      } else {
        orphans[key.job]?.remove(key.runID)
      }
      if orphans[key.job]?.isEmpty == true { orphans[key.job] = nil }
      return
    }
    if exists {
      // Run ids sort by scheduled time, and new ones come last.
      let ids = jobs[key.job]?.runIDs ?? []
      var place = ids.count
      while place > 0, ids[place - 1] > key.runID { place -= 1 }
      jobs[key.job]?.runIDs.insert(key.runID, at: place)
    } else {
      jobs[key.job]?.runIDs.removeAll { $0 == key.runID }
    }
  }

  private mutating func unindex(_ key: JobKey, user: String) {
    jobsByUser[user]?.remove(key)
    if jobsByUser[user]?.isEmpty == true { jobsByUser[user] = nil }
  }

  // MARK: Status

  /// What a job's record and runs say together.
  public func status(of key: JobKey) -> JobStatus? { jobs[key]?.status }

  private mutating func refreshStatus(of key: JobKey) {
    guard let entry = jobs[key] else { return }
    let status = derivedStatus(entry, key)
    jobs[key]?.status = status
    if status.isTerminal { activeJobs.remove(key) } else { activeJobs.insert(key) }
  }

  private func derivedStatus(_ entry: Job, _ key: JobKey) -> JobStatus {
    var active: JobStatus?
    for runID in entry.runIDs.reversed() {
      guard let run = runs[RunKey(job: key, runID: runID)]?.record else { continue }
      if run.state == .running { return .running }
      if !run.state.isTerminal { active = .pending }
    }
    if let active { return active }
    let record = entry.job.record
    let last = entry.runIDs.last.flatMap { runs[RunKey(job: key, runID: $0)]?.record.state.status }
    if record.cancelRequestedAt != nil { return last == .completed ? .completed : .cancelled }
    if record.nextRunTime != nil { return .pending }
    return last ?? (record.lastRunTime == nil ? .pending : .completed)
  }
}
