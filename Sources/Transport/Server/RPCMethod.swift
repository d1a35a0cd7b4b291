import NIOCore

/// One gRPC method of a server: its path and its handler.
///
/// A handler that returns ends the call with status OK. Throwing an `RPCError` ends it with that status; any other error is
/// logged and ends it with UNKNOWN, without details. The handler's task is cancelled when the caller cancels, its deadline
/// passes or its connection is lost.
public struct RPCMethod: Sendable {
  enum Handler: Sendable {
    case single(@Sendable (ByteBuffer, ServerCallContext, ResponseWriter) async throws -> Void)
    case streaming(@Sendable (MessageStream, ServerCallContext, ResponseWriter) async throws -> Void)
  }

  /// `/package.Service/Method`.
  public let path: String
  let handler: Handler

  var takesSingleRequest: Bool {
    if case .single = handler { true } else { false }
  }

  /// One request message, one response message.
  public static func unary(
    _ path: String, _ handler: @escaping @Sendable (ByteBuffer, ServerCallContext) async throws -> ByteBuffer
  ) -> RPCMethod {
    RPCMethod(
      path: path,
      handler: .single { request, context, writer in
        try await writer.send(handler(request, context))
      })
  }

  /// One request message, any number of response messages.
  public static func serverStreaming(
    _ path: String,
    _ handler: @escaping @Sendable (ByteBuffer, ServerCallContext, ResponseWriter) async throws -> Void
  ) -> RPCMethod {
    RPCMethod(path: path, handler: .single(handler))
  }

  /// Any number of request messages, one response message.
  public static func clientStreaming(
    _ path: String,
    _ handler: @escaping @Sendable (MessageStream, ServerCallContext) async throws -> ByteBuffer
  ) -> RPCMethod {
    RPCMethod(
      path: path,
      handler: .streaming { requests, context, writer in
        try await writer.send(handler(requests, context))
      })
  }

  /// Any number of messages each way, independent of each other.
  public static func bidirectional(
    _ path: String,
    _ handler: @escaping @Sendable (MessageStream, ServerCallContext, ResponseWriter) async throws -> Void
  ) -> RPCMethod {
    RPCMethod(path: path, handler: .streaming(handler))
  }
}
