import Synchronization

/// What a client's tasks need to know of its connection.
final class ClientConnectionStatus: Sendable {
  private enum Phase {
    case connecting, ready, draining
    case closed(RPCError)
  }

  private struct State {
    var phase = Phase.connecting
    var isClosedByCaller = false
    var readyWaiter: CheckedContinuation<Void, any Error>?
    var closeWaiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
  }

  private let state = Mutex(State())

  /// Whether new calls have a chance.
  var isConnected: Bool {
    state.withLock { if case .ready = $0.phase { true } else { false } }
  }

  func ready() {
    let waiter = state.withLock { state in
      if case .connecting = state.phase { state.phase = .ready }
      defer { state.readyWaiter = nil }
      return state.readyWaiter
    }
    waiter?.resume()
  }

  func draining() {
    state.withLock { state in
      if case .closed = state.phase { return }
      state.phase = .draining
    }
  }

  func closedByCaller() {
    state.withLock { $0.isClosedByCaller = true }
  }

  func closed(_ reason: RPCError) {
    let (readyWaiter, closeWaiters) = state.withLock { state in
      if case .closed = state.phase {} else { state.phase = .closed(reason) }
      defer {
        state.readyWaiter = nil
        state.closeWaiters = [:]
      }
      return (state.readyWaiter, Array(state.closeWaiters.values))
    }
    readyWaiter?.resume(throwing: reason)
    for waiter in closeWaiters { waiter.resume() }
  }

  /// Returns when the server's SETTINGS have come. One task at a time; `closed` ends the wait.
  func waitUntilReady() async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      let outcome = state.withLock { state -> Result<Void, any Error>? in
        switch state.phase {
        case .connecting:
          state.readyWaiter = continuation
          return nil
        case .ready, .draining: return .success(())
        case .closed(let reason): return .failure(reason)
        }
      }
      if let outcome { continuation.resume(with: outcome) }
    }
  }

  /// Returns why the connection closed; nil when its owner closed it, or when the waiting task was cancelled.
  func waitUntilClosed() async -> RPCError? {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let isDone = state.withLock { state -> Bool in
          if case .closed = state.phase { return true }
          if Task.isCancelled { return true }
          state.closeWaiters[id] = continuation
          return false
        }
        if isDone { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.closeWaiters.removeValue(forKey: id) }?.resume()
    }
    return state.withLock { state in
      guard case .closed(let reason) = state.phase, !state.isClosedByCaller else { return nil }
      return reason
    }
  }
}
