import NIOCore
import Synchronization

/// How tasks reach a connection: a set of calls with something to do, drained on the connection's event loop.
///
/// However many calls post before the event loop gets to it, that costs one wake-up and one flush.
final class Mailbox: Sendable {
  /// What concerns the connection as a whole.
  enum Command: Sendable {
    /// Take no new calls, let those in flight finish until the deadline, then close.
    case shutdown(NIODeadline)
  }

  private struct State {
    var calls: [Call] = []
    var commands: [Command] = []
    var isScheduled = false
    var isClosed = false
    var drain: (@Sendable () -> Void)?
  }

  let eventLoop: any EventLoop
  /// The connection's flow-control window is used up: credit has to come back at once, not in large pieces.
  let isStarved = Atomic<Bool>(false)
  private let state = Mutex(State())

  init(eventLoop: any EventLoop) {
    self.eventLoop = eventLoop
  }

  /// Connects the mailbox to its connection, which empties it when `drain` runs on the event loop.
  func open(drain: @escaping @Sendable () -> Void) {
    state.withLock { $0.drain = drain }
  }

  /// False when the connection is gone: the call was not taken.
  func post(_ call: Call) -> Bool {
    post { $0.calls.append(call) }
  }

  /// False when the connection is gone.
  @discardableResult
  func post(_ command: Command) -> Bool {
    post { $0.commands.append(command) }
  }

  private func post(_ change: (inout State) -> Void) -> Bool {
    let (isOpen, drain) = state.withLock { state -> (Bool, (@Sendable () -> Void)?) in
      guard !state.isClosed else { return (false, nil) }
      change(&state)
      guard !state.isScheduled, let drain = state.drain else { return (true, nil) }
      state.isScheduled = true
      return (true, drain)
    }
    if let drain { eventLoop.execute(drain) }
    return isOpen
  }

  func take() -> (calls: [Call], commands: [Command]) {
    state.withLock { state in
      state.isScheduled = false
      defer {
        state.calls = []
        state.commands = []
      }
      return (state.calls, state.commands)
    }
  }

  /// Refuses everything from now on and returns the calls that were not taken.
  func close() -> [Call] {
    state.withLock { state in
      state.isClosed = true
      state.drain = nil
      defer { state.calls = [] }
      return state.calls
    }
  }
}
