/// Gives each key a small number, its slot, that stays the same until the key is removed, so that other
/// state about it can live in plain arrays. Leaner than a dictionary: see `SlotIndex`.
struct KeyTable<Key: Hashable & Sendable>: Sendable {
  /// The key of each slot; nil for a free one.
  private var keys: [Key?] = []
  private var freeSlots: [UInt32] = []
  private var index = SlotIndex()

  /// How many keys there are.
  var count: Int { index.count }

  /// All slots are below this.
  var slotEnd: Int { keys.count }

  /// The key of a slot, which must be in use.
  subscript(slot: Int) -> Key {
    guard let key = keys[slot] else { preconditionFailure("slot \(slot) is free") }
    return key
  }

  /// Whether a slot below `slotEnd` is in use.
  func isInUse(_ slot: Int) -> Bool { keys[slot] != nil }

  /// The slot of a key.
  func slot(of key: Key) -> Int? {
    index.slot(hash: key.hashValue) { keys[Int($0)] == key }.map(Int.init)
  }

  /// The slot of a key, which is added if it is not there.
  mutating func insert(_ key: Key) -> (slot: Int, isNew: Bool) {
    if let slot = slot(of: key) { return (slot, false) }
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
      keys[Int(slot)] = key
    } else {
      slot = UInt32(keys.count)
      keys.append(key)
    }
    index.insert(slot) { [keys] in keys[Int($0)]?.hashValue ?? 0 }
    return (Int(slot), true)
  }

  /// Removes a key and returns the slot that it had.
  @discardableResult
  mutating func remove(_ key: Key) -> Int? {
    guard let slot = slot(of: key) else { return nil }
    index.remove(UInt32(slot)) { [keys] in keys[Int($0)]?.hashValue ?? 0 }
    keys[slot] = nil
    freeSlots.append(UInt32(slot))
    return slot
  }
}
