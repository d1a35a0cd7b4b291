import Logging
import NIOCore
import NIOPosix
import Synchronization

/// One gRPC connection to one address. When it is lost, it stays lost: who needs another connection makes another client.
///
/// The connection lives as long as this object: keep it while calls are in flight.
public final class GRPCClient: Sendable {
  private let channel: any Channel
  private let mailbox: Mailbox
  private let status: ClientConnectionStatus
  private let configuration: GRPCClientConfiguration

  private init(
    channel: any Channel, mailbox: Mailbox, status: ClientConnectionStatus,
    configuration: GRPCClientConfiguration
  ) {
    self.channel = channel
    self.mailbox = mailbox
    self.status = status
    self.configuration = configuration
  }

  deinit {
    // Closing twice is fine, and nobody is left to hear of a failure.
    channel.close(promise: nil)
  }

  /// Connects, and waits for the server's HTTP/2 SETTINGS, so that something that is no gRPC server is found out here.
  ///
  /// - Throws: `RPCError` UNAVAILABLE, safe to retry, when that takes longer than the connect timeout or fails.
  public static func connect(
    _ configuration: GRPCClientConfiguration, group: any EventLoopGroup, logger: Logger
  ) async throws -> GRPCClient {
    let eventLoop = group.next()
    let mailbox = Mailbox(eventLoop: eventLoop)
    let status = ClientConnectionStatus()
    let deadline = NIODeadline.now() + TimeAmount(configuration.connectTimeout)
    let bootstrap = ClientBootstrap(group: eventLoop)
      .connectTimeout(TimeAmount(configuration.connectTimeout))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(
        .writeBufferWaterMark,
        value: .init(low: configuration.limits.flushBytes / 4, high: configuration.limits.flushBytes)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try configuration.prepareChannel?(channel)
          let connection = try ClientConnection(
            configuration: configuration, status: status, mailbox: mailbox, logger: logger)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      }
    do {
      let channel = try await bootstrap.connect(host: configuration.host, port: configuration.port).get()
      let client = GRPCClient(
        channel: channel, mailbox: mailbox, status: status, configuration: configuration)
      let timeout = eventLoop.scheduleTask(deadline: deadline) { channel.close(promise: nil) }
      defer { timeout.cancel() }
      try await withTaskCancellationHandler {
        try await status.waitUntilReady()
      } onCancel: {
        channel.close(promise: nil)
      }
      return client
    } catch {
      throw RPCError.refused("cannot connect to \(configuration.host):\(configuration.port): \(error)")
    }
  }

  // MARK: Calls

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
    return try await GRPCClient.single(call.collect())
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
      if call.isInboundFinished { return try await GRPCClient.single(call.collect()) }
      call.cancel()
      throw error
    }
    call.finishSending()
    return try await GRPCClient.single(call.collect())
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
    let limit = configuration.limits.maxSendMessageBytes
    if let message, message.readableBytes > limit {
      throw RPCError(
        .resourceExhausted,
        "message of \(message.readableBytes) bytes; the limit for sending is \(limit) bytes")
    }
    let deadline = timeout.map { NIODeadline.after(nanoseconds: $0.cappedNanoseconds) }
    let request = Call.Request(
      path: path, metadata: metadata, deadline: deadline, encoding: encoding,
      expectsSingleResponse: expectsSingleResponse)
    let call = Call(request: request, mailbox: mailbox, limits: configuration.limits)
    let first = try message.map { message throws(RPCError) in
      encoding == .gzip ? try WireMessage(compressing: message) : WireMessage(bytes: message)
    }
    call.schedule { state in
      guard let first else { return }
      state.unsentBytes = MessagePrefix.wireBytes(first.bytes)
      state.work.messages.append(first.bytes, isCompressed: first.isCompressed)
      state.work.endsStream = true
    }
    return call
  }

  private static func single(_ messages: [ByteBuffer]) throws -> ByteBuffer {
    guard messages.count == 1 else {
      throw RPCError(.internalError, "expected one response message, got \(messages.count)")
    }
    return messages[0]
  }

  // MARK: The connection

  /// Whether new calls have a chance: connected, and neither side has begun to close.
  public var isConnected: Bool { status.isConnected }

  /// Returns when the connection has closed: why, or nil when `close` did it (or when the waiting task was cancelled).
  public func waitUntilClosed() async -> RPCError? {
    await status.waitUntilClosed()
  }

  /// Takes no new calls, lets those in flight finish for up to `deadline`, then closes. Returns when closed.
  public func close(graceful deadline: Duration = .seconds(5)) async {
    mailbox.post(.shutdown(.now() + TimeAmount(deadline)))
    _ = await status.waitUntilClosed()
  }
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
