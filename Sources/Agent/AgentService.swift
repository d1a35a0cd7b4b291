import Certificates
import Curl
import EtcdClient
import Logging
import NIOCore
import NIOPosix
import SchedulerCore
import ServiceLifecycle

/// An agent: holds a lease in etcd, keeps a session with the leader, and runs what it is assigned.
///
/// It stops gracefully when the service group asks it to: takes no new work, lets tasks finish for a while, kills the
/// rest, has the results acknowledged, and gives its lease back last. Or it leaves, and its next process goes on.
public final class AgentService: Service {
  private let configuration: AgentConfiguration
  private let etcd: any EtcdStore
  private let group: any EventLoopGroup
  private let logger: Logger
  /// Ends when `leave()` was called.
  private let leaving = AsyncStream.makeStream(of: Never.self)

  /// Makes an agent; nothing happens before `run()`.
  ///
  /// - Parameters:
  ///   - etcd: stays open for as long as the agent runs; the caller closes it.
  ///   - group: for the connection to the leader.
  public init(
    configuration: AgentConfiguration, etcd: any EtcdStore,
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger
  ) {
    self.configuration = configuration
    self.etcd = etcd
    self.group = group
    self.logger = logger
  }

  /// Has `run()` return soon, without killing a task and without giving the lease back: for an upgrade. The agent's next process
  /// with the same data folder goes on with the tasks, if it starts before the lease can no longer be trusted; otherwise
  /// their shims kill them.
  public func leave() { leaving.continuation.finish() }

  /// Runs the agent until it is asked to stop, or cancelled.
  ///
  /// - Throws: `AgentError` when it cannot begin: a bad configuration, a data folder that is in use, a process of an
  ///   earlier life that does not die.
  public func run() async throws {
    try configuration.validate()
    let folder = try DataFolder(path: configuration.dataFolder)
    defer { folder.release() }
    let trust = try TrustFile(path: folder.trustFile)
    let (journal, recovered) = try ResultJournal.open(folder.journalFile)
    if recovered.tornBytes > 0 {
      logger.warning("the result journal had a torn end", metadata: ["bytes": "\(recovered.tornBytes)"])
    }
    let isolation = try Isolation.open(configuration, dataFolder: folder.path, logger: logger)
    let adopted = try await takeOver(recovered, folder: folder, trust: trust, isolation)
    let core = AgentCore(configuration, folder: folder, trust: trust, journal: journal, logger: logger)
    let engine = try CurlEngine()
    let (events, deliver) = AsyncStream.makeStream(of: [TaskEvent].self)
    let executor = try Executor(
      configuration, folder: folder, trustFile: trust, engine: engine, isolation: isolation, logger: logger
    ) { deliver.yield($0) }
    await core.use(executor)
    await core.recover(recovered, adopted: adopted)
    isolation.removeLeftovers(except: Set(adopted.map(\.folder.path)))

    // The pump outlives everything else: only through it the core hears that the last tasks are dead.
    let failure = await withTaskGroup(of: Void.self) { pump in
      pump.addTask { for await batch in events { await core.taskEvents(batch) } }
      let failure = await work(core, isolation, folder: folder, trust: trust)
      deliver.finish()
      return failure
    }
    await executor.shutdown()
    await engine.shutdown()
    isolation.close()
    if let failure { throw failure }
  }

  /// Takes over the tasks of an earlier process, and sees to it that the rest of them is dead.
  private func takeOver(
    _ recovered: ResultJournal.Recovered, folder: DataFolder, trust: TrustFile, _ isolation: Isolation
  ) async throws -> [AdoptedTask] {
    let saved = SavedIncarnation.load(folder.incarnationFile)
    // Another id has another key. Past the end of trust the shims are killing everything.
    let trusted = trust.trustedUntil
    let mayGoOn = saved?.agentID == configuration.id && trusted > Clocks.boot()
    let adopted = await Adoption(folder: folder, logger: logger).takeOver(
      recovered, incarnation: mayGoOn ? saved?.createRevision : nil, trustedUntil: trusted)
    if adopted.isEmpty { trust.trustedUntil = 0 }
    let goOn = Set(adopted.map(\.folder))
    let rest = recovered.begun.compactMap { folder.folder(of: $0) }.filter { !goOn.contains($0) }
    try await EarlierLife(
      attempts: folder.attempts, spared: Set(goOn.map(\.path)), trustedUntil: trusted, isolation: isolation,
      logger: logger
    ).end(rest)
    return adopted
  }

  // MARK: At work

