import EtcdClient

/// One lease for many idempotency keys: a lease is used for new keys for an hour, and lives long
/// enough for the last of them.
actor LeaseBucket {
  private let store: any EtcdStore
  private var current: (lease: Int64, until: ContinuousClock.Instant)?
  private var granting: Task<Result<Int64, EtcdError>, Never>?

  init(store: any EtcdStore) { self.store = store }

  /// A lease with at least `ServerLimits.idempotencyMemory` left.
  func lease() async throws -> Int64 {
    if let current, current.until > .now { return current.lease }
    if let granting { return try await Self.value(of: granting) }
    let store = store
    let task = Task { () -> Result<Int64, EtcdError> in
      let ttl = ServerLimits.idempotencyMemory + ServerLimits.idempotencyLeaseUse
      do throws(EtcdError) {
        return .success(try await store.leaseGrant(ttlSeconds: ttl.components.seconds).id)
      } catch {
        return .failure(error)
      }
    }
    granting = task
    let result = await task.value
    granting = nil
    if case .success(let lease) = result { current = (lease, .now + ServerLimits.idempotencyLeaseUse) }
    return try await Self.value(of: task)
  }

  /// The current lease is gone from etcd, which may happen when etcd is restored from a backup.
  func discard() { current = nil }

  private static func value(of task: Task<Result<Int64, EtcdError>, Never>) async throws -> Int64 {
    switch await task.value {
    case .success(let lease): return lease
    case .failure(let error): throw ServiceError(error)
    }
  }
}
