import Logging
import NIOCore
import Synchronization

/// The channel handler that both sides share: moves bytes between the socket and the HTTP/2 session, keeps flow control,
/// deadlines and keepalive. What a header block or a message means is the subclass's business.
///
/// Confined to its channel's event loop; tasks reach it through its `Mailbox`.
class HTTP2Connection<Stream: RPCStream>: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let session: HTTP2Session
  let mailbox: Mailbox
  let limits: TransportLimits
  let logger: Logger
  var streams: [Int32: Stream] = [:]
  var deadlines = DeadlineQueue()
  /// Why the connection ends, when that is known.
  var closeReason: RPCError?
  var isShuttingDown = false
  private(set) var hasSettings = false
  /// The peer broke the rules; nothing that it says counts any more.
  private var hasFailed = false
  private(set) var context: ChannelHandlerContext?

  private var ledger: FlowLedger
  private var keepalive: Keepalive
  private var floodGuard: FloodGuard
  private var resetGuard: FloodGuard
  private var socketProgress = SendProgress()
  private var nextStallCheck: NIODeadline?
  private var isPumping = false
  private var timer: (task: Scheduled<Void>, deadline: NIODeadline)?
  /// When the connection is closed whatever happens.
  private(set) var closeDeadline: NIODeadline?

  init(
    role: HTTP2Session.Role, limits: TransportLimits, keepalive: KeepaliveConfiguration, mailbox: Mailbox,
    logger: Logger
  ) throws {
    let now = NIODeadline.now()
    self.session = try HTTP2Session(role: role, limits: limits)
    self.mailbox = mailbox
    self.limits = limits
    self.logger = logger
    self.ledger = FlowLedger(limit: limits.connectionBufferBytes)
    self.keepalive = Keepalive(
      interval: TimeAmount(keepalive.interval), timeout: TimeAmount(keepalive.timeout), now: now)
    self.floodGuard = FloodGuard(
      burst: limits.cheapFrameBurst, perSecond: limits.cheapFramesPerSecond, now: now)
    self.resetGuard = FloodGuard(
      burst: limits.streamResetBurst, perSecond: limits.streamResetsPerSecond, now: now)
  }

  // MARK: What subclasses decide

  func headersReceived(_ id: Int32, _ fields: [HeaderField], endStream: Bool, isOversized: Bool) {}
  /// Messages for `stream`. Returns credit to give back, and whether the application waits for more.
  func messagesReceived(_ stream: Stream, _ messages: MessageBatch, charge: Int, partialBytes: Int)
    -> Call.Delivery
  {
    stream.call.deliver(messages, charge: charge, partialBytes: partialBytes)
  }
  func endReceived(_ stream: Stream) {}
  /// The peer broke the rules of gRPC on this stream.
  func streamFailed(_ stream: Stream, _ error: RPCError) {}
  func streamClosed(_ stream: Stream, code: UInt32) {}
  /// Server: the peer does not take this stream's response.
  func sendStalled(_ stream: Stream) {}
  func deadlineExpired(_ stream: Stream) {}
  func endStreamSent(_ id: Int32) {}
  func settingsReceived() {}
  func goAwayReceived(lastStream: Int32, code: UInt32, debug: String) {}
  func pingAcknowledged(_ payload: UInt64) {}
  func perform(_ work: Call.Work, for call: Call) {}
  func shutdown(deadline: NIODeadline) {}
  func connectionEnded(_ reason: RPCError) {}
  /// Whether silence of the peer matters now.
  var needsKeepalive: Bool { true }
  /// The next instant at which `timerFired(now:)` has something to do.
  var nextTimer: NIODeadline? { nil }
  func timerFired(now: NIODeadline) {}
  /// Runs after each round of output. Returns whether it caused more.
  func roundEnded() -> Bool { false }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
    mailbox.open { connection.value.drainMailbox() }
    if context.channel.isActive { start() }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    end()
    self.context = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    start()
    context.fireChannelActive()
  }

  private func start() {
    pump()
    armTimer()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasFailed, closeDeadline == nil || isShuttingDown else { return }
    let framesBefore = session.frameCount
    do {
      try session.receive(unwrapInboundIn(data))
    } catch {
      fail(error, code: error.isAbuse ? HTTP2ErrorCode.enhanceYourCalm : HTTP2ErrorCode.protocolError)
      return
    }
    let now = NIODeadline.now()
    if session.frameCount != framesBefore { keepalive.frameReceived(now: now) }
    handleEvents()
    checkFloods(now: now)
  }

  private func checkFloods(now: NIODeadline) {
    if !floodGuard.spend(session.takeCheapFrames(), now: now) {
      failCalmly("flood of frames that cost the peer nothing")
    }
    // A server may refuse as many calls as it has to.
    if session.role == .server, !resetGuard.spend(session.takeResets(), now: now) {
      failCalmly("flood of streams that end in a reset")
    }
  }

  private func failCalmly(_ reason: String) {
    fail(
      HTTP2SessionError(operation: "receiving", code: 0, reason: reason), code: HTTP2ErrorCode.enhanceYourCalm
    )
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    pump()
    armTimer()
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { pump() }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    logger.debug("connection failed", metadata: ["error": "\(error)"])
    if closeReason == nil { closeReason = RPCError(.unavailable, "connection failed: \(error)") }
    context.close(promise: nil)
  }

  private func drainMailbox() {
    let (calls, commands) = mailbox.take()
    for call in calls {
      guard let work = call.takeWork(for: mailbox) else { continue }
      if let stream = streams[call.streamID.load(ordering: .relaxed)] {
        credit(stream, work.credit)
        if stream.call.isInboxEmpty { creditPartial(stream) }
      }
      perform(work, for: call)
    }
    for case .shutdown(let deadline) in commands { shutdown(deadline: deadline) }
    pump()
    armTimer()
  }

  // MARK: Output

  /// Writes what the session has to say, as much as the socket takes, with one flush.
  func pump() {
    guard !isPumping, let context, context.channel.isActive else { return }
    isPumping = true
    var needsFlush = false
    do {
      while true {
        if !context.channel.isWritable {
          guard needsFlush else { break }
          context.flush()
          needsFlush = false
          guard context.channel.isWritable else { break }
        }
        let hasMore = try session.drain(limit: limits.flushBytes)
        if let output = session.takeOutput() {
          socketProgress.sent(output.readableBytes)
          context.write(wrapOutboundOut(output), promise: nil)
          needsFlush = true
          if hasMore {
            context.flush()
            needsFlush = false
          }
        }
        for (id, count) in session.takeSentBytes() {
          guard let stream = streams[id] else { continue }
          stream.sendProgress.sent(count)
          stream.call.sent(bytes: count)
        }
        guard handleEvents() || hasMore else { break }
      }
    } catch {
      logger.debug("HTTP/2 output failed", metadata: ["error": "\(error)"])
      closeReason = closeReason ?? RPCError(.unavailable, "connection failed: \(error)")
      context.close(promise: nil)
    }
    if needsFlush { context.flush() }
    isPumping = false
    if roundEnded() { return pump() }
    if session.isFinished { finishConnection() }
  }

  /// The HTTP/2 conversation is over. The peer gets a moment to read our last words: closing a socket with unread input
  /// would destroy them.
  private func finishConnection() {
    guard let context, context.channel.isActive else { return }
    switch session.role {
    case .client: context.close(promise: nil)
    case .server: closeBy(.now() + .milliseconds(500))
    }
  }

  func closeBy(_ deadline: NIODeadline) {
    closeDeadline = min(closeDeadline ?? deadline, deadline)
    armTimer()
  }

  /// Ends the connection after a violation: says why, then closes. What the peer still sends is read and dropped meanwhile.
  func fail(_ error: HTTP2SessionError, code: UInt32) {
    guard !hasFailed else { return }
    hasFailed = true
    logger.notice("closing connection after a protocol violation", metadata: ["error": "\(error)"])
    closeReason = closeReason ?? RPCError(.unavailable, "connection failed: \(error)")
    session.terminate(code: code)
    pump()
    finishConnection()
  }

  private func end() {
    timer?.task.cancel()
    timer = nil
    let abandoned = mailbox.close()
    let reason = closeReason ?? RPCError(.unavailable, "the connection was lost")
    let open = streams
    streams = [:]
    for stream in open.values { lost(stream, reason) }
    for call in abandoned where call.streamID.load(ordering: .relaxed) == 0 {
      call.close(.refused("the connection was closed: \(reason.message)"))
    }
    connectionEnded(reason)
  }

  func lost(_ stream: Stream, _ reason: RPCError) {
    stream.call.close(reason)
  }

  // MARK: Events

  /// Returns whether there were any.
  @discardableResult
  private func handleEvents() -> Bool {
    let events = session.takeEvents()
    for event in events {
      switch event {
      case .headers(let id, let fields, let endStream, let isOversized):
        headersReceived(id, fields, endStream: endStream, isOversized: isOversized)
      case .data(let id, let bytes): dataReceived(id, bytes)
      case .endStream(let id): if let stream = streams[id] { endReceived(stream) }
      case .endStreamSent(let id): endStreamSent(id)
      case .streamClosed(let id, let code): if let stream = remove(id) { streamClosed(stream, code: code) }
      case .requestNotSent(let id):
        guard let stream = remove(id) else { continue }
        stream.call.streamID.store(0, ordering: .relaxed)
        streamClosed(stream, code: HTTP2ErrorCode.refusedStream)
      case .settings:
        hasSettings = true
        settingsReceived()
      case .headersOnClosedStream(let id): session.reset(stream: id, code: HTTP2ErrorCode.streamClosed)
      case .violation(let code, let reason):
        fail(HTTP2SessionError(operation: "receiving", code: 0, reason: reason), code: code)
      case .pingAck(let payload): pingAcknowledged(payload)
      case .goAway(let last, let code, let debug): goAwayReceived(lastStream: last, code: code, debug: debug)
      }
    }
    return !events.isEmpty
  }

  private func remove(_ id: Int32) -> Stream? {
    guard let stream = streams.removeValue(forKey: id) else { return nil }
    payConnection(ledger.released(stream.uncredited))
    stream.uncredited = 0
    deadlines.sweep(liveCount: streams.count) { streams[$0] != nil }
    return stream
  }

  private func dataReceived(_ id: Int32, _ bytes: ByteBuffer) {
    let count = bytes.readableBytes
    guard let stream = streams[id] else {
      session.consumeConnection(bytes: count)
      return
    }
    payConnection(ledger.received(count))
    stream.uncredited += count
    stream.reader.append(bytes)
    do {
      let messages = try stream.reader.takeMessages()
      var charge = 0
      if !messages.isEmpty {
        charge = messages.wireBytes - stream.creditedPartialBytes
        stream.creditedPartialBytes = 0
      }
      let partialBytes = stream.reader.pendingBytes - stream.creditedPartialBytes
      let delivery = messagesReceived(stream, messages, charge: charge, partialBytes: partialBytes)
      credit(stream, delivery.credit)
      if delivery.isDrained { creditPartial(stream) }
    } catch {
      streamFailed(stream, error)
    }
  }

  // MARK: Flow control

  /// Gives `bytes` that the application took back to the peer.
  func credit(_ stream: Stream, _ bytes: Int) {
    let bytes = min(bytes, stream.uncredited)
    guard bytes > 0 else { return }
    stream.uncredited -= bytes
    session.consumeStream(stream.id, bytes: bytes)
    payConnection(ledger.released(bytes))
  }

  /// Lets the rest of an incomplete message in: it may be larger than the window.
  private func creditPartial(_ stream: Stream) {
    let pending = stream.reader.pendingBytes
    credit(stream, pending - stream.creditedPartialBytes)
    stream.creditedPartialBytes = pending
  }

  private func payConnection(_ bytes: Int) {
    if bytes > 0 { session.consumeConnection(bytes: bytes) }
    let isStarved = ledger.debt > 0
    guard isStarved != mailbox.isStarved.load(ordering: .relaxed) else { return }
    mailbox.isStarved.store(isStarved, ordering: .relaxed)
    // Credit that calls hold back to save wake-ups is needed now.
    if isStarved { for stream in streams.values { credit(stream, stream.call.takeCredit()) } }
  }

  // MARK: Time

  /// One timer for the connection, at the earliest of its deadlines. It may fire early; it never fires late.
  func armTimer() {
    guard let context, context.channel.isActive else { return }
    var next = keepalive.nextCheck
    if let deadline = deadlines.earliest { next = min(next, deadline) }
    if let closeDeadline { next = min(next, closeDeadline) }
    if let deadline = nextTimer { next = min(next, deadline) }
    if let deadline = stallCheck(context.channel) { next = min(next, deadline) }
    if let timer, timer.deadline <= next { return }
    timer?.task.cancel()
    let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: next) { [weak self] in
      guard let self else { return }
      self.timerExpired()
    }
    timer = (task, next)
  }

  private func timerExpired() {
    timer = nil
    let now = NIODeadline.now()
    if let closeDeadline, closeDeadline <= now {
      context?.close(promise: nil)
      return
    }
    while let id = deadlines.popExpired(now: now) {
      if let stream = streams[id] { deadlineExpired(stream) }
    }
    timerFired(now: now)
    if let nextStallCheck, nextStallCheck <= now { checkStalls() }
    switch keepalive.check(now: now, isActive: needsKeepalive) {
    case .none: break
    case .sendPing: session.submitPing(0)
    case .giveUp:
      logger.notice("closing connection: the peer does not answer")
      closeReason = closeReason ?? RPCError(.unavailable, "keepalive: the peer does not answer")
      context?.close(promise: nil)
      return
    }
    pump()
    armTimer()
  }

  /// When to look next whether the peer takes what we send; nil while there is nothing to look at.
  private func stallCheck(_ channel: any Channel) -> NIODeadline? {
    guard session.role == .server, !streams.isEmpty || !channel.isWritable else { return nil }
    if let nextStallCheck { return nextStallCheck }
    let next = .now() + TimeAmount(limits.sendStallTimeout / SendProgress.checksPerTimeout)
    nextStallCheck = next
    return next
  }

  private func checkStalls() {
    nextStallCheck = nil
    guard let context else { return }
    socketProgress.check(hasMore: !context.channel.isWritable)
    if socketProgress.isStalled() {
      logger.notice("closing connection: the peer does not read")
      closeReason = closeReason ?? RPCError(.unavailable, "the peer does not read")
      return context.close(promise: nil)
    }
    var stalled: [Stream] = []
    for stream in streams.values {
      stream.sendProgress.check(hasMore: (stream.body?.byteCount ?? 0) > 0)
      if stream.sendProgress.isStalled() { stalled.append(stream) }
    }
    guard !stalled.isEmpty else { return }
    let held = stalled.reduce(0) { $0 + ($1.body?.byteCount ?? 0) }
    let patience = limits.callStallTimeout / limits.sendStallTimeout
    let hopeless = stalled.filter { $0.sendProgress.isStalled(times: patience) }
    if !hopeless.isEmpty {
      logger.notice("the peer does not take its responses", metadata: ["calls": "\(hopeless.count)"])
    }
    for stream in hopeless { sendStalled(stream) }
    if held > limits.connectionBufferBytes {
      failCalmly("the peer holds \(held) bytes that it does not take")
    }
  }
}
