import DequeModule
import Synchronization

/// A bounded queue from the replica, which never waits, to the one task that writes a stream.
final class Outbox<Message: Sendable>: Sendable {
  private struct State {
    var messages = Deque<Message>()
    var waiting: CheckedContinuation<[Message]?, Never>?
    var closedBecause: String?
  }

  private let state = Mutex(State())
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  /// Why the outbox was closed; nil while it is open.
  var closeReason: String? { state.withLock { $0.closedBecause } }

  /// Queues a message; a reader that is so far behind that the queue is full loses its stream, which
  /// is safe: what it has not got is sent again on the next one.
  func send(_ message: Message) {
    let woken = state.withLock { state -> (CheckedContinuation<[Message]?, Never>, [Message]?)? in
      guard state.closedBecause == nil else { return nil }
      guard state.messages.count < limit else {
        state.closedBecause = "the peer reads too slowly: \(limit) messages wait"
        state.messages = []
        return state.waiting.take().map { ($0, nil) }
      }
      state.messages.append(message)
      guard let waiting = state.waiting.take() else { return nil }
      defer { state.messages.removeAll(keepingCapacity: true) }
      return (waiting, Array(state.messages))
    }
    woken?.0.resume(returning: woken?.1)
  }

  /// Ends the stream.
  func close(because reason: String) {
    let waiting = state.withLock { state -> CheckedContinuation<[Message]?, Never>? in
      guard state.closedBecause == nil else { return nil }
      state.closedBecause = reason
      return state.waiting.take()
    }
    waiting?.resume(returning: nil)
  }

  /// All that has gathered, at least one message; nil once closed. For one reader.
  func next() async -> [Message]? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now = state.withLock { state -> [Message]?? in
          if !state.messages.isEmpty {
            defer { state.messages.removeAll(keepingCapacity: true) }
            return .some(Array(state.messages))
          }
          if state.closedBecause != nil { return .some(nil) }
          state.waiting = continuation
          return .none
        }
        if case .some(let messages) = now { continuation.resume(returning: messages) }
      }
    } onCancel: {
      close(because: "cancelled")
    }
  }
}
