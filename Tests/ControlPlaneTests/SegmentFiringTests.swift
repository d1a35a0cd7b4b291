import EtcdClient
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

/// A server that owns segments: what it gets, fires and may not write.
@Suite struct SegmentFiringTests {
  private func soon(millis: Int64 = 300) -> SubmitRequest {
    var spec = JobSpec(task: .noop)
    spec.executionTime = Timestamp.now().adding(milliseconds: millis)
    return SubmitRequest(spec: spec)
  }

  private func patiently(_ what: String, _ condition: () async throws -> Bool) async throws {
    for _ in 0..<1_000 {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record("in vain: \(what)")
  }

  @Test func `the only server owns all segments and fires what is due`() async throws {
    try await withReplica { server in
      let lease = try await server.stand()
      try await patiently("it owns all") {
        await server.replica.firing.segmentsOwned == server.keyspace.segmentCount
      }
      let key = try await server.jobs.submit(soon()).job.key
      try await patiently("the run is there") { await !server.replica.cache.runs(of: key).isEmpty }
      #expect(await server.replica.firing.counters.fired == 1)
      #expect(await server.replica.cache.jobs[key]?.job.record.nextRunTime == nil)
      let text = await MetricsPage(
        metrics: server.metrics, replica: server.replica, pipeline: server.pipeline,
        sessions: server.sessions,
        storage: StorageBoard(), tls: nil
      ).render()
      #expect(text.contains("rota_segments_owned 256\n"))
      #expect(text.contains("rota_lateness_seconds_count 1\n"))
      #expect(text.contains("rota_skipped_total{reason=\"misfire\"} 0\n"))
      let info = await server.replica.clusterInfo()
      #expect(info.leader == "s1" && info.orphanedSegments.isEmpty)
      #expect(info.servers.map(\.segments.count) == [256])
      // The lease goes, and with it all segments: nothing is fired any more.
      try await server.store.leaseRevoke(lease)
      try await patiently("it owns none") { await server.replica.firing.segmentsOwned == 0 }
      #expect(await server.replica.clusterInfo().orphanedSegments.count == 256)
    }
  }

  /// A segment that has moved without this server having seen it, as of one that was stopped.
  @Test func `what an owner of before proposes is not written`() async throws {
    try await withReplica { server in
      _ = try await server.stand()
      try await patiently("it owns all") {
        await server.replica.firing.segmentsOwned == server.keyspace.segmentCount
      }
      let key = try await server.jobs.submit(soon(millis: 3_000)).job.key
      try await patiently("it is known") { await server.replica.cache.jobs[key] != nil }
      server.store.stallWatches(true)
      let segment = server.keyspace.segment(of: key)
      try await server.store.put(
        server.keyspace.segment(segment), SegmentRecord(serverID: "s2").encoded())
      try await patiently("it tries") { await server.replica.firing.counters.conflicts > 2 }
      #expect(await server.replica.cache.runs(of: key).isEmpty)
      #expect(try await server.store.range(RangeRequest(.prefix(server.keyspace.runs))).kvs.isEmpty)
      // The leader gives the segment back, since nobody of that name is there, and with it a new epoch.
      server.store.stallWatches(false)
      try await patiently("the run is there") { await !server.replica.cache.runs(of: key).isEmpty }
      #expect(await server.replica.firing.counters.fired == 1)
    }
  }
}
