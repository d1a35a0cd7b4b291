import SchedulerCore
import Synchronization

/// The open sessions' outboxes, by session.
final class SessionRegistry: Sendable {
  private struct State {
    var outboxes: [LeaderMachine.SessionID: Outbox<ServerMessage>] = [:]
    var nextID: LeaderMachine.SessionID = 1
  }

  private let state = Mutex(State())

  /// The number of open sessions.
  var count: Int { state.withLock { $0.outboxes.count } }

  /// Makes a session's outbox.
  func add() -> (id: LeaderMachine.SessionID, outbox: Outbox<ServerMessage>) {
    let outbox = Outbox<ServerMessage>(limit: ServerLimits.queuedMessages)
    return state.withLock { state in
      let id = state.nextID
      state.nextID += 1
      state.outboxes[id] = outbox
      return (id, outbox)
    }
  }

  /// Forgets a session that has ended.
  func remove(_ id: LeaderMachine.SessionID) { state.withLock { _ = $0.outboxes.removeValue(forKey: id) } }

  /// Queues a message; of no effect on a session that has ended.
  func send(_ message: ServerMessage, on id: LeaderMachine.SessionID) {
    state.withLock { $0.outboxes[id] }?.send(message)
  }

  /// Ends a session.
  func close(_ id: LeaderMachine.SessionID, reason: String) {
    state.withLock { $0.outboxes[id] }?.close(because: reason)
  }

  /// Ends all sessions.
  func closeAll(reason: String) {
    for outbox in state.withLock({ Array($0.outboxes.values) }) { outbox.close(because: reason) }
  }
}
