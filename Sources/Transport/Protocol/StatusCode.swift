/// A gRPC status code (grpc/doc/statuscodes.md). Unknown numbers are kept as they are.
public struct StatusCode: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public var rawValue: Int

  /// A code with the given number.
  public init(rawValue: Int) {
    self.rawValue = rawValue
  }

  /// Not an error.
  public static let ok = StatusCode(rawValue: 0)
  /// The caller cancelled the call.
  public static let cancelled = StatusCode(rawValue: 1)
  /// An error without a better code.
  public static let unknown = StatusCode(rawValue: 2)
  /// The request is wrong whatever the state of the system.
  public static let invalidArgument = StatusCode(rawValue: 3)
  /// The deadline passed before the call finished.
  public static let deadlineExceeded = StatusCode(rawValue: 4)
  /// The named thing does not exist.
  public static let notFound = StatusCode(rawValue: 5)
  /// The thing to create exists already.
  public static let alreadyExists = StatusCode(rawValue: 6)
  /// The caller may not do this.
  public static let permissionDenied = StatusCode(rawValue: 7)
  /// A quota, a limit or a buffer is used up.
  public static let resourceExhausted = StatusCode(rawValue: 8)
  /// The system is not in the state that the request needs.
  public static let failedPrecondition = StatusCode(rawValue: 9)
  /// A conflict, such as a failed compare-and-swap; the caller may start over.
  public static let aborted = StatusCode(rawValue: 10)
  /// Past the end of a range.
  public static let outOfRange = StatusCode(rawValue: 11)
  /// The method, or what the request asks of it, is not implemented.
  public static let unimplemented = StatusCode(rawValue: 12)
  /// A broken invariant.
  public static let internalError = StatusCode(rawValue: 13)
  /// The service cannot be reached now; retry.
  public static let unavailable = StatusCode(rawValue: 14)
  /// Data is lost or corrupt beyond recovery.
  public static let dataLoss = StatusCode(rawValue: 15)
  /// The caller did not prove who it is.
  public static let unauthenticated = StatusCode(rawValue: 16)
}

extension StatusCode: CustomStringConvertible {
  /// The name that the gRPC specification gives the code, such as `NOT_FOUND`.
  public var description: String {
    let names = [
      "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
      "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    ]
    return names.indices.contains(rawValue) ? names[rawValue] : "STATUS_\(rawValue)"
  }
}

/// How a call ended: a code, a message for people, and the trailing metadata.
public struct RPCStatus: Sendable {
  /// The code.
  public var code: StatusCode
  /// A sentence for people; empty when all is well.
  public var message: String
  /// The trailing metadata.
  public var metadata: Metadata

  /// A status.
  public init(_ code: StatusCode, _ message: String = "", metadata: Metadata = [:]) {
    self.code = code
    self.message = message
    self.metadata = metadata
  }

  /// Success without trailing metadata.
  public static let ok = RPCStatus(.ok)
}

/// A call that did not end with status OK, or could not be made at all.
///
/// Thrown by a server's handler, it becomes the call's status. Thrown by the client, it is the status that the
/// server sent, or the one that the gRPC specification prescribes for what went wrong on the way.
public struct RPCError: Error, Sendable {
  /// What kind of failure this is.
  public var code: StatusCode
  /// A sentence that names what failed.
  public var message: String
  /// The trailing metadata that came, or will go, with the status.
  public var metadata: Metadata
  /// The server certainly did not begin to process the call: it is safe to make it again elsewhere, whatever it does.
  public var isRefusedBeforeProcessing: Bool

  /// An error with a status code.
  public init(_ code: StatusCode, _ message: String, metadata: Metadata = [:]) {
    self.code = code
    self.message = message
    self.metadata = metadata
    self.isRefusedBeforeProcessing = false
  }

  /// A call that never reached a handler: UNAVAILABLE and safe to retry.
  static func refused(_ message: String) -> RPCError {
    var error = RPCError(.unavailable, message)
    error.isRefusedBeforeProcessing = true
    return error
  }

  init(_ status: RPCStatus) {
    self.init(status.code, status.message, metadata: status.metadata)
  }

  var status: RPCStatus { RPCStatus(code, message, metadata: metadata) }
}

extension RPCError: CustomStringConvertible {
  /// The code and the message.
  public var description: String {
    message.isEmpty ? code.description : "\(code): \(message)"
  }
}
