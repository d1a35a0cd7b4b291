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
