/// Why an etcd operation failed, and whether a write may have happened all the same.
public struct EtcdError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure; extensible, so switch with a default.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    /// Stable name, usable as a metric label.
    public let description: String
    /// Makes a code by name.
    public init(_ name: String) { description = name }

    /// No endpoint can serve the request now: unreachable, no leader, shutting down.
    public static let unavailable = Code("unavailable")
    /// The deadline passed, here or in etcd.
    public static let timeout = Code("timeout")
    /// The revision has been compacted away: list again.
    public static let compacted = Code("compacted")
    /// The revision is newer than the store.
    public static let futureRevision = Code("future_revision")
    /// The lease does not exist: it was revoked or has expired.
    public static let leaseNotFound = Code("lease_not_found")
    /// A lease with that id exists already.
    public static let leaseExists = Code("lease_exists")
    /// The database quota is used up.
    public static let noSpace = Code("no_space")
    /// More operations than `--max-txn-ops`.
    public static let tooManyOperations = Code("too_many_operations")
    /// The request is larger than `--max-request-bytes`.
    public static let requestTooLarge = Code("request_too_large")
    /// etcd is overloaded and refused the request, or the local queue is full.
    public static let overloaded = Code("overloaded")
    /// Wrong user or password, or the token was not accepted even after renewal.
    public static let unauthenticated = Code("unauthenticated")
    /// The user may not do this.
    public static let permissionDenied = Code("permission_denied")
    /// The request makes no sense to etcd (or to this client).
    public static let invalid = Code("invalid")
    /// What is addressed does not exist.
    public static let notFound = Code("not_found")
    /// etcd has detected corruption.
    public static let corrupt = Code("corrupt")
    /// The calling task was cancelled, or the client or watch was closed.
    public static let cancelled = Code("cancelled")
    /// The answer could not be understood.
    public static let malformedResponse = Code("malformed_response")
    /// Any other failure.
    public static let other = Code("other")
  }

  /// What is known about the effect of the request.
  public enum Outcome: Sendable, Hashable {
    /// Nothing was changed.
    case notApplied
    /// A write may or may not have been applied. Reads are always ``notApplied``.
    case unknown
  }

  /// What kind of failure.
  public var code: Code
  /// Operation, endpoint and reason in one line; never a value or password.
  public var message: String
  /// Whether a write may have been applied.
  public var outcome: Outcome
  /// With code `compacted`: the oldest revision that can still be read, 0 when etcd did not say.
  public var compactRevision: Int64

  /// Makes an error.
  public init(code: Code, message: String, outcome: Outcome, compactRevision: Int64 = 0) {
    self.code = code
    self.message = message
    self.outcome = outcome
    self.compactRevision = compactRevision
  }

  /// Code and message in one line.
  public var description: String {
    "etcd \(code): \(message)\(outcome == .unknown ? " (the write may have been applied)" : "")"
  }
}

extension EtcdError {
  /// What etcd's own error says, by gRPC code (google.rpc.Code) and message text
  /// (`etcd/api/v3rpc/rpctypes/error.go`, the same texts since 3.0).
  static func codeForServer(grpcCode: Int, message: String) -> (code: Code, refused: Bool) {
    // What takes the last space is written, and refused all the same (`quotaApplierV3` in etcd's apply.go).
    for (text, code) in knownTexts where message.contains(text) { return (code, code != .noSpace) }
    switch grpcCode {
    case 1: return (.cancelled, false)
    case 3, 9, 12: return (.invalid, true)
    case 4: return (.timeout, false)
    case 5: return (.notFound, true)
    case 7: return (.permissionDenied, true)
    case 8: return (.overloaded, true)
    case 11: return (.invalid, true)
    case 14: return (message.contains("timed out") ? .timeout : .unavailable, false)
    case 15: return (.corrupt, false)
    case 16: return (.unauthenticated, true)
    default: return (.other, false)
    }
  }

  /// Texts with which etcd refuses a request.
  private static let knownTexts: [(String, Code)] = [
    ("required revision has been compacted", .compacted),
    ("required revision is a future revision", .futureRevision),
    ("requested lease not found", .leaseNotFound),
    ("lease already exists", .leaseExists),
    ("database space exceeded", .noSpace),
    ("too many operations in txn request", .tooManyOperations),
    ("request is too large", .requestTooLarge),
    ("trying to send message larger than max", .requestTooLarge),
    ("too many requests", .overloaded),
    ("invalid auth token", .unauthenticated),
    ("user name is empty", .unauthenticated),
    ("revision in header is old", .unauthenticated),
    ("invalid user ID or password", .unauthenticated),
    ("permission denied", .permissionDenied),
    ("corrupt cluster", .corrupt),
  ]
}
