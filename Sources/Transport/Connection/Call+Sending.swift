import NIOCore
import Synchronization

/// The application's side: sending.
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
