import NIOCore
import Synchronization

/// One call, where the application's tasks and the connection's event loop meet. Either side, client or server.
///
/// Inbound: the event loop delivers messages, one task takes them; window credit goes back as they are taken.
/// Outbound: tasks append messages and are suspended while too much is unsent; the event loop takes all there is.
final class Call: Sendable {
  /// What a client asks for; nil on a server.
  struct Request: Sendable {
    var path: String
    var metadata: Metadata
    var deadline: NIODeadline?
    /// How its messages are compressed.
    var encoding: MessageEncoding
    /// The server answers with one message.
    var expectsSingleResponse: Bool
  }

  /// What the event loop has to do for the call.
  struct Work {
    var sendsHeaders = false
    var headers = Metadata()
    var messages = MessageBatch()
    /// Client: no more messages follow.
    var endsStream = false
    /// Server: the call is over.
    var status: RPCStatus?
    /// Client: the application is no longer interested.
    var isCancelled = false
    /// Bytes that the application took.
    var credit = 0
  }

  struct State {
    var inbox = MessageBatch()
    var inboxCharge = 0
    /// Received bytes of a message that is not complete, for which no credit was given.
    var partialBytes = 0
    var inboundResult: Result<Metadata, RPCError>?
    var reader: CheckedContinuation<Void, Never>?
    var readerWaitsForEnd = false
    var initialMetadata: Metadata?

    /// The way to the call's connection. Nil: a client's call that has none yet, or none any more.
    var mailbox: Mailbox?
    /// Client: what keeps the connection open.
    var connection: (any AnyObject & Sendable)?
    /// Client: who makes the call again when it was refused.
    var home: (any CallHome)?
    /// Client: what to send again on another connection. Nil: the call cannot be made again.
    var replay: Replay?

    var work = Work()
    /// Server: the event loop was told to send the headers.
    var areHeadersTaken = false
    var isScheduled = false
    var unsentBytes = 0
    var outboundError: RPCError?
    var writers: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWriter: UInt64 = 0
    var trailingMetadata = Metadata()
  }

  let request: Request?
  let limits: TransportLimits
  /// Zero until the stream exists. Written by the event loop.
  let streamID = Atomic<Int32>(0)
  /// Whether messages are compressed. A server's call gets there before its headers are sent, and stays so.
  let compressesOutbound: Atomic<Bool>
  let state: Mutex<State>

  /// A server's call.
  init(mailbox: Mailbox, limits: TransportLimits) {
    request = nil
    self.limits = limits
    compressesOutbound = Atomic(false)
    state = Mutex(State(mailbox: mailbox))
  }

  /// A client's call, which a connection has to adopt.
  init(request: Request, limits: TransportLimits) {
    self.request = request
    self.limits = limits
    compressesOutbound = Atomic(request.encoding == .gzip)
    state = Mutex(State(isScheduled: true))
  }

  /// Tells the event loop that there is work; the caller has set `isScheduled`.
  func post() {
    // Without a mailbox the call is over, or on its way to another connection, which will look at it.
    guard let mailbox = state.withLock({ $0.mailbox }), !mailbox.post(self) else { return }
    close(
      streamID.load(ordering: .relaxed) == 0
        ? .refused("the connection is closed") : RPCError(.unavailable, "the connection was lost"))
  }

  /// Changes the work to do and sees to it that the event loop looks at it.
  func schedule(_ change: (inout State) -> Void) {
    let mustPost = state.withLock { state in
      change(&state)
      return state.markScheduled()
    }
    if mustPost { post() }
  }
}

extension Call.State {
  mutating func markScheduled() -> Bool {
    guard !isScheduled else { return false }
    isScheduled = true
    return true
  }

  /// All that has arrived, or, where messages may be compressed, one message. Its credit becomes due.
  mutating func takeInbox() -> MessageBatch {
    guard inbox.mayBeCompressed, let first = inbox.popFirst() else {
      defer {
        inbox = MessageBatch()
        work.credit += inboxCharge
        inboxCharge = 0
      }
      return inbox
    }
    let charge = inbox.isEmpty ? inboxCharge : min(inboxCharge, MessagePrefix.wireBytes(first.bytes))
    work.credit += charge
    inboxCharge -= charge
    return MessageBatch(first)
  }

