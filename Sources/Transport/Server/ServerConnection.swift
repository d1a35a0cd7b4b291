import Logging
import NIOCore
import Synchronization

/// What a server connection keeps of one call.
final class ServerStream: RPCStream {
  var state: ServerStreamState
  let method: RPCMethod
  let context: ServerCallContext
  /// The handler, while it runs.
  var task: Task<Void, Never>?

  init(id: Int32, method: RPCMethod, context: ServerCallContext, reader: LengthPrefixedReader) {
    self.state = ServerStreamState(takesSingleRequest: method.takesSingleRequest)
    self.method = method
    self.context = context
    super.init(id: id, call: context.call, reader: reader)
  }
}

/// What all connections of a server share.
struct ServerShared: Sendable {
  var methods: [String: RPCMethod]
  var configuration: GRPCServerConfiguration
  var tasks: ActivityCounter
  var registry: ConnectionRegistry
  var logger: Logger
}

/// A server's connection: turns header blocks into calls and what handlers do into responses.
final class ServerConnection: HTTP2Connection<ServerStream> {
  private let shared: ServerShared
  private let prefaceDeadline: NIODeadline
  /// Handlers that run, those of calls that are gone among them.
  private let handlers = ActivityCounter()
  private var peer = "unknown"
  /// What `identifyPeer` said, once it was asked.
  private var peerIdentity: (any Sendable)?
  private var idleSince: NIODeadline? = .now()
  /// Between the shutdown notice and the real GOAWAY.
  private var goAwayDeadline: NIODeadline?

  /// The PING whose answer proves that the shutdown notice has arrived.
  private static let shutdownPing: UInt64 = 0x5348_5554_444f_574e

  init(shared: ServerShared, mailbox: Mailbox) throws {
    self.shared = shared
    prefaceDeadline = .now() + TimeAmount(shared.configuration.prefaceTimeout)
    try super.init(
      role: .server, limits: shared.configuration.limits, keepalive: shared.configuration.keepalive,
      mailbox: mailbox, logger: shared.logger)
  }

  override func handlerAdded(context: ChannelHandlerContext) {
    if let address = context.remoteAddress {
      peer = address.ipAddress.map { "\($0):\(address.port ?? 0)" } ?? "\(address)"
    }
    super.handlerAdded(context: context)
  }

  // MARK: Requests

  override func headersReceived(_ id: Int32, _ fields: [HeaderField], endStream: Bool, isOversized: Bool) {
    if let stream = streams[id] {
      // Request trailers: gRPC gives them no meaning.
      if endStream { endReceived(stream) }
      return
    }
    // A handler ends some time after its call: whoever resets calls must not pile up handlers faster than they end.
    guard handlers.count - streams.count < limits.streamResetBurst else {
      return session.reset(stream: id, code: HTTP2ErrorCode.refusedStream)
    }
    guard !isOversized else {
      let message = "the request's headers are larger than \(limits.maxHeaderListBytes) bytes"
      return reject(id, .grpc(code: .resourceExhausted, message: message))
    }
    do {
      let head = try RequestHead(fields: fields)
      guard let method = shared.methods[head.path] else {
        let message = "method '\(head.path.prefix(256))' is not implemented"
        return reject(id, .grpc(code: .unimplemented, message: message))
      }
      begin(id, method, head)
      if endStream, let stream = streams[id] { endReceived(stream) }
    } catch {
      reject(id, error)
    }
  }

  private func begin(_ id: Int32, _ method: RPCMethod, _ head: RequestHead) {
    let call = Call(mailbox: mailbox, limits: limits)
    call.streamID.store(id, ordering: .relaxed)
    let deadline = head.timeoutNanoseconds.map { ContinuousClock.now.advanced(by: .nanoseconds($0)) }
    let context = ServerCallContext(
      path: head.path, metadata: head.metadata, peer: peer, peerIdentity: identity(), deadline: deadline,
      call: call, acceptsGZip: head.acceptsGZip)
    do {
      try shared.configuration.authorize?(context)
    } catch {
      return respond(id, trailersOnly(error.status), body: nil)
    }
    let stream = ServerStream(
      id: id, method: method, context: context,
      reader: LengthPrefixedReader(
        maxMessageBytes: limits.maxReceiveMessageBytes, encoding: head.encoding))
    streams[id] = stream
    idleSince = nil
    if let timeout = head.timeoutNanoseconds {
      deadlines.insert(id, deadline: .after(nanoseconds: timeout))
    }
    if case .streaming(let handler) = method.handler {
      let requests = MessageStream(call, cancelsWhenDropped: false)
      run(stream) { context, writer in try await handler(requests, context, writer) }
    }
  }

