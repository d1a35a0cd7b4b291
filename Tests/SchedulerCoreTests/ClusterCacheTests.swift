import Testing

@testable import SchedulerCore

/// The warm copy: what counts as news, and whether its indexes stay what a naive model says.
struct ClusterCacheTests {
  static func jobKey(_ id: String) -> JobKey { JobKey(namespace: "default", jobID: id) }
  static func runKey(_ job: String, _ run: String = "r1") -> RunKey { RunKey(job: jobKey(job), runID: run) }

  static func job(
    _ id: String, user: String = "", created: Int64 = 1, mod: Int64,
    _ change: (inout JobRecord) -> Void = { _ in }
  ) -> CacheChange {
    var spec = JobSpec(task: .noop)
    spec.userID = user
    var record = JobRecord(key: jobKey(id), uid: "u", spec: spec, createdAt: Timestamp(milliseconds: 0))
    change(&record)
    return .job(record.key, Versioned(record, createRevision: created, modRevision: mod))
  }

  static func run(
    _ job: String, _ run: String = "r1", _ state: RunState = .queued, on agent: String? = nil,
    created: Int64 = 1, mod: Int64
  ) -> CacheChange {
    let key = runKey(job, run)
    var record = RunRecord(
      key: key, scheduledTime: Timestamp(milliseconds: 0), createdAt: Timestamp(milliseconds: 0))
    if let agent { record.assign(to: Incarnation(agentID: agent, createRevision: 1), at: record.createdAt) }
    record.state = state
    return .run(key, Versioned(record, createRevision: created, modRevision: mod))
  }

  /// `#expect` takes no call that changes something.
  func check(_ holds: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(holds, sourceLocation: sourceLocation)
  }

  // MARK: News

  @Test func onlyNewerRecordsCount() {
    var cache = ClusterCache()
    check(cache.apply(Self.run("j", "r1", .running, on: "a", mod: 7), at: 7))
    check(!cache.apply(Self.run("j", "r1", .running, on: "a", mod: 7), at: 7))
    check(!cache.apply(Self.run("j", "r1", .queued, mod: 5), at: 5))
    #expect(cache.runs[Self.runKey("j")]?.record.state == .running)
    #expect(cache.runsByAgent["a"] == [Self.runKey("j")])
  }

  @Test func aDeletionOlderThanTheRecordIsOld() {
    var cache = ClusterCache()
    cache.apply(Self.run("j", created: 9, mod: 9), at: 9)
    check(!cache.apply(.run(Self.runKey("j"), nil), at: 8))
    check(cache.apply(.run(Self.runKey("j"), nil), at: 10))
    check(!cache.apply(.run(Self.runKey("j"), nil), at: 11))
    #expect(cache.runs.isEmpty && cache.activeRuns.isEmpty)
  }

  @Test func whatTheWatchHasPassedIsNotAppliedAhead() {
    var cache = ClusterCache()
    cache.advance(to: 10)
    check(!cache.applyAhead(Self.run("j", mod: 10), at: 10))
    check(cache.applyAhead(Self.run("j", mod: 11), at: 11))
    cache.advance(to: 5)
    #expect(cache.revision == 10)
  }

  @Test func aListingOlderThanTheWatchBringsNothingBack() {
    var cache = ClusterCache()
    cache.apply(Self.job("j", mod: 5), at: 5)
    cache.apply(.job(Self.jobKey("j"), nil), at: 12)
    cache.advance(to: 12)
    // A listing at 10 still has it.
    check(!cache.apply(Self.job("j", mod: 5), at: 10))
    #expect(cache.jobs.isEmpty)
    // One at 12 that has it would mean that the watch had dropped something.
    check(cache.apply(Self.job("j", mod: 6), at: 12))
  }

  @Test func theWatchCatchesUpWithWhatWasAppliedAhead() {
    var cache = ClusterCache()
    cache.advance(to: 10)
    cache.applyAhead(Self.run("j", "r1", .running, on: "a", created: 3, mod: 15), at: 15)
    // Events of the time between say old things.
    check(!cache.apply(Self.run("j", "r1", .assigned, on: "a", created: 3, mod: 12), at: 12))
    check(!cache.apply(Self.run("j", "r1", .running, on: "a", created: 3, mod: 15), at: 15))
    check(cache.apply(.run(Self.runKey("j"), nil), at: 16))
    #expect(cache.runs.isEmpty && cache.runsByAgent.isEmpty)
  }

