import EtcdClient
import Logging
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

/// Checkpoints between etcd and the sessions: the leader's decisions are tested where it is.
@Suite struct CheckpointTests {
  private let key = RunKey(job: JobKey(namespace: "default", jobID: "j"), runID: "r")

  private var record: CheckpointRecord {
    CheckpointRecord(
      attempt: 1, fence: 1, agent: Incarnation(agentID: "a", createRevision: 3), sequence: 2,
      savedAt: Timestamp(milliseconds: 0), data: Array("half".utf8))
  }

  private func reader(_ store: FakeEtcd) -> CheckpointReader {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    return CheckpointReader(store: store, keyspace: Keyspace(), logger: logger)
  }

  @Test func `a checkpoint is read, or it is said why not`() async throws {
    let store = FakeEtcd()
    func isMissing() async -> Bool {
      if case .missing = await reader(store).read(key) { true } else { false }
    }
    #expect(await isMissing())
    try await store.put(Keyspace().checkpoint(key), record.encoded())
    guard case .data(let data) = await reader(store).read(key) else {
      Issue.record("it is there")
      return
    }
    #expect(data == record.data)
    try await store.put(Keyspace().checkpoint(key), Array("{}".utf8))
    #expect(await isMissing(), "what cannot be understood is not given out")
  }

  @Test func `no server keeps a copy of checkpoints`() async throws {
    let store = FakeEtcd()
    try await store.put(Keyspace().checkpoint(key), Array("{".utf8))
    try await withReplica(store) { server in
      let first = try await server.jobs.submit(SubmitRequest(spec: JobSpec(task: .noop))).job.key
      try await store.put(Keyspace().checkpoint(key), Array("[".utf8))
      let second = try await server.jobs.submit(
        SubmitRequest(idempotencyKey: "k", spec: JobSpec(task: .noop))
      ).job.key
      #expect(try await server.jobs.get(first).key == first)
      #expect(try await server.jobs.get(second).key == second)
      #expect(server.metrics.unreadableRecords.current == 0)
      // The first job was listed or watched, as its run, and so were those of the second: nothing else was.
      #expect(server.metrics.watchEvents.current <= 4)
    }
  }
}