  private func identity() -> (any Sendable)? {
    if peerIdentity == nil, let context, let identify = shared.configuration.identifyPeer {
      peerIdentity = identify(context.channel)
    }
    return peerIdentity
  }

  private func reject(_ id: Int32, _ rejection: RequestHead.Rejection) {
    respond(id, GRPCHeaders.rejection(rejection), body: nil)
  }

  override func messagesReceived(
    _ stream: ServerStream, _ messages: MessageBatch, charge: Int, partialBytes: Int
  ) -> Call.Delivery {
    switch stream.state.receive(messages) {
    case .deliver(let messages):
      return stream.call.deliver(messages, charge: charge, partialBytes: partialBytes)
    case .fail(let error):
      streamFailed(stream, error)
    case .none where !stream.state.takesSingleRequest && stream.state.isInboundOpen:
      return stream.call.deliver([], charge: charge, partialBytes: partialBytes)
    case .none, .start, .finishInbound:
      break
    }
    // A single request is bounded by the message limit; after the call's end nobody reads.
    return Call.Delivery(isDrained: true, credit: charge)
  }

  override func endReceived(_ stream: ServerStream) {
    switch stream.state.receiveEnd(pendingBytes: stream.reader.pendingBytes) {
    case .start(let message):
      guard case .single(let handler) = stream.method.handler else { return }
      let limit = limits.maxReceiveMessageBytes
      run(stream) { context, writer in
        var context = context
        context.isRequestCompressed = message.isCompressed
        try await handler(message.decompressed(limit: limit), context, writer)
      }
    case .finishInbound: stream.call.finishInbound(.success([:]))
    case .fail(let error): streamFailed(stream, error)
    case .none, .deliver: break
    }
  }

  override func streamFailed(_ stream: ServerStream, _ error: RPCError) {
    stream.call.close(error, discardingInbox: true)
    stream.task?.cancel()
    finish(stream, error.status)
  }

  // MARK: Handlers

  /// Starts the handler. Its task belongs to the stream, which cancels it when it ends first.
  private func run(
    _ stream: ServerStream,
    _ body: @escaping @Sendable (ServerCallContext, ResponseWriter) async throws -> Void
  ) {
    let context = stream.context
    let tasks = shared.tasks
    let handlers = handlers
    let logger = shared.logger
    tasks.enter()
    handlers.enter()
    stream.task = Task {
      let status = await ServerConnection.status(of: body, context, logger)
      context.call.finish(status)
      handlers.leave()
      tasks.leave()
    }
  }

  private static func status(
    of body: @Sendable (ServerCallContext, ResponseWriter) async throws -> Void, _ context: ServerCallContext,
    _ logger: Logger
  ) async -> RPCStatus {
    do {
      try await body(context, ResponseWriter(call: context.call))
      return .ok
    } catch let error as RPCError {
      return error.status
    } catch is CancellationError {
      return RPCStatus(.cancelled, "the call was cancelled")
    } catch {
      logger.error(
        "handler failed", metadata: ["method": "\(context.path)", "error": "\(String(reflecting: error))"])
      return RPCStatus(.unknown, "the handler failed; the server's log has the reason")
    }
  }

  // MARK: Responses

  override func perform(_ work: Call.Work, for call: Call) {
    guard let stream = streams[call.streamID.load(ordering: .relaxed)], stream.call === call else { return }
    if work.sendsHeaders || !work.messages.isEmpty, stream.state.sendHeaders() {
      do {
        let body = OutboundBody()
        respond(stream.id, try responseHeaders(work, call), body: body)
        stream.body = body
      } catch {
        logger.error("response metadata cannot be sent", metadata: ["error": "\(error)"])
        stream.state.reset()
        return respond(stream.id, trailersOnly(error.status), body: nil)
      }
    }
    if let body = stream.body, stream.state.outbound == .headersSent {
      body.append(contentsOf: work.messages)
    }
    if let status = work.status {
      stream.task = nil
      finish(stream, status)
    } else {
      bodyChanged(stream)
    }
  }

  private func responseHeaders(_ work: Call.Work, _ call: Call) throws(RPCError) -> [HeaderField] {
    let compresses = call.compressesOutbound.load(ordering: .relaxed)
    return try GRPCHeaders.response(encoding: compresses ? .gzip : .identity, metadata: work.headers)
  }

  private func finish(_ stream: ServerStream, _ status: RPCStatus) {
    switch stream.state.finish() {
    case .trailersOnly:
      respond(stream.id, trailersOnly(status), body: nil)
    case .trailers:
      stream.body?.end = .trailers(trailers(status))
      bodyChanged(stream)
    case .none:
      break
    }
  }

