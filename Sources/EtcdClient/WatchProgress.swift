/// What a watch has delivered and where it has to resume: pure state, fed with messages, drained of batches.
struct WatchProgress {
  /// One etcd watcher.
  struct Watcher {
    let range: KeyRange
    /// First revision not yet delivered; 0 until the first creation tells.
    var next: Int64
    var created = false
    /// Events of a response whose last fragment has not arrived.
    var partial: [WatchEvent] = []
    var partialRevision: Int64 = 0
  }

  private(set) var watchers: [Watcher]
  /// Ranges to keep events of; empty keeps all.
  let filter: [KeyRange]
  /// Why the watch is over. Batches that came before it are taken first.
  var failure: EtcdError?
  private var batches: [WatchBatch] = []
  private var firstBatch = 0
  private var cancellation: String?
  private var announced = false

  init(request: WatchRequest) {
    let ranges: [KeyRange] =
      switch request.grouping {
      case .covering: KeyRange.covering(request.ranges).map { [$0] } ?? []
      case .separate: request.ranges
      }
    watchers = ranges.map { Watcher(range: $0, next: max(0, request.startRevision)) }
    filter = request.grouping == .covering && request.ranges.count > 1 ? request.ranges : []
  }

  /// The lowest revision that a reconnection asks for.
  var nextRevision: Int64 { watchers.map(\.next).min() ?? 0 }

  /// Whether every watcher stands since the last `resume()`.
  var isHealthy: Bool { watchers.allSatisfy(\.created) }

  /// Forgets what an interrupted stream left unfinished; returns what to ask the next one for.
  mutating func resume() -> [(id: Int64, range: KeyRange, start: Int64)] {
    cancellation = nil
    for index in watchers.indices {
      watchers[index].partial = []
      watchers[index].partialRevision = 0
      watchers[index].created = false
    }
    return watchers.enumerated().map { (Int64($0.offset + 1), $0.element.range, $0.element.next) }
  }

  mutating func takeBatch() -> WatchBatch? {
    guard firstBatch < batches.count else { return nil }
    let batch = batches[firstBatch]
    firstBatch += 1
    if firstBatch == batches.count {
      batches.removeAll(keepingCapacity: true)
      firstBatch = 0
    }
    return batch
  }

  /// etcd's reason for having ended a watcher, once.
  mutating func takeCancellation() -> String? {
    defer { cancellation = nil }
    return cancellation
  }

  mutating func receive(_ message: WatchMessage) {
    let index = Int(clamping: message.watchID) - 1
    guard watchers.indices.contains(index) else {
      // A watcher refused at creation carries the id -1.
      if message.canceled { cancel(message) }
      return
    }
    if message.canceled {
      cancel(message)
    } else if message.created {
      didCreate(index, revision: message.revision)
    } else if message.eventCount > 0 || message.fragment {
      add(message, to: index)
    } else {
      didProgress(index, revision: message.revision)
    }
  }

  private mutating func cancel(_ message: WatchMessage) {
    guard message.compactRevision > 0 else {
      cancellation = message.cancelReason.isEmpty ? "etcd ended the watch" : message.cancelReason
      return
    }
    if failure != nil { return }
    failure = EtcdError(
      code: .compacted,
      message: "watch: revision \(nextRevision) was compacted away, the oldest is "
        + "\(message.compactRevision); list again", outcome: .notApplied,
      compactRevision: message.compactRevision)
  }

  private mutating func didCreate(_ index: Int, revision: Int64) {
    watchers[index].created = true
    if watchers[index].next == 0 { watchers[index].next = revision + 1 }
    guard isHealthy, !announced else { return }
    announced = true
    batches.append(WatchBatch(revision: nextRevision - 1, isProgress: true))
  }

  private mutating func add(_ message: WatchMessage, to index: Int) {
    let next = watchers[index].next
    let isFresh = message.events.allSatisfy { $0.kv.modRevision >= next }
    if watchers[index].partial.isEmpty && isFresh {
      watchers[index].partial = message.events
    } else {
      // An event that was delivered already must not be delivered again.
      watchers[index].partial += message.events.lazy.filter { $0.kv.modRevision >= next }
    }
    watchers[index].partialRevision = max(watchers[index].partialRevision, message.lastRevision)
    if message.fragment {
      if watchers[index].partial.count > EtcdLimits.maxFragmentedEvents {
        failure = EtcdError(
          code: .malformedResponse,
          message: "watch: one response has more than \(EtcdLimits.maxFragmentedEvents) events",
          outcome: .notApplied)
      }
      return
    }
    let events = watchers[index].partial
    watchers[index].next = max(next, watchers[index].partialRevision + 1)
    watchers[index].partial = []
    watchers[index].partialRevision = 0
    if !events.isEmpty { batches.append(WatchBatch(revision: nextRevision - 1, events: events)) }
  }

  private mutating func didProgress(_ index: Int, revision: Int64) {
    guard revision >= watchers[index].next else { return }
    watchers[index].next = revision + 1
    batches.append(WatchBatch(revision: nextRevision - 1, isProgress: true))
  }

}
