import NIOCore

/// The deadlines of all calls on a connection: one heap and one timer, not a timer per call. Pure.
///
/// Calls that end early leave their entry behind; entries are swept once they outnumber the live calls.
struct DeadlineQueue {
  private struct Entry {
    var deadline: NIODeadline
    var streamID: Int32
  }

  private static let sweepSlack = 64
  private var heap: [Entry] = []

  /// The earliest deadline, of a live call or of one that has ended.
  var earliest: NIODeadline? { heap.first?.deadline }
  var count: Int { heap.count }

  mutating func insert(_ streamID: Int32, deadline: NIODeadline) {
    heap.append(Entry(deadline: deadline, streamID: streamID))
    siftUp(heap.count - 1)
  }

  /// Removes and returns a stream whose deadline is not after `now`.
  mutating func popExpired(now: NIODeadline) -> Int32? {
    guard let first = heap.first, first.deadline <= now else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      siftDown(0)
    }
    return first.streamID
  }

  /// Drops the entries of ended calls when there are too many. Amortized cost per call: constant.
  mutating func sweep(liveCount: Int, isLive: (Int32) -> Bool) {
    guard heap.count > 2 * liveCount + DeadlineQueue.sweepSlack else { return }
    heap.removeAll { !isLive($0.streamID) }
    for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      guard heap[index].deadline < heap[parent].deadline else { return }
      heap.swapAt(index, parent)
      index = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var index = start
    while true {
      var smallest = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < heap.count && heap[child].deadline < heap[smallest].deadline {
        smallest = child
      }
      guard smallest != index else { return }
      heap.swapAt(index, smallest)
      index = smallest
    }
  }
}

extension NIODeadline {
  /// An instant from now, at most ten years, which no call outlives.
  static func after(nanoseconds: Int64) -> NIODeadline {
    let tenYears: Int64 = 10 * 365 * 86_400 * 1_000_000_000
    return .now() + .nanoseconds(min(max(nanoseconds, 0), tenYears))
  }
}
