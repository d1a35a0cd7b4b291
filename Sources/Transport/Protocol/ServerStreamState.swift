import NIOCore

/// The server's side of one call. Pure: methods take what happened and return what to do.
///
/// Inbound: `open` → `ended`. Outbound: `idle` → `headersSent` → `ended`; a call may go from `idle` to `ended`
/// (trailers only). Either side may become `ended` by `reset()`. Nothing leaves `ended`.
struct ServerStreamState {
  enum Outbound: Equatable { case idle, headersSent, ended }

  /// How many request messages the method takes.
  let takesSingleRequest: Bool
  private(set) var isInboundOpen = true
  private(set) var outbound = Outbound.idle
  private var request: WireMessage?

  init(takesSingleRequest: Bool) {
    self.takesSingleRequest = takesSingleRequest
  }

  enum InboundAction {
    case none
    /// Hand these to the handler's message stream.
    case deliver(MessageBatch)
    /// All requests of a single-request method are here: start its handler.
    case start(WireMessage)
    /// The caller will send no more.
    case finishInbound
    /// End the call with this status.
    case fail(RPCError)
  }

  /// Messages arrived. A message after the caller's end or our own status is a benign race, and dropped.
  mutating func receive(_ messages: MessageBatch) -> InboundAction {
    guard isInboundOpen, outbound != .ended, !messages.isEmpty else { return .none }
    guard takesSingleRequest else { return .deliver(messages) }
    guard request == nil, messages.count == 1 else {
      isInboundOpen = false
      return .fail(RPCError(.unimplemented, "this method takes one request message; more than one was sent"))
    }
    var messages = messages
    request = messages.popFirst()
    return .none
  }

  /// The caller's END_STREAM arrived, with `pendingBytes` of an incomplete message before it.
  mutating func receiveEnd(pendingBytes: Int) -> InboundAction {
    guard isInboundOpen, outbound != .ended else { return .none }
    isInboundOpen = false
    guard pendingBytes == 0 else {
      return .fail(RPCError(.internalError, "the request ended \(pendingBytes) bytes into a message"))
    }
    guard takesSingleRequest else { return .finishInbound }
    guard let message = request else {
      return .fail(RPCError(.unimplemented, "this method takes one request message; none was sent"))
    }
    request = nil
    return .start(message)
  }

  /// Whether response headers have to be sent now.
  mutating func sendHeaders() -> Bool {
    guard outbound == .idle else { return false }
    outbound = .headersSent
    return true
  }

  enum FinishAction: Equatable { case trailersOnly, trailers, none }

  /// The call has a status. Only the first counts.
  mutating func finish() -> FinishAction {
    defer { outbound = .ended }
    switch outbound {
    case .idle: return .trailersOnly
    case .headersSent: return .trailers
    case .ended: return .none
    }
  }

  /// The stream is gone, whoever reset it.
  mutating func reset() {
    isInboundOpen = false
    outbound = .ended
    request = nil
  }
}
