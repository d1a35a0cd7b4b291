import EtcdClient
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

@Suite struct ReplicaTests {
  @Test func `the oldest candidate leads, and no longer than its key lives`() async throws {
    try await withReplica { server in
      let lease = try await server.stand()
      try await eventually("it leads") { await server.replica.leader != nil }
      let epoch = await server.replica.leader?.epoch
      #expect(epoch?.lease == lease)
      try await server.store.leaseRevoke(lease)
      try await eventually("it has stepped down") { await server.replica.leader == nil }
    }
  }

  @Test func `a younger candidate waits for the older one`() async throws {
    try await withReplica { server in
      let older = try await server.store.leaseGrant(ttlSeconds: 60).id
      let record = ServerRecord(
        serverID: "s0", grpcAddress: "127.0.0.1:1", httpAddress: "127.0.0.1:2", version: "t",
        startedAt: Timestamp(microseconds: 0))
      try await server.store.put(server.keyspace.leader(lease: older), record.encoded(), lease: older)
      _ = try await server.stand()
      try await eventually("both candidates are seen") { await server.replica.cache.leaders.count == 2 }
      #expect(await server.replica.leader == nil)
      try await server.store.leaseRevoke(older)
      try await eventually("it leads") { await server.replica.leader != nil }
    }
  }

  @Test func `a listing heals what the watch has dropped`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { server in
      _ = try await server.jobs.submit(SubmitRequest(jobID: "first", spec: JobSpec(task: .noop)))
      store.loseWatchRevisions(1)
      let key = JobKey(namespace: "default", jobID: "dropped")
      let job = JobRecord(key: key, uid: "u", spec: JobSpec(task: .noop), createdAt: .now())
      try await store.put(server.keyspace.job(key), job.encoded())
      try await store.put("/rota/sync/other", [])
      #expect(await server.replica.cache.jobs[key] == nil)
      let revision = try await store.range(RangeRequest(.key("/rota/meta"))).revision
      try await eventually("the watch has passed it") { await server.replica.cache.revision >= revision }
      let pair = try #require(try await store.get(server.keyspace.job(key)))
      let change = CacheChange.job(
        key, Versioned(job, createRevision: pair.createRevision, modRevision: pair.modRevision))
      await server.replica.beginListing()
      let missed = await server.replica.apply(listed: [change], at: revision)
      #expect(missed == 1, "it is counted as missed")
      #expect(await server.replica.cache.jobs[key] != nil)
      let first = JobKey(namespace: "default", jobID: "first")
      var removed = 0
      var position = ClusterCache.SweepPosition()
      while let count = await server.replica.sweep(&position, at: revision) { removed += count }
      await server.replica.finishListing(at: revision)
      #expect(removed >= 1)
      #expect(await server.replica.cache.jobs[first] == nil, "what a listing does not bring is gone")
    }
  }

  @Test func `a listing in pieces brings everything, and a warm one only what is missing`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { server in
      let keyspace = server.keyspace
      try await eventually("it is warm") { await server.replica.isWarm }
      store.loseWatchRevisions(1_000)
      var keys: [JobKey] = []
      for number in 0..<60 {
        let key = JobKey(namespace: "default", jobID: "p\(number)")
        let job = JobRecord(key: key, uid: "u", spec: JobSpec(task: .noop), createdAt: .now())
        let run = RunRecord(
          key: RunKey(job: key, runID: "r"), scheduledTime: job.createdAt, createdAt: job.createdAt)
        try await store.put(keyspace.job(key), job.encoded())
        try await store.put(keyspace.run(run.key), run.encoded())
        keys.append(key)
      }
      func list(_ purpose: Listing.Purpose) async throws -> Int {
        let revision = try await store.range(RangeRequest(.key(keyspace.meta))).revision
        let listing = Listing(
          store: store, replica: server.replica, decoder: await server.replica.surroundings.decoder,
          revision: revision, pageSize: 7, purpose: purpose)
        await server.replica.beginListing()
        _ = try await listing.run()
        var removed = 0
        var position = ClusterCache.SweepPosition()
        while let count = await server.replica.sweep(&position, at: revision) { removed += count }
        return removed
      }
      #expect(await server.replica.cache.jobs.isEmpty, "the watch has dropped all")
      #expect(try await list(.fill) == 0)
      #expect(await server.replica.cache.jobs.count == 60)
      #expect(await server.replica.cache.activeRuns.count == 60)
      var job = JobRecord(key: keys[3], uid: "changed", spec: JobSpec(task: .noop), createdAt: .now())
      job.nextRunTime = .latest
      try await store.put(keyspace.job(keys[3]), job.encoded())
      try await store.delete(.key(keyspace.job(keys[4])))
      #expect(try await list(.heal) == 1)
      #expect(await server.replica.job(keys[3])?.job.record == job)
      #expect(await server.replica.job(keys[4]) == nil)
      #expect(await server.replica.cache.jobs.count == 59)
    }
  }

  @Test func `a compaction under a watch leads to a new listing without a gap`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { server in
      store.stallWatches(true)
      for number in 0..<20 {
        let key = JobKey(namespace: "default", jobID: "c\(number)")
        let job = JobRecord(key: key, uid: "u", spec: JobSpec(task: .noop), createdAt: .now())
        try await store.put(server.keyspace.job(key), job.encoded())
      }
      try await store.compact(revision: store.revision, physical: false)
      store.stallWatches(false)
      try await eventually("all jobs are there") { await server.replica.cache.jobs.count == 20 }
    }
  }

  @Test func `a record that cannot be read is passed over and counted`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { server in
      try await store.put("/rota/jobs/000/default/broken", Array("{".utf8))
      let key = try await server.jobs.submit(SubmitRequest(spec: JobSpec(task: .noop))).job.key
      #expect(try await server.jobs.get(key).key == key)
      #expect(server.metrics.unreadableRecords.current >= 1)
    }
  }

  @Test func `a due job gets its run in the transaction that advances it`() async throws {
    try await withReplica { server in
      _ = try await server.stand()
      try await eventually("it leads") { await server.replica.leader != nil }
      var spec = JobSpec(task: .noop)
      spec.executionTime = Timestamp.now().adding(milliseconds: 50)
      let key = try await server.jobs.submit(SubmitRequest(jobID: "due", spec: spec)).job.key
      try await eventually("the run exists") { await server.replica.jobView(key)?.runs.count == 1 }
      let job = try #require(try await server.store.get(server.keyspace.job(key)))
      let run = try #require(
        try await server.store.range(RangeRequest(.prefix(server.keyspace.runs(of: key)))).kvs.first)
      #expect(job.modRevision == run.createRevision)
      #expect(await server.replica.jobView(key)?.nextRunTime == nil)
    }
  }
}
