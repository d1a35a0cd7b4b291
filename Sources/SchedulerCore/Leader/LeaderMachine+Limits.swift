/// Limits on how many runs are with agents at once: concurrency groups, `max_running` and quotas. All of it is derived from the
/// runs' records and those of their jobs, so it holds whoever leads.
extension LeaderMachine {
  /// The runs that others of their group have to make way for.
  struct Displacers: Sendable {
    private var groups: [RunKey: LimitBook.Key] = [:]
    private var waiting: [LimitBook.Key: Set<RunKey>] = [:]
    /// The groups in which somebody has begun to wait for that since it was looked at.
    var crowded: Set<LimitBook.Key> = []

    var isEmpty: Bool { groups.isEmpty }

    func of(_ group: LimitBook.Key) -> Set<RunKey> { waiting[group] ?? [] }

    mutating func insert(_ run: RunKey, of group: LimitBook.Key) {
      remove(run)
      groups[run] = group
      waiting[group, default: []].insert(run)
      crowded.insert(group)
    }

    mutating func remove(_ run: RunKey) {
      guard !groups.isEmpty, let group = groups.removeValue(forKey: run) else { return }
      waiting[group]?.remove(run)
      if waiting[group]?.isEmpty == true { waiting[group] = nil }
    }
  }

  /// Whether anything limits a run.
  func needsSlots(_ run: RunRecord, _ job: JobRecord) -> Bool {
    run.group != nil || job.spec.maxRunning > 0 || hasRunningQuota(job.key.namespace)
  }

  /// The slots that a run needs.
  func claims(of run: RunRecord, _ job: JobRecord) -> [LimitBook.Claim] {
    guard needsSlots(run, job) else { return [] }
    var claims: [LimitBook.Claim] = []
    if let group = Self.groupKey(of: run) {
      claims.append(LimitBook.Claim(group, limit: job.spec.concurrency?.limit ?? .max))
    }
    if job.spec.maxRunning > 0 {
      claims.append(LimitBook.Claim(.job(job.key), limit: job.spec.maxRunning))
    }
    if hasRunningQuota(job.key.namespace) {
      claims.append(LimitBook.Claim(.namespace(job.key.namespace), limit: .max))
    }
    return claims
  }

  static func groupKey(of run: RunRecord) -> LimitBook.Key? {
    run.group.map { .group(GroupKey(namespace: run.key.job.namespace, name: $0)) }
  }

  /// A run has its slots from now on: it is with an agent, or is proposed to be.
  mutating func takeSlots(_ run: RunRecord, _ job: JobRecord) {
    displacers.remove(run.key)
    limits.take(run.key, claims(of: run, job))
  }

  /// Whether a run that is about to be created may go straight to an agent: it has its slots, overtakes nobody who
  /// waits for them, and is not too late.
  func mayStartAtOnce(_ run: RunRecord, _ job: JobRecord, now: Timestamp) -> Bool {
    let claims = claims(of: run, job)
    return limits.hasRoom(for: claims) && limits.isUncontested(claims)
      && job.spec.startDeadline(of: run, createdAt: job.createdAt).map { $0 > now } ?? true
  }

  /// Looks at all runs that have not ended. Of those that need slots it looks last, in an order: first at those that hold
  /// some, so that what waits finds full what is full.
  mutating func takeUpRuns(_ cache: ClusterCache, now: Timestamp) {
    for (key, group) in cache.groups { limits.override(.group(key), group.record.spec.limit) }
    var limited: [RunKey] = []
    // In an order, since those that wait alike have one from then on.
    for key in cache.activeRuns.sorted() {
      if let run = cache.runs[key]?.record, let job = cache.jobs[key.job]?.job.record, needsSlots(run, job) {
        limited.append(key)
      } else {
        reconcile(key, cache, now: now)
      }
    }
    let isOwned = { (key: RunKey) in cache.runs[key]?.record.state.isOwned ?? false }
    for key in limited where isOwned(key) { reconcile(key, cache, now: now) }
    for key in limited where !isOwned(key) { reconcile(key, cache, now: now) }
  }

  // MARK: Waiting

  /// Whether a queued run may stand in the queue. Otherwise it is parked until there is a slot for it, or ends without
  /// one where its job says so.
  mutating func mayContend(
    _ run: Versioned<RunRecord>, _ job: JobRecord, as entry: ReadyQueue.Entry, _ cache: ClusterCache,
    now: Timestamp
  ) -> Bool {
    let claims = claims(of: run.record, job)
    guard !claims.isEmpty else {
      limits.leave(entry.run)
      return true
    }
    if skipIfFull(run, job, claims, cache, now: now) { return false }
    guard !limits.wait(entry, claims) else { return true }
    ready.remove(entry.run)
    hasParked(run.record, job)
    return false
  }

