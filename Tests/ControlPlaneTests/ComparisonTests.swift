import EtcdClient
import SchedulerCore
import Testing

@testable import ControlPlane

/// Comparisons of the warm copy with etcd, while the watch goes on.
@Suite struct ComparisonTests {
  private static let dropped = JobKey(namespace: "default", jobID: "dropped")

  private func put(_ key: JobKey, _ server: TestReplica) async throws {
    let job = JobRecord(key: key, uid: "u", spec: JobSpec(task: .noop), createdAt: .now())
    try await server.store.put(server.keyspace.job(key), job.encoded())
  }

  /// Runs a test with a copy of some jobs, which a first comparison finds right.
  private func withWarmCopy(_ body: (TestReplica) async throws -> Void) async throws {
    try await withReplica { server in
      try await eventually("the first listing is over") { await server.replica.isWarm }
      for number in 0..<20 { try await put(JobKey(namespace: "default", jobID: "job-\(number)"), server) }
      try await eventually("the jobs are there") { await server.replica.cache.jobs.count == 20 }
      #expect(try await server.feeder.differences() == 0)
      try await body(server)
    }
  }

  @Test func `what the watch has not brought is a difference`() async throws {
    try await withWarmCopy { server in
      server.store.loseWatchRevisions(1)
      try await put(Self.dropped, server)
      #expect(try await server.feeder.differences() == 1)
      #expect(await server.replica.cache.jobs[Self.dropped] == nil, "a comparison changes nothing")
    }
  }

  @Test func `an older record than etcd's is a difference`() async throws {
    try await withWarmCopy { server in
      server.store.loseWatchRevisions(1)
      try await put(JobKey(namespace: "default", jobID: "job-7"), server)
      #expect(try await server.feeder.differences() == 1)
    }
  }

  @Test func `what the watch has not taken away is a difference`() async throws {
    try await withWarmCopy { server in
      server.store.loseWatchRevisions(1)
      try await server.store.delete(
        .key(server.keyspace.job(JobKey(namespace: "default", jobID: "job-7"))))
      #expect(try await server.feeder.differences() == 1)
    }
  }

  @Test func `what changes during a comparison is no difference`() async throws {
    try await withWarmCopy { (server) async throws in
      // While the listing's first page is awaited, its revision being fixed, one job goes, one comes, one changes.
      let calls = Counter()
      server.store.setGate { operation in
        guard operation == .range else { return }
        calls.add(1)
        guard calls.current == 2 else { return }
        for number in 0..<10 {
          let key = JobKey(namespace: "default", jobID: "job-\(number)")
          _ = try? await server.store.delete(.key(server.keyspace.job(key)))
        }
        try? await put(Self.dropped, server)
        try? await put(JobKey(namespace: "default", jobID: "job-15"), server)
        try? await eventually("the watch has brought it") { await server.replica.cache.jobs.count == 11 }
      }
      #expect(try await server.feeder.differences() == 0)
      #expect(calls.current > 2)
      server.store.setGate(nil)
      #expect(try await server.feeder.differences() == 0)
    }
  }

  @Test func `a record that cannot be read is no difference`() async throws {
    try await withWarmCopy { server in
      try await server.store.put(server.keyspace.job(Self.dropped), Array("no record".utf8))
      #expect(try await server.feeder.differences() == 0)
    }
  }

  @Test func `a watch that stands still is found out`() async throws {
    try await withWarmCopy { server in
      server.store.stallWatches(true)
      try await put(Self.dropped, server)
      await #expect(throws: ServiceError.self) { try await server.feeder.differences() }
      server.store.stallWatches(false)
    }
  }
}
