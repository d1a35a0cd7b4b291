import EtcdClient
import Logging
import SchedulerCore

/// Holds a server's lease: with it the server's own key and its candidacy for leadership. Whether it
/// leads is decided by the replica from what the watch shows.
struct Candidate: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let keyspace: Keyspace
  let record: ServerRecord
  let ttlSeconds: Int64
  let logger: Logger

  /// Runs until the task is cancelled, then gives the lease back, so that another server leads at once.
  func run() async {
    var pause = ServerLimits.retryPause.lowerBound
    while !Task.isCancelled {
      do throws(EtcdError) {
        let lease = try await register()
        pause = ServerLimits.retryPause.lowerBound
        await keepAlive(lease)
        await replica.stand(lease: nil)
        await revoke(lease)
      } catch {
        if Task.isCancelled { return }
        logger.warning("the server cannot register in etcd; trying again", metadata: ["error": "\(error)"])
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, ServerLimits.retryPause.upperBound)
      }
    }
  }

  private func register() async throws(EtcdError) -> Int64 {
    let lease = try await store.leaseGrant(ttlSeconds: ttlSeconds).id
    let value = record.encoded()
    try await store.put(keyspace.server(record.serverID), value, lease: lease)
    try await store.put(keyspace.leader(lease: lease), value, lease: lease)
    await replica.stand(lease: lease)
    logger.info("the server is registered", metadata: ["lease": "\(String(lease, radix: 16))"])
    return lease
  }

  /// Returns when the lease is gone, or cannot be renewed before it must be taken as gone.
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

  private func revoke(_ lease: Int64) async {
    // Not the cancelled task's: a planned leave is worth the moment it takes.
    let store = store
    let logger = logger
    await Task {
      do throws(EtcdError) {
        try await store.leaseRevoke(lease)
      } catch {
        if error.code != .leaseNotFound {
          logger.warning("the lease could not be given back; it will lapse", metadata: ["error": "\(error)"])
        }
      }
    }.value
  }
}
