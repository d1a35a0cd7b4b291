import Synchronization

/// An etcd in memory, for tests: the same rules of revisions, transactions, leases, watches and compaction (the
/// conformance suite runs against both), a clock that moves only by ``advance(by:)``, and faults on demand.
///
/// Not modelled: several members, authentication, quotas, and etcd's lower bound for the TTL of leases.
public final class FakeEtcd: EtcdStore {
  /// The methods that faults can be aimed at.
  public enum Operation: Sendable, Hashable, CaseIterable {
    /// One per method of ``EtcdStore`` that can fail.
    case range, put, delete, txn, leaseGrant, leaseKeepAlive, leaseRevoke, leaseTimeToLive, compact,
      maintenance
  }

  /// What goes wrong.
  public enum Fault: Sendable {
    /// Nothing happens, and the caller learns that.
    case failBefore(EtcdError.Code)
    /// Nothing happens, and the caller does not know.
    case loseRequest
    /// It happens, and the caller does not know.
    case loseResponse
    /// It happens, takes the last space, and is refused: the caller does not know.
    case takeLastSpace
  }

  struct State {
    var storage = FakeStorage()
    var faults: [(operations: Set<Operation>, fault: Fault, left: Int)] = []
    var isUnavailable = false
    var watchesStalled = false
    var progressRequests = 0
    var gate: (@Sendable (Operation) async -> Void)?
    var counts: [Operation: Int] = [:]
    var alarms: [Alarm] = []
    var waiters: [ObjectIdentifier: UnsafeContinuation<Void, Never>] = [:]
  }

  private let state = Mutex(State())

  /// Makes an empty store at revision 1.
  public init() {}

  // MARK: Control

  /// Moves the clock: leases run out.
  public func advance(by duration: Duration) { change { $0.storage.advance(by: duration) } }

  /// The next `count` requests of those kinds meet a fault.
  public func inject(_ fault: Fault, on operations: Set<Operation> = [.txn], count: Int = 1) {
    change { $0.faults.append((operations, fault, count)) }
  }

  /// While true every request fails with `unavailable`, not applied, and watches are silent.
  public func setUnavailable(_ unavailable: Bool) { change { $0.isUnavailable = unavailable } }

  /// While true watches are silent, as a hung stream is; what happened meanwhile comes afterwards.
  public func stallWatches(_ stalled: Bool) { change { $0.watchesStalled = stalled } }

  /// Watches will never see the next `count` revisions, as with a faulty etcd.
  public func loseWatchRevisions(_ count: Int) { change { $0.storage.revisionsToLose = count } }

  /// All watches deliver a progress batch once they have caught up.
  public func sendProgress() { change { $0.progressRequests += 1 } }

  /// Raises alarms. While NOSPACE is raised all that adds something is refused, as by etcd: puts, transactions with puts,
  /// and new leases.
  public func setAlarms(_ alarms: [Alarm]) { change { $0.alarms = alarms } }

  /// Every request awaits this closure before it is looked at: for holding requests back. Nil removes it.
  public func setGate(_ gate: (@Sendable (Operation) async -> Void)?) { change { $0.gate = gate } }

  /// How many requests of a kind came, failed ones included.
  public func count(of operation: Operation) -> Int { state.withLock { $0.counts[operation, default: 0] } }

  /// The store's revision.
  public var revision: Int64 { state.withLock { $0.storage.revision } }

  /// Returns this store: there is nothing to wait for.
  public func with(requestTimeout: Duration) -> FakeEtcd { self }

  // MARK: Keys

  /// Reads keys.
  public func range(_ request: RangeRequest) async throws(EtcdError) -> RangeResponse {
    try await perform(.range) { storage throws(EtcdError) in try storage.range(request) }
  }

  /// Writes one key.
  @discardableResult
  public func put(_ key: String, _ value: [UInt8], lease: Int64) async throws(EtcdError) -> Int64 {
    try await perform(.put, adds: true) { storage throws(EtcdError) in
      try storage.txn(TxnRequest(success: [.put(key: key, value: value, lease: lease)])).revision
    }
  }

  /// Deletes keys.
  @discardableResult
  public func delete(_ range: KeyRange) async throws(EtcdError) -> DeleteResponse {
    try await perform(.delete) { storage throws(EtcdError) in
      let response = try storage.txn(TxnRequest(success: [.delete(range)]))
      guard case .delete(let deleted)? = response.responses.first else {
        return DeleteResponse(deleted: 0, revision: response.revision)
      }
      return DeleteResponse(deleted: deleted, revision: response.revision)
    }
  }

  /// Does a transaction.
  @discardableResult
  public func txn(_ request: TxnRequest) async throws(EtcdError) -> TxnResponse {
    let adds = (request.success + request.failure).contains { if case .put = $0 { true } else { false } }
    return try await perform(.txn, adds: adds) { storage throws(EtcdError) in try storage.txn(request) }
  }

  /// Starts watching.
  public func watch(_ request: WatchRequest) -> any EtcdWatch { FakeWatch(store: self, request: request) }

  /// Discards history before a revision.
  public func compact(revision: Int64, physical: Bool) async throws(EtcdError) {
    try await perform(.compact) { storage throws(EtcdError) in try storage.compact(revision) }
  }

  // MARK: Leases

  /// Grants a lease.
  public func leaseGrant(ttlSeconds: Int64, id: Int64) async throws(EtcdError) -> LeaseGrant {
    try await perform(.leaseGrant, adds: true) { storage throws(EtcdError) in
      try storage.grant(ttlSeconds: ttlSeconds, id: id)
    }
  }

