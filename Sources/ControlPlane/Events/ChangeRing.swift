import DequeModule
import EtcdClient

/// The latest changes, in the order of etcd's revisions, without a gap: everything after `floor`, up to
/// `head`. What goes past its bounds leaves at the old end, whole revisions at a time.
struct ChangeRing: Sendable {
  /// How much is kept.
  struct Bounds: Sendable {
    var count = ServerLimits.ringEvents
    var bytes = ServerLimits.ringBytes
  }

  /// What there is after a position.
  enum Reading: Equatable, Sendable {
    /// Changes, none of a revision missing; everything up to `upTo` is among them or before them.
    case events([WatchEvent], upTo: Int64)
    /// Nothing yet: the changes up to `head` have been told.
    case nothingNew(head: Int64)
    /// The position is before what is kept.
    case tooOld(floor: Int64)
  }

  let bounds: Bounds
  private(set) var floor: Int64
  private(set) var head: Int64
  private var events: Deque<WatchEvent> = []
  private var bytes = 0

  /// Makes an empty ring that goes on after a revision.
  init(after revision: Int64, bounds: Bounds = Bounds()) {
    self.bounds = bounds
    floor = revision
    head = revision
  }

  /// Adds the changes of a batch that is whole up to `revision`. What was added before is left out.
  mutating func append(_ batch: [WatchEvent], upTo revision: Int64) {
    for event in batch where event.kv.modRevision > head {
      events.append(event)
      bytes += event.cost
    }
    head = max(head, revision)
    while events.count > bounds.count || bytes > bounds.bytes, let oldest = events.first {
      floor = oldest.kv.modRevision
      while let event = events.first, event.kv.modRevision == floor {
        bytes -= event.cost
        events.removeFirst()
      }
    }
  }

  /// What follows a position: at least one revision, and no more of them once so many events or bytes are
  /// together.
  func read(after position: Int64, count: Int, bytes: Int) -> Reading {
    if position < floor { return .tooOld(floor: floor) }
    var index = firstIndex(after: position)
    guard index < events.count else { return .nothingNew(head: head) }
    var taken: [WatchEvent] = []
    var size = 0
    while index < events.count {
      let event = events[index]
      let isNextRevision = event.kv.modRevision != taken.last?.kv.modRevision
      if isNextRevision, taken.count >= count || size >= bytes { break }
      taken.append(event)
      size += event.cost
      index += 1
    }
    let isAll = index == events.count
    return .events(taken, upTo: isAll ? head : taken.last?.kv.modRevision ?? position)
  }

  private func firstIndex(after position: Int64) -> Int {
    var (low, high) = (0, events.count)
    while low < high {
      let middle = (low + high) / 2
      if events[middle].kv.modRevision > position { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

extension WatchEvent {
  /// About what it takes in memory, bytes.
  var cost: Int { kv.key.utf8.count + kv.value.count + 96 }
}
