/// Things that are due at some time, at most one time each: one heap instead of a timer for each.
///
/// Setting, moving, removing and taking are O(log n). A deadline costs about 30 bytes besides its key.
public struct DeadlineHeap<Key: Hashable & Sendable>: Sendable {
  private var keys = KeyTable<Key>()
  private var heap = SlotHeap<Timestamp>()

  /// Makes an empty heap.
  public init() {}

  /// How many deadlines there are.
  public var count: Int { keys.count }

  /// Whether there are none.
  public var isEmpty: Bool { keys.count == 0 }

  /// The earliest deadline.
  public var nextDeadline: Timestamp? { heap.first?.rank }

  /// The deadline of `key`.
  public func deadline(of key: Key) -> Timestamp? { keys.slot(of: key).flatMap { heap.rank(of: $0) } }

  /// Sets the deadline of `key`, in place of the one that it had.
  public mutating func set(_ key: Key, at deadline: Timestamp) {
    heap.set(keys.insert(key).slot, rank: deadline)
  }

  /// Removes the deadline of `key`; false when it had none.
  @discardableResult
  public mutating func remove(_ key: Key) -> Bool {
    guard let slot = keys.remove(key) else { return false }
    heap.remove(slot)
    return true
  }

  /// Removes and returns what is due at `now`, the earliest first, at most `limit` of it.
  public mutating func popDue(now: Timestamp, limit: Int = .max) -> [Key] {
    var due: [Key] = []
    while due.count < limit, let first = heap.first, first.rank <= now {
      let key = keys[Int(first.slot)]
      due.append(key)
      remove(key)
    }
    return due
  }
}