  /// Parks a run of the queue whose turn it would be, or ends it, where there is no slot for it. Returns whether that
  /// is so.
  mutating func parkIfFull(
    _ entry: ReadyQueue.Entry, _ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache,
    now: Timestamp
  ) -> Bool {
    let claims = claims(of: run.record, job)
    guard !claims.isEmpty, !limits.hasRoom(for: claims) else { return false }
    if skipIfFull(run, job, claims, cache, now: now) { return true }
    limits.park(entry, claims)
    hasParked(run.record, job)
    return true
  }

  /// A run is not in the queue any more, nor does it wait for a slot.
  mutating func unqueue(_ key: RunKey) {
    ready.remove(key)
    limits.leave(key)
    displacers.remove(key)
  }

  /// Ends a run that has not begun, whose group is full and whose job does not wait. Returns whether it does.
  private mutating func skipIfFull(
    _ run: Versioned<RunRecord>, _ job: JobRecord, _ claims: [LimitBook.Claim], _ cache: ClusterCache,
    now: Timestamp
  ) -> Bool {
    guard job.spec.concurrency?.whenFull == .skip, run.record.attempt == 0,
      let group = Self.groupKey(of: run.record), let claim = claims.first(where: { $0.key == group }),
      limits.isFull(claim)
    else { return false }
    let why = fullText(group)
    unqueue(run.record.key)
    let serverID = serverID
    transition(run, cache, now: now) { $0.skip(why, at: now, by: serverID) }
    return true
  }

  // MARK: Late starts

  /// Ends a run that has not begun in time, and sees to it that it is looked at then. Returns whether it is too late.
  mutating func skipIfLate(
    _ run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> Bool {
    guard run.record.attempt == 0,
      let deadline = job.spec.startDeadline(of: run.record, createdAt: job.createdAt)
    else { return false }
    guard deadline <= now else {
      deadlines.set(.start(run.record.key), at: deadline)
      return false
    }
    let full = limits.fullKeys(for: run.record.key).first.map { "; " + fullText($0) }
    let why = job.spec.startDeadlineText + (full ?? "")
    unqueue(run.record.key)
    let serverID = serverID
    transition(run, cache, now: now) { $0.skip(why, at: now, by: serverID) }
    return true
  }

  // MARK: Making way

  /// The run for whose sake a run of a full group has to end. Of the runs that wait with `cancel_oldest` the newest
  /// count, as many as there are slots: what is older than those has been replaced before its turn came. A run with a
  /// slot makes way for those that are younger, the oldest first, as far as free slots do not do.
  func displacer(of run: Versioned<RunRecord>, _ cache: ClusterCache) -> RunKey? {
    guard !displacers.isEmpty, let key = Self.groupKey(of: run.record) else { return nil }
    let waiting = displacers.of(key)
    let younger = waiting.compactMap { cache.runs[$0] }.filter { $0.isYounger(than: run) }
    guard let newest = younger.max(by: { $1.isYounger(than: $0) })?.record.key else { return nil }
    let limit = limits.limit(of: key)
    if waiting.contains(run.record.key) { return younger.count >= limit ? newest : nil }
    guard limits.isHolding(run.record.key) else { return nil }
    let older = limits.holders(of: key).count { other in
      cache.runs[other].map { run.isYounger(than: $0) } ?? false
    }
    let free = max(0, limit - limits.holderCount(of: key))
    return min(younger.count, limit) > free + older ? newest : nil
  }

  /// Says for whom a run has made way.
  static func madeWay(for key: RunKey) -> String {
    "made way for run \(key.job.jobID)/\(key.runID) of its concurrency group"
  }

  /// Notes that a run waits for a slot: others may have to make way.
  private mutating func hasParked(_ run: RunRecord, _ job: JobRecord) {
    guard job.spec.concurrency?.whenFull == .cancelOldest, let key = Self.groupKey(of: run) else { return }
    displacers.insert(run.key, of: key)
  }

  /// Has the runs of groups looked at in which another has begun to wait for the oldest to end.
  mutating func makeWay(_ cache: ClusterCache, now: Timestamp) {
    guard !displacers.crowded.isEmpty else { return }
    let crowded = displacers.crowded.sorted()
    displacers.crowded.removeAll()
    for key in crowded {
      for run in limits.holders(of: key) + displacers.of(key).sorted() { reconcile(run, cache, now: now) }
    }
  }

  // MARK: Words

  /// Says that something has no free slot, and who holds its slots.
  func fullText(_ key: LimitBook.Key) -> String {
    let holders = limits.holders(of: key)
    let named = holders.prefix(Limits.holdersNamed).map { "\($0.job.jobID)/\($0.runID)" }
    let more = holders.count > named.count ? " and \(holders.count - named.count) more" : ""
    let limit = limits.limit(of: key)
    let held = holders.isEmpty ? "" : ": held by \(named.joined(separator: ", "))\(more)"
    switch key {
    case .group(let group): return "concurrency group '\(group.name)' was full (limit \(limit))\(held)"
    case .job: return "the job had as many runs as its max_running allows (\(limit))\(held)"
    case .namespace(let name):
      return "namespace '\(name)' had as many runs as its quota's max_running_runs allows (\(limit))\(held)"
    }
  }
}
