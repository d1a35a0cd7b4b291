import Synchronization

/// A response body that arrives while it is read.
///
/// At most ``Options/bufferBytes`` are held: when the reader is slower than the server, the transfer is paused and
/// TCP pushes back. One reader at a time.
public final class HTTPStream: Sendable {
  /// Bounds of one stream.
  public struct Options: Sendable {
    /// Bytes buffered before the transfer is paused; one chunk of libcurl's may exceed it.
    public var bufferBytes = 1 << 20
    /// The stream fails with `timeout` after this long without a byte from the server; nil waits for ever.
    /// Time during which the transfer is paused because the reader is slow does not count.
    public var idleTimeout: Duration?
    /// The stream fails with `timeout` when the response has not begun by then; nil leaves that to `idleTimeout`.
    public var responseTimeout: Duration?

    /// The defaults: 1 MiB, no idle timeout.
    public init() {}
  }

  /// Status and headers of a stream's response.
  public struct Head: Sendable {
    /// Status code.
    public let status: Int
    /// Header names as received, and trimmed values.
    public let headers: [(String, String)]
  }

  private let buffer: StreamBuffer
  private let transfer: Transfer
  private let core: EngineCore

  init(buffer: StreamBuffer, transfer: Transfer, core: EngineCore) {
    self.buffer = buffer
    self.transfer = transfer
    self.core = core
  }

  deinit { cancel() }

  /// Waits for the response's status and headers.
  ///
  /// Cancelling the calling task cancels the stream.
  public func head() async throws(CurlError) -> Head {
    let result = await waiting { self.buffer.waitForHead($0) }
    switch result {
    case .head(let head): return head
    case .failed(let error): throw error
    case .chunk, .end:
      throw CurlError(code: .badResponse, message: "the response ended without a head", certainty: .maybeSent)
    }
  }

  /// The next piece of the body, nil at its end.
  ///
  /// Cancelling the calling task cancels the stream. After an error every call throws the same error.
  public func next() async throws(CurlError) -> [UInt8]? {
    switch await waiting({ self.buffer.waitForChunk($0) }) {
    case .chunk(let bytes, let resume):
      if resume { core.send(.resume(transfer)) }
      return bytes
    case .failed(let error): throw error
    case .end, .head: return nil
    }
  }

  /// Ends the transfer; a waiting `next()` throws `cancelled`. Harmless when it has ended already.
  public func cancel() {
    if buffer.finish(.failure(transfer.cancelledError)) { core.send(.cancel(transfer)) }
  }

  private func waiting(
    _ body: (UnsafeContinuation<StreamBuffer.Delivery, Never>) -> Void
  ) async -> StreamBuffer.Delivery {
    await withTaskCancellationHandler {
      await withUnsafeContinuation { body($0) }
    } onCancel: {
      cancel()
    }
  }
}

/// What the engine's thread and the stream's reader share.
final class StreamBuffer: Sendable {
  enum Delivery: Sendable {
    case head(HTTPStream.Head)
    case chunk([UInt8], resume: Bool)
    case failed(CurlError)
    case end
  }

  private enum Interest { case head, chunk }

  private struct State {
    var head: HTTPStream.Head?
    var pending: [UInt8] = []
    var paused = false
    var outcome: Result<Void, CurlError>?
    var waiter: (UnsafeContinuation<Delivery, Never>, Interest)?

    /// What a reader with that interest would get now; nil means that it has to wait.
    mutating func delivery(for interest: Interest) -> Delivery? {
      switch interest {
      case .head:
        if let head { return .head(head) }
      case .chunk:
        if !pending.isEmpty {
          let bytes = pending
          pending = []
          let resume = paused
          paused = false
          return .chunk(bytes, resume: resume)
        }
      }
      switch outcome {
      case .success: return .end
      case .failure(let error): return .failed(error)
      case nil: return nil
      }
    }
  }

  let options: HTTPStream.Options
  private let state = Mutex(State())

  init(options: HTTPStream.Options) { self.options = options }

  // MARK: Reader

  func waitForHead(_ continuation: UnsafeContinuation<Delivery, Never>) { wait(continuation, .head) }
  func waitForChunk(_ continuation: UnsafeContinuation<Delivery, Never>) { wait(continuation, .chunk) }

  private func wait(_ continuation: UnsafeContinuation<Delivery, Never>, _ interest: Interest) {
    let delivery: Delivery? = state.withLock { state in
      if let delivery = state.delivery(for: interest) { return delivery }
      guard state.waiter == nil else {
        return .failed(.invalid("two readers wait on one stream; a stream has one reader"))
      }
      state.waiter = (continuation, interest)
      return nil
    }
    if let delivery { continuation.resume(returning: delivery) }
  }

  // MARK: Engine thread

  func receive(head: HTTPStream.Head) {
    update { $0.head = head }
  }

  /// Takes a chunk, or refuses it (the transfer must pause and will offer it again).
  func receive(chunk: UnsafeRawBufferPointer) -> Bool {
    let limit = options.bufferBytes
    var accepted = false
    update { state in
      guard state.outcome == nil else {
        accepted = true  // Already over for the reader: drop, the cancel command is on its way.
        return
      }
      if !state.pending.isEmpty && state.pending.count + chunk.count > limit {
        state.paused = true
        return
      }
      state.pending.append(contentsOf: chunk)
      accepted = true
    }
    return accepted
  }

  /// Ends the stream. True for the first call only.
  @discardableResult
  func finish(_ outcome: Result<Void, CurlError>) -> Bool {
    var first = false
    update { state in
      guard state.outcome == nil else { return }
      state.outcome = outcome
      first = true
    }
    return first
  }

  /// Changes the state and wakes the reader when there is something for it.
  private func update(_ change: (inout State) -> Void) {
    let wake: (UnsafeContinuation<Delivery, Never>, Delivery)? = state.withLock { state in
      change(&state)
      guard let (continuation, interest) = state.waiter,
        let delivery = state.delivery(for: interest)
      else { return nil }
      state.waiter = nil
      return (continuation, delivery)
    }
    wake?.0.resume(returning: wake!.1)
  }
}
