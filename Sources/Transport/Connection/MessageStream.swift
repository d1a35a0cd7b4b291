import NIOCore
import Synchronization

/// The messages that come in on a call, in order. One task at a time may read it.
///
/// Flow control is real: the peer may send no more than the stream's window ahead of what was taken here. On a client the
/// iteration throws the call's status when that is not OK, and dropping the stream cancels the call.
public struct MessageStream: AsyncSequence, Sendable {
  /// A serialized message.
  public typealias Element = ByteBuffer

  /// Cancels a client's call when nobody can read its response any more.
  private final class Owner: Sendable {
    let call: Call

    init(_ call: Call) { self.call = call }

    deinit { call.cancel() }
  }

  private let call: Call
  private let owner: Owner?

  init(_ call: Call, cancelsWhenDropped: Bool) {
    self.call = call
    owner = cancelsWhenDropped ? Owner(call) : nil
  }

  /// Waits until messages are here and takes all of them; nil at the end of the stream.
  ///
  /// - Throws: `RPCError` when the call ended otherwise than in order.
  public func nextBatch() async throws -> [ByteBuffer]? {
    defer { withExtendedLifetime(owner) {} }
    return try await call.nextBatch()?.bytes
  }

  /// As `nextBatch()`, and says of each message whether it came compressed.
  public func nextBatchWithCompression() async throws -> [(message: ByteBuffer, wasCompressed: Bool)]? {
    defer { withExtendedLifetime(owner) {} }
    return try await call.nextBatch()?.map { ($0.bytes, $0.isCompressed) }
  }

  /// On a client, the trailing metadata of a call that ended with status OK; nil before.
  public var trailingMetadata: Metadata? {
    call.state.withLock { state in
      guard case .success(let metadata) = state.inboundResult else { return nil }
      return metadata
    }
  }

  /// On a client, the metadata that came before the first message; nil before it has come.
  public var initialMetadata: Metadata? {
    call.state.withLock { $0.initialMetadata }
  }

  /// Takes messages one by one.
  public func makeAsyncIterator() -> Iterator { Iterator(stream: self) }

  /// Takes messages one by one, out of batches.
  public struct Iterator: AsyncIteratorProtocol {
    private let stream: MessageStream
    private var batch: ArraySlice<ByteBuffer> = []

    init(stream: MessageStream) { self.stream = stream }

    /// The next message; nil at the end of the stream. Errors as in `nextBatch()`.
    public mutating func next() async throws -> ByteBuffer? {
      if let message = batch.popFirst() { return message }
      guard let next = try await stream.nextBatch() else { return nil }
      batch = next[...]
      return batch.popFirst()
    }
  }
}
