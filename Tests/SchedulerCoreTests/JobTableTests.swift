import Testing

@testable import SchedulerCore

/// The packed jobs: nothing is lost by packing, and the cache says what a dictionary would.
struct JobTableTests {
  // MARK: Texts

  /// A text packed and unpacked, and the bytes that it took meanwhile.
  static func roundTrip(_ text: [UInt8], _ key: JobKey) -> (text: [UInt8], packed: Int) {
    let block = JobBlock(key, text: text)
    #expect(block.key == key)
    return (block.text, block.count)
  }

  @Test func everyMemberOfARecordComesBack() throws {
    for change: (inout JobRecord) -> Void in [
      { _ in }, { $0.nextRunTime = nil }, { $0.lastRunTime = nil }, { $0.cancelRequestedAt = nil },
      { $0.spec = JobSpec(task: .noop) }, { $0.spec.userID = "" }, { $0.uid = "" },
      { $0.spec.task = .task(name: "t", payload: #"{"a":[1,"\u0001"],"cron":"x"}"#) },
      {
        $0.spec.task = .shell(
          script: "echo 'é \u{7F}' \"2026-11-22T21:56:09Z\"\n", interpreter: ["/bin/bash"])
      },
      { $0.createdAt = Timestamp(microseconds: 0) }, { $0.createdAt = .latest },
    ] {
      var record = Sample.jobRecord
      change(&record)
      let packed = PackedJob(record)
      #expect(packed.facts == JobFacts(record) && packed.userID == record.spec.userID)
      #expect(try JobRecord(decoding: packed.block.text, key: packed.block.key) == record)
      #expect(try PackedJob(decoding: record.encoded(), key: record.key) == packed)
    }
    #expect(throws: (any Error).self) { try PackedJob(decoding: Array("{".utf8), key: Sample.job) }
  }

  @Test(arguments: 0..<20) func anyBytesComeBack(seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    let pieces = [
      #"{"namespace":"n","job_id":"j","uid":""#, #""spec":{"#, #""created_at":"#, #""2026-11-22T21:56:09Z""#,
      #""2026-11-22T21:56:09.5Z""#, #""9999-99-99T99:99:99Z""#, #""2026-11-22T21:56:09.1234567Z""#,
      #""2026-11-22T21:56:09."#, #""2026-11-22T21:56:09.000100Z""#, #""2026-11-2"#, "\"", "\u{1}", "\t", "é",
      #""cron":"0 0 * * *","#,
    ]
    for _ in 0..<200 {
      var text: [UInt8] = []
      for _ in 0..<Int.random(in: 0..<12, using: &random) {
        if Bool.random(using: &random), let piece = pieces.randomElement(using: &random) {
          text += Array(piece.utf8)
        } else {
          text += (0..<Int.random(in: 0..<5, using: &random)).map { _ in
            UInt8.random(in: 0...255, using: &random)
          }
        }
      }
      let long = String(repeating: "n", count: Int.random(in: 0..<300, using: &random))
      #expect(Self.roundTrip(text, JobKey(namespace: "n", jobID: "j")).text == text)
      #expect(Self.roundTrip(text, JobKey(namespace: "", jobID: long)).text == text)
    }
  }

  /// What makes a million jobs fit. Not tight: that is for the benchmark to see.
  @Test func aSleepingJobTakesFewBytes() {
    var cache = ClusterCache(recentJobs: 16)
    let count = 2_000
    for index in 0..<count {
      var record = JobRecord(
        key: JobKey(namespace: "default", jobID: "nightly-report-\(index)"),
        uid: "1y2p0ij32e8e71y2p0ij32e8e7",
        spec: JobSpec(task: .exec(argv: ["/usr/bin/report", "--date", "yesterday"])),
        createdAt: Timestamp(microseconds: 1_795_384_569_123_456))
      record.spec.userID = "u003"
      record.nextRunTime = Timestamp(milliseconds: 1_795_384_569_000 + Int64(index))
      let revision = Int64(index + 1)
      cache.apply(
        .job(record.key, Versioned(record, createRevision: revision, modRevision: revision)), at: revision)
    }
    #expect(cache.jobs.warmCount <= 16)
    #expect(cache.jobs.packedBytes / count < 140)
  }

  // MARK: What stays decoded

  @Test func aJobStaysDecodedWhileARunHasNotEnded() {
    typealias Make = ClusterCacheTests
    var cache = ClusterCache(recentJobs: 2)
    cache.apply(Make.job("busy", mod: 1), at: 1)
    cache.apply(Make.run("busy", "r1", .running, on: "a", mod: 2), at: 2)
    for index in 0..<5 { cache.apply(Make.job("j\(index)", mod: Int64(3 + index)), at: Int64(3 + index)) }
    #expect(cache.jobs.warmCount == 3, "the busy one and the latest two")
    cache.apply(Make.run("busy", "r1", .completed, mod: 9), at: 9)
    #expect(cache.jobs.warmCount == 2)
    for index in 5..<9 { cache.apply(Make.job("j\(index)", mod: Int64(5 + index)), at: Int64(5 + index)) }
    #expect(cache.jobs.warmCount == 2)
    #expect(cache.jobs[Make.jobKey("busy")]?.job.record.uid == "u")
    cache.apply(Make.run("busy", "r2", .queued, mod: 20), at: 20)
    #expect(cache.jobs.warmCount == 2, "it is decoded again, and one of the latest two")
    cache.apply(.job(Make.jobKey("busy"), nil), at: 21)
    #expect(cache.jobs.warmCount == 1)
  }

  // MARK: Against a dictionary

  /// Random changes, in whatever form, relists that find what was dropped, slots that are used again.
  @Test(arguments: 0..<30) func theCacheSaysWhatADictionaryWould(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    var cache = ClusterCache(segmentCount: 8, recentJobs: Int.random(in: 1...6, using: &random))
    var etcd: [JobKey: Versioned<JobRecord>] = [:]
    var agents: [String: Versioned<AgentRecord>] = [:]
    for revision in Int64(1)...500 {
      let key = JobKey(
        namespace: ["a", "b"][Int.random(in: 0..<2, using: &random)],
        jobID: "j\(Int.random(in: 0..<20, using: &random))")
      var change: CacheChange
      switch Int.random(in: 0..<10, using: &random) {
      case 0...2: change = .job(key, nil)
      case 3:
        let id = "a\(Int.random(in: 0..<4, using: &random))"
        let agent = AgentRecord(
          agentID: id, host: "h", labels: [:], slots: 1, version: "1",
          startedAt: Timestamp(milliseconds: revision))
        let value =
          Bool.random(using: &random)
          ? Versioned(agent, createRevision: revision, modRevision: revision) : nil
        agents[id] = value
        change = .agent(id, value)
      default:
        // Transactions create several jobs at one revision.
        let created = etcd[key]?.createRevision ?? revision / 8 * 8 + 1
        let record = Self.record(key, &random)
        change = .job(key, Versioned(record, createRevision: created, modRevision: revision))
      }
      if case .job(let key, let value) = change { etcd[key] = value }
      if Bool.random(using: &random) { change = change.listed }
      // Now and then the watch drops something.
      if Int.random(in: 0..<20, using: &random) > 0 { cache.apply(change, at: revision) }
      cache.advance(to: revision)
      if Int.random(in: 0..<50, using: &random) == 0 {
        Self.relist(&cache, etcd, agents, at: revision, &random)
      }
    }
    Self.relist(&cache, etcd, agents, at: 500, &random)
    #expect(cache.jobs.contents == etcd && cache.agents.contents == agents)
    #expect(cache.jobs.count == etcd.count)
    var bySegment: [Int: Set<JobKey>] = [:]
    for segment in 0..<8 {
      cache.jobs.forEach(inSegment: segment) { slot in
        guard let key = cache.jobs.key(at: slot) else {
          Issue.record("a free slot is in a segment")
          return
        }
        bySegment[segment, default: []].insert(key)
      }
    }
    #expect(
      bySegment
        == Dictionary(grouping: etcd.keys) { Keyspace(segmentCount: 8).segment(of: $0) }.mapValues(Set.init))
    for (key, job) in etcd {
      let facts = cache.jobs.facts(of: key)
      #expect(facts?.record == JobFacts(job.record) && facts?.modRevision == job.modRevision)
      #expect(facts?.segment == Keyspace(segmentCount: 8).segment(of: key))
      #expect(facts?.record.due == (job.record.cancelRequestedAt == nil ? job.record.nextRunTime : nil))
    }
    for filter in [
      ["team": "data"], ["team": "web"], ["tier": "1"], ["team": "data", "tier": "1"], ["x": ""],
    ] {
      let found = try cache.listJobs(JobFilter(labels: filter), after: nil, limit: 100).items
      let wanted = etcd.values.filter { Labels.match(filter, $0.record.spec.labels) }
      #expect(
        Set(found.map(\.job.record.key)) == Set(wanted.map(\.record.key)) && found.count == wanted.count)
      #expect(found.map(\.job.createRevision) == wanted.map(\.createRevision).sorted(by: >))
    }
  }