  /// - Returns: why it ended, when nobody asked it to.
  private func work(
    _ core: AgentCore, _ isolation: Isolation, folder: DataFolder, trust: TrustFile
  ) async -> (any Error)? {
    let keeper = self.keeper(folder, isolation)
    let sessions = self.sessions(core, folder)
    var failure: (any Error)?
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await keeper.run(core) }
        group.addTask { try await sessions.run() }
        group.addTask { try await self.watchTrust(core, trust) }
        group.addTask { try await self.sampleHealth(core, folder) }
        group.addTask { try await self.cleanUp(core, folder, isolation) }
        if let tls = configuration.tls {
          group.addTask {
            await tls.run()
            try Task.checkCancellation()
          }
        }
        group.addTask { try await self.untilAskedToStop(core) }
        group.addTask { try await self.untilAskedToLeave(core) }
        defer { group.cancelAll() }
        // Only the last two end by themselves.
        try await group.next()
      }
    } catch {
      failure = error
    }
    if await core.hasLeft { return nil }
    // Reached without a graceful stop, too: nothing may outlive the lease.
    await core.stopAll(.now)
    await core.waitUntilNothingRuns()
    await giveBackLease(folder)
    return failure
  }

  private func keeper(_ folder: DataFolder, _ isolation: Isolation) -> LeaseKeeper {
    var record = AgentRecord(
      agentID: configuration.id, host: AgentConfiguration.hostName, labels: configuration.labels,
      slots: configuration.slots, version: configuration.version, startedAt: Clocks.wall())
    record.isolation = isolation.description
    record.runAsUsers = configuration.allowRunAs
    record.resources = configuration.resources
    return LeaseKeeper(
      store: etcd, key: Keyspace(prefix: configuration.keyPrefix).agent(configuration.id), record: record,
      ttlSeconds: configuration.leaseTTLSeconds, marginMillis: configuration.margin,
      savedPath: folder.incarnationFile, logger: logger)
  }

  private func sessions(_ core: AgentCore, _ folder: DataFolder) -> SessionLoop {
    let finder = LeaderFinder(
      store: etcd.with(requestTimeout: .seconds(2)), keyspace: Keyspace(prefix: configuration.keyPrefix))
    let session = AgentSession(
      core: core, logs: LogService(core: core, root: folder.attempts), agentID: configuration.id,
      ttlMillis: configuration.leaseTTLSeconds * 1_000, finder: finder, tls: configuration.tls, logger: logger
    )
    return SessionLoop(session: session, group: group, logger: logger)
  }

  /// Looks at the clock when trust runs out. The shims do the same for themselves.
  private func watchTrust(_ core: AgentCore, _ trust: TrustFile) async throws {
    while true {
      let left = trust.trustedUntil - Clocks.boot()
      try await Task.sleep(for: left > 0 ? .nanoseconds(left) : .milliseconds(100))
      await core.tick()
    }
  }

  private func sampleHealth(_ core: AgentCore, _ folder: DataFolder) async throws {
    var sampler = HealthSampler(dataFolder: folder.path)
    var judge = HealthJudge(policy: configuration.health, cores: AgentConfiguration.cores)
    var reason: String?
    while true {
      var health = sampler.sample()
      health.unhealthyReason = judge.judge(health)
      if (health.unhealthyReason == nil) != (reason == nil) {
        logger.warning(
          health.unhealthyReason == nil
            ? "the agent is fit for new work again" : "the agent wants no new work",
          metadata: ["why": "\(health.unhealthyReason ?? reason ?? "")"])
      }
      reason = health.unhealthyReason
      await core.healthSampled(health)
      try await Task.sleep(for: AgentLimits.healthInterval)
    }
  }

  private func cleanUp(_ core: AgentCore, _ folder: DataFolder, _ isolation: Isolation) async throws {
    let janitor = Janitor(
      root: folder.attempts, retentionMillis: configuration.attemptRetentionMillis,
      maxBytes: configuration.attemptBytes, maxFolders: configuration.attemptFolders)
    while true {
      try await Task.sleep(for: AgentLimits.janitorInterval)
      let needed = await core.neededFolders
      // Many files to look at: not on a thread that the lease's renewal may need.
      let removed = try await NIOThreadPool.singleton.runIfActive {
        isolation.sweep()
        return janitor.sweep(keeping: needed, now: Clocks.wall())
      }
      if removed > 0 { logger.debug("removed old attempts", metadata: ["count": "\(removed)"]) }
    }
  }

  // MARK: Stopping

  /// Returns when the agent was asked to leave its tasks to the next process, and has. Throws only when cancelled.
  private func untilAskedToLeave(_ core: AgentCore) async throws {
    for await _ in leaving.stream {}
    try Task.checkCancellation()
    await core.leave()
  }

  /// Returns when the agent was asked to stop and has done so in order. Throws only when cancelled.
  private func untilAskedToStop(_ core: AgentCore) async throws {
    try await gracefulShutdown()
    let running = await core.activeCount
    logger.info("draining", metadata: ["tasks": "\(running)"])
    await core.drain()
    try await wait(.milliseconds(configuration.drainMillis)) { await core.activeCount == 0 }
    await core.stopAll(.terminate)
    try await wait(.milliseconds(JobSpec.Defaults.killGraceMillis)) { await core.activeCount == 0 }
    await core.stopAll(.now)
    await core.waitUntilNothingRuns()
    try await wait(AgentLimits.acknowledgementWait) { await core.unacknowledgedCount == 0 }
    let left = await core.unacknowledgedCount
    if left > 0 {
      logger.warning("results are not acknowledged yet; they are kept", metadata: ["results": "\(left)"])
    }
  }

  private func wait(_ limit: Duration, until done: () async -> Bool) async throws {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline, !(await done()) { try await Task.sleep(for: .milliseconds(20)) }
  }

  /// The last act, when all tasks are dead. Should it fail, the lease lapses by itself.
  private func giveBackLease(_ folder: DataFolder) async {
    guard let saved = SavedIncarnation.load(folder.incarnationFile) else { return }
    let etcd = self.etcd.with(requestTimeout: .seconds(2))
    let logger = self.logger
    // A task of its own: a cancelled caller must not keep the request from being sent.
    await Task {
      do {
        try await etcd.leaseRevoke(saved.lease)
        SavedIncarnation.delete(folder.incarnationFile)
      } catch {
        logger.warning("the lease could not be given back; it will lapse", metadata: ["error": "\(error)"])
      }
    }.value
  }
}
