import EtcdClient
import Logging
import NIOPosix
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

/// Draining agents through the API.
struct FleetServiceTests {
  private static let agent = AgentRecord(
    agentID: "a1", host: "h", labels: [:], slots: 4, version: "t", startedAt: Timestamp(milliseconds: 0))

  private func withFleet(
    _ body: @Sendable @escaping (FleetService, TestReplica) async throws -> Void
  ) async throws {
    try await withReplica { test in
      _ = try await test.stand()
      try await test.store.put(test.keyspace.agent("a1"), Self.agent.encoded())
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let barrier = ReadBarrier(
        store: test.store, replica: test.replica, keyspace: test.keyspace, serverID: "s1")
      let link = LeaderLink(group: MultiThreadedEventLoopGroup.singleton, tls: nil, logger: logger)
      try await body(
        FleetService(
          replica: test.replica, pipeline: test.pipeline, barrier: barrier, keyspace: test.keyspace,
          leaderLink: link, logger: logger), test)
    }
  }

  private func error(_ body: () async throws -> Void) async -> ServiceError? {
    do {
      try await body()
      return nil
    } catch { return error as? ServiceError }
  }

  @Test func aDrainIsShownChangedAndTakenBack() async throws {
    try await withFleet { fleet, test in
      let first = try await fleet.drain(DrainAgentRequest(agentID: "a1", note: "disk"))
      #expect(first.draining && first.drain?.note == "disk" && first.drain?.deadline == nil)
      let second = try await fleet.drain(DrainAgentRequest(agentID: "a1", timeoutMillis: 60_000))
      #expect(second.drain?.requestedAt == first.drain?.requestedAt && second.drain?.note == nil)
      #expect(second.drain?.deadline != nil)
      let stored = try #require(try await test.store.get("/rota/drains/a1"))
      #expect(try DrainRecord(decoding: stored.value) == second.drain && stored.lease == 0)
      let listed = try await fleet.list(ListAgentsRequest(), isForwarded: false).agents
      #expect(listed.map(\.drain) == [second.drain] && listed.first?.draining == true)
      #expect(try await fleet.undrain(UndrainAgentRequest(agentID: "a1")).wasDrained)
      #expect(try await !fleet.undrain(UndrainAgentRequest(agentID: "a1")).wasDrained)
      #expect(try await test.store.get("/rota/drains/a1") == nil)
    }
  }

  @Test func whatCannotBeIsRefused() async throws {
    try await withFleet { fleet, _ in
      #expect(
        await error { _ = try await fleet.drain(DrainAgentRequest(agentID: "nobody")) }?.kind == .notFound)
      #expect(
        await error { _ = try await fleet.undrain(UndrainAgentRequest(agentID: "nobody")) }?.kind == .notFound
      )
      #expect(
        await error { _ = try await fleet.drain(DrainAgentRequest(agentID: "A 1")) }?.field == "worker_id")
      let both = DrainAgentRequest(agentID: "a1", timeoutMillis: 1, deadline: Timestamp(milliseconds: 1))
      #expect(await error { _ = try await fleet.drain(both) }?.field == "timeout")
      let negative = DrainAgentRequest(agentID: "a1", timeoutMillis: -1)
      #expect(await error { _ = try await fleet.drain(negative) }?.field == "timeout")
      let long = DrainAgentRequest(agentID: "a1", note: String(repeating: "x", count: 1_025))
      #expect(await error { _ = try await fleet.drain(long) }?.field == "note")
    }
  }

  @Test func anAgentThatIsGoneCanBeUndrained() async throws {
    try await withFleet { fleet, test in
      _ = try await fleet.drain(DrainAgentRequest(agentID: "a1"))
      try await test.store.delete(.key("/rota/agents/a1"))
      #expect(try await fleet.undrain(UndrainAgentRequest(agentID: "a1")).wasDrained)
    }
  }
}
