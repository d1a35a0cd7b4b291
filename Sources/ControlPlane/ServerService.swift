import Certificates
import EtcdClient
import Logging
import NIOCore
import NIOPosix
import SchedulerCore
import ServiceLifecycle
import Transport

/// A control-plane replica: REST, gRPC, the warm cache, and, while it leads, the leader.
public final class ServerService: Service {
  private let configuration: ServerConfiguration
  private let store: any EtcdStore
  private let logger: Logger

  /// Makes a server; nothing happens before `run()`.
  public init(configuration: ServerConfiguration, etcd: any EtcdStore, logger: Logger) {
    self.configuration = configuration
    self.store = etcd
    self.logger = logger
  }

  /// Serves until graceful shutdown or cancellation.
  /// - Throws: When the data in etcd is not this program's, or an address cannot be bound.
  public func run() async throws {
    let keyspace = try await checkFormat()
    let parts = ServerParts(configuration, store, keyspace, logger)
    let grpc = try await GRPCServer.bind(
      grpcConfiguration, methods: parts.methods, group: parts.group, logger: logger)
    let record = serverRecord(grpcPort: grpc.port)
    let rest = RESTServer(
      configuration: configuration, jobs: parts.jobs, runs: parts.runs, fleet: parts.fleet,
      calendars: parts.calendars, queues: parts.queues, groups: parts.groups,
      events: parts.events, cluster: parts.cluster, lookahead: parts.lookahead, backfills: parts.backfills,
      quotas: parts.quotas,
      replica: parts.replica, metrics: parts.metrics, pipeline: parts.pipeline, sessions: parts.sessions,
      storage: parts.storage, alerts: parts.alerts, logger: logger)
    let candidate = Candidate(
      store: store, replica: parts.replica, keyspace: keyspace, record: record,
      ttlSeconds: configuration.grantedTTLSeconds, logger: logger)
    logger.notice(
      "the server is up",
      metadata: [
        "id": "\(configuration.serverID)", "grpc": "\(record.grpcAddress)", "http": "\(record.httpAddress)",
      ]
    )
    try await serve(parts, grpc, rest, candidate)
  }

  /// Runs all parts. On graceful shutdown the segments go first, then the lease, so that another server leads at
  /// once, then new calls are refused and those under way finished, then the writes.
  private func serve(
    _ parts: ServerParts, _ grpc: GRPCServer, _ rest: RESTServer, _ candidate: Candidate
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await parts.pipeline.run(observer: parts.replica) }
      group.addTask { await parts.feeder.run() }
      group.addTask { await parts.housekeeping.run() }
      group.addTask { await parts.sender.run(parts.replica, self.store, parts.alerts.keyspace) }
      group.addTask { await parts.changes.run() }
      group.addTask { await parts.health.run() }
      if let tls = configuration.tls { group.addTask { await tls.run() } }
      group.addTask {
        let standing = Task { await candidate.run() }
        await withTaskCancellationHandler {
          try? await gracefulShutdown()
          parts.health.board.close()
          standing.cancel()
          // Change streams would go on for ever.
          parts.changes.close()
          await standing.value
        } onCancel: {
          standing.cancel()
        }
        await standing.value
        await grpc.shutdown(graceful: .seconds(5))
      }
      group.addTask { try await grpc.run() }
      group.addTask { try await rest.run() }
      // REST and gRPC end by graceful shutdown; when both have, the rest is cancelled.
      defer { group.cancelAll() }
      for _ in 0..<3 { try await group.next() }
    }
    await parts.leaderLink.close()
    logger.notice("the server has stopped", metadata: ["id": "\(configuration.serverID)"])
  }

  /// Waits for etcd, then checks what it holds.
  private func checkFormat() async throws -> Keyspace {
    var pause = ServerLimits.retryPause.lowerBound
    while true {
      do {
        return try await ClusterFormat.check(store, prefix: configuration.prefix)
      } catch let error as EtcdError where [.unavailable, .timeout, .noSpace].contains(error.code) {
        logger.warning("waiting for etcd", metadata: ["error": "\(error)"])
        try await Task.sleep(for: pause)
        pause = min(pause * 2, ServerLimits.retryPause.upperBound)
      }
    }
  }

  private var grpcConfiguration: GRPCServerConfiguration {
    var grpc = GRPCServerConfiguration(host: configuration.grpc.host, port: configuration.grpc.port)
    guard let tls = configuration.tls else { return grpc }
    let timeout = ServerLimits.handshakeTimeout
    grpc.prefaceTimeout = timeout
    grpc.prepareChannel = { try tls.secureServer($0, .grpc, timeout: timeout) }
    guard tls.asksClients else { return grpc }
    let logger = logger
    grpc.identifyPeer = { Caller(of: $0, cluster: tls.identity?.cluster ?? "") }
    grpc.authorize = { context throws(RPCError) in
      do throws(ServiceError) {
        try AccessPolicy.check(
          context.caller ?? .anonymous, for: AccessPolicy.audience(ofMethod: context.path))
      } catch {
        logger.info(
          "a call was refused",
          metadata: ["method": "\(context.path)", "peer": "\(context.peer)", "reason": "\(error)"])
        throw rpcError(for: error)
      }
    }
    return grpc
  }

  private func serverRecord(grpcPort: Int) -> ServerRecord {
    let grpc = configuration.advertiseGRPC ?? HostPort(host: configuration.grpc.host, port: grpcPort)
    let http = configuration.advertiseHTTP ?? configuration.http
    return ServerRecord(
      serverID: configuration.serverID, grpcAddress: "\(grpc)", httpAddress: "\(http)",
      version: configuration.version, startedAt: .now())
  }
}