  mutating func takeReader() -> CheckedContinuation<Void, Never>? {
    defer { reader = nil }
    return reader
  }

  mutating func takeWriters() -> [CheckedContinuation<Void, Never>] {
    guard !writers.isEmpty else { return [] }
    defer { writers = [:] }
    return Array(writers.values)
  }
}

// MARK: - The event loop's side

extension Call {
  struct Delivery {
    /// The application waits: what it needs for its next message must be let in.
    var isDrained: Bool
    /// Credit that the application had not sent over yet.
    var credit: Int
  }

  /// Hands over messages that cost `charge` bytes of window.
  func deliver(_ messages: MessageBatch, charge: Int, partialBytes: Int) -> Delivery {
    let (delivery, reader) = state.withLock { state in
      let waits = state.reader != nil
      let collects = request?.expectsSingleResponse ?? false
      state.inbox.append(contentsOf: messages)
      // A single response is bounded by the message limit; its window is not worth holding back.
      if collects { state.work.credit += charge } else { state.inboxCharge += charge }
      let isDrained = collects || waits || state.inbox.isEmpty
      state.partialBytes = isDrained ? 0 : partialBytes
      let credit = state.work.credit
      state.work.credit = 0
      let reader = messages.isEmpty || state.readerWaitsForEnd ? nil : state.takeReader()
      return (Delivery(isDrained: isDrained, credit: credit), reader)
    }
    reader?.resume()
    return delivery
  }

  func begin(initialMetadata: Metadata) {
    state.withLock { state in
      state.initialMetadata = initialMetadata
      state.replay = nil
    }
  }

  /// No more messages follow. Those that wait can still be taken.
  func finishInbound(_ result: Result<Metadata, RPCError>) {
    let reader = state.withLock { state in
      if state.inboundResult == nil { state.inboundResult = result }
      return state.takeReader()
    }
    reader?.resume()
  }

  /// The call is over in both directions. The first reason counts.
  ///
  /// - Parameter isFinal: A call that the server certainly did not begin to process is over, too, instead of being made
  ///   again on another connection.
  func close(_ error: RPCError, discardingInbox: Bool = false, isFinal: Bool = false) {
    if !isFinal, error.isRefusedBeforeProcessing, returnHome() { return }
    let (reader, writers, connection) = state.withLock { state in
      if state.inboundResult == nil {
        state.inboundResult = .failure(error)
        if discardingInbox { state.inbox = MessageBatch() }
      }
      if state.outboundError == nil { state.outboundError = error }
      state.work.messages = MessageBatch()
      state.replay = nil
      state.home = nil
      defer { state.connection = nil }
      return (state.takeReader(), state.takeWriters(), state.connection)
    }
    reader?.resume()
    for writer in writers { writer.resume() }
    // Not under the lock: this may be what closes the connection.
    withExtendedLifetime(connection) {}
  }

  /// Bytes of this call went to the socket.
  func sent(bytes: Int) {
    let writers = state.withLock { state in
      state.unsentBytes -= bytes
      return state.unsentBytes <= limits.sendBufferBytes / 2 ? state.takeWriters() : []
    }
    for writer in writers { writer.resume() }
  }

  /// Nil: the call is not, or no longer, that connection's business, or it ended before it was sent.
  func takeWork(for mailbox: Mailbox) -> Work? {
    state.withLock { state in
      let isOver = request != nil && state.inboundResult != nil && streamID.load(ordering: .relaxed) == 0
      guard state.mailbox === mailbox, !isOver else { return nil }
      state.isScheduled = false
      state.record(state.work, limit: limits.retryBufferBytes)
      let headers = state.work.headers
      if state.work.sendsHeaders || !state.work.messages.isEmpty { state.areHeadersTaken = true }
      defer {
        state.work = Work()
        // Kept until a message or `sendHeaders` needs them.
        state.work.headers = headers
      }
      if state.inbox.isEmpty { state.partialBytes = 0 }
      return state.work
    }
  }

  func takeCredit() -> Int {
    state.withLock { state in
      defer { state.work.credit = 0 }
      return state.work.credit
    }
  }

