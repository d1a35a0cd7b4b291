import NIOCore
import Synchronization

/// A call that nobody has made yet. Only this module makes and reads them.
public struct PreparedCall: Sendable {
  let call: Call
}

/// What calls are made with: one connection, or a channel, which replaces its connections.
public protocol GRPCCaller: AnyObject, Sendable {
  /// Bounds of each connection.
  var limits: TransportLimits { get }
  /// Makes a call. For the methods below; only this module implements it.
  func start(_ call: PreparedCall)
}

extension GRPCCaller {
  /// One request message, one response message.
  ///
  /// - Parameters:
  ///   - timeout: From now; nil: no deadline.
  ///   - encoding: How the request is compressed. Responses may be compressed whatever this is.
  /// - Throws: `RPCError`: the call's status. Cancelling the task cancels the call.
  public func unary(
    _ path: String, _ message: ByteBuffer, metadata: Metadata = [:], timeout: Duration? = nil,
    encoding: MessageEncoding = .identity
  ) async throws -> ByteBuffer {
    let call = try begin(path, metadata, timeout, encoding, expectsSingleResponse: true, message: message)
    return try await singleMessage(call.collect())
  }

  /// One request message, any number of response messages.
  ///
  /// The call's status, when it is not OK, is thrown from the iteration. Dropping the stream, or cancelling the task that
  /// reads it, cancels the call.
  public func serverStreaming(
    _ path: String, _ message: ByteBuffer, metadata: Metadata = [:], timeout: Duration? = nil,
    encoding: MessageEncoding = .identity
  ) async throws -> MessageStream {
    let call = try begin(path, metadata, timeout, encoding, expectsSingleResponse: false, message: message)
    return MessageStream(call, cancelsWhenDropped: true)
  }

  /// Any number of request messages, which `body` sends, one response message. Leaving `body` ends the requests; leaving it
  /// by an error cancels the call.
  public func clientStreaming(
    _ path: String, metadata: Metadata = [:], timeout: Duration? = nil,
    encoding: MessageEncoding = .identity, _ body: (ClientStreamWriter) async throws -> Void
  ) async throws -> ByteBuffer {
    let call = try begin(path, metadata, timeout, encoding, expectsSingleResponse: true, message: nil)
    do {
      try await body(ClientStreamWriter(call: call))
    } catch {
      // A server may end the call before it has heard all; its status says more than our failure to send.
      if call.isInboundFinished { return try await singleMessage(call.collect()) }
      call.cancel()
      throw error
    }
    call.finishSending()
    return try await singleMessage(call.collect())
  }

  /// Any number of messages each way. Leaving `body` cancels the call if it has not finished.
  public func bidirectional<R: Sendable>(
    _ path: String, metadata: Metadata = [:], timeout: Duration? = nil,
    encoding: MessageEncoding = .identity,
    _ body: @Sendable (MessageStream, ClientStreamWriter) async throws -> R
  ) async throws -> R {
    let call = try begin(path, metadata, timeout, encoding, expectsSingleResponse: false, message: nil)
    defer { call.cancel() }
    return try await withTaskCancellationHandler {
      try await body(MessageStream(call, cancelsWhenDropped: false), ClientStreamWriter(call: call))
    } onCancel: {
      call.cancel()
    }
  }

  private func begin(
    _ path: String, _ metadata: Metadata, _ timeout: Duration?, _ encoding: MessageEncoding,
    expectsSingleResponse: Bool, message: ByteBuffer?
  ) throws -> Call {
    let limit = limits.maxSendMessageBytes
    if let message, message.readableBytes > limit {
      throw RPCError(
        .resourceExhausted,
        "message of \(message.readableBytes) bytes; the limit for sending is \(limit) bytes")
    }
    let deadline = timeout.map { NIODeadline.after(nanoseconds: $0.cappedNanoseconds) }
    let request = Call.Request(
      path: path, metadata: metadata, deadline: deadline, encoding: encoding,
      expectsSingleResponse: expectsSingleResponse)
    let call = Call(request: request, limits: limits)
    let first = try message.map { message throws(RPCError) in
      encoding == .gzip ? try WireMessage(compressing: message) : WireMessage(bytes: message)
    }
    if let first { call.prepare(first) }
    start(PreparedCall(call: call))
    return call
  }
}

private func singleMessage(_ messages: [ByteBuffer]) throws -> ByteBuffer {
  guard messages.count == 1 else {
    throw RPCError(.internalError, "expected one response message, got \(messages.count)")
  }
  return messages[0]
}

/// Sends the request messages of one call, in order.
public struct ClientStreamWriter: Sendable {
  let call: Call

  /// Sends a message. Suspends while `TransportLimits.sendBufferBytes` of this call wait for the server.
  ///
  /// - Parameter compressed: False: as it is, even in a call whose encoding is gzip.
  /// - Throws: `RPCError`: the call's status when it is over already; RESOURCE_EXHAUSTED when the message is larger than
  ///   `TransportLimits.maxSendMessageBytes`.
  public func send(_ message: ByteBuffer, compressed: Bool = true) async throws {
    try await call.send(CollectionOfOne(message), compressed: compressed)
  }

  /// Sends messages, in fewer steps than one by one. Errors and suspension as in `send(_:compressed:)`.
  public func send(contentsOf messages: [ByteBuffer], compressed: Bool = true) async throws {
    try await call.send(messages, compressed: compressed)
  }

  /// Ends the requests. Further messages are an error; further `finish` are not.
  public func finish() {
    call.finishSending()
  }
}

extension Call {
  var isInboundFinished: Bool { state.withLock { $0.inboundResult != nil } }
}