  private static func record(_ key: JobKey, _ random: inout SplitMix) -> JobRecord {
    var record = Sample.jobRecord
    record.key = key
    record.spec.userID = ["", "u1", "u2"][Int.random(in: 0..<3, using: &random)]
    record.spec.labels = [:]
    if Bool.random(using: &random) {
      record.spec.labels["team"] = Bool.random(using: &random) ? "data" : "web"
    }
    if Bool.random(using: &random) { record.spec.labels["tier"] = "1" }
    if Bool.random(using: &random) { record.cancelRequestedAt = nil }
    if Bool.random(using: &random) { record.nextRunTime = nil }
    if Bool.random(using: &random) { record.lastRunTime = nil }
    return record
  }

  /// A listing that may break off the first time; afterwards the cache has to be right.
  private static func relist(
    _ cache: inout ClusterCache, _ jobs: [JobKey: Versioned<JobRecord>],
    _ agents: [String: Versioned<AgentRecord>],
    at revision: Int64, _ random: inout SplitMix
  ) {
    for isWhole in Bool.random(using: &random) ? [false, true] : [true] {
      cache.beginListing()
      for (key, job) in jobs where isWhole || Bool.random(using: &random) {
        _ = cache.apply(listed: CacheChange.job(key, job).listed, at: revision)
      }
      for (id, agent) in agents { _ = cache.apply(listed: .agent(id, agent), at: revision) }
    }
    var position = ClusterCache.SweepPosition()
    while let deletions = cache.sweep(&position, at: revision) {
      for deletion in deletions {
        if case .job(let key, _) = deletion { #expect(jobs[key] == nil) }
      }
    }
  }

  @Test func whatIsHeldNeedsNoValues() {
    var cache = ClusterCache()
    cache.apply(ClusterCacheTests.job("j", mod: 3), at: 3)
    cache.apply(ClusterCacheTests.run("j", mod: 5), at: 5)
    cache.beginListing()
    #expect(confirm(.job(ClusterCacheTests.jobKey("j")), 3))
    #expect(confirm(.job(ClusterCacheTests.jobKey("j")), 2), "it is newer than the listing")
    #expect(!confirm(.job(ClusterCacheTests.jobKey("j")), 4))
    #expect(!confirm(.job(ClusterCacheTests.jobKey("other")), 1))
    #expect(!confirm(.agent("a"), 1))
    #expect(confirm(.meta, 9) && confirm(.other, 9))
    func confirm(_ key: ParsedKey, _ revision: Int64) -> Bool {
      cache.confirm(listed: key, modRevision: revision)
    }
    // The job was brought, the run was not.
    var position = ClusterCache.SweepPosition()
    while cache.sweep(&position, at: 9) != nil {}
    #expect(cache.jobs.count == 1 && cache.runs.isEmpty)
  }

  @Test(arguments: [1, 2, 3, 100, 255, 256, 1_000]) func cutsAreAtSegments(pieces: Int) {
    let keyspace = Keyspace()
    let cuts = keyspace.cuts(of: keyspace.jobs, pieces: pieces)
    #expect(cuts.count == min(pieces, 256) - 1 && cuts == cuts.sorted() && Set(cuts).count == cuts.count)
    #expect(cuts.allSatisfy { $0.hasPrefix("/rota/jobs/") && $0.utf8.count == "/rota/jobs/000".utf8.count })
  }

  @Test func aSweepLeavesWhatWasWrittenAfterTheListing() {
    var cache = ClusterCache()
    cache.apply(ClusterCacheTests.job("old", mod: 3), at: 3)
    cache.apply(ClusterCacheTests.job("new", created: 9, mod: 9), at: 9)
    cache.beginListing()
    var position = ClusterCache.SweepPosition()
    var deleted: [CacheChange] = []
    while let step = cache.sweep(&position, at: 5) { deleted += step }
    #expect(deleted.count == 1)
    #expect(cache.jobs[ClusterCacheTests.jobKey("old")] == nil)
    #expect(cache.jobs[ClusterCacheTests.jobKey("new")] != nil)
  }

  // MARK: Deadlines by slot

  @Test(arguments: 0..<10) func deadlinesComeInOrder(seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    var deadlines = JobDeadlines()
    var model: [JobTable.Slot: Timestamp] = [:]
    for _ in 0..<500 {
      let slot = JobTable.Slot.random(in: 0..<50, using: &random)
      let time = Timestamp(milliseconds: Int64.random(in: 0..<100, using: &random))
      switch Int.random(in: 0..<5, using: &random) {
      case 0:
        deadlines.set(slot, at: nil)
        model[slot] = nil
      case 1:
        let due = deadlines.popDue(now: time, limit: 3)
        let times = due.compactMap { model.removeValue(forKey: $0) }
        #expect(times.count == due.count && times == times.sorted() && times.allSatisfy { $0 <= time })
        #expect(due.count == 3 || !model.values.contains { $0 <= time })
      default:
        deadlines.set(slot, at: time)
        model[slot] = time
      }
      #expect(deadlines.nextDeadline == model.values.min() && deadlines.count == model.count)
    }
  }
}
