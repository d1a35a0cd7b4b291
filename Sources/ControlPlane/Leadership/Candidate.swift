import EtcdClient
import Logging
import SchedulerCore

/// Holds a server's lease: with it the server's own key, its candidacy for leadership and the segments that it is
/// given. Whether it leads and what it owns is decided by the replica from what the watch shows.
struct Candidate: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let keyspace: Keyspace
  let record: ServerRecord
  let ttlSeconds: Int64
  let logger: Logger

  /// Runs until the task is cancelled. Then its segments go to other servers, and with the lease its leadership.
  func run() async {
    var pause = ServerLimits.retryPause.lowerBound
    while !Task.isCancelled {
      do throws(EtcdError) {
        let lease = try await register()
        pause = ServerLimits.retryPause.lowerBound
        await hold(lease)
        // Not the cancelled task's: a planned leave is worth the moment that it takes.
        let isLeaving = Task.isCancelled
        await Task { await leave(lease, draining: isLeaving) }.value
      } catch {
        if Task.isCancelled { return }
        // While nobody leads, nobody else may notice.
        if error.code == .noSpace { replica.surroundings.metrics.noSpaceErrors.add(1) }
        logger.warning("the server cannot register in etcd; trying again", metadata: ["error": "\(error)"])
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, ServerLimits.retryPause.upperBound)
      }
    }
  }

  private func register() async throws(EtcdError) -> Int64 {
    let lease = try await store.leaseGrant(ttlSeconds: ttlSeconds).id
    var record = record
    record.lease = lease
    let candidate = record.encoded()
    record.figures = await replica.figures()
    try await store.put(keyspace.server(record.serverID), record.encoded(), lease: lease)
    try await store.put(keyspace.leader(lease: lease), candidate, lease: lease)
    await replica.stand(lease: lease)
    logger.info("the server is registered", metadata: ["lease": "\(String(lease, radix: 16))"])
    return lease
  }

  /// Returns when the lease is gone, or cannot be renewed before it must be taken as gone.
  private func hold(_ lease: Int64) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await keepAlive(lease) }
      group.addTask { await report(lease) }
      await group.next()
      group.cancelAll()
    }
  }

  private func keepAlive(_ lease: Int64) async {
    let clock = ContinuousClock()
    let ttl = Duration.seconds(ttlSeconds)
    var trustedUntil = clock.now + ttl
    var wait = ttl / 3
    while !Task.isCancelled {
      try? await Task.sleep(for: wait)
      if Task.isCancelled { return }
      let sent = clock.now
      do throws(EtcdError) {
        let left = try await store.with(requestTimeout: ttl / 3).leaseKeepAlive(lease)
        guard left > 0 else {
          logger.error("the server's lease has lapsed", metadata: ["lease": "\(String(lease, radix: 16))"])
          return
        }
        trustedUntil = sent + ttl
        wait = ttl / 3
      } catch {
        logger.warning("the server's lease was not renewed", metadata: ["error": "\(error)"])
        guard clock.now < trustedUntil else { return }
        wait = ttl / 12
      }
    }
  }

  // MARK: Figures

  /// Keeps the figures in the server's own key up to date, until the task is cancelled.
  private func report(_ lease: Int64) async {
    let clock = ContinuousClock()
    var written: ServerFigures?
    var writtenAt = clock.now
    while !Task.isCancelled {
      try? await Task.sleep(for: ServerLimits.figuresInterval)
      if Task.isCancelled { return }
      let figures = await replica.figures()
      var comparable = figures
      comparable.reportedAt = written?.reportedAt ?? figures.reportedAt
      guard comparable != written || clock.now >= writtenAt + ServerLimits.figuresRepeat else { continue }
      do throws(EtcdError) {
        try await write(figures, lease)
        (written, writtenAt) = (figures, clock.now)
      } catch {
        logger.info("the server's figures were not written", metadata: ["error": "\(error)"])
      }
    }
  }

  private func write(
    _ figures: ServerFigures, _ lease: Int64, draining: Bool = false
  ) async throws(EtcdError) {
    var record = record
    record.lease = lease
    record.draining = draining
    record.figures = figures
    try await store.put(keyspace.server(record.serverID), record.encoded(), lease: lease)
  }

  // MARK: Leaving

  private func leave(_ lease: Int64, draining: Bool) async {
    if draining { await drain(lease) }
    await replica.resign()
    await revoke(lease)
    // Agents that were sent away before would look for the next leader in vain, and wait.
    let clock = ContinuousClock()
    let end = clock.now + ServerLimits.handOverPatience
    while await replica.showsCandidate(lease), clock.now < end {
      try? await Task.sleep(for: ServerLimits.handOverPause)
    }
    await replica.endSessions()
  }

  /// Has the leader give this server's segments away, as long as there is another server to take them.
  private func drain(_ lease: Int64) async {
    guard await replica.canHandSegmentsOver else { return }
    do throws(EtcdError) {
      try await write(await replica.figures(), lease, draining: true)
    } catch {
      logger.warning(
        "the server cannot say that it leaves; its segments follow its lease",
        metadata: ["error": "\(error)"])
      return
    }
    let clock = ContinuousClock()
    let end = clock.now + ServerLimits.drainPatience
    while await replica.canHandSegmentsOver, clock.now < end {
      try? await Task.sleep(for: ServerLimits.drainPause)
    }
    let left = await replica.segmentsHeld
    if left > 0 {
      logger.warning("not all segments have moved in time", metadata: ["left": "\(left)"])
    }
  }

  private func revoke(_ lease: Int64) async {
    do throws(EtcdError) {
      try await store.leaseRevoke(lease)
    } catch {
      if error.code != .leaseNotFound {
        logger.warning("the lease could not be given back; it will lapse", metadata: ["error": "\(error)"])
      }
    }
  }
}
