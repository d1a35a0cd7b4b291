import EtcdClient
import Logging
import NIOCore
import NIOPosix
import SchedulerCore
import Testing

@testable import ControlPlane

/// A server's inner parts on a fake etcd, without its listeners.
final class TestReplica: Sendable {
  let store: FakeEtcd
  let keyspace = Keyspace()
  let metrics = ServerMetrics()
  let sessions = SessionRegistry()
  let pipeline: CommitPipeline
  let replica: Replica
  let gate: SubmitGate
  let jobs: JobService
  let calendars: CalendarService
  let backfills: BackfillService
  let changes: ChangeHub
  let events: EventService
  let feeder: CacheFeeder
  private let tasks: [Task<Void, Never>]

  init(
    _ store: FakeEtcd, id: String = "s1", ring: ChangeRing.Bounds = .init(), submitRate: SubmitRate? = nil
  ) {
    self.store = store
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let decoder = RecordDecoder(keyspace: keyspace, metrics: metrics, logger: logger)
    let changes = ChangeHub(keyspace: keyspace, metrics: metrics, bounds: ring)
    let pipeline = CommitPipeline(store: store, metrics: metrics, logger: logger)
    let replica = Replica(
      Replica.Surroundings(
        keyspace: keyspace, pipeline: pipeline, sessions: sessions, metrics: metrics, decoder: decoder,
        changes: changes, eventLoop: MultiThreadedEventLoopGroup.singleton.next(), logger: logger,
        serverID: id,
        machine: .init(), zones: .utcOnly))
    let barrier = ReadBarrier(store: store, replica: replica, keyspace: keyspace, serverID: id)
    self.pipeline = pipeline
    self.replica = replica
    let link = LeaderLink(group: MultiThreadedEventLoopGroup.singleton, tls: nil, logger: logger)
    gate = SubmitGate(
      clientRate: submitRate, serverID: id, replica: replica, leaderLink: link, metrics: metrics,
      logger: logger)
    jobs = JobService(
      replica: replica, pipeline: pipeline, barrier: barrier, store: store, keyspace: keyspace,
      idempotencyLeases: LeaseBucket(store: store), gate: gate, metrics: metrics, zones: .utcOnly,
      logger: logger)
    calendars = CalendarService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, zones: .utcOnly,
      logger: logger)
    backfills = BackfillService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, zones: .utcOnly,
      logger: logger)
    self.changes = changes
    events = EventService(
      replica: replica, barrier: barrier, hub: changes, decoder: decoder,
      history: EventHistory(
        store: store, hub: changes, barrier: barrier, keyspace: keyspace, metrics: metrics))
    feeder = CacheFeeder(
      store: store, replica: replica, barrier: barrier, decoder: decoder, relistInterval: .seconds(600),
      metrics: metrics, logger: logger)
    tasks = [
      Task { await pipeline.run(observer: replica) },
      Task { [feeder] in await feeder.run() },
    ]
  }

  func stop() { for task in tasks { task.cancel() } }

  /// Puts this server's own key and its candidate's, and has it stand.
  func stand() async throws -> Int64 {
    let lease = try await store.leaseGrant(ttlSeconds: 60).id
    var record = ServerRecord(
      serverID: "s1", grpcAddress: "127.0.0.1:1", httpAddress: "127.0.0.1:2", version: "t",
      startedAt: Timestamp(microseconds: 0))
    record.lease = lease
    try await store.put(keyspace.server(record.serverID), record.encoded(), lease: lease)
    try await store.put(keyspace.leader(lease: lease), record.encoded(), lease: lease)
    await replica.stand(lease: lease)
    return lease
  }
}

/// Runs a test with the inner parts of a server.
func withReplica(
  _ store: FakeEtcd = FakeEtcd(), ring: ChangeRing.Bounds = .init(), submitRate: SubmitRate? = nil,
  _ body: (TestReplica) async throws -> Void
) async throws {
  let server = TestReplica(store, ring: ring, submitRate: submitRate)
  defer { server.stop() }
  try await body(server)
}

/// Polls, since what is waited for happens in other tasks; bounded by turns, not by a clock.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  for _ in 0..<200_000 {
    if try await condition() { return }
    await Task.yield()
  }
  Issue.record("in vain: \(what)")
}
