/// When jobs are due, at most one time each, by the slots that they have in a `JobTable`: 20 bytes for each.
///
/// Nobody tells when a job is deleted and its slot becomes another's. So what comes out is only where to look:
/// whoever takes it looks at the job that is there, if any, and sets its deadline again if it is not due.
public struct JobDeadlines: Sendable {
  private var heap = SlotHeap<Timestamp>()

  /// Makes an empty heap.
  public init() {}

  /// How many deadlines there are.
  public var count: Int { heap.nodes.count }

  /// The earliest deadline.
  public var nextDeadline: Timestamp? { heap.first?.rank }

  /// Sets the deadline of a slot in place of the one that it had, or removes it where nil.
  public mutating func set(_ slot: JobTable.Slot, at deadline: Timestamp?) {
    if let deadline { heap.set(Int(slot), rank: deadline) } else { heap.remove(Int(slot)) }
  }

  /// Removes and returns what is due at `now`, the earliest first, at most `limit` of it.
  public mutating func popDue(now: Timestamp, limit: Int = .max) -> [JobTable.Slot] {
    var due: [JobTable.Slot] = []
    while due.count < limit, let first = heap.first, first.rank <= now {
      due.append(first.slot)
      heap.remove(Int(first.slot))
    }
    return due
  }

  /// How many are due at `now`, counted up to `limit`.
  public func count(dueBy now: Timestamp, limit: Int) -> Int {
    var count = 0
    var places = [0]
    // What lies under a node that is not due is not due either.
    while count < limit, let place = places.popLast() {
      guard place < heap.nodes.count, heap.nodes[place].rank <= now else { continue }
      count += 1
      places.append(2 * place + 1)
      places.append(2 * place + 2)
    }
    return count
  }
}
