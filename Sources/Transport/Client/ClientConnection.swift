import Logging
import NIOCore
import Synchronization

/// What a client connection keeps of one call.
final class ClientStream: RPCStream {
  var state: ClientStreamState

  init(id: Int32, call: Call, expectsSingleResponse: Bool, maxMessageBytes: Int) {
    state = ClientStreamState(expectsSingleResponse: expectsSingleResponse)
    super.init(id: id, call: call, reader: LengthPrefixedReader(maxMessageBytes: maxMessageBytes))
  }
}

/// A client's connection: turns calls into requests and header blocks into results.
final class ClientConnection: HTTP2Connection<ClientStream> {
  private let configuration: GRPCClientConfiguration
  private let status: ClientConnectionStatus
  private var hasSaidGoodbye = false
  private let authority: String

  init(
    configuration: GRPCClientConfiguration, status: ClientConnectionStatus, mailbox: Mailbox, logger: Logger
  ) throws {
    self.configuration = configuration
    self.status = status
    self.authority = configuration.authority ?? "\(configuration.host):\(configuration.port)"
    try super.init(
      role: .client, limits: configuration.limits,
      keepalive: configuration.pace.slowed(configuration.keepalive), mailbox: mailbox, logger: logger)
  }

  override var needsKeepalive: Bool { !streams.isEmpty || configuration.keepalive.pingsWithoutCalls }

  override func settingsReceived() {
    status.ready()
  }

  // MARK: Requests

  override func perform(_ work: Call.Work, for call: Call) {
    let id = call.streamID.load(ordering: .relaxed)
    if id == 0 {
      return start(call, work)
    }
    guard let stream = streams[id], stream.call === call else { return }
    if work.isCancelled {
      guard stream.state.end() else { return }
      session.reset(stream: id, code: HTTP2ErrorCode.cancel)
      return
    }
    guard let body = stream.body, !work.messages.isEmpty || work.endsStream else { return }
    body.append(contentsOf: work.messages)
    if work.endsStream { body.end = .endStream }
    do {
      try session.bodyChanged(stream: id)
    } catch {
      logger.debug("request body dropped", metadata: ["error": "\(error)"])
    }
  }

  private func start(_ call: Call, _ work: Call.Work) {
    guard let request = call.request else { return }
    do {
      let stream = try open(call, request, work)
      streams[stream.id] = stream
      if let deadline = request.deadline { deadlines.insert(stream.id, deadline: deadline) }
    } catch let error as RPCError {
      call.close(error)
    } catch {
      // The only way is that the stream numbers of this connection are used up.
      beginDraining()
      call.close(.refused("the connection takes no more calls: \(error)"))
    }
  }

  private func open(_ call: Call, _ request: Call.Request, _ work: Call.Work) throws -> ClientStream {
    guard !isShuttingDown else { throw RPCError.refused("the connection takes no more calls") }
    guard streams.count < limits.maxConcurrentStreams else {
      throw RPCError(
        .resourceExhausted, "\(streams.count) calls are in flight on this connection, which is the limit")
    }
    let now = NIODeadline.now()
    if let deadline = request.deadline, deadline <= now {
      throw RPCError(.deadlineExceeded, "the deadline passed before the call was sent")
    }
    let fields = try GRPCHeaders.request(
      path: request.path, scheme: configuration.scheme, authority: authority,
      userAgent: configuration.userAgent,
      timeoutNanoseconds: request.deadline.map { ($0 - now).nanoseconds }, encoding: request.encoding,
      metadata: request.metadata)
    let body = OutboundBody()
    body.append(contentsOf: work.messages)
    if work.endsStream { body.end = .endStream }
    let id = try session.submitRequest(fields, body: body)
    call.streamID.store(id, ordering: .relaxed)
    let stream = ClientStream(
      id: id, call: call, expectsSingleResponse: request.expectsSingleResponse,
      maxMessageBytes: limits.maxReceiveMessageBytes)
    stream.body = body
    return stream
  }

  // MARK: Responses

