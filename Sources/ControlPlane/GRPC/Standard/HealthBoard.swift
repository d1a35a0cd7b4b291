import Proto
import Synchronization

/// The status of each service of a server, kept up to date by whoever knows it, and shown by `HealthService`.
/// The empty name stands for the server as a whole.
final class HealthBoard: Sendable {
  private struct Watcher {
    var service: String
    var news: AsyncStream<ServingStatus>.Continuation
  }

  private struct State {
    var statuses: [String: ServingStatus]
    var watchers: [UInt64: Watcher] = [:]
    var nextWatcher: UInt64 = 0
    var isClosed = false

    /// Tells the watchers, and returns the services whose status has changed.
    @discardableResult
    mutating func change(to status: (String) -> ServingStatus) -> [String] {
      var changed: [String] = []
      for (service, old) in statuses {
        let new = status(service)
        guard new != old else { continue }
        statuses[service] = new
        changed.append(service)
        for watcher in watchers.values where watcher.service == service { watcher.news.yield(new) }
      }
      return changed
    }
  }

  private let state: Mutex<State>

  /// All services are NOT_SERVING at first.
  init(services: some Sequence<String>) {
    let names = Set(services).union([""])
    state = Mutex(State(statuses: Dictionary(uniqueKeysWithValues: names.map { ($0, .notServing) })))
  }

  /// All statuses by service.
  var statuses: [String: ServingStatus] { state.withLock { $0.statuses } }

  /// The status of a service; nil for one that the server does not have.
  func status(of service: String) -> ServingStatus? { state.withLock { $0.statuses[service] } }

  /// Sets the status of all services. Of no effect once the board is closed.
  /// - Returns: The services whose status has changed.
  @discardableResult
  func set(_ status: (_ service: String) -> ServingStatus) -> [String] {
    state.withLock { state in state.isClosed ? [] : state.change(to: status) }
  }

  /// The server stops: from now on nothing serves. Watches are told so, and end.
  func close() {
    let watchers = state.withLock { state in
      state.isClosed = true
      state.change { _ in .notServing }
      defer { state.watchers = [:] }
      return state.watchers
    }
    // Without the lock: what follows from the end of a stream takes it.
    for watcher in watchers.values { watcher.news.finish() }
  }

  /// The status of a service now, and then whenever it changes; a slow reader misses what is out of date. Ends when
  /// the board is closed. Nil when too many watch already.
  func watch(_ service: String) -> AsyncStream<ServingStatus>? {
    let (stream, news) = AsyncStream.makeStream(of: ServingStatus.self, bufferingPolicy: .bufferingNewest(1))
    let id = state.withLock { state -> UInt64? in
      guard state.watchers.count < ServerLimits.healthWatchers else { return nil }
      news.yield(state.statuses[service] ?? .serviceUnknown)
      guard !state.isClosed else {
        news.finish()
        return 0
      }
      state.nextWatcher += 1
      state.watchers[state.nextWatcher] = Watcher(service: service, news: news)
      return state.nextWatcher
    }
    guard let id else { return nil }
    news.onTermination = { [weak self] _ in self?.forget(id) }
    return stream
  }

  private func forget(_ id: UInt64) {
    _ = state.withLock { $0.watchers.removeValue(forKey: id) }
  }
}
