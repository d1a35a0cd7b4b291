import SchedulerCore
import Synchronization

/// What waits to be sent to an agent.
enum Outgoing: Sendable {
  /// A message as it is.
  case message(ServerMessage)
  /// An assignment that has to carry its run's checkpoint, which is read first.
  case resumption(Assignment)
}

/// The open sessions' outboxes, by session.
final class SessionRegistry: Sendable {
  private struct State {
    var outboxes: [LeaderMachine.SessionID: Outbox<Outgoing>] = [:]
    var nextID: LeaderMachine.SessionID = 1
  }

  private let state = Mutex(State())

  /// The number of open sessions.
  var count: Int { state.withLock { $0.outboxes.count } }

  /// Makes a session's outbox.
  func add() -> (id: LeaderMachine.SessionID, outbox: Outbox<Outgoing>) {
    let outbox = Outbox<Outgoing>(limit: ServerLimits.queuedMessages)
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
  func send(_ message: Outgoing, on id: LeaderMachine.SessionID) {
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