  override func headersReceived(_ id: Int32, _ fields: [HeaderField], endStream: Bool, isOversized: Bool) {
    guard let stream = streams[id] else { return }
    guard !isOversized else {
      let message = "the response's headers are larger than \(limits.maxHeaderListBytes) bytes"
      return streamFailed(stream, RPCError(.resourceExhausted, message))
    }
    perform(
      stream.state.receive(headers: fields, endStream: endStream, pendingBytes: stream.reader.pendingBytes),
      stream)
  }

  override func messagesReceived(
    _ stream: ClientStream, _ messages: MessageBatch, charge: Int, partialBytes: Int
  ) -> Call.Delivery {
    guard stream.state.phase == .open else { return Call.Delivery(isDrained: true, credit: charge) }
    switch stream.state.receive(messages) {
    case .deliver, .none:
      return stream.call.deliver(messages, charge: charge, partialBytes: partialBytes)
    case let action:
      perform(action, stream)
      return Call.Delivery(isDrained: true, credit: charge)
    }
  }

  override func endReceived(_ stream: ClientStream) {
    perform(stream.state.receiveEnd(pendingBytes: stream.reader.pendingBytes), stream)
  }

  private func perform(_ action: ClientStreamState.Action, _ stream: ClientStream) {
    switch action {
    case .none, .deliver:
      break
    case .begin(let metadata, let encoding):
      stream.reader = LengthPrefixedReader(
        maxMessageBytes: limits.maxReceiveMessageBytes, encoding: encoding)
      stream.call.begin(initialMetadata: metadata)
    case .finish(let status):
      if status.code == .ok {
        stream.call.finishInbound(.success(status.metadata))
        stream.call.close(RPCError(.cancelled, "the server has ended the call with status OK"))
      } else {
        stream.call.close(RPCError(status))
      }
      // The server is done; what we still had to say is of no use to it.
      if isSending(stream) { session.reset(stream: stream.id, code: HTTP2ErrorCode.cancel) }
    case .fail(let error):
      stream.call.close(error)
      session.reset(stream: stream.id, code: HTTP2ErrorCode.cancel)
    }
  }

  private func isSending(_ stream: ClientStream) -> Bool {
    guard let body = stream.body else { return false }
    if body.byteCount > 0 { return true }
    if case .open = body.end { return true }
    return false
  }

  override func streamFailed(_ stream: ClientStream, _ error: RPCError) {
    guard stream.state.end() else { return }
    perform(.fail(error), stream)
  }

  override func streamClosed(_ stream: ClientStream, code: UInt32) {
    if stream.state.end() { stream.call.close(.streamReset(code: code)) }
  }

  override func deadlineExpired(_ stream: ClientStream) {
    guard stream.state.end() else { return }
    stream.call.close(
      RPCError(.deadlineExceeded, "the deadline passed before the call finished"), discardingInbox: true)
    session.reset(stream: stream.id, code: HTTP2ErrorCode.cancel)
  }

  // MARK: The connection's life

  override func goAwayReceived(lastStream: Int32, code: UInt32, debug: String) {
    // nghttp2 closes the streams above `lastStream` itself, as refused.
    logger.debug(
      "GOAWAY received", metadata: ["code": "\(code)", "last_stream": "\(lastStream)", "debug": "\(debug)"])
    if code == HTTP2ErrorCode.enhanceYourCalm, debug == KeepalivePace.complaint {
      configuration.pace.slowDown()
      logger.warning("the server wants fewer keepalive PINGs; the interval is doubled")
    }
    let detail = debug.isEmpty ? "" : ": \(debug)"
    closeReason =
      closeReason
      ?? RPCError(
        .unavailable, "the server closes the connection (GOAWAY, HTTP/2 error code \(code)\(detail))")
    beginDraining()
  }

  private func beginDraining() {
    isShuttingDown = true
    status.draining()
  }

  override func shutdown(deadline: NIODeadline) {
    status.closedByCaller()
    closeReason = closeReason ?? RPCError(.cancelled, "the connection was closed by its owner")
    beginDraining()
    closeBy(deadline)
  }

  override func roundEnded() -> Bool {
    guard isShuttingDown, streams.isEmpty, !hasSaidGoodbye else { return false }
    hasSaidGoodbye = true
    session.terminate(code: HTTP2ErrorCode.noError)
    return true
  }

  override func connectionEnded(_ reason: RPCError) {
    status.closed(reason)
  }
}
