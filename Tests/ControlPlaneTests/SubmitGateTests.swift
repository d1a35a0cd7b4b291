import EtcdClient
import HTTPTypes
import Proto
import SchedulerCore
import Testing
import Transport

@testable import ControlPlane

/// The rate of submissions at one server, with and without a leader.
@Suite struct SubmitGateTests {
  private static let rate = SubmitRate(count: 2, periodMillis: 60_000)

  private func submit(_ server: TestReplica, as user: String) async -> ServiceError? {
    var spec = JobSpec(task: .noop)
    spec.userID = user
    do {
      _ = try await server.jobs.submit(SubmitRequest(spec: spec))
      return nil
    } catch {
      return error as? ServiceError
    }
  }

  @Test func `the leader gives a burst, and then says when to come again`() async throws {
    try await withReplica(submitRate: Self.rate) { server in
      _ = try await server.stand()
      try await eventually("it leads") { await server.replica.leads }
      #expect(await submit(server, as: "a") == nil)
      #expect(await submit(server, as: "a") == nil)
      let refusal = try #require(await submit(server, as: "a"))
      #expect(refusal.kind == .limited)
      #expect(refusal.statusCode == .resourceExhausted)
      #expect((20_000...30_000).contains(try #require(refusal.retryMillis)))
      #expect(refusal.message.hasPrefix("user 'a' may submit 2 jobs in 1m; try again in "))
      #expect(refusal.restFailure.status == .tooManyRequests)
      #expect(refusal.restFailure.retryMillis == refusal.retryMillis)
      #expect(await submit(server, as: "b") == nil)
      #expect(server.metrics.submissionsLimited.current == 1)
    }
  }

  @Test func `without a leader a server has its share`() async throws {
    try await withReplica(submitRate: Self.rate) { server in
      try await eventually("it is warm") { await server.replica.isWarm }
      #expect(await submit(server, as: "a") == nil)
      #expect(await submit(server, as: "a") == nil)
      #expect(await submit(server, as: "a")?.kind == .limited)
    }
  }

  @Test func `only the leader gives tokens`() async throws {
    try await withReplica(submitRate: Self.rate) { server in
      let request = TokenRequest(scope: .user("a"), waiting: 5, ahead: 0, missing: 0)
      try await eventually("it is warm") { await server.replica.isWarm }
      #expect(await server.gate.lease(request, to: "s2") == nil)
      _ = try await server.stand()
      try await eventually("it leads") { await server.replica.leads }
      #expect(await server.gate.lease(request, to: "s2")?.tokens == 2)
      #expect(await server.gate.lease(request, to: "s3")?.tokens == 0)
      // Nobody has said a rate for the namespace.
      let free = TokenRequest(scope: .namespace("n"), waiting: 5, ahead: 0, missing: 0)
      #expect(await server.gate.lease(free, to: "s2")?.tokens == 5)
    }
  }
}
