import EtcdClient
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

private func request(_ id: String? = nil, key: String? = nil, priority: Int = 50) -> SubmitRequest {
  var spec = JobSpec(task: .noop)
  spec.priority = priority
  return SubmitRequest(jobID: id, idempotencyKey: key, spec: spec)
}

private func kind(of body: () async throws -> Void) async -> ServiceError.Kind? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? ServiceError)?.kind
  }
}

@Suite struct JobServiceTests {
  @Test func `an accepted job and its run are in etcd`() async throws {
    try await withReplica { server in
      let answer = try await server.jobs.submit(request("a"))
      #expect(answer.created && answer.job.status == .pending)
      let key = JobKey(namespace: "default", jobID: "a")
      let job = try #require(try await server.store.get(server.keyspace.job(key)))
      let run = try #require(
        try await server.store.range(RangeRequest(.prefix(server.keyspace.runs(of: key)))).kvs.first)
      #expect(job.modRevision == run.modRevision, "one transaction")
      #expect(try await server.jobs.get(key).runs.count == 1)
    }
  }

  @Test func `an id that is taken is refused`() async throws {
    try await withReplica { server in
      _ = try await server.jobs.submit(request("a"))
      #expect(await kind { _ = try await server.jobs.submit(request("a")) } == .alreadyExists)
    }
  }

  @Test func `one idempotency key makes one job, from any server`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { first in
      try await withReplica(store) { second in
        let made = try await first.jobs.submit(request(key: "k"))
        let again = try await second.jobs.submit(request(key: "k"))
        #expect(made.created && !again.created)
        #expect(again.job.key == made.job.key)
        #expect(
          await kind { _ = try await second.jobs.submit(request(key: "k", priority: 7)) } == .alreadyExists)
      }
    }
  }

  @Test func `a submission whose answer was lost is not made twice`() async throws {
    try await withReplica { server in
      _ = try await server.jobs.submit(request(key: "warm-up"))
      server.store.inject(.loseResponse, on: [.txn])
      let answer = try await server.jobs.submit(request(key: "k"))
      #expect(answer.created)
      #expect(try await server.jobs.submit(request(key: "k")).job.key == answer.job.key)
    }
  }

  @Test func `a job that is due later has no run yet`() async throws {
    try await withReplica { server in
      var later = request("later")
      later.spec.executionTime = Timestamp.now().adding(milliseconds: 3_600_000)
      let view = try await server.jobs.submit(later).job
      #expect(view.runs.isEmpty && view.nextRunTime == later.spec.executionTime)
    }
  }

  @Test func `cancelling a scheduled job ends it, and asking again changes nothing`() async throws {
    try await withReplica { server in
      var later = request("later")
      later.spec.executionTime = Timestamp.now().adding(milliseconds: 3_600_000)
      let key = try await server.jobs.submit(later).job.key
      let cancelled = try await server.jobs.cancel(key, reason: "no need")
      #expect(cancelled.status == .cancelled && cancelled.nextRunTime == nil)
      let again = try await server.jobs.cancel(key, reason: "again")
      #expect(again.revision == cancelled.revision)
      #expect(
        await kind {
          _ = try await server.jobs.cancel(JobKey(namespace: "default", jobID: "no"), reason: nil)
        } == .notFound)
    }
  }

  @Test func `reads show what another server has just committed`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { first in
      try await withReplica(store) { second in
        for number in 0..<50 {
          let key = try await first.jobs.submit(request("j\(number)")).job.key
          #expect(try await second.jobs.get(key).key == key)
        }
      }
    }
  }

  @Test func `without etcd nothing is accepted and nothing stale is shown`() async throws {
    try await withReplica { server in
      let key = try await server.jobs.submit(request("a")).job.key
      server.store.setUnavailable(true)
      #expect(await kind { _ = try await server.jobs.get(key) } == .unavailable)
      server.store.setUnavailable(false)
      try await eventually("etcd is used again") { (try? await server.jobs.get(key)) != nil }
    }
  }

  @Test func `ids are valid and sort by time`() {
    var random = SystemRandomNumberGenerator()
    let early = JobID.make(now: Timestamp(milliseconds: 1_700_000_000_000), random: &random)
    let late = JobID.make(now: Timestamp(milliseconds: 1_700_000_000_001), random: &random)
    #expect(Identifier.isValid(early) && early < late)
  }
}
