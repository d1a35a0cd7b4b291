/// Gives each key a small number, its slot, that stays the same until the key is removed, so that other
/// state about it can live in plain arrays. Leaner than a dictionary: 4 bytes a bucket besides the keys.
///
/// A hash table with open addressing and linear probing; a removal moves later entries of its cluster back
/// (Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm R), so there are no tombstones.
struct KeyTable<Key: Hashable & Sendable>: Sendable {
  /// The key of each slot; nil for a free one.
  private var keys: [Key?] = []
  private var freeSlots: [UInt32] = []
  /// Slots by hash; `empty` where there is none. The count is a power of two.
  private var buckets: [UInt32] = []

  private static var empty: UInt32 { .max }
  private static var smallestBucketCount: Int { 16 }

  /// How many keys there are.
  var count: Int { keys.count - freeSlots.count }

  /// All slots are below this.
  var slotEnd: Int { keys.count }

  /// The key of a slot, which must be in use.
  subscript(slot: Int) -> Key {
    guard let key = keys[slot] else { preconditionFailure("slot \(slot) is free") }
    return key
  }

  /// The slot of a key.
  func slot(of key: Key) -> Int? {
    guard !buckets.isEmpty else { return nil }
    let slot = buckets[bucket(of: key)]
    return slot == Self.empty ? nil : Int(slot)
  }

  /// The slot of a key, which is added if it is not there.
  mutating func insert(_ key: Key) -> (slot: Int, isNew: Bool) {
    // At most three quarters full, so that probing stays short.
    if (count + 1) * 4 > buckets.count * 3 { grow() }
    let bucket = bucket(of: key)
    if buckets[bucket] != Self.empty { return (Int(buckets[bucket]), false) }
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
      keys[Int(slot)] = key
    } else {
      slot = UInt32(keys.count)
      keys.append(key)
    }
    buckets[bucket] = slot
    return (Int(slot), true)
  }

  /// Removes a key and returns the slot that it had.
  @discardableResult
  mutating func remove(_ key: Key) -> Int? {
    guard !buckets.isEmpty else { return nil }
    let bucket = bucket(of: key)
    let slot = buckets[bucket]
    guard slot != Self.empty else { return nil }
    closeGap(at: bucket)
    keys[Int(slot)] = nil
    freeSlots.append(slot)
    return Int(slot)
  }

  /// The bucket that holds the key, or the empty one where it would go.
  private func bucket(of key: Key) -> Int {
    let mask = buckets.count - 1
    var bucket = key.hashValue & mask
    while buckets[bucket] != Self.empty, keys[Int(buckets[bucket])] != key { bucket = (bucket + 1) & mask }
    return bucket
  }

  private mutating func closeGap(at start: Int) {
    let mask = buckets.count - 1
    var gap = start
    var next = (gap + 1) & mask
    while buckets[next] != Self.empty {
      let home = self[Int(buckets[next])].hashValue & mask
      // It may move back to the gap unless its home lies behind the gap, cyclically.
      if (next - home) & mask >= (next - gap) & mask {
        buckets[gap] = buckets[next]
        gap = next
      }
      next = (next + 1) & mask
    }
    buckets[gap] = Self.empty
  }

  private mutating func grow() {
    let size = max(Self.smallestBucketCount, buckets.count * 2)
    buckets = Array(repeating: Self.empty, count: size)
    for (slot, key) in keys.enumerated() {
      guard let key else { continue }
      var bucket = key.hashValue & (size - 1)
      while buckets[bucket] != Self.empty { bucket = (bucket + 1) & (size - 1) }
      buckets[bucket] = UInt32(slot)
    }
  }
}
