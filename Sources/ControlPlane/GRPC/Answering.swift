import NIOCore
import Proto
import SchedulerCore
import Transport

// How methods are made of the services' functions, and errors of theirs become statuses.

/// A unary method on Swift messages.
func unary<Request: WireMessage, Response: WireMessage>(
  _ path: String, _ handler: @escaping @Sendable (Request, ServerCallContext) async throws -> Response
) -> RPCMethod {
  .unary(path) { buffer, context in
    try await answering {
      let request = try decode(Request.self, buffer)
      return try await Requester.$current.withValue(context.requester) {
        ByteBuffer(bytes: try await handler(request, context).wire())
      }
    }
  }
}

/// Turns the services' errors into gRPC's.
func answering<Value>(_ body: () async throws -> Value) async throws -> Value {
  do {
    return try await body()
  } catch {
    throw rpcError(for: error)
  }
}

/// Decodes a message of a call.
/// - Throws: `RPCError` INVALID_ARGUMENT that names the field.
func decode<Message: WireMessage>(_ type: Message.Type, _ buffer: ByteBuffer) throws -> Message {
  do {
    return try buffer.withUnsafeReadableBytes { try Message(wire: $0) }
  } catch let error as ProtoError {
    throw rpcError(for: error)
  }
}

/// The gRPC status that an error of a service means, with details for programs: the field that is to blame
/// (`google.rpc.BadRequest`), or when to try again (`google.rpc.RetryInfo`).
///
/// - Parameter place: What the message begins with, where the call is about several things.
func rpcError(for error: any Error, at place: String = "") -> RPCError {
  switch error {
  case let error as RPCError: error
  case let error as ServiceError: rpcError(for: error, place)
  case let error as FieldError: rpcError(for: ServiceError.invalid(error), place)
  case let error as ProtoError:
    rpcError(for: ServiceError(kind: .invalid, field: error.field, message: error.message), place)
  case is CancellationError: RPCError(.cancelled, "the call was cancelled")
  default: RPCError(.internalError, "an unexpected error; the server's log has its facts")
  }
}

private func rpcError(for error: ServiceError, _ place: String) -> RPCError {
  let message = cut(place + "\(error)", to: ServerLimits.errorMessageBytes)
  var details = StatusDetails(code: Int32(error.statusCode.rawValue), message: message)
  if let field = error.field {
    details.violations = [
      StatusDetails.Violation(
        field: cut(field, to: ServerLimits.errorFieldBytes),
        description: cut(error.message, to: ServerLimits.errorMessageBytes))
    ]
  }
  switch error.kind {
  case .noSpace:
    details.retryMillis = error.retryMillis ?? ServerLimits.noSpaceRetryDelay.components.seconds * 1_000
  case .limited, .overQuota: details.retryMillis = error.retryMillis
  case .overloaded, .unavailable:
    details.retryMillis = error.retryMillis ?? ServerLimits.retryDelay.components.seconds * 1_000
  default: break
  }
  guard !details.violations.isEmpty || details.retryMillis != nil else {
    return RPCError(error.statusCode, message)
  }
  var metadata = Metadata()
  metadata.add("grpc-status-details-bin", binary: details.wire())
  return RPCError(error.statusCode, message, metadata: metadata)
}

/// The beginning of a text: callers refuse a status that is larger than a few kilobytes, and a field's path may hold
/// a name from the request.
private func cut(_ text: String, to bytes: Int) -> String {
  guard text.utf8.count > bytes else { return text }
  return String(decoding: text.utf8.prefix(bytes), as: UTF8.self) + "…"
}

extension ServiceError {
  var statusCode: StatusCode {
    switch kind {
    case .invalid: .invalidArgument
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .failedPrecondition: .failedPrecondition
    case .aborted, .stale: .aborted
    case .outOfRange: .outOfRange
    case .overloaded, .noSpace, .limited, .overQuota: .resourceExhausted
    case .unauthenticated: .unauthenticated
    case .permissionDenied: .permissionDenied
    case .unavailable: .unavailable
    case .internalError: .internalError
    }
  }
}

extension ServiceError {
  /// The same error of a submission or an update, with the field's path in `rota.v1.SubmitRequest` or
  /// `UpdateJobRequest`: users of REST write the members of the specification beside those of the request, and so do
  /// the errors of `SubmitRequest.validate`.
  var ofSpecMessage: ServiceError {
    guard let field, !field.isEmpty else { return self }
    var error = self
    error.field = Self.messagePath(of: field)
    return error
  }

  /// Those that are beside the specification.
  private static let requestFields = [
    "namespace", "job_id", "idempotency_key", "spec", "delay", "frequency", "time_zone", "if_match",
    "updated_by",
  ]

  private static func messagePath(of field: String) -> String {
    if Self.requestFields.contains(field) { return field }
    let name = field.prefix { $0 != "." && $0 != "[" }
    switch name {
    case "body": return "spec"
    case "exec": return "spec.exec.argv" + field.dropFirst(name.count)
    case "backoff" where field.dropFirst(name.count).first == "[":
      return "spec.backoff.list" + field.dropFirst(name.count)
    default: return "spec." + field
    }
  }
}
