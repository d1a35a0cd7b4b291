import Curl
import Logging

/// An etcd v3 cluster through its HTTP/JSON gateway (`/v3/...`, etcd 3.4 and later).
///
/// Requests stick to one endpoint and move on when it fails. Reads are repeated within their deadline. A write is
/// repeated only when it certainly did not happen: nothing of it was sent, or etcd refused it.
public final class EtcdClient: EtcdStore {
  /// Where the cluster is and how to talk to it.
  public struct Configuration: Sendable {
    /// Base URLs such as `http://10.0.0.1:2379`, without a path; tried in this order.
    public var endpoints: [String]
    /// Time for one request, retries included.
    public var requestTimeout: Duration = .seconds(5)
    /// Time to connect to one endpoint, TLS included.
    public var connectTimeout: Duration = .seconds(2)
    /// Requests in progress per endpoint; more wait (for their deadline at most).
    public var maxConcurrentRequests = 64
    /// Requests that may wait; past it they fail with `overloaded`.
    public var maxQueuedRequests = 8192
    /// Certificates, for `https` endpoints.
    public var tls: TLSOptions?
    /// User and password, when etcd has authentication enabled. Never logged.
    public var user: HTTPRequest.UserPassword?

    /// Makes a configuration with defaults.
    public init(endpoints: [String]) { self.endpoints = endpoints }
  }

  private let gateway: Gateway
  private let requestTimeout: Duration

  /// Makes a client; it connects with the first request.
  ///
  /// - Throws: code `invalid` for an unusable endpoint, `other` when libcurl cannot be set up.
  public init(configuration: Configuration, logger: Logger) throws(EtcdError) {
    gateway = try Gateway(configuration: configuration, logger: logger)
    requestTimeout = configuration.requestTimeout
  }

  private init(gateway: Gateway, requestTimeout: Duration) {
    self.gateway = gateway
    self.requestTimeout = requestTimeout
  }

  /// Ends all requests and watches, of this client and those made from it, with code `cancelled`.
  public func shutdown() async { await gateway.shutdown() }

  /// A client on the same connections with another deadline per request.
  public func with(requestTimeout: Duration) -> EtcdClient {
    EtcdClient(gateway: gateway, requestTimeout: requestTimeout)
  }

  /// The endpoint that the next request goes to.
  public var currentEndpoint: String { gateway.currentEndpoint.url }

  // MARK: Keys

  /// Reads keys.
  public func range(_ request: RangeRequest) async throws(EtcdError) -> RangeResponse {
    try await call(
      "range \(request.range)", "kv/range", RequestEncoding.range(request), .read, ResponseDecoding.range)
  }

  /// Writes one key; returns the revision of the write.
  @discardableResult
  public func put(_ key: String, _ value: [UInt8], lease: Int64) async throws(EtcdError) -> Int64 {
    try await call(
      "put \(key)", "kv/put", RequestEncoding.put(key, value, lease: lease), .write,
      ResponseDecoding.headerOnly)
  }

  /// Deletes keys.
  @discardableResult
  public func delete(_ range: KeyRange) async throws(EtcdError) -> DeleteResponse {
    try await call(
      "delete \(range)", "kv/deleterange", RequestEncoding.delete(range), .write, ResponseDecoding.delete)
  }

  /// Does a transaction.
  @discardableResult
  public func txn(_ request: TxnRequest) async throws(EtcdError) -> TxnResponse {
    try await call(
      "txn", "kv/txn", RequestEncoding.txn(request), request.isReadOnly ? .read : .write,
      ResponseDecoding.txn)
  }

  /// Discards history before a revision.
  public func compact(revision: Int64, physical: Bool) async throws(EtcdError) {
    let body = RequestEncoding.compact(revision: revision, physical: physical)
    _ = try await call(
      "compact at \(revision)", "kv/compaction", body, .write, ResponseDecoding.headerOnly)
  }

  /// Starts watching.
  public func watch(_ request: WatchRequest) -> any EtcdWatch {
    GatewayWatch(request: request, gateway: gateway)
  }

  // MARK: Leases

  /// Grants a lease.
  public func leaseGrant(ttlSeconds: Int64, id: Int64) async throws(EtcdError) -> LeaseGrant {
    try await call(
      "lease grant", "lease/grant", RequestEncoding.leaseGrant(ttlSeconds: ttlSeconds, id: id),
      Gateway.Kind.write.urgently, ResponseDecoding.leaseGrant)
  }