  /// Renews a lease.
  public func leaseKeepAlive(_ id: Int64) async throws(EtcdError) -> Int64 {
    try await perform(.leaseKeepAlive) { storage throws(EtcdError) in storage.keepAlive(id) }
  }

  /// Ends a lease and deletes its keys.
  public func leaseRevoke(_ id: Int64) async throws(EtcdError) {
    try await perform(.leaseRevoke) { storage throws(EtcdError) in try storage.revoke(id) }
  }

  /// Looks at a lease.
  public func leaseTimeToLive(_ id: Int64, keys: Bool) async throws(EtcdError) -> LeaseStatus {
    try await perform(.leaseTimeToLive) { storage throws(EtcdError) in storage.timeToLive(id, keys: keys) }
  }

  // MARK: Maintenance

  /// A single healthy member.
  public func status() async throws(EtcdError) -> MemberStatus {
    try await perform(.maintenance) { storage throws(EtcdError) in
      var status = MemberStatus()
      status.version = "3.4.0-fake"
      status.leader = 1
      status.memberID = 1
      status.revision = storage.revision
      return status
    }
  }

  /// The single member, wherever it is asked.
  public func status(at url: String) async throws(EtcdError) -> MemberStatus { try await status() }

  /// A single member.
  public func members() async throws(EtcdError) -> [Member] {
    try await perform(.maintenance) { _ throws(EtcdError) in
      var member = Member()
      member.id = 1
      member.name = "fake"
      member.clientURLs = ["http://fake"]
      return [member]
    }
  }

  /// The alarms set by ``setAlarms(_:)``.
  public func alarms() async throws(EtcdError) -> [Alarm] {
    try await perform(.maintenance) { _ throws(EtcdError) in () }
    return state.withLock { $0.alarms }
  }

  /// Takes an alarm back.
  public func disarm(_ alarm: Alarm) async throws(EtcdError) {
    try await perform(.maintenance) { _ throws(EtcdError) in () }
    change { $0.alarms.removeAll { $0 == alarm } }
  }

  /// Does nothing.
  public func defragment(at url: String) async throws(EtcdError) {
    try await perform(.maintenance) { _ throws(EtcdError) in () }
  }

  // MARK: Mechanics

  private func perform<Value: Sendable>(
    _ operation: Operation, adds: Bool = false, _ body: (inout FakeStorage) throws(EtcdError) -> Value
  ) async throws(EtcdError) -> Value {
    let gate = state.withLock { state in
      state.counts[operation, default: 0] += 1
      return state.gate
    }
    await gate?(operation)
    var waiters: [UnsafeContinuation<Void, Never>] = []
    let result: Result<Value, EtcdError> = state.withLock { state in
      let fault = Self.takeFault(for: operation, from: &state)
      do throws(EtcdError) {
        if adds, state.alarms.contains(where: { $0.kind == .noSpace }) {
          throw EtcdError(
            code: .noSpace, message: "etcdserver: mvcc: database space exceeded", outcome: .unknown)
        }
        try Self.failBefore(operation, fault, state)
        let value = try body(&state.storage)
        waiters = Self.takeWaiters(from: &state)
        if case .loseResponse? = fault { throw Self.lost(operation) }
        if case .takeLastSpace? = fault {
          throw EtcdError(code: .noSpace, message: "\(operation): injected fault", outcome: .unknown)
        }
        return .success(value)
      } catch {
        return .failure(error)
      }
    }
    for waiter in waiters { waiter.resume() }
    return try result.get()
  }

  private static func takeFault(for operation: Operation, from state: inout State) -> Fault? {
    guard let index = state.faults.firstIndex(where: { $0.operations.contains(operation) }) else {
      return nil
    }
    state.faults[index].left -= 1
    let fault = state.faults[index].fault
    if state.faults[index].left <= 0 { state.faults.remove(at: index) }
    return fault
  }

  private static func failBefore(
    _ operation: Operation, _ fault: Fault?, _ state: State
  ) throws(EtcdError) {
    if state.isUnavailable {
      throw EtcdError(
        code: .unavailable, message: "\(operation): the fake is unavailable", outcome: .notApplied)
    }
    switch fault {
    case .failBefore(let code):
      throw EtcdError(code: code, message: "\(operation): injected fault", outcome: .notApplied)
    case .loseRequest: throw lost(operation)
    case .loseResponse, .takeLastSpace, nil: break
    }
  }

  private static func lost(_ operation: Operation) -> EtcdError {
    EtcdError(code: .timeout, message: "\(operation): injected fault, no answer", outcome: .unknown)
  }

  private func change(_ body: (inout State) -> Void) {
    let waiters = state.withLock { state in
      body(&state)
      return Self.takeWaiters(from: &state)
    }
    for waiter in waiters { waiter.resume() }
  }

  private static func takeWaiters(from state: inout State) -> [UnsafeContinuation<Void, Never>] {
    defer { state.waiters.removeAll() }
    return Array(state.waiters.values)
  }

  // MARK: For watches

  /// Looks at the state; when there is nothing, waits for the next change of any kind.
  func poll<Value: Sendable>(
    for watch: AnyObject, _ body: @Sendable (borrowing State) -> Value?
  ) async -> Value? {
    if let value = state.withLock({ body($0) }) { return value }
    let id = ObjectIdentifier(watch)
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      let isReady = state.withLock { state in
        if body(state) != nil { return true }
        state.waiters[id] = continuation
        return false
      }
      if isReady { continuation.resume() }
    }
    return state.withLock { body($0) }
  }

  func wake(_ watch: AnyObject) {
    state.withLock { $0.waiters.removeValue(forKey: ObjectIdentifier(watch)) }?.resume()
  }
}
