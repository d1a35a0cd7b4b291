/// The data of ``FakeEtcd``: etcd's MVCC rules as a value, without locks, clocks or waiting.
struct FakeStorage {
  /// Orders and compares by bytes as etcd does; `String` compares by canonical equivalence.
  struct Key: Hashable, Comparable {
    let bytes: [UInt8]
    init(_ text: String) { bytes = Array(text.utf8) }
    init(bytes: [UInt8]) { self.bytes = bytes }
    var text: String { String(decoding: bytes, as: UTF8.self) }
    static func < (a: Key, b: Key) -> Bool {
      a.bytes.withUnsafeBytes { a in b.bytes.withUnsafeBytes { b in compareBytes(a, b) < 0 } }
    }
  }

  /// One change of one key; no pair means that it was deleted.
  private struct Version {
    let revision: Int64
    let kv: KeyValue?
  }

  struct Lease {
    let ttlSeconds: Int64
    var expires: Duration
    var keys: Set<Key> = []
  }

  /// All changes of one revision, in order; what watches read.
  struct LogEntry {
    let revision: Int64
    let events: [WatchEvent]
    /// Injected fault: watches never see it.
    var isLost: Bool
  }

  static let maxTxnOperations = 128

  private(set) var revision: Int64 = 1
  private(set) var compactRevision: Int64 = 0
  private(set) var log: [LogEntry] = []
  private(set) var leases: [Int64: Lease] = [:]
  private var order: [Key] = []
  private var history: [Key: [Version]] = [:]
  private var nextLease: Int64 = 7_000_000_000
  private var pending: [WatchEvent] = []
  var now: Duration = .zero
  /// How many of the coming revisions watches will not see.
  var revisionsToLose = 0

  // MARK: Reading

  private func refuse(_ code: EtcdError.Code, _ message: String) -> EtcdError {
    EtcdError(code: code, message: message, outcome: .notApplied)
  }

  func range(_ request: RangeRequest) throws(EtcdError) -> RangeResponse {
    guard !request.range.start.isEmpty else { throw refuse(.invalid, "key is not provided") }
    guard request.revision <= revision else {
      throw refuse(.futureRevision, "required revision is a future revision")
    }
    guard request.revision <= 0 || request.revision >= compactRevision else {
      var error = refuse(.compacted, "required revision has been compacted")
      error.compactRevision = compactRevision
      throw error
    }
    var found: [KeyValue] = []
    visit(request.range) { key in
      if let kv = value(key, at: request.revision) { found.append(kv) }
    }
    var response = RangeResponse(count: Int64(found.count), revision: revision)
    if request.countOnly { return response }
    if let sort = request.sort { found = sorted(found, by: sort) }
    if request.limit > 0, found.count > request.limit {
      found.removeLast(found.count - Int(request.limit))
      response.more = true
    }
    if request.keysOnly { for index in found.indices { found[index].value = [] } }
    response.kvs = found
    return response
  }

  private func sorted(_ kvs: [KeyValue], by sort: RangeRequest.Sort) -> [KeyValue] {
    let ascending: (KeyValue, KeyValue) -> Bool =
      switch sort.target {
      case .key: { Key($0.key) < Key($1.key) }
      case .version: { $0.version < $1.version }
      case .createRevision: { $0.createRevision < $1.createRevision }
      case .modRevision: { $0.modRevision < $1.modRevision }
      case .value: { Key(bytes: $0.value) < Key(bytes: $1.value) }
      }
    return kvs.sorted { sort.descending ? ascending($1, $0) : ascending($0, $1) }
  }

  private func visit(_ range: KeyRange, _ body: (Key) -> Void) {
    if range.isSingleKey { return body(Key(bytes: range.start)) }
    var index = position(of: Key(bytes: range.start))
    let end = Key(bytes: range.end)
    while index < order.count, range.isUnbounded || order[index] < end {
      body(order[index])
      index += 1
    }
  }