  /// Renews a lease with one request: streamed renewals through the gateway are known to lose answers.
  ///
  /// Repeating a renewal is harmless, so it is retried like a read.
  public func leaseKeepAlive(_ id: Int64) async throws(EtcdError) -> Int64 {
    try await call(
      "lease keepalive", "lease/keepalive", RequestEncoding.lease(id), Gateway.Kind.read.urgently
    ) { (scanner) throws(WireError) in
      // A stream of one answer: {"result": {...}} or {"error": {...}}.
      var ttl: Int64 = 0
      try scanner.object { (scanner, name) throws(WireError) in
        switch name {
        case "result": ttl = try ResponseDecoding.leaseGrant(&scanner).ttlSeconds
        case "error":
          let failure = try ResponseDecoding.failure(&scanner)
          throw WireError(offset: scanner.index, reason: "keepalive answered \(failure.message)")
        default: try scanner.skip()
        }
      }
      return max(0, ttl)
    }
  }

  /// Ends a lease and deletes its keys.
  public func leaseRevoke(_ id: Int64) async throws(EtcdError) {
    _ = try await call(
      "lease revoke", "lease/revoke", RequestEncoding.lease(id), Gateway.Kind.write.urgently,
      ResponseDecoding.headerOnly)
  }

  /// Looks at a lease.
  public func leaseTimeToLive(_ id: Int64, keys: Bool) async throws(EtcdError) -> LeaseStatus {
    try await call(
      "lease time to live", "lease/timetolive", RequestEncoding.lease(id, keys: keys), .read,
      ResponseDecoding.leaseStatus)
  }

  // MARK: Maintenance

  /// Asks the current endpoint for its state.
  public func status() async throws(EtcdError) -> MemberStatus {
    try await call("status", "maintenance/status", Array("{}".utf8), .read, ResponseDecoding.memberStatus)
  }

  /// Asks one member for its state, at one of its client URLs and nowhere else.
  public func status(at url: String) async throws(EtcdError) -> MemberStatus {
    let answer = try await gateway.callOnce(
      "status", at: url, path: "maintenance/status", body: Array("{}".utf8), timeout: requestTimeout)
    return try Self.decoded("status", answer, .read, ResponseDecoding.memberStatus)
  }

  /// Lists the cluster's members.
  public func members() async throws(EtcdError) -> [Member] {
    try await call("member list", "cluster/member/list", Array("{}".utf8), .read, ResponseDecoding.members)
  }

  /// Lists raised alarms.
  public func alarms() async throws(EtcdError) -> [Alarm] {
    try await call(
      "alarm list", "maintenance/alarm", RequestEncoding.alarm(disarm: nil), .read, ResponseDecoding.alarms)
  }

  /// Takes an alarm back.
  public func disarm(_ alarm: Alarm) async throws(EtcdError) {
    _ = try await call(
      "alarm disarm", "maintenance/alarm", RequestEncoding.alarm(disarm: alarm), .write,
      ResponseDecoding.headerOnly)
  }

  /// Gives unused database space of one member back, at one of its client URLs and nowhere else.
  public func defragment(at url: String) async throws(EtcdError) {
    let answer = try await gateway.callOnce(
      "defragment", at: url, path: "maintenance/defragment", body: Array("{}".utf8), timeout: requestTimeout)
    _ = try Self.decoded("defragment", answer, .write, ResponseDecoding.headerOnly)
  }

  // MARK: One way out

  private func call<Value>(
    _ operation: @autoclosure () -> String, _ path: String, _ body: [UInt8], _ kind: Gateway.Kind,
    _ decode: (inout GatewayScanner) throws(WireError) -> Value
  ) async throws(EtcdError) -> Value {
    let answer = try await gateway.call(
      operation(), path: path, body: body, kind: kind, timeout: requestTimeout)
    return try Self.decoded(operation(), answer, kind, decode)
  }

  private static func decoded<Value>(
    _ operation: @autoclosure () -> String, _ answer: [UInt8], _ kind: Gateway.Kind,
    _ decode: (inout GatewayScanner) throws(WireError) -> Value
  ) throws(EtcdError) -> Value {
    do {
      return try ResponseDecoding.whole(answer, decode)
    } catch {
      // It did answer 200, so a write was applied as far as we know, but what it did is not known.
      throw EtcdError(
        code: .malformedResponse,
        message: "\(operation()): the answer cannot be understood: \(error.reason) at byte \(error.offset)",
        outcome: kind.isWrite ? .unknown : .notApplied)
    }
  }
}
