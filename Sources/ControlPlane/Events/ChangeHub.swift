import EtcdClient
import SchedulerCore
import Synchronization

/// Where a server's change streams meet what its watch brings. A stream holds only its position: how slow one
/// is costs the others nothing.
///
/// It is fed by the watch alone, in the order of revisions; what this server learns ahead of the watch from its
/// own commits does not come here, so that all servers tell the same order.
final class ChangeHub: Sendable {
  private struct State {
    /// Nil until the first listing.
    var ring: ChangeRing?
    var subscribers: [UInt64: AsyncStream<Void>.Continuation] = [:]
    var nextSubscriber: UInt64 = 0
    var isClosed = false
  }

  private let jobs: String
  private let runs: String
  private let metrics: ServerMetrics
  private let bounds: ChangeRing.Bounds
  private let state = Mutex(State())

  init(keyspace: Keyspace, metrics: ServerMetrics, bounds: ChangeRing.Bounds = .init()) {
    jobs = keyspace.jobs
    runs = keyspace.runs
    self.metrics = metrics
    self.bounds = bounds
  }

  // MARK: Feeding

  /// Takes a batch of the watch, whole up to `revision`.
  func publish(_ batch: [WatchEvent], upTo revision: Int64) {
    let relevant = batch.filter(isRelevant)
    let wake = state.withLock { state in
      state.ring?.append(relevant, upTo: revision)
      return relevant.isEmpty ? [] : Array(state.subscribers.values)
    }
    for subscriber in wake { subscriber.yield() }
  }

  /// The watch begins after a listing at `revision`: what came between it and the last batch is not known here.
  func restart(after revision: Int64) {
    let wake = state.withLock { state in
      if let ring = state.ring, ring.head >= revision { return [AsyncStream<Void>.Continuation]() }
      state.ring = ChangeRing(after: revision, bounds: bounds)
      return Array(state.subscribers.values)
    }
    for subscriber in wake { subscriber.yield() }
  }

  /// Whether an event is of a job or a run.
  func isRelevant(_ event: WatchEvent) -> Bool {
    event.kv.key.hasPrefix(jobs) || event.kv.key.hasPrefix(runs)
  }

  // MARK: Reading

  /// What follows a position, in a piece of bounded size; nil before the first listing.
  func read(after position: Int64) -> ChangeRing.Reading? {
    state.withLock { state in
      state.ring?.read(
        after: position, count: ServerLimits.eventPieceCount, bytes: ServerLimits.eventPieceBytes)
    }
  }

  /// The revisions that are held: everything after the first one, up to the second; nil before the first listing.
  var held: ClosedRange<Int64>? {
    state.withLock { state in state.ring.map { $0.floor...$0.head } }
  }

  /// Signals once at the beginning, then when there may be news or time has passed. Ends with the server.
  /// - Throws: `ServiceError` when there are too many streams.
  func subscribe() throws(ServiceError) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id: UInt64? = state.withLock { state in
      guard state.subscribers.count < ServerLimits.eventStreams else { return nil }
      defer { state.nextSubscriber += 1 }
      state.subscribers[state.nextSubscriber] = continuation
      metrics.eventStreams.set(Int64(state.subscribers.count))
      return state.nextSubscriber
    }
    guard let id else {
      throw .overloaded("this server has \(ServerLimits.eventStreams) change streams already; try another")
    }
    continuation.onTermination = { [weak self] _ in self?.unsubscribe(id) }
    continuation.yield()
    if state.withLock({ $0.isClosed }) { continuation.finish() }
    return stream
  }

  private func unsubscribe(_ id: UInt64) {
    state.withLock { state in
      state.subscribers[id] = nil
      metrics.eventStreams.set(Int64(state.subscribers.count))
    }
  }

  /// Has idle streams say how far they have come, now and then, until the task is cancelled.
  func run() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: ServerLimits.eventMarkerInterval)
      for subscriber in state.withLock({ Array($0.subscribers.values) }) { subscriber.yield() }
    }
  }

  /// Ends all streams, so that they go on at another server.
  func close() {
    let ended = state.withLock { state in
      state.isClosed = true
      return Array(state.subscribers.values)
    }
    for subscriber in ended { subscriber.finish() }
  }
}