  /// Index of the first key not less than the given one.
  private func position(of key: Key) -> Int {
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if order[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The pair as of a revision; 0 is now, a transaction's own changes included.
  private func value(_ key: Key, at revision: Int64 = 0) -> KeyValue? {
    guard let versions = history[key] else { return nil }
    if revision <= 0 { return versions.last?.kv }
    return versions.last { $0.revision <= revision }?.kv
  }

  // MARK: Writing

  mutating func txn(_ request: TxnRequest) throws(EtcdError) -> TxnResponse {
    let limit = Self.maxTxnOperations
    guard max(request.compares.count, request.success.count, request.failure.count) <= limit else {
      throw refuse(.tooManyOperations, "too many operations in txn request")
    }
    try check(request.success)
    try check(request.failure)
    let succeeded = request.compares.allSatisfy(holds)
    let operations = succeeded ? request.success : request.failure
    for case .put(_, _, let lease) in operations where lease != 0 && leases[lease] == nil {
      throw refuse(.leaseNotFound, "requested lease not found")
    }
    for case .range(let request) in operations { _ = try range(request) }  // Revisions must be readable.
    var responses: [TxnResponse.Operation] = []
    for operation in operations {
      switch operation {
      case .put(let key, let value, let lease):
        put(Key(key), value, lease: lease)
        responses.append(.put)
      case .delete(let range): responses.append(.delete(deleted: delete(range)))
      case .range(let request): responses.append(.range(try self.range(request)))
      }
    }
    commit()
    responses = responses.map { response in
      guard case .range(var range) = response else { return response }
      range.revision = revision
      return .range(range)
    }
    return TxnResponse(succeeded: succeeded, revision: revision, responses: responses)
  }

  private func check(_ operations: [TxnOperation]) throws(EtcdError) {
    var puts: Set<Key> = []
    for case .put(let key, _, _) in operations {
      guard !key.isEmpty else { throw refuse(.invalid, "key is not provided") }
      guard puts.insert(Key(key)).inserted else {
        throw refuse(.invalid, "duplicate key given in txn request")
      }
    }
    for case .delete(let range) in operations {
      guard !range.start.isEmpty else { throw refuse(.invalid, "key is not provided") }
      guard !puts.contains(where: { range.contains($0.text) }) else {
        throw refuse(.invalid, "duplicate key given in txn request")
      }
    }
  }

  private func holds(_ compare: Compare) -> Bool {
    let kv = value(Key(compare.key))
    func relates<T: Equatable>(_ a: T, _ b: T, _ less: (T, T) -> Bool) -> Bool {
      switch compare.relation {
      case .equal: a == b
      case .notEqual: a != b
      case .less: less(a, b)
      case .greater: less(b, a)
      }
    }
    switch compare.target {
    case .createRevision(let wanted): return relates(kv?.createRevision ?? 0, wanted, <)
    case .modRevision(let wanted): return relates(kv?.modRevision ?? 0, wanted, <)
    case .version(let wanted): return relates(kv?.version ?? 0, wanted, <)
    case .lease(let wanted): return relates(kv?.lease ?? 0, wanted, <)
    case .value(let wanted):
      guard let kv else { return false }
      return relates(Key(bytes: kv.value), Key(bytes: wanted), <)
    }
  }

  private mutating func put(_ key: Key, _ value: [UInt8], lease: Int64) {
    let next = revision + 1
    let old = self.value(key)
    detach(key, from: old)
    let kv = KeyValue(
      key: key.text, value: value, createRevision: old?.createRevision ?? next, modRevision: next,
      version: (old?.version ?? 0) + 1, lease: lease)
    if history[key] == nil { order.insert(key, at: position(of: key)) }
    history[key, default: []].append(Version(revision: next, kv: kv))
    if lease != 0 { leases[lease]?.keys.insert(key) }
    pending.append(WatchEvent(kind: .put, kv: kv))
  }

  private mutating func delete(_ range: KeyRange) -> Int64 {
    var doomed: [Key] = []
    visit(range) { if value($0) != nil { doomed.append($0) } }
    for key in doomed {
      detach(key, from: value(key))
      history[key, default: []].append(Version(revision: revision + 1, kv: nil))
      let kv = KeyValue(key: key.text, modRevision: revision + 1)
      pending.append(WatchEvent(kind: .delete, kv: kv))
    }
    return Int64(doomed.count)
  }

  private mutating func detach(_ key: Key, from old: KeyValue?) {
    if let lease = old?.lease, lease != 0 { leases[lease]?.keys.remove(key) }
  }

  /// Ends a transaction; without changes the revision stays.
  private mutating func commit() {
    guard !pending.isEmpty else { return }
    revision += 1
    log.append(LogEntry(revision: revision, events: pending, isLost: revisionsToLose > 0))
    revisionsToLose = max(0, revisionsToLose - 1)
    pending = []
  }

  // MARK: History

  mutating func compact(_ wanted: Int64) throws(EtcdError) {
    guard wanted <= revision else { throw refuse(.futureRevision, "required revision is a future revision") }
    guard wanted > compactRevision else {
      throw refuse(.compacted, "required revision has been compacted")
    }
    compactRevision = wanted
    log.removeAll { $0.revision < wanted }
    for (key, versions) in history {
      guard let base = versions.lastIndex(where: { $0.revision <= wanted }) else { continue }
      let kept = Array(versions[base...])
      history[key] = kept.count == 1 && kept[0].kv == nil ? nil : kept
    }
    order.removeAll { history[$0] == nil }
  }

  /// Index of the first log entry not before a revision.
  func logIndex(from revision: Int64) -> Int {
    var (low, high) = (0, log.count)
    while low < high {
      let middle = (low + high) / 2
      if log[middle].revision < revision { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: Leases

  mutating func grant(ttlSeconds: Int64, id: Int64) throws(EtcdError) -> LeaseGrant {
    guard leases[id] == nil else { throw refuse(.leaseExists, "lease already exists") }
    var id = id
    if id == 0 {
      nextLease += 1
      id = nextLease
    }
    let ttl = max(1, ttlSeconds)
    leases[id] = Lease(ttlSeconds: ttl, expires: now + .seconds(ttl))
    return LeaseGrant(id: id, ttlSeconds: ttl, revision: revision)
  }

  mutating func keepAlive(_ id: Int64) -> Int64 {
    guard let lease = leases[id] else { return 0 }
    leases[id]?.expires = now + .seconds(lease.ttlSeconds)
    return lease.ttlSeconds
  }

  mutating func revoke(_ id: Int64) throws(EtcdError) {
    guard let lease = leases[id] else { throw refuse(.leaseNotFound, "requested lease not found") }
    for key in lease.keys.sorted() { _ = delete(KeyRange(start: key.bytes, end: [])) }
    commit()
    leases[id] = nil
  }

  func timeToLive(_ id: Int64, keys: Bool) -> LeaseStatus {
    guard let lease = leases[id] else { return LeaseStatus(id: id, ttlSeconds: -1, grantedTTLSeconds: 0) }
    return LeaseStatus(
      id: id, ttlSeconds: (lease.expires - now).components.seconds, grantedTTLSeconds: lease.ttlSeconds,
      keys: keys ? lease.keys.sorted().map(\.text) : [])
  }

  /// Lets time pass: leases that have run out end, each in its own revision, in order of their deadlines.
  mutating func advance(by duration: Duration) {
    now += duration
    let due = leases.filter { $0.value.expires <= now }
      .sorted { ($0.value.expires, $0.key) < ($1.value.expires, $1.key) }
    for (id, _) in due { try? revoke(id) }  // It exists, so there is nothing to fail.
  }
}
