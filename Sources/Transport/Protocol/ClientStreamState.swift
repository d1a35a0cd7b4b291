import NIOCore

/// The client's side of one call. Pure: methods take what happened and return what to do.
///
/// `waiting` → `open` (response headers came) → `ended`. Trailers, a reset, a deadline or a cancellation end it; what
/// comes later is a benign race, and dropped.
struct ClientStreamState {
  enum Phase: Equatable { case waiting, open, ended }

  /// How many response messages the method gives.
  let expectsSingleResponse: Bool
  private(set) var phase = Phase.waiting
  private var messageCount = 0

  init(expectsSingleResponse: Bool) {
    self.expectsSingleResponse = expectsSingleResponse
  }

  enum Action {
    case none
    /// The response begins.
    case begin(Metadata, MessageEncoding)
    case deliver(MessageBatch)
    /// The call is over.
    case finish(RPCStatus)
    /// The server broke the protocol: reset the stream and end the call with this error.
    case fail(RPCError)
  }

  /// A header block: informational (1xx), initial, trailing, or both in one (trailers only).
  ///
  /// - Parameter pendingBytes: Bytes of an incomplete message before it.
  mutating func receive(headers fields: [HeaderField], endStream: Bool, pendingBytes: Int) -> Action {
    switch phase {
    case .ended:
      return .none
    case .waiting:
      guard let httpStatus = fields.value(of: ":status") else {
        return fail(RPCError(.internalError, "the response has no :status"))
      }
      if httpStatus.hasPrefix("1") { return .none }
      if endStream, let status = RPCStatus(trailers: fields) { return finish(status) }
      guard httpStatus == "200" else { return fail(RPCError(RPCStatus(httpStatus: httpStatus))) }
      guard let contentType = fields.value(of: "content-type"), RequestHead.isGRPC(contentType) else {
        return fail(RPCError(.unknown, "the response is not gRPC: its content-type is not application/grpc"))
      }
      guard !endStream else { return fail(RPCError(.unknown, "the response ended without grpc-status")) }
      let encodingName = fields.value(of: "grpc-encoding")
      guard let encoding = MessageEncoding(header: encodingName) else {
        let name = (encodingName ?? "").prefix(32)
        let message = "the response's grpc-encoding '\(name)' is none of \(MessageEncoding.accepted)"
        return fail(RPCError(.internalError, message))
      }
      phase = .open
      return .begin(Metadata(receivedFields: fields), encoding)
    case .open:
      guard endStream else {
        return fail(RPCError(.internalError, "a second header block without END_STREAM"))
      }
      guard let status = RPCStatus(trailers: fields) else {
        return fail(RPCError(.unknown, "the response ended without grpc-status"))
      }
      if status.code == .ok, pendingBytes > 0 {
        return fail(RPCError(.internalError, "the response ended \(pendingBytes) bytes into a message"))
      }
      return finish(status)
    }
  }

  mutating func receive(_ messages: MessageBatch) -> Action {
    guard phase == .open, !messages.isEmpty else { return .none }
    messageCount += messages.count
    if expectsSingleResponse, messageCount > 1 {
      return fail(RPCError(.unimplemented, "this method gives one response message; more than one came"))
    }
    return .deliver(messages)
  }

  /// END_STREAM on a DATA frame: gRPC ends with trailers, so something in between cut the call.
  mutating func receiveEnd(pendingBytes: Int) -> Action {
    guard phase != .ended else { return .none }
    return fail(
      pendingBytes > 0
        ? RPCError(.internalError, "the response ended \(pendingBytes) bytes into a message")
        : RPCError(.unknown, "the response ended without grpc-status"))
  }

  /// The call ended for a reason outside the stream. False when it was over already.
  mutating func end() -> Bool {
    defer { phase = .ended }
    return phase != .ended
  }

  private mutating func finish(_ status: RPCStatus) -> Action {
    phase = .ended
    if status.code == .ok, expectsSingleResponse, messageCount == 0 {
      return .finish(RPCStatus(.unimplemented, "this method gives one response message; none came"))
    }
    return .finish(status)
  }

  private mutating func fail(_ error: RPCError) -> Action {
    phase = .ended
    return .fail(error)
  }
}