  private func bodyChanged(_ stream: ServerStream) {
    do {
      try session.bodyChanged(stream: stream.id)
    } catch {
      logger.debug("response dropped", metadata: ["error": "\(error)"])
    }
  }

  private func respond(_ id: Int32, _ fields: [HeaderField], body: OutboundBody?) {
    do {
      try session.submitResponse(stream: id, fields, body: body)
    } catch {
      // The stream is gone, or memory is: either way the peer learns it from the reset.
      logger.debug("response dropped", metadata: ["error": "\(error)"])
      session.reset(stream: id, code: HTTP2ErrorCode.internalError)
    }
  }

  private func trailers(_ status: RPCStatus) -> [HeaderField] {
    do {
      return try GRPCHeaders.trailers(status)
    } catch {
      logger.error("trailing metadata cannot be sent", metadata: ["error": "\(error)"])
      return [
        HeaderField("grpc-status", "13"), HeaderField("grpc-message", PercentEncoding.encode(error.message)),
      ]
    }
  }

  private func trailersOnly(_ status: RPCStatus) -> [HeaderField] {
    [HeaderField(":status", "200"), HeaderField("content-type", "application/grpc")] + trailers(status)
  }

  /// The response is complete; a caller that still sends is told to stop (RFC 9113, 8.1).
  override func endStreamSent(_ id: Int32) {
    if session.isRemoteOpen(stream: id) { session.reset(stream: id, code: HTTP2ErrorCode.noError) }
  }

  override func streamClosed(_ stream: ServerStream, code: UInt32) {
    lost(stream, RPCError(.cancelled, "the caller ended the call (HTTP/2 error code \(code))"))
    if streams.isEmpty { idleSince = .now() }
  }

  override func lost(_ stream: ServerStream, _ reason: RPCError) {
    stream.state.reset()
    stream.call.close(reason, discardingInbox: true)
    stream.task?.cancel()
    stream.task = nil
  }

  override func sendStalled(_ stream: ServerStream) {
    lost(stream, RPCError(.cancelled, "the caller does not take the response"))
    session.reset(stream: stream.id, code: HTTP2ErrorCode.cancel)
  }

  override func deadlineExpired(_ stream: ServerStream) {
    guard stream.state.outbound != .ended else { return }
    let error = RPCError(.deadlineExceeded, "the deadline passed before the call finished")
    stream.call.close(error, discardingInbox: true)
    stream.task?.cancel()
    if let body = stream.body, body.byteCount > 0 {
      // The peer does not read: a status behind unsent messages would wait for ever.
      stream.state.reset()
      session.reset(stream: stream.id, code: HTTP2ErrorCode.cancel)
    } else {
      finish(stream, error.status)
    }
  }

  // MARK: The connection's life

  override var nextTimer: NIODeadline? {
    var deadlines: [NIODeadline] = []
    if !hasSettings { deadlines.append(prefaceDeadline) }
    if let goAwayDeadline { deadlines.append(goAwayDeadline) }
    if let idleSince, !isShuttingDown {
      deadlines.append(idleSince + TimeAmount(shared.configuration.maxConnectionIdle))
    }
    return deadlines.min()
  }

  override func timerFired(now: NIODeadline) {
    if !hasSettings, now >= prefaceDeadline {
      logger.notice("closing connection: no HTTP/2 preface in time", metadata: ["peer": "\(peer)"])
      closeBy(now)
      return
    }
    if let goAwayDeadline, now >= goAwayDeadline { sendGoAway() }
    if let idleSince, !isShuttingDown, now >= idleSince + TimeAmount(shared.configuration.maxConnectionIdle) {
      shutdown(deadline: now + TimeAmount(shared.configuration.keepalive.timeout))
    }
  }

  /// Graceful: a notice first, so that requests on their way are served; GOAWAY when the notice has arrived.
  override func shutdown(deadline: NIODeadline) {
    closeReason = closeReason ?? RPCError(.unavailable, "the server shuts down")
    closeBy(deadline)
    guard !isShuttingDown else { return }
    isShuttingDown = true
    session.submitShutdownNotice()
    session.submitPing(ServerConnection.shutdownPing)
    goAwayDeadline = .now() + .seconds(1)
  }

  override func pingAcknowledged(_ payload: UInt64) {
    if payload == ServerConnection.shutdownPing { sendGoAway() }
  }

  private func sendGoAway() {
    guard goAwayDeadline != nil else { return }
    goAwayDeadline = nil
    session.submitGoAway()
  }

  override func connectionEnded(_ reason: RPCError) {
    shared.registry.remove(mailbox)
  }
}
