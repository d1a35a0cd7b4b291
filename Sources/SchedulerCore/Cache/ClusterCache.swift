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

/// The warm copy of the cluster's state, with the indexes that queries need.
///
/// It may be told the same thing twice and, of one key, old news after new: a change counts only if
/// its revision is higher than that of the record held. What was deleted cannot come back by old
/// news: of a key that is not held, a change counts only if it tells of a time that the watch has not
/// passed, for what the watch has passed may have been deleted since.
///
/// A listing heals what a watch has dropped: between `beginListing` and `sweep` all that is listed is marked, and
/// what is held unmarked then is gone.
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
  public private(set) var jobs: JobTable
  /// All runs.
  public private(set) var runs = RecordTable<RunKey, RunRecord>()
  /// The agents that hold a lease.
  public private(set) var agents = RecordTable<String, AgentRecord>()
  /// The servers that hold a lease.
  public private(set) var servers = RecordTable<String, ServerRecord>()
  /// The candidates for leadership by lease.
  public private(set) var leaders = RecordTable<Int64, ServerRecord>()
  /// The owners of segments, whose leases hold.
  public private(set) var segments = RecordTable<Int, SegmentRecord>()
  /// All calendars.
  public private(set) var calendars = RecordTable<CalendarKey, CalendarRecord>()
  /// The queues that somebody has put.
  public private(set) var queues = RecordTable<String, QueueRecord>()
  /// The objects of concurrency groups.
  public private(set) var groups = RecordTable<GroupKey, GroupRecord>()
  /// Of each concurrency group, its runs that have not ended.
  public private(set) var runsByGroup: [GroupKey: Set<RunKey>] = [:]
  /// The agents that are drained, whether they hold a lease or not.
  public private(set) var drains = RecordTable<String, DrainRecord>()
  /// The quotas of namespaces.
  public private(set) var quotas = RecordTable<String, QuotaRecord>()
  /// All backfills.
  public private(set) var backfills = RecordTable<BackfillKey, BackfillRecord>()
  private var backfillsByJob: [JobKey: Set<BackfillKey>] = [:]

  /// Runs, by age.
  private(set) var runOrder = SortedChunks<AgePlace<RunKey>>()
  /// Runs that have not ended.
  public private(set) var activeRuns: Set<RunKey> = []
  /// How many of them are in each state.
  public private(set) var activeRunsByState: [RunState: Int] = [:]
  private var uses = NamespaceUses()
  /// The runs that an agent owns.
  public private(set) var runsByAgent: [String: Set<RunKey>] = [:]
  /// Runs whose job is not known (yet): a listing may bring a run first.
  private var orphans: [JobKey: Set<String>] = [:]
  /// Of the listing that has begun last.
  private var generation: Generation = 0
  /// What has been deleted since a comparison with a listing began; nil while there is none.
  private var deletedSince: Set<ParsedKey>?

  /// Makes an empty cache.
  /// - Parameters:
  ///   - segmentCount: How many segments the cluster has.
  ///   - recentJobs: How many jobs stay decoded that nothing is running for.
  public init(
    segmentCount: Int = MetaRecord.current.segmentCount, recentJobs: Int = CacheLimits.recentJobs
  ) {
    jobs = JobTable(segmentCount: segmentCount, recentJobs: recentJobs)
  }

  /// The oldest candidate: the leader. Its create revision is its epoch.
  public var leader: (lease: Int64, candidate: Versioned<ServerRecord>)? {
    leaders.min { $0.value.createRevision < $1.value.createRevision }.map { ($0.key, $0.value) }
  }

  /// A job's runs, newest first.
  public func runs(of key: JobKey) -> [Versioned<RunRecord>] {
    let runIDs = jobs.slot(of: key).map { jobs.runIDs(at: $0) } ?? []
    return runIDs.reversed().compactMap { runs[RunKey(job: key, runID: $0)] }
  }

  /// What a namespace uses.
  public func use(of namespace: String) -> NamespaceUse { uses[namespace] }

  /// What each namespace uses that uses anything.
  public var useOfNamespaces: [String: NamespaceUse] { uses.all }

  // MARK: Applying changes

  /// Notes that all changes up to `revision` have been applied.
  public mutating func advance(to revision: Int64) { self.revision = max(self.revision, revision) }

  /// Applies a change. Returns whether it was news.
  /// - Parameter revision: The revision at which it was made; of a listing, the listing's.
  @discardableResult
  public mutating func apply(_ change: CacheChange, at revision: Int64) -> Bool {
    if let known = deletedSince?.count, known < CacheLimits.deletionsRemembered, let key = change.deletedKey {
      deletedSince?.insert(key)
    }
    switch change {
    case .job(let key, let job):
      let slot = jobs.slot(of: key)
      guard isNews(slot.flatMap { jobs.facts(at: $0)?.modRevision }, job?.modRevision, at: revision) else {
        return false
      }
      if let job {
        setJob(key, .decoded(job.record), job.createRevision, job.modRevision)
      } else if let slot {
        removeJob(slot, key)
      }
      return true
    case .listedJob(let key, let job):
      let old = jobs.slot(of: key).flatMap { jobs.facts(at: $0)?.modRevision }
      guard isNews(old, job.modRevision, at: revision) else { return false }
      setJob(key, .packed(job.record), job.createRevision, job.modRevision)
      return true
    case .run(let key, let run):
      return isNews(runs[key]?.modRevision, run?.modRevision, at: revision) && setRun(key, run)
    case .agent(let id, let agent): return set(\.agents, id, agent, at: revision)
    case .server(let id, let server): return set(\.servers, id, server, at: revision)
    case .leader(let lease, let candidate): return set(\.leaders, lease, candidate, at: revision)
    case .segment(let number, let owner): return set(\.segments, number, owner, at: revision)
    case .calendar(let key, let calendar): return set(\.calendars, key, calendar, at: revision)
    case .queue(let name, let queue): return set(\.queues, name, queue, at: revision)
    case .group(let key, let group): return set(\.groups, key, group, at: revision)
    case .drain(let id, let drain): return set(\.drains, id, drain, at: revision)
    case .quota(let namespace, let quota): return set(\.quotas, namespace, quota, at: revision)
    case .backfill(let key, let backfill):
      guard set(\.backfills, key, backfill, at: revision) else { return false }
      link(key, exists: backfill != nil)
      return true
    }
  }

  /// Applies a change that was learned ahead of the watch, from a commit. Returns whether it was news.
  /// What the watch has passed already is not applied: the record may have been deleted since.
  @discardableResult
  public mutating func applyAhead(_ change: CacheChange, at committed: Int64) -> Bool {
    committed > revision ? apply(change, at: committed) : false
  }

  /// - Parameters:
  ///   - held: The revision of the record held; nil where none is.
  ///   - told: The revision of the record that the change brings; nil for a deletion.
  private func isNews(_ held: Int64?, _ told: Int64?, at revision: Int64) -> Bool {
    guard let held else { return told != nil && revision >= self.revision }
    return held < (told ?? revision)
  }

  private mutating func set<Key, Record>(
    _ table: WritableKeyPath<ClusterCache, RecordTable<Key, Record>>, _ key: Key, _ value: Versioned<Record>?,
    at revision: Int64
  ) -> Bool {
    guard isNews(self[keyPath: table][key]?.modRevision, value?.modRevision, at: revision) else {
      return false
    }
    self[keyPath: table].set(key, value, generation)
    return true
  }

  private mutating func setJob(
    _ key: JobKey, _ content: JobTable.Content, _ createRevision: Int64, _ modRevision: Int64
  ) {
    let count = jobs.count
    let slot = jobs.set(
      key, content, createRevision: createRevision, modRevision: modRevision, generation: generation)
    // A new one is taken to be pending until its status is known.
    if jobs.count > count { uses.change(key.namespace) { $0.jobs += 1 } }
    if !orphans.isEmpty, let adopted = orphans.removeValue(forKey: key) {
      for runID in adopted.sorted() { jobs.addRun(runID, slot) }
    }
    refreshStatus(of: key, slot)
  }

  private mutating func removeJob(_ slot: JobTable.Slot, _ key: JobKey) {
    let runIDs = jobs.runIDs(at: slot)
    if !runIDs.isEmpty { orphans[key] = Set(runIDs) }
    if jobs.facts(at: slot)?.status.isTerminal == false { uses.change(key.namespace) { $0.jobs -= 1 } }
    jobs.remove(slot)
  }

  private mutating func setRun(_ key: RunKey, _ value: Versioned<RunRecord>?) -> Bool {
    let old = runs[key]
    runs.set(key, value, generation)
    if let owner = old?.record.owner, owner != value?.record.owner {
      runsByAgent[owner.agentID]?.remove(key)
      if runsByAgent[owner.agentID]?.isEmpty == true { runsByAgent[owner.agentID] = nil }
    }
    if let owner = value?.record.owner { runsByAgent[owner.agentID, default: []].insert(key) }
    noteGroup(of: old?.record, value?.record)
    countState(old?.record.state, by: -1)
    countState(value?.record.state, by: 1)
    if old?.record.state != value?.record.state {
      uses.change(key.job.namespace) { use in
        use.count(old?.record.state, by: -1)
        use.count(value?.record.state, by: 1)
      }
    }
    if let value, !value.record.state.isTerminal { activeRuns.insert(key) } else { activeRuns.remove(key) }
    if old?.createRevision != value?.createRevision {
      if let old {
        runOrder.remove(AgePlace(createRevision: old.createRevision, key: key), by: <)
      }
      if let value {
        runOrder.insert(AgePlace(createRevision: value.createRevision, key: key), by: <)
      }
    }
    let slot = jobs.slot(of: key.job)
    if (old == nil) != (value == nil) { link(key, slot, exists: value != nil) }
    if let slot { refreshStatus(of: key.job, slot) }
    return true
  }

  private mutating func countState(_ state: RunState?, by difference: Int) {
    guard let state, !state.isTerminal else { return }
    let count = (activeRunsByState[state] ?? 0) + difference
    activeRunsByState[state] = count > 0 ? count : nil
  }

  private mutating func noteGroup(of old: RunRecord?, _ new: RunRecord?) {
    let (oldGroup, newGroup) = (old?.unendedGroup, new?.unendedGroup)
    guard oldGroup != newGroup, let key = (new ?? old)?.key else { return }
    if let oldGroup {
      runsByGroup[oldGroup]?.remove(key)
      if runsByGroup[oldGroup]?.isEmpty == true { runsByGroup[oldGroup] = nil }
    }
    if let newGroup { runsByGroup[newGroup, default: []].insert(key) }
  }

  /// Adds a run to its job's list, or takes it away.
  private mutating func link(_ key: RunKey, _ slot: JobTable.Slot?, exists: Bool) {
    guard let slot else {
      if exists {
        orphans[key.job, default: []].insert(key.runID)
      } else {
        orphans[key.job]?.remove(key.runID)
      }
      if orphans[key.job]?.isEmpty == true { orphans[key.job] = nil }
      return
    }
    if exists { jobs.addRun(key.runID, slot) } else { jobs.removeRun(key.runID, slot) }
  }

  private mutating func link(_ key: BackfillKey, exists: Bool) {
    if exists {
      backfillsByJob[key.job, default: []].insert(key)
    } else {
      backfillsByJob[key.job]?.remove(key)
      if backfillsByJob[key.job]?.isEmpty == true { backfillsByJob[key.job] = nil }
    }
  }

  /// The backfills of a job, by id.
  public func backfills(of job: JobKey) -> [Versioned<BackfillRecord>] {
    (backfillsByJob[job] ?? []).sorted().compactMap { backfills[$0] }
  }

  // MARK: Listings

  /// Begins a listing of everything. That of a cache without jobs brings them all at once: until `sweep` has come to
  /// its end `jobs` has no order.
  public mutating func beginListing() {
    generation &+= 1
    jobs.beginFilling()
  }

  /// Applies a change that the listing under way has brought. Returns whether it was news.
  /// - Parameter revision: The listing's.
  public mutating func apply(listed change: CacheChange, at revision: Int64) -> Bool {
    switch change {
    case .job(let key, _), .listedJob(let key, _):
      if let slot = jobs.slot(of: key) { jobs.mark(slot, generation) }
    case .run(let key, _): runs.mark(key, generation)
    case .agent(let id, _): agents.mark(id, generation)
    case .server(let id, _): servers.mark(id, generation)
    case .leader(let lease, _): leaders.mark(lease, generation)
    case .segment(let number, _): segments.mark(number, generation)
    case .calendar(let key, _): calendars.mark(key, generation)
    case .queue(let name, _): queues.mark(name, generation)
    case .group(let key, _): groups.mark(key, generation)
    case .backfill(let key, _): backfills.mark(key, generation)
    case .drain(let id, _): drains.mark(id, generation)
    case .quota(let namespace, _): quotas.mark(namespace, generation)
    }
    return apply(change, at: revision)
  }

  /// Notes that the listing under way has come to a key. Returns whether what is held of it is as new, or was deleted
  /// since `beginComparison`.
  public mutating func confirm(listed key: ParsedKey, modRevision: Int64) -> Bool {
    let held: Int64?
    switch key {
    case .job(let key):
      let slot = jobs.slot(of: key)
      if let slot { jobs.mark(slot, generation) }
      held = slot.flatMap { jobs.facts(at: $0)?.modRevision }
    case .run(let key): held = runs.mark(key, generation)
    case .agent(let id): held = agents.mark(id, generation)
    case .server(let id): held = servers.mark(id, generation)
    case .leader(let lease): held = leaders.mark(lease, generation)
    case .segment(let number): held = segments.mark(number, generation)
    case .calendar(let key): held = calendars.mark(key, generation)
    case .queue(let name): held = queues.mark(name, generation)
    case .group(let key): held = groups.mark(key, generation)
    case .backfill(let key): held = backfills.mark(key, generation)
    case .drain(let id): held = drains.mark(id, generation)
    case .quota(let namespace): held = quotas.mark(namespace, generation)
    case .meta, .other: return true
    }
    return held.map { $0 >= modRevision } ?? deletedSince?.contains(key) ?? false
  }

  /// Begins a comparison with a listing at a later revision, while changes go on being applied.
  public mutating func beginComparison() {
    beginListing()
    deletedSince = []
  }

  /// Ends a comparison.
  /// - Returns: Whether all deletions since it began could be remembered; if not it may have found differences that are none.
  public mutating func endComparison() -> Bool {
    defer { deletedSince = nil }
    return deletedSince.map { $0.count < CacheLimits.deletionsRemembered } ?? false
  }

  /// Where the sweep after a listing has come to.
  public struct SweepPosition: Sendable {
    fileprivate var nextSlot: JobTable.Slot = 0
    fileprivate var hasSweptOthers = false

    /// The beginning.
    public init() {}
  }

  /// Takes out what the listing has not brought, unless it was written after the listing's revision. One step of
  /// bounded length: to be called until it returns nil.
  /// - Returns: The deletions that were made.
  public mutating func sweep(_ position: inout SweepPosition, at revision: Int64) -> [CacheChange]? {
    guard let unlisted = nextUnlisted(&position) else {
      jobs.endFilling()
      return nil
    }
    return unlisted.filter { apply(listed: $0, at: revision) }
  }

  /// How many records are held that a listing at `revision` has not brought, though they are of that revision or older.
  /// One step, as of `sweep`.
  public func countUnlisted(_ position: inout SweepPosition, at revision: Int64) -> Int? {
    nextUnlisted(&position)?.count { deletion in
      deletion.deletedKey.flatMap { modRevision(of: $0) }.map { $0 <= revision } ?? false
    }
  }

  /// The deletions of what is held and not marked with the current listing's number.
  private func nextUnlisted(_ position: inout SweepPosition) -> [CacheChange]? {
    var missing: [CacheChange] = []
    if !position.hasSweptOthers {
      position.hasSweptOthers = true
      missing += runs.unmarked(generation).map { .run($0, nil) }
      missing += agents.unmarked(generation).map { .agent($0, nil) }
      missing += servers.unmarked(generation).map { .server($0, nil) }
      missing += leaders.unmarked(generation).map { .leader(lease: $0, nil) }
      missing += segments.unmarked(generation).map { .segment($0, nil) }
      missing += calendars.unmarked(generation).map { .calendar($0, nil) }
      missing += queues.unmarked(generation).map { .queue($0, nil) }
      missing += groups.unmarked(generation).map { .group($0, nil) }
      missing += backfills.unmarked(generation).map { .backfill($0, nil) }
      missing += drains.unmarked(generation).map { .drain($0, nil) }
      missing += quotas.unmarked(generation).map { .quota($0, nil) }
    } else {
      guard position.nextSlot < jobs.slotEnd else { return nil }
      let end = min(jobs.slotEnd, position.nextSlot + CacheLimits.slotsPerSweep)
      let slots = jobs.unmarked(generation, in: position.nextSlot..<end)
      missing += slots.compactMap { jobs.key(at: $0) }.map { .job($0, nil) }
      position.nextSlot = end
    }
    return missing
  }

  /// The revision of what is held of a key; nil where nothing is.
  private func modRevision(of key: ParsedKey) -> Int64? {
    switch key {
    case .job(let key): jobs.facts(of: key)?.modRevision
    case .run(let key): runs[key]?.modRevision
    case .agent(let id): agents[id]?.modRevision
    case .server(let id): servers[id]?.modRevision
    case .leader(let lease): leaders[lease]?.modRevision
    case .segment(let number): segments[number]?.modRevision
    case .calendar(let key): calendars[key]?.modRevision
    case .queue(let name): queues[name]?.modRevision
    case .group(let key): groups[key]?.modRevision
    case .backfill(let key): backfills[key]?.modRevision
    case .drain(let id): drains[id]?.modRevision
    case .quota(let namespace): quotas[namespace]?.modRevision
    case .meta, .other: nil
    }
  }

  // MARK: Status

  /// What a job's record and runs say together.
  public func status(of key: JobKey) -> JobStatus? {
    jobs.slot(of: key).flatMap { jobs.facts(at: $0)?.status }
  }

  private mutating func refreshStatus(of key: JobKey, _ slot: JobTable.Slot) {
    guard let facts = jobs.facts(at: slot) else { return }
    var unfinished: JobStatus?
    var last: RunRecord?
    if facts.hasRuns {
      for runID in jobs.runIDs(at: slot).reversed() {
        guard let run = runs[RunKey(job: key, runID: runID)]?.record else { continue }
        last = last ?? run
        guard !run.state.isTerminal else { continue }
        unfinished = run.state.status
        if run.state == .running { break }
      }
    }
    let status =
      unfinished
      ?? (goesOn(slot, facts.record, after: last)
        ? .pending : Self.statusAtRest(facts.record, lastRun: last?.state.status))
    if facts.status.isTerminal != status.isTerminal {
      uses.change(key.namespace) { $0.jobs += status.isTerminal ? -1 : 1 }
    }
    jobs.settle(slot, status, isBusy: unfinished != nil)
  }

  /// Whether the end of a run has set a time for the next, which the job's owner has not written yet.
  private func goesOn(_ slot: JobTable.Slot, _ facts: JobFacts, after run: RunRecord?) -> Bool {
    guard facts.awaitsRun, let run else { return false }
    return jobs[slot]?.job.record.hasFixedDelayLeft(after: run.finishedAt ?? run.createdAt) ?? false
  }

  /// The status of a job all of whose runs have ended.
  private static func statusAtRest(_ record: JobFacts, lastRun: JobStatus?) -> JobStatus {
    if record.isCancelled { return lastRun == .completed ? .completed : .cancelled }
    if record.nextRunTime != nil { return .pending }
    if let lastRun { return lastRun }
    if record.hasFired { return .completed }
    return record.isLeftOut ? .cancelled : .pending
  }
}
