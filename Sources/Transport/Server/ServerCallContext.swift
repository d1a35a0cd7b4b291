import NIOCore
import Synchronization

/// What a server's handler knows of the call that it serves.
public struct ServerCallContext: Sendable {
  /// `/package.Service/Method`.
  public let path: String
  /// The caller's metadata.
  public let metadata: Metadata
  /// The caller's address, such as `10.0.0.7:41234`.
  public let peer: String
  /// What `GRPCServerConfiguration.identifyPeer` said of the caller; nil without it.
  public let peerIdentity: (any Sendable)?
  /// When the caller gives up; nil when it set no deadline.
  public let deadline: ContinuousClock.Instant?
  /// Whether the request came compressed; always false for a stream of requests.
  public internal(set) var isRequestCompressed = false
  let call: Call
  let acceptsGZip: Bool

  init(
    path: String, metadata: Metadata, peer: String, peerIdentity: (any Sendable)?,
    deadline: ContinuousClock.Instant?, call: Call, acceptsGZip: Bool
  ) {
    self.path = path
    self.metadata = metadata
    self.peer = peer
    self.peerIdentity = peerIdentity
    self.deadline = deadline
    self.call = call
    self.acceptsGZip = acceptsGZip
  }

  /// Compresses the response's messages with gzip from here on, where that makes them smaller. Of no effect when the caller
  /// does not accept gzip, or when the first message or the headers were sent already.
  ///
  /// - Returns: Whether messages will be compressed.
  @discardableResult public func compressResponses() -> Bool {
    acceptsGZip && call.compressOutbound()
  }

  /// Sets the metadata that goes before the first response message. Of no effect once that was sent.
  public func setInitialMetadata(_ metadata: Metadata) {
    call.state.withLock { $0.work.headers = metadata }
  }

  /// Sets the metadata that goes with the status.
  public func setTrailingMetadata(_ metadata: Metadata) {
    call.state.withLock { $0.trailingMetadata = metadata }
  }
}

/// Sends the response messages of one call, in order.
public struct ResponseWriter: Sendable {
  let call: Call

  /// Sends a message. Suspends while `TransportLimits.sendBufferBytes` of this call wait for the peer.
  ///
  /// - Parameter compressed: False: as it is, even after `ServerCallContext.compressResponses()`.
  /// - Throws: `RPCError`: CANCELLED, UNAVAILABLE or DEADLINE_EXCEEDED when the call is over; RESOURCE_EXHAUSTED when the
  ///   message is larger than `TransportLimits.maxSendMessageBytes`.
  public func send(_ message: ByteBuffer, compressed: Bool = true) async throws {
    try await call.send(CollectionOfOne(message), compressed: compressed)
  }

  /// Sends messages, in fewer steps than one by one. Errors and suspension as in `send(_:compressed:)`.
  public func send(contentsOf messages: [ByteBuffer], compressed: Bool = true) async throws {
    try await call.send(messages, compressed: compressed)
  }

  /// Sends the initial metadata now instead of with the first message.
  public func sendHeaders(_ metadata: Metadata? = nil) {
    call.schedule { state in
      if let metadata { state.work.headers = metadata }
      state.work.sendsHeaders = true
    }
  }
}
