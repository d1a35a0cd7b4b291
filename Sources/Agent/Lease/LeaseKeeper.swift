import EtcdClient
import Logging
import SchedulerCore

/// What the lease means to the rest of the agent.
protocol LeaseOwner: Sendable {
  /// The agent is this incarnation now.
  func incarnationBegan(_ createRevision: Int64, trustedUntil: Int64) async
  /// The lease was renewed.
  func leaseTrusted(until: Int64) async
  /// The lease or the key is gone: everything has to be killed. Returns when everything is dead.
  func incarnationEnded(_ why: String) async
}

/// Keeps the agent's key in etcd alive: one lease, renewed by single requests.
///
/// Trust in the lease is measured from the moment a request was *sent*, on the boot-time clock: whatever etcd does,
/// it cannot count the time to live from an earlier moment than that.
struct LeaseKeeper: Sendable {
  let store: any EtcdStore
  let key: String
  let record: AgentRecord
  let ttlSeconds: Int64
  let marginMillis: Int64
  let savedPath: String
  let logger: Logger
  /// CLOCK_BOOTTIME, nanoseconds.
  var clock: @Sendable () -> Int64 = Clocks.boot
  /// Waits; throws when the task was cancelled.
  var sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }

  /// A lease with the agent's key on it.
  struct Held: Hashable, Sendable {
    var lease: Int64
    var createRevision: Int64
    var trustedUntil: Int64
  }

  /// Registers, renews, and when all is lost starts over; until the task is cancelled.
  func run(_ owner: some LeaseOwner) async throws {
    var held = try await resume()
    if held == nil, let saved = SavedIncarnation.load(savedPath) {
      // What goes on of the earlier process belongs to an incarnation that is gone.
      await owner.incarnationEnded("the incarnation of the agent's earlier process is gone")
      SavedIncarnation.delete(savedPath)
      // As below.
      try? await short.leaseRevoke(saved.lease)
    }
    while true {
      let current: Held
      if let held { current = held } else { current = try await register() }
      held = nil
      await owner.incarnationBegan(current.createRevision, trustedUntil: current.trustedUntil)
      let why = try await keep(current, owner)
      logger.error(
        "the agent's lease is lost; killing its tasks",
        metadata: ["worker_id": "\(record.agentID)", "why": "\(why)"])
      await owner.incarnationEnded(why)
      SavedIncarnation.delete(savedPath)
      // The lease may still be there when only the key is gone; it must not linger, and may be gone already.
      try? await short.leaseRevoke(current.lease)
    }
  }

  /// One request must not take so long that there is no time for another.
  private var short: any EtcdStore {
    store.with(requestTimeout: .milliseconds(max(200, ttlSeconds * 1_000 / 4)))
  }

  private var retryMillis: Int64 { max(50, ttlSeconds * 1_000 / 12) }

  private func trust(sent: Int64, ttlSeconds: Int64) -> Int64 {
    sent + ttlSeconds * 1_000_000_000 - marginMillis * 1_000_000
  }

  // MARK: Going on after a restart

  /// Goes on with the incarnation of the earlier process if its lease and key are still there.
  func resume() async throws -> Held? {
    guard let saved = SavedIncarnation.load(savedPath), saved.agentID == record.agentID else { return nil }
    while true {
      do {
        return try await take(up: saved)
      } catch {
        logger.warning(
          "cannot ask etcd for the lease of the earlier process; trying again",
          metadata: ["error": "\(error)"])
        try await sleep(jittered(2 * retryMillis))
      }
    }
  }

  private func take(up saved: SavedIncarnation) async throws(EtcdError) -> Held? {
    let sent = clock()
    let ttl: Int64
    do { ttl = try await short.leaseKeepAlive(saved.lease) } catch {
      if error.code == .leaseNotFound { return nil }
      throw error
    }
    guard ttl > 0 else { return nil }
    guard let found = try await short.get(key), found.createRevision == saved.createRevision else {
      return nil
    }
    // Labels or slots may have changed with the restart.
    let value = record.encoded()
    if found.value != value {
      try await short.txn(
        TxnRequest(
          compares: [.incarnation(key, created: saved.createRevision)],
          success: [.put(key: key, value: value, lease: saved.lease)]))
    }
    logger.info("going on as the same incarnation", metadata: ["incarnation": "\(saved.createRevision)"])
    return Held(
      lease: saved.lease, createRevision: saved.createRevision,
      trustedUntil: trust(sent: sent, ttlSeconds: ttl))
  }

  // MARK: Registering

  private func register() async throws -> Held {
    while true {
      do {
        if let held = try await tryToRegister() { return held }
      } catch {
        // Whatever it is, the disk included: an agent that gives up would need somebody to start it again.
        logger.warning("cannot register in etcd; trying again", metadata: ["error": "\(error)"])
      }
      try await sleep(jittered(AgentLimits.registerRetryMillis))
    }
  }

  /// Nil when another agent holds the key.
  private func tryToRegister() async throws -> Held? {
    if let other = try await short.get(key) {
      complain(of: other)
      return nil
    }
    let sent = clock()
    let grant = try await short.leaseGrant(ttlSeconds: ttlSeconds)
    do {
      guard let revision = try await putKey(lease: grant.id) else {
        try? await short.leaseRevoke(grant.id)
        return nil
      }
      let saved = SavedIncarnation(agentID: record.agentID, lease: grant.id, createRevision: revision)
      try saved.save(savedPath)
      logger.info("registered", metadata: ["worker_id": "\(record.agentID)", "incarnation": "\(revision)"])
      let until = trust(sent: sent, ttlSeconds: min(grant.ttlSeconds, ttlSeconds))
      return Held(lease: grant.id, createRevision: revision, trustedUntil: until)
    } catch {
      // With its lease goes the key, should it have been written after all. If that fails the lease lapses.
      try? await short.leaseRevoke(grant.id)
      throw error
    }
  }

  /// The create revision of the new key; nil when there is one of somebody else.
  private func putKey(lease: Int64) async throws(EtcdError) -> Int64? {
    let response = try await short.txn(
      TxnRequest(
        compares: [.absent(key)], success: [.put(key: key, value: record.encoded(), lease: lease)],
        failure: [.range(RangeRequest(.key(key)))]))
    if response.succeeded { return response.revision }
    guard case .range(let range)? = response.responses.first, let found = range.kvs.first else { return nil }
    // A client that repeats a request after a broken connection may find its own key.
    if found.lease == lease { return found.createRevision }
    complain(of: found)
    return nil
  }

  private func complain(of other: KeyValue) {
    // A record that cannot be read is still somebody's.
    let host = (try? AgentRecord(decoding: other.value, key: record.agentID))?.host ?? "an unknown host"
    logger.warning(
      "agent id \(record.agentID) is held by \(host); waiting for it to lapse",
      metadata: ["lease": "\(String(other.lease, radix: 16))", "incarnation": "\(other.createRevision)"])
  }

  // MARK: Renewing

  /// Renews the lease until it is lost.
  ///
  /// - Returns: how it was lost.
  private func keep(_ held: Held, _ owner: some LeaseOwner) async throws -> String {
    let interval = Duration.milliseconds(max(200, ttlSeconds * 1_000 / 3))
    var failures = 0
    var renewals = 0
    try await sleep(interval)
    while true {
      let sent = clock()
      do {
        let ttl = try await short.leaseKeepAlive(held.lease)
        guard ttl > 0 else { return "the lease has lapsed" }
        await owner.leaseTrusted(until: trust(sent: sent, ttlSeconds: ttl))
        if failures > 0 { logger.info("the lease is renewed again", metadata: ["failures": "\(failures)"]) }
        failures = 0
        renewals += 1
        // Somebody may have deleted the key by hand: to the leader the agent is lost then.
        if renewals % 3 == 0, try await keyIsGone(held) {
          return "the agent's key in etcd is gone or replaced"
        }
        try await sleep(interval - .nanoseconds(min(clock() - sent, interval.nanoseconds)))
      } catch let error as EtcdError {
        if error.code == .leaseNotFound { return "the lease does not exist any more" }
        failures += 1
        if failures == 1 || failures % 20 == 0 {
          logger.warning(
            "cannot renew the lease; trying again",
            metadata: ["error": "\(error)", "failures": "\(failures)"])
        }
        try await sleep(jittered(retryMillis))
      }
    }
  }

  private func keyIsGone(_ held: Held) async throws(EtcdError) -> Bool {
    try await short.get(key)?.createRevision != held.createRevision
  }
}

extension Duration {
  /// In nanoseconds; meant for lengths of time of at most days.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}