/// The parts of a server, wired together.
private struct ServerParts: Sendable {
  let group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  let metrics = ServerMetrics()
  let sessions = SessionRegistry()
  let storage = StorageBoard()
  let logs = LogRelay()
  let pipeline: CommitPipeline
  let replica: Replica
  let feeder: CacheFeeder
  let housekeeping: Housekeeping
  let leaderLink: LeaderLink
  let changes: ChangeHub
  let events: EventService
  let gate: SubmitGate
  let jobs: JobService
  let runs: RunService
  let fleet: FleetService
  let calendars: CalendarService
  let queues: QueueService
  let groups: GroupService
  let cluster: ClusterService
  let lookahead: LookaheadService
  let backfills: BackfillService
  let sender: AlertSender
  let alerts: AlertService
  let quotas: QuotaService
  let health: ServerHealth
  let methods: [RPCMethod]

  init(_ configuration: ServerConfiguration, _ store: any EtcdStore, _ keyspace: Keyspace, _ logger: Logger) {
    let decoder = RecordDecoder(keyspace: keyspace, metrics: metrics, logger: logger)
    changes = ChangeHub(keyspace: keyspace, metrics: metrics)
    pipeline = CommitPipeline(store: store, metrics: metrics, logger: logger)
    sender = AlertSender(configuration.alerts, version: configuration.version, logger: logger)
    alerts = AlertService(store: store, keyspace: keyspace, logger: logger)
    var machine = configuration.machine
    machine.segmentCount = keyspace.segmentCount
    replica = Replica(
      Replica.Surroundings(
        keyspace: keyspace, pipeline: pipeline, sessions: sessions, metrics: metrics, decoder: decoder,
        changes: changes, eventLoop: group.next(), logger: logger, serverID: configuration.serverID,
        machine: machine, zones: configuration.zones, alerts: sender))
    let barrier = ReadBarrier(
      store: store, replica: replica, keyspace: keyspace, serverID: configuration.serverID)
    feeder = CacheFeeder(
      store: store, replica: replica, barrier: barrier, decoder: decoder,
      relistInterval: configuration.relistInterval, metrics: metrics, logger: logger)
    housekeeping = Housekeeping(
      store: store, replica: replica, metrics: metrics, board: storage, pressure: configuration.pressure,
      retention: configuration.machine.retention, logger: logger)
    leaderLink = LeaderLink(group: group, tls: configuration.tls, logger: logger)
    gate = SubmitGate(
      clientRate: configuration.submitRate, serverID: configuration.serverID, replica: replica,
      leaderLink: leaderLink, metrics: metrics, logger: logger)
    jobs = JobService(
      replica: replica, pipeline: pipeline, barrier: barrier, store: store, keyspace: keyspace,
      idempotencyLeases: LeaseBucket(store: store), gate: gate, metrics: metrics, zones: configuration.zones,
      logger: logger)
    calendars = CalendarService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, zones: configuration.zones,
      logger: logger)
    queues = QueueService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, leaderLink: leaderLink,
      logger: logger)
    groups = GroupService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, logger: logger)
    events = EventService(
      replica: replica, barrier: barrier, hub: changes, decoder: decoder,
      history: EventHistory(
        store: store, hub: changes, barrier: barrier, keyspace: keyspace, metrics: metrics))
    runs = RunService(
      replica: replica, barrier: barrier, logs: logs, leaderLink: leaderLink,
      explains: ExplainService(
        replica: replica, barrier: barrier, leaderLink: leaderLink, storage: storage,
        zones: configuration.zones, logger: logger))
    fleet = FleetService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, leaderLink: leaderLink,
      logger: logger)
    cluster = ClusterService(
      store: store, replica: replica, barrier: barrier, leaderLink: leaderLink, storage: storage,
      logger: logger)
    let agents = AgentSessionService(
      replica: replica, sessions: sessions, logs: logs,
      checkpoints: CheckpointReader(store: store, keyspace: keyspace, logger: logger),
      gate: SessionGate(configuration.sessionRate),
      metrics: metrics, logger: logger)
    lookahead = LookaheadService(replica: replica, barrier: barrier, zones: configuration.zones)
    backfills = BackfillService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, zones: configuration.zones,
      logger: logger)
    quotas = QuotaService(
      replica: replica, pipeline: pipeline, barrier: barrier, keyspace: keyspace, logger: logger)
    let services = GRPCServices(
      jobs: jobs, runs: runs, fleet: fleet, events: events, calendars: calendars, queues: queues,
      groups: groups, cluster: cluster, lookahead: lookahead, backfills: backfills, gate: gate,
      quotas: quotas, replica: replica)
    let api = services.methods + alerts.methods + agents.methods
    let reflection = ReflectionService(services: api.services + [HealthService.name])
    let board = HealthBoard(services: reflection.services)
    health = ServerHealth(board: board, replica: replica, barrier: barrier, logger: logger)
    methods = api + HealthService(board: board).methods + reflection.methods
  }
}

extension [RPCMethod] {
  /// The full names of the services that have these methods.
  fileprivate var services: [String] {
    Set(map { String($0.path.dropFirst().prefix { $0 != "/" }) }).sorted()
  }
}
