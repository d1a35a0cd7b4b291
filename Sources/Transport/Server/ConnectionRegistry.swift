import NIOCore
import Synchronization

/// The open connections of a server: counts them against the limit and reaches all of them at shutdown.
final class ConnectionRegistry: Sendable {
  private struct State {
    var connections: [ObjectIdentifier: Mailbox] = [:]
    var isShutDown = false
  }

  private let limit: Int
  private let state = Mutex(State())
  private let counter = ActivityCounter()

  init(limit: Int) {
    self.limit = limit
  }

  var count: Int { state.withLock { $0.connections.count } }

  /// False when the limit is reached or the server shuts down.
  func add(_ mailbox: Mailbox) -> Bool {
    let isAdded = state.withLock { state in
      guard state.connections.count < limit, !state.isShutDown else { return false }
      state.connections[ObjectIdentifier(mailbox)] = mailbox
      return true
    }
    if isAdded { counter.enter() }
    return isAdded
  }

  func remove(_ mailbox: Mailbox) {
    let removed = state.withLock { $0.connections.removeValue(forKey: ObjectIdentifier(mailbox)) }
    if removed != nil { counter.leave() }
  }

  /// Tells every connection to finish by the deadline. No connection is added afterwards.
  func shutdown(by deadline: NIODeadline) {
    let connections = state.withLock { state in
      state.isShutDown = true
      return Array(state.connections.values)
    }
    for connection in connections { connection.post(.shutdown(deadline)) }
  }

  /// Returns when no connection is open or the task is cancelled.
  func waitUntilEmpty() async {
    await counter.waitUntilZero()
  }
}
