import Synchronization

/// A watch on ``FakeEtcd``: it reads the store's log, so it holds no buffer of its own.
final class FakeWatch: EtcdWatch {
  private struct Position {
    var next: Int64
    var announced = false
    var progressSeen = 0
    var failure: EtcdError?
  }

  private enum Found: Sendable {
    case batch(WatchBatch, next: Int64)
    /// Only revisions that concern nobody here.
    case nothing(next: Int64)
    case progress(revision: Int64, seen: Int)
    case compacted(Int64)
    case cancelled
  }

  /// Most revisions in one batch, as etcd's `watchBatchMaxRevs`.
  private static let maxRevisions = 1_000

  private let store: FakeEtcd
  private let request: WatchRequest
  private let position: Mutex<Position>
  private let cancelled = Atomic<Bool>(false)

  init(store: FakeEtcd, request: WatchRequest) {
    self.store = store
    self.request = request
    // A start "from now" is fixed here: what the caller does next must be seen.
    let next = request.startRevision > 0 ? request.startRevision : store.revision + 1
    position = Mutex(Position(next: next))
  }

  func next() async throws(EtcdError) -> WatchBatch? {
    let result = await withTaskCancellationHandler {
      await read()
    } onCancel: {
      cancel()
    }
    return try result.get()
  }

  func cancel() {
    cancelled.store(true, ordering: .sequentiallyConsistent)
    store.wake(self)
  }

  private func read() async -> Result<WatchBatch?, EtcdError> {
    if request.ranges.isEmpty {
      return .failure(
        EtcdError(code: .invalid, message: "a watch needs at least one range", outcome: .notApplied))
    }
    while true {
      let now = position.withLock { $0 }
      if let failure = now.failure { return .failure(failure) }
      let found = await store.poll(for: self) { [self] state in look(state, now) }
      switch found {
      case nil: continue
      case .cancelled: return .success(nil)
      case .nothing(let next): position.withLock { $0.next = next }
      case .batch(let batch, let next):
        position.withLock { $0.next = next }
        return .success(batch)
      case .progress(let revision, let seen):
        position.withLock { position in
          position.announced = true
          position.progressSeen = seen
          position.next = max(position.next, revision + 1)
        }
        return .success(WatchBatch(revision: revision, isProgress: true))
      case .compacted(let revision):
        let error = EtcdError(
          code: .compacted,
          message: "watch: revision \(now.next) was compacted away, the oldest is \(revision); list again",
          outcome: .notApplied, compactRevision: revision)
        position.withLock { $0.failure = error }
        return .failure(error)
      }
    }
  }

  private func look(_ state: borrowing FakeEtcd.State, _ now: Position) -> Found? {
    if cancelled.load(ordering: .sequentiallyConsistent) { return .cancelled }
    if state.watchesStalled || state.isUnavailable { return nil }
    if now.next < state.storage.compactRevision { return .compacted(state.storage.compactRevision) }
    if !now.announced { return .progress(revision: now.next - 1, seen: state.progressRequests) }
    let first = state.storage.logIndex(from: now.next)
    let last = min(state.storage.log.count, first + Self.maxRevisions)
    guard first < last else {
      guard state.progressRequests > now.progressSeen else { return nil }
      return .progress(
        revision: max(state.storage.revision, now.next - 1), seen: state.progressRequests)
    }
    var events: [WatchEvent] = []
    for index in first..<last where !state.storage.log[index].isLost {
      events += state.storage.log[index].events.filter { event in
        request.ranges.contains { $0.contains(event.kv.key) }
      }
    }
    let revision = state.storage.log[last - 1].revision
    if events.isEmpty { return .nothing(next: revision + 1) }
    return .batch(WatchBatch(revision: revision, events: events), next: revision + 1)
  }
}