  var isInboxEmpty: Bool { state.withLock { $0.inbox.isEmpty } }
}

// MARK: - The application's side: receiving

extension Call {
  private enum Take {
    case batch(MessageBatch, mustPost: Bool)
    case end(Result<Metadata, RPCError>)
    case wait
  }

  /// The messages that have arrived, at least one, decompressed and with the flag that they had; nil at the end of the
  /// stream. All of them, unless there are compressed ones: their sizes are not known, so a batch of those ends with the
  /// message that takes it past `TransportLimits.decompressedBatchBytes`.
  func nextBatch() async throws -> MessageBatch? {
    while true {
      switch takeBatch() {
      case .batch(let messages, let mustPost):
        if mustPost { post() }
        return messages.mayBeCompressed ? try decompressBatch(startingWith: messages) : messages
      case .end(let result):
        _ = try result.get()
        return nil
      case .wait:
        guard !Task.isCancelled else { throw RPCError(.cancelled, "the task that reads was cancelled") }
        try await waitForInbound(untilEnd: false)
      }
    }
  }

  /// All messages, once the call has ended with status OK.
  func collect() async throws -> [ByteBuffer] {
    while true {
      let outcome = state.withLock { state in state.inboundResult.map { ($0, state.inbox) } }
      if let (result, messages) = outcome {
        _ = try result.get()
        guard messages.mayBeCompressed else { return messages.bytes }
        return try messages.map { try $0.decompressed(limit: limits.maxReceiveMessageBytes) }
      }
      try await waitForInbound(untilEnd: true)
    }
  }

  private func takeBatch() -> Take {
    state.withLock { state in
      guard !state.inbox.isEmpty else { return state.inboundResult.map { .end($0) } ?? .wait }
      let messages = state.takeInbox()
      // Credit travels in large pieces: the peer always has three quarters of the window left.
      let owed = state.work.credit + state.partialBytes
      let isStarved = state.mailbox?.isStarved.load(ordering: .relaxed) ?? false
      let isDue = owed >= limits.streamWindowBytes / 4 || isStarved
      let mustPost = isDue && owed > 0 && state.inboundResult == nil && state.markScheduled()
      return .batch(messages, mustPost: mustPost)
    }
  }

  /// Decompresses the message that was taken, and takes more of those that are here.
  private func decompressBatch(startingWith first: MessageBatch) throws -> MessageBatch {
    var batch = MessageBatch()
    var byteCount = 0
    var next = first
    while true {
      for message in next {
        do {
          let bytes = try message.decompressed(limit: limits.maxReceiveMessageBytes)
          byteCount += bytes.readableBytes
          batch.append(bytes, isCompressed: message.isCompressed)
        } catch {
          fail(error)
          throw error
        }
      }
      guard byteCount < limits.decompressedBatchBytes,
        case .batch(let more, let mustPost) = takeBatch()
      else { return batch }
      if mustPost { post() }
      next = more
    }
  }

  /// The peer sent what cannot be read. A client's call ends; on a server the handler decides.
  private func fail(_ error: RPCError) {
    let mustPost = state.withLock { state in
      let isOver = state.inboundResult != nil
      state.inboundResult = .failure(error)
      state.inbox = MessageBatch()
      guard request != nil, !isOver else { return false }
      state.work.isCancelled = true
      return state.markScheduled()
    }
    if mustPost { post() }
  }

  private func waitForInbound(untilEnd: Bool) async throws {
    let isAlone = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let isNews = state.withLock { state -> Bool in
          // A cancellation that comes later finds the continuation; one that came before is seen here.
          if state.inboundResult != nil || Task.isCancelled || state.reader != nil { return true }
          if !untilEnd, !state.inbox.isEmpty { return true }
          state.readerWaitsForEnd = untilEnd
          state.reader = continuation
          return false
        }
        if isNews { continuation.resume() }
      }
      return state.withLock { $0.reader == nil }
    } onCancel: {
      readerCancelled()
    }
    guard isAlone else {
      throw RPCError(.internalError, "two tasks read one call's messages at the same time")
    }
  }

  /// On a client, losing interest in the response ends the call. On a server, the handler decides.
  private func readerCancelled() {
    if request != nil {
      cancel()
    } else {
      state.withLock { $0.takeReader() }?.resume()
    }
  }
}

