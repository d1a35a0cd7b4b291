import NIOCore
import Synchronization

/// The application's side: receiving.
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