  @Test func theOldestCandidateLeads() {
    var cache = ClusterCache()
    let server = ServerRecord(
      serverID: "s", grpcAddress: "", httpAddress: "", version: "", startedAt: Timestamp(milliseconds: 0))
    cache.apply(.leader(lease: 1, Versioned(server, createRevision: 8, modRevision: 20)), at: 20)
    cache.apply(.leader(lease: 2, Versioned(server, createRevision: 7, modRevision: 7)), at: 7)
    #expect(cache.leader?.lease == 2)
    cache.apply(.leader(lease: 2, nil), at: 21)
    #expect(cache.leader?.lease == 1)
  }

  // MARK: Jobs and their runs

  @Test func runsMayComeBeforeTheirJob() {
    var cache = ClusterCache()
    cache.apply(Self.run("j", "r2", .running, on: "a", mod: 3), at: 3)
    cache.apply(Self.run("j", "r1", .completed, mod: 2), at: 2)
    #expect(cache.status(of: Self.jobKey("j")) == nil)
    cache.apply(Self.job("j", mod: 4), at: 4)
    #expect(cache.jobs[Self.jobKey("j")]?.runIDs == ["r1", "r2"])
    #expect(cache.status(of: Self.jobKey("j")) == .running)
    #expect(cache.runs(of: Self.jobKey("j")).map(\.record.key.runID) == ["r2", "r1"])
    // Without its job a run stays known, for when the job comes again.
    cache.apply(.job(Self.jobKey("j"), nil), at: 5)
    #expect(cache.jobs.activeCount == 0 && cache.runs.count == 2)
    cache.apply(Self.job("j", created: 6, mod: 6), at: 6)
    #expect(cache.jobs[Self.jobKey("j")]?.runIDs == ["r1", "r2"])
  }

  @Test func statusSaysWhatRecordAndRunsSayTogether() {
    func status(_ states: [RunState], _ change: (inout JobRecord) -> Void = { _ in }) -> JobStatus? {
      var cache = ClusterCache()
      cache.apply(Self.job("j", mod: 1, change), at: 1)
      for (index, state) in states.enumerated() {
        cache.apply(Self.run("j", "r\(index)", state, on: state.isOwned ? "a" : nil, mod: 2), at: 2)
      }
      return cache.status(of: Self.jobKey("j"))
    }
    let cancel: (inout JobRecord) -> Void = { $0.cancelRequestedAt = Timestamp(milliseconds: 1) }
    #expect(status([]) == .pending)
    #expect(status([.queued]) == .pending)
    #expect(status([.assigned]) == .pending)
    #expect(status([.retrying]) == .pending)
    #expect(status([.running]) == .running)
    #expect(status([.running, .queued]) == .running)
    #expect(status([.completed]) == .completed)
    #expect(status([.completed, .failed]) == .failed)
    #expect(status([.completed]) { $0.nextRunTime = Timestamp(milliseconds: 9) } == .pending)
    #expect(status([]) { $0.lastRunTime = Timestamp(milliseconds: 9) } == .completed)
    #expect(status([], cancel) == .cancelled)
    #expect(status([.running], cancel) == .running)
    #expect(status([.failed], cancel) == .cancelled)
    #expect(status([.completed], cancel) == .completed)
  }

  // MARK: Against a naive model

  @Test(arguments: 0..<20) func indexesAreWhatANaiveModelSays(seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    var cache = ClusterCache(recentJobs: Int.random(in: 1...4, using: &random))
    var jobs: [JobKey: Versioned<JobRecord>] = [:]
    var runs: [RunKey: Versioned<RunRecord>] = [:]
    for revision in Int64(1)...400 {
      let name = "j\(Int.random(in: 0..<6, using: &random))"
      let change: CacheChange
      switch Int.random(in: 0..<10, using: &random) {
      case 0: change = .job(Self.jobKey(name), nil)
      case 1..<4:
        let created = jobs[Self.jobKey(name)]?.createRevision ?? revision
        let user = "u\(Int.random(in: 0..<3, using: &random))"
        change = Self.job(name, user: user, created: created, mod: revision)
      case 4: change = .run(Self.runKey(name, "r\(Int.random(in: 0..<4, using: &random))"), nil)
      default:
        let run = "r\(Int.random(in: 0..<4, using: &random))"
        let created = runs[Self.runKey(name, run)]?.createRevision ?? revision
        let state = RunState.allCases.randomElement(using: &random) ?? .queued
        let agent = "a\(Int.random(in: 0..<3, using: &random))"
        change = Self.run(name, run, state, on: agent, created: created, mod: revision)
      }
      switch change {
      case .job(let key, let value): jobs[key] = value
      case .run(let key, let value): runs[key] = value
      default: break
      }
      cache.apply(change, at: revision)
      if Bool.random(using: &random) { cache.apply(change, at: revision) }
      cache.advance(to: revision)
    }
    Self.compare(cache, jobs, runs)
    Self.compare(Self.listed(jobs, runs, at: cache.revision, &random), jobs, runs)
  }