// MARK: - The application's side: sending

extension Call {
  private enum Offer {
    case accepted(Int, mustPost: Bool)
    case full
    case refused(RPCError)
  }

  /// Sends messages in order. Suspends while more than `sendBufferBytes` of this call are unsent.
  ///
  /// - Parameter compressed: Whether to compress them, if the call has compression at all.
  func send(_ messages: some Collection<ByteBuffer>, compressed: Bool) async throws {
    for message in messages where message.readableBytes > limits.maxSendMessageBytes {
      throw RPCError(
        .resourceExhausted,
        "message of \(message.readableBytes) bytes; the limit for sending is \(limits.maxSendMessageBytes) bytes"
      )
    }
    if compressed, compressesOutbound.load(ordering: .relaxed) {
      for message in messages {
        let wire = try WireMessage(compressing: message)
        try await send(wire: CollectionOfOne(wire.bytes), isCompressed: wire.isCompressed)
      }
    } else {
      try await send(wire: messages, isCompressed: false)
    }
  }

  private func send(wire messages: some Collection<ByteBuffer>, isCompressed: Bool) async throws {
    var rest = messages[...]
    while !rest.isEmpty {
      switch offer(rest, isCompressed: isCompressed) {
      case .accepted(let count, let mustPost):
        rest = rest.dropFirst(count)
        if mustPost { post() }
      case .full:
        guard !Task.isCancelled else { throw RPCError(.cancelled, "the task that sends was cancelled") }
        await waitForRoom()
      case .refused(let error):
        throw error
      }
    }
  }

  private func offer(_ messages: some Collection<ByteBuffer>, isCompressed: Bool) -> Offer {
    state.withLock { state in
      if let error = state.outboundError { return .refused(error) }
      guard !state.work.endsStream, state.work.status == nil else {
        return .refused(RPCError(.internalError, "a message was sent after the end of the stream"))
      }
      var count = 0
      for message in messages {
        guard state.unsentBytes < limits.sendBufferBytes else { break }
        state.work.messages.append(message, isCompressed: isCompressed)
        state.unsentBytes += MessagePrefix.wireBytes(message)
        count += 1
      }
      guard count > 0 else { return .full }
      return .accepted(count, mustPost: state.markScheduled())
    }
  }

  private func waitForRoom() async {
    let id = state.withLock { state in
      state.nextWriter += 1
      return state.nextWriter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let isNews = state.withLock { state -> Bool in
          if state.unsentBytes < limits.sendBufferBytes || state.outboundError != nil || Task.isCancelled {
            return true
          }
          state.writers[id] = continuation
          return false
        }
        if isNews { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.writers.removeValue(forKey: id) }?.resume()
    }
  }

  /// Server: compresses messages from here on. False when the headers, which say so, are on their way already.
  func compressOutbound() -> Bool {
    state.withLock { state in
      if !state.areHeadersTaken { compressesOutbound.store(true, ordering: .relaxed) }
      return compressesOutbound.load(ordering: .relaxed)
    }
  }

  /// Client, before the call is made: its only message.
  func prepare(_ message: WireMessage) {
    state.withLock { state in
      state.unsentBytes = MessagePrefix.wireBytes(message.bytes)
      state.work.messages = MessageBatch(message)
      state.work.endsStream = true
    }
  }

  /// Client: no more messages follow.
  func finishSending() {
    schedule { $0.work.endsStream = true }
  }

  /// Client: ends the call if it has not ended.
  func cancel() {
    let mustPost = state.withLock { state in
      guard state.inboundResult == nil else { return false }
      state.work.isCancelled = true
      return state.markScheduled()
    }
    close(RPCError(.cancelled, "the call was cancelled"), discardingInbox: true)
    if mustPost { post() }
  }

  /// Server: ends the call.
  func finish(_ status: RPCStatus) {
    schedule { state in
      guard state.work.status == nil else { return }
      var status = status
      status.metadata.add(contentsOf: state.trailingMetadata)
      state.work.status = status
    }
  }
}
