import EtcdClient
import SchedulerCore

/// Why a call of the API failed, for REST and gRPC alike.
struct ServiceError: Error, Hashable, CustomStringConvertible {
  /// What kind of failure.
  enum Kind: Hashable {
    case invalid, notFound, alreadyExists, failedPrecondition, stale, aborted, outOfRange, overloaded,
      unavailable, noSpace, limited, overQuota, unauthenticated, permissionDenied, internalError
  }

  var kind: Kind
  /// The field that is to blame; nil where none is.
  var field: String?
  /// A sentence for the caller.
  var message: String
  /// When to try again, milliseconds; nil for what is usual for the kind.
  var retryMillis: Int64?

  var description: String { field.map { "\($0): \(message)" } ?? message }

  static func invalid(_ field: String, _ message: String) -> ServiceError {
    ServiceError(kind: .invalid, field: field, message: message)
  }
  static func invalid(_ error: FieldError) -> ServiceError {
    ServiceError(kind: .invalid, field: error.field, message: error.message)
  }
  static func notFound(_ message: String) -> ServiceError { ServiceError(kind: .notFound, message: message) }
  static func alreadyExists(_ field: String, _ message: String) -> ServiceError {
    ServiceError(kind: .alreadyExists, field: field, message: message)
  }
  static func failedPrecondition(_ message: String) -> ServiceError {
    ServiceError(kind: .failedPrecondition, message: message)
  }
  /// What the caller wants to change has changed since the caller looked.
  static func stale(_ message: String) -> ServiceError {
    ServiceError(kind: .stale, field: "if_match", message: message)
  }
  static func aborted(_ message: String) -> ServiceError { ServiceError(kind: .aborted, message: message) }
  static func overloaded(_ message: String) -> ServiceError {
    ServiceError(kind: .overloaded, message: message)
  }
  static func unavailable(_ message: String) -> ServiceError {
    ServiceError(kind: .unavailable, message: message)
  }

  static let noLeader = unavailable(
    "there is no leader at the moment: the servers are electing one; try again in a few seconds")

  /// What a failed write means for the caller.
  init(_ error: EtcdError) {
    switch error.code {
    case .noSpace:
      self.init(kind: .noSpace, message: "etcd has no space left: \(error.certainty)")
    case .overloaded: self.init(kind: .overloaded, message: error.message)
    case .requestTooLarge:
      self.init(kind: .invalid, field: "body", message: "the job is too large for etcd")
    default:
      self.init(kind: .unavailable, message: "etcd did not take the change: \(error.certainty)")
    }
  }

  init(kind: Kind, field: String? = nil, message: String) {
    self.kind = kind
    self.field = field
    self.message = message
  }
}

extension EtcdError {
  /// What a caller may conclude about a write.
  fileprivate var certainty: String {
    outcome == .unknown
      ? "it is not known whether it was written; with an idempotency key it is safe to try again"
      : "nothing was written; try again"
  }
}