  /// A fresh cache to which a listing has brought all that, at the second attempt; some of it changed between.
  private static func listed(
    _ jobs: [JobKey: Versioned<JobRecord>], _ runs: [RunKey: Versioned<RunRecord>], at revision: Int64,
    _ random: inout SplitMix
  ) -> ClusterCache {
    var cache = ClusterCache()
    cache.beginListing()
    for (key, value) in jobs where Bool.random(using: &random) {
      _ = cache.apply(listed: Self.job(key.jobID, user: "u9", created: 1, mod: 1), at: 1)
      _ = cache.apply(listed: .job(key, value), at: revision)
    }
    _ = cache.apply(listed: Self.job("gone", created: 1, mod: 1), at: revision)
    cache.beginListing()
    for (key, value) in runs { _ = cache.apply(listed: .run(key, value), at: revision) }
    for (key, value) in jobs { _ = cache.apply(listed: .job(key, value), at: revision) }
    var position = ClusterCache.SweepPosition()
    while cache.sweep(&position, at: revision) != nil {}
    return cache
  }

  private static func compare(
    _ cache: ClusterCache, _ jobs: [JobKey: Versioned<JobRecord>], _ runs: [RunKey: Versioned<RunRecord>]
  ) {
    #expect(cache.jobs.contents == jobs)
    #expect(cache.runs.contents == runs)
    #expect(cache.activeRuns == Set(runs.filter { !$0.value.record.state.isTerminal }.keys))
    var owned: [String: Set<RunKey>] = [:]
    for (key, run) in runs {
      if let owner = run.record.owner { owned[owner.agentID, default: []].insert(key) }
    }
    #expect(cache.runsByAgent == owned)
    var active: Set<JobKey> = []
    for key in jobs.keys {
      guard let entry = cache.jobs[key] else { continue }
      if !entry.status.isTerminal { active.insert(key) }
      #expect(entry.runIDs == runs.keys.filter { $0.job == key }.map(\.runID).sorted())
    }
    #expect(Self.keys(cache.jobs.activeOrder, cache) == Self.byAge(jobs.filter { active.contains($0.key) }))
    for user in ["u0", "u1", "u2"] {
      let own = jobs.filter { $0.value.record.spec.userID == user }
      #expect(Self.keys(cache.jobs.order(ofUser: user), cache) == Self.byAge(own))
    }
    #expect(Self.keys(cache.jobs.order, cache) == Self.byAge(jobs))
    var ages: [RunKey] = []
    cache.runOrder.visitLastFirst(before: nil) { place in
      ages.append(place.key)
      return true
    }
    #expect(ages == Self.byAge(runs))
    var states: [RunState: Int] = [:]
    for run in runs.values where !run.record.state.isTerminal { states[run.record.state, default: 0] += 1 }
    #expect(cache.activeRunsByState == states)
  }

  private static func keys(_ order: SortedChunks<JobTable.Slot>, _ cache: ClusterCache) -> [JobKey] {
    var keys: [JobKey] = []
    order.visitLastFirst(before: nil) { slot in
      if let key = cache.jobs.key(at: slot) { keys.append(key) }
      return true
    }
    #expect(keys.count == order.count)
    return keys
  }

  private static func byAge<Key: Comparable, Record>(_ records: [Key: Versioned<Record>]) -> [Key] {
    records.sorted { ($0.value.createRevision, $0.key) > ($1.value.createRevision, $1.key) }.map(\.key)
  }
}

extension JobTable {
  /// Everything, for comparisons.
  var contents: [JobKey: Versioned<JobRecord>] {
    var contents: [JobKey: Versioned<JobRecord>] = [:]
    for slot in 0..<slotEnd {
      if let key = key(at: slot) { contents[key] = self[slot]?.job }
    }
    return contents
  }
}

extension RecordTable {
  /// Everything, for comparisons.
  var contents: [Key: Versioned<Record>] { mapValues { $0 } }
}

extension CacheChange {
  /// The same, as a listing brings it.
  var listed: CacheChange {
    guard case .job(let key, let job?) = self else { return self }
    return .listedJob(
      key,
      Versioned(
        PackedJob(job.record), createRevision: job.createRevision, modRevision: job.modRevision))
  }
}
