/// The primitives of etcd's election recipe (`client/v3/concurrency/election.go`): every candidate puts
/// `<prefix>/<lease id in hex>` with its own lease; the candidate whose key is the oldest leads.
public struct Election: Sendable {
  /// Prefix without a trailing slash.
  public let prefix: String
  /// This candidate's lease.
  public let leaseID: Int64
  /// This candidate's key.
  public let key: String
  private let store: any EtcdStore

  /// Makes a candidate; nothing is written yet.
  public init(store: any EtcdStore, prefix: String, leaseID: Int64) {
    self.store = store
    self.prefix = prefix
    self.leaseID = leaseID
    key = prefix + "/" + String(UInt64(bitPattern: leaseID), radix: 16)
  }

  /// This candidate's place in the line.
  public struct Candidacy: Sendable, Hashable {
    /// The candidate's key.
    public let key: String
    /// Its create revision: the fencing token of a leader, and the order in which candidates lead.
    public let createRevision: Int64
  }

  /// Joins the line, or finds that this candidate stands in it already; the value is then brought up to date.
  public func campaign(_ value: [UInt8]) async throws(EtcdError) -> Candidacy {
    let response = try await store.txn(
      TxnRequest(
        compares: [.absent(key)],
        success: [.put(key: key, value: value, lease: leaseID)],
        failure: [.range(RangeRequest(.key(key)))]))
    if response.succeeded { return Candidacy(key: key, createRevision: response.revision) }
    guard case .range(let range)? = response.responses.first, let own = range.kvs.first else {
      throw EtcdError(
        code: .malformedResponse, message: "campaign for \(prefix): the key exists but was not returned",
        outcome: .notApplied)
    }
    let candidacy = Candidacy(key: key, createRevision: own.createRevision)
    if own.value != value { try await proclaim(value, as: candidacy) }
    return candidacy
  }

  /// The leader's pair: the oldest key of the line; nil when nobody stands.
  public func leader() async throws(EtcdError) -> KeyValue? {
    try await store.range(
      RangeRequest(.prefix(prefix + "/"), limit: 1, sort: RangeRequest.Sort(by: .createRevision))
    ).kvs.first
  }

  /// Whether this candidate leads now.
  public func isLeader(_ candidacy: Candidacy) async throws(EtcdError) -> Bool {
    guard let leader = try await leader() else { return false }
    return leader.key == candidacy.key && leader.createRevision == candidacy.createRevision
  }

  /// Changes this candidate's value without losing its place.
  ///
  /// - Throws: code `notFound` when the candidacy is over.
  public func proclaim(_ value: [UInt8], as candidacy: Candidacy) async throws(EtcdError) {
    let response = try await store.txn(
      TxnRequest(
        compares: [.incarnation(key, created: candidacy.createRevision)],
        success: [.put(key: key, value: value, lease: leaseID)]))
    guard response.succeeded else {
      throw EtcdError(
        code: .notFound, message: "proclaim for \(prefix): the candidacy \(key) is over", outcome: .notApplied
      )
    }
  }

  /// Leaves the line; the next candidate leads at once. Harmless when the candidacy is over.
  public func resign(_ candidacy: Candidacy) async throws(EtcdError) {
    try await store.txn(
      TxnRequest(
        compares: [.incarnation(key, created: candidacy.createRevision)], success: [.delete(.key(key))]))
  }
}
