import EtcdClient
import Logging
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

/// How a server without space comes to have some again. That etcd frees any is tested with a real one.
struct HousekeepingTests {
  private func keeper(_ test: TestReplica, _ board: StorageBoard) -> Housekeeping {
    Housekeeping(
      store: test.store, replica: test.replica, metrics: test.metrics, board: board,
      pressure: StoragePressure(quotaBytes: 1 << 30, share: 0.8),
      retention: LeaderMachine.Retention(millis: 7 * 86_400_000, runsPerJob: 100),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  private static let alarm = Alarm(memberID: 1, kind: .noSpace)

  @Test func theLeaderHealsAfterAWriteWasRefused() async throws {
    try await withReplica { test in
      _ = try await test.stand()
      try await eventually("it leads") { await test.replica.leads }
      test.store.setAlarms([Self.alarm])
      let board = StorageBoard()
      let keeping = Task { await keeper(test, board).run() }
      defer { keeping.cancel() }
      let job = SubmitRequest(spec: JobSpec(task: .noop))
      do {
        _ = try await test.jobs.submit(job)
        Issue.record("a submission was taken without space")
      } catch let error as ServiceError {
        #expect(error.kind == .noSpace)
      }
      for _ in 0..<200 where try await !test.store.alarms().isEmpty {
        try await Task.sleep(for: .milliseconds(50))
      }
      #expect(try await test.store.alarms().isEmpty && test.metrics.noSpaceHealed.current == 1)
      _ = try await test.jobs.submit(job)
      for _ in 0..<100 where board.status?.noSpace != false { try await Task.sleep(for: .milliseconds(50)) }
      #expect(board.status?.noSpace == false && board.status?.healed == 1)
    }
  }

  /// What others than Rota have written no watch of Rota's brings.
  @Test func foreignHistoryIsRemovedToo() async throws {
    try await withReplica { test in
      _ = try await test.stand()
      try await eventually("it leads") { await test.replica.leads }
      for number in 0..<100 { try await test.store.put("/foreign", [UInt8(number)]) }
      let filled = test.store.revision
      #expect(await test.replica.revision < filled)
      test.store.setAlarms([Self.alarm])
      test.metrics.noSpaceErrors.add(1)
      let keeping = Task { await keeper(test, StorageBoard()).run() }
      defer { keeping.cancel() }
      for _ in 0..<200 where try await !test.store.alarms().isEmpty {
        try await Task.sleep(for: .milliseconds(50))
      }
      await #expect(throws: EtcdError.self) {
        try await test.store.range(RangeRequest(.key("/foreign"), revision: filled - 1))
      }
    }
  }

  @Test func whoDoesNotLeadLeavesItToTheLeader() async throws {
    try await withReplica { test in
      let lease = try await test.store.leaseGrant(ttlSeconds: 60).id
      let other = ServerRecord(
        serverID: "s2", grpcAddress: "127.0.0.1:1", httpAddress: "127.0.0.1:2", version: "t",
        startedAt: Timestamp(microseconds: 0))
      try await test.store.put(test.keyspace.leader(lease: lease), other.encoded(), lease: lease)
      try await eventually("it is warm") { await test.replica.isWarm }
      try await eventually("it knows the leader") { await test.replica.knowsLeader }
      test.store.setAlarms([Self.alarm])
      test.metrics.noSpaceErrors.add(1)
      let keeping = Task { await keeper(test, StorageBoard()).run() }
      defer { keeping.cancel() }
      try await Task.sleep(for: .seconds(2))
      #expect(try await test.store.alarms() == [Self.alarm])
    }
  }

  /// Of a batch that adds and removes, what only removes gets through.
  @Test func removalsAreNotRefusedForTheirNeighbours() async throws {
    try await withReplica { test in
      try await test.store.put("/x/old", [1])
      test.store.setAlarms([Self.alarm])
      let put = Change(
        compares: [.absent("/x/new")], operations: [.put(key: "/x/new", value: [1])], writes: [])
      let removal = Change(compares: [], operations: [.delete(.key("/x/old"))], writes: [])
      // Whatever shares a transaction: none of the puts succeeds, each removal does.
      async let refused = test.pipeline.commit(put)
      async let removed = test.pipeline.commit(removal)
      guard case .failed(let error) = await refused else {
        Issue.record("a put was taken")
        return
      }
      #expect(error.code == .noSpace && error.outcome == .notApplied)
      guard case .committed = await removed else {
        Issue.record("a removal was refused")
        return
      }
      #expect(try await test.store.get("/x/old") == nil)
    }
  }
}
