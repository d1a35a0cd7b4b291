/// An etcd v3 store: a real cluster (``EtcdClient``) or one in memory for tests (``FakeEtcd``).
///
/// Every method throws ``EtcdError``. Methods that write say in `outcome` whether the write may have happened.
public protocol EtcdStore: Sendable {
  /// Reads keys.
  func range(_ request: RangeRequest) async throws(EtcdError) -> RangeResponse

  /// Writes one key, attached to a lease unless that is 0; returns the revision of the write.
  @discardableResult
  func put(_ key: String, _ value: [UInt8], lease: Int64) async throws(EtcdError) -> Int64

  /// Deletes keys.
  @discardableResult
  func delete(_ range: KeyRange) async throws(EtcdError) -> DeleteResponse

  /// Does a transaction.
  @discardableResult
  func txn(_ request: TxnRequest) async throws(EtcdError) -> TxnResponse

  /// Grants a lease; etcd chooses the id when it is 0.
  func leaseGrant(ttlSeconds: Int64, id: Int64) async throws(EtcdError) -> LeaseGrant

  /// Renews a lease once; returns the seconds that it now has, 0 when the lease does not exist.
  func leaseKeepAlive(_ id: Int64) async throws(EtcdError) -> Int64

  /// Ends a lease and deletes its keys.
  func leaseRevoke(_ id: Int64) async throws(EtcdError)

  /// Looks at a lease.
  func leaseTimeToLive(_ id: Int64, keys: Bool) async throws(EtcdError) -> LeaseStatus

  /// Starts watching. Errors, connection failures included, come out of the watch itself.
  func watch(_ request: WatchRequest) -> any EtcdWatch

  /// Discards history before a revision; `physical` waits until it is gone from the database.
  func compact(revision: Int64, physical: Bool) async throws(EtcdError)

  /// Asks the current endpoint for its state.
  func status() async throws(EtcdError) -> MemberStatus

  /// Asks one member for its state, at one of its client URLs and nowhere else.
  func status(at url: String) async throws(EtcdError) -> MemberStatus

  /// Lists the cluster's members.
  func members() async throws(EtcdError) -> [Member]

  /// Lists raised alarms.
  func alarms() async throws(EtcdError) -> [Alarm]

  /// Takes an alarm back.
  func disarm(_ alarm: Alarm) async throws(EtcdError)

  /// Gives unused database space of one member back, at one of its client URLs and nowhere else; blocks that member
  /// meanwhile.
  func defragment(at url: String) async throws(EtcdError)

  /// The same store with another deadline per request.
  func with(requestTimeout: Duration) -> Self
}

extension EtcdStore {
  /// Reads one key; nil when it does not exist.
  public func get(_ key: String, serializable: Bool = false) async throws(EtcdError) -> KeyValue? {
    try await range(RangeRequest(.key(key), serializable: serializable)).kvs.first
  }

  /// Writes one key without a lease.
  @discardableResult
  public func put(_ key: String, _ value: [UInt8]) async throws(EtcdError) -> Int64 {
    try await put(key, value, lease: 0)
  }

  /// Grants a lease with an id of etcd's choice.
  public func leaseGrant(ttlSeconds: Int64) async throws(EtcdError) -> LeaseGrant {
    try await leaseGrant(ttlSeconds: ttlSeconds, id: 0)
  }

  /// Looks at a lease without its keys.
  public func leaseTimeToLive(_ id: Int64) async throws(EtcdError) -> LeaseStatus {
    try await leaseTimeToLive(id, keys: false)
  }

  /// Reads a whole range page by page, all pages at one revision, so that nothing large is held at once.
  ///
  /// - Parameters:
  ///   - pageSize: most pairs per page, at least 1. With values of 1 KB, 1,000 make pages of 1.5 MB.
  ///   - revision: read at this revision; 0 takes the newest at the first page.
  ///   - page: gets each page, in key order. What it throws ends the listing.
  /// - Returns: the revision that was read; watch from the next one.
  /// - Throws: ``EtcdError``, with code `compacted` when the listing took so long that its revision is gone.
  @discardableResult
  public func list(
    _ range: KeyRange, pageSize: Int64 = 1_000, revision: Int64 = 0, keysOnly: Bool = false,
    serializable: Bool = false, page: ([KeyValue]) async throws(EtcdError) -> Void
  ) async throws(EtcdError) -> Int64 {
    var request = RangeRequest(
      range, limit: max(1, pageSize), revision: revision, keysOnly: keysOnly, serializable: serializable)
    while true {
      let response = try await self.range(request)
      if request.revision == 0 { request.revision = response.revision }
      if !response.kvs.isEmpty { try await page(response.kvs) }
      guard response.more, !range.isSingleKey, let last = response.kvs.last else { return request.revision }
      request.range = KeyRange(start: Array(last.key.utf8) + [0], end: range.end)
    }
  }

  /// Pages through all keys with a prefix; see ``list(_:pageSize:revision:keysOnly:serializable:page:)``.
  @discardableResult
  public func list(
    prefix: String, pageSize: Int64 = 1_000, page: ([KeyValue]) async throws(EtcdError) -> Void
  ) async throws(EtcdError) -> Int64 {
    try await list(.prefix(prefix), pageSize: pageSize, page: page)
  }
}
