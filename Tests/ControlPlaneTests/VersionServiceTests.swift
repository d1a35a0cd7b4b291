import EtcdClient
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

private let key = JobKey(namespace: "default", jobID: "j")

private func hourly(retries: Int = 0) -> JobSpec {
  var spec = JobSpec(task: .noop)
  spec.schedules = [Schedule(.cron("0 * * * *"))]
  spec.maxRetries = retries
  return spec
}

private func kind(of body: () async throws -> Void) async -> ServiceError.Kind? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? ServiceError)?.kind
  }
}

@Suite struct VersionServiceTests {
  private func updated(_ server: TestReplica, times: Int) async throws {
    _ = try await server.jobs.submit(SubmitRequest(jobID: key.jobID, spec: hourly()))
    for number in 0..<times {
      _ = try await server.jobs.update(
        UpdateJobRequest(key: key, spec: hourly(retries: number + 1), updatedBy: "u\(number)"))
    }
  }

  private func keys(_ server: TestReplica) async throws -> [String] {
    try await server.store.range(RangeRequest(.prefix(server.keyspace.versions))).kvs.map(\.key)
  }

  @Test func `each update keeps what it replaces, the last ten of them`() async throws {
    try await withReplica { server in
      try await updated(server, times: 14)
      let versions = try await server.jobs.versions(of: key).versions
      #expect(versions.map(\.generation) == Array((5...15).reversed()))
      #expect(versions.dropLast().allSatisfy { $0.changedFields == ["max_retries"] && $0.spec == nil })
      #expect(versions[0].replacedAt == nil && versions[0].origin.by == "u13")
      #expect(versions[1].replacedBy == "u13" && versions[1].origin.by == "u12")
      #expect(try await keys(server).count == 10)
      let old = try await server.jobs.version(GetVersionRequest(key: key, generation: 5))
      #expect(old.spec == hourly(retries: 4))
      for generation in [0, 4, 16, -1] {
        let missing = await kind {
          _ = try await server.jobs.version(GetVersionRequest(key: key, generation: generation))
        }
        #expect(missing == .notFound)
      }
    }
  }

  @Test func `going back is an update like any other`() async throws {
    try await withReplica { server in
      try await updated(server, times: 2)
      let stale = await kind {
        _ = try await server.jobs.revert(RevertJobRequest(key: key, generation: 1, ifMatch: "x-2"))
      }
      #expect(stale == .stale)
      let back = try await server.jobs.revert(
        RevertJobRequest(key: key, generation: 1, idempotencyKey: "k", updatedBy: "ada"))
      #expect(back.spec == hourly() && back.generation == 4)
      #expect(back.updated?.revertOf == 1 && back.updated?.by == "ada")
      // The present specification changes nothing.
      let same = try await server.jobs.revert(RevertJobRequest(key: key, generation: 1))
      #expect(same.generation == 4)
      let again = try await server.jobs.revert(
        RevertJobRequest(key: key, generation: 1, idempotencyKey: "k"))
      #expect(again.generation == 4)
      let other = await kind {
        _ = try await server.jobs.revert(RevertJobRequest(key: key, generation: 2, idempotencyKey: "k"))
      }
      #expect(other == .alreadyExists)
    }
  }

  /// The version that was taken is the one that its own update removes.
  @Test func `going back to the oldest version may be sent again`() async throws {
    try await withReplica { server in
      try await updated(server, times: 10)
      let request = RevertJobRequest(key: key, generation: 1, idempotencyKey: "k")
      #expect(try await server.jobs.revert(request).generation == 12)
      #expect(try await server.jobs.revert(request).generation == 12)
      #expect(try await keys(server).count == 10)
    }
  }

  @Test func `a change whose answer was lost keeps one version`() async throws {
    try await withReplica { server in
      try await updated(server, times: 1)
      server.store.inject(.loseResponse, on: [.txn])
      let view = try await server.jobs.revert(RevertJobRequest(key: key, generation: 1))
      #expect(view.generation == 3)
      #expect(try await keys(server).count == 2)
    }
  }

  @Test func `versions of a job that had the id before are not shown`() async throws {
    try await withReplica { server in
      try await updated(server, times: 1)
      let stray = VersionRecord(
        key: VersionKey(job: key, generation: 1), uid: "another", spec: hourly(),
        origin: VersionOrigin(at: .now()), replacedAt: .now())
      try await server.store.put(server.keyspace.version(stray.key), stray.encoded())
      #expect(try await server.jobs.versions(of: key).versions.map(\.generation) == [2])
      let missing = await kind {
        _ = try await server.jobs.revert(RevertJobRequest(key: key, generation: 1))
      }
      #expect(missing == .notFound)
    }
  }

  @Test func `who asks has a name that can be kept`() async throws {
    try await withReplica { server in
      try await updated(server, times: 1)
      let refused = await kind {
        _ = try await server.jobs.revert(
          RevertJobRequest(key: key, generation: 1, updatedBy: String(repeating: "x", count: 129)))
      }
      #expect(refused == .invalid)
    }
  }
}
