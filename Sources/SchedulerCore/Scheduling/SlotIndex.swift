/// Finds slots by the hash of the keys that are kept in them, wherever the owner keeps those: 4 bytes a
/// bucket, at most three quarters of which are used.
///
/// Open addressing with linear probing; a removal moves later entries of its cluster back (Knuth, The Art of
/// Computer Programming, volume 3, section 6.4, algorithm R), so there are no tombstones.
struct SlotIndex: Sendable {
  /// Slots by hash; `empty` where there is none. The count is a power of two.
  private var buckets: [UInt32] = []
  /// How many slots are in the index.
  private(set) var count = 0

  private static var empty: UInt32 { .max }
  private static var smallestBucketCount: Int { 16 }

  /// The slot with that hash whose key matches.
  func slot(hash: Int, where matches: (UInt32) -> Bool) -> UInt32? {
    guard !buckets.isEmpty else { return nil }
    let mask = buckets.count - 1
    var bucket = hash & mask
    while buckets[bucket] != Self.empty {
      if matches(buckets[bucket]) { return buckets[bucket] }
      bucket = (bucket + 1) & mask
    }
    return nil
  }

  /// Adds a slot that is not there.
  /// - Parameter hashOf: The hash of any slot's key, `slot`'s included.
  mutating func insert(_ slot: UInt32, hashOf: (UInt32) -> Int) {
    // At most three quarters full, so that probing stays short.
    if (count + 1) * 4 > buckets.count * 3 { grow(hashOf) }
    place(slot, hash: hashOf(slot))
    count += 1
  }

  /// Removes a slot, if it is there.
  mutating func remove(_ slot: UInt32, hashOf: (UInt32) -> Int) {
    guard !buckets.isEmpty else { return }
    let mask = buckets.count - 1
    var gap = hashOf(slot) & mask
    while buckets[gap] != slot {
      if buckets[gap] == Self.empty { return }
      gap = (gap + 1) & mask
    }
    var next = (gap + 1) & mask
    while buckets[next] != Self.empty {
      let home = hashOf(buckets[next]) & mask
      // It may move back to the gap unless its home lies behind the gap, cyclically.
      if (next - home) & mask >= (next - gap) & mask {
        buckets[gap] = buckets[next]
        gap = next
      }
      next = (next + 1) & mask
    }
    buckets[gap] = Self.empty
    count -= 1
  }

  private mutating func place(_ slot: UInt32, hash: Int) {
    let mask = buckets.count - 1
    var bucket = hash & mask
    while buckets[bucket] != Self.empty { bucket = (bucket + 1) & mask }
    buckets[bucket] = slot
  }

  private mutating func grow(_ hashOf: (UInt32) -> Int) {
    let old = buckets
    buckets = Array(repeating: Self.empty, count: max(Self.smallestBucketCount, old.count * 2))
    for slot in old where slot != Self.empty { place(slot, hash: hashOf(slot)) }
  }
}
