/// The decoded records of jobs that something happens to: those of jobs with a run that has not ended, and of the
/// others the most recent.
struct WarmRecords: Sendable {
  private struct Item: Sendable {
    /// Nil in a free place.
    var record: JobRecord?
    var slot: UInt32
    var isPinned = false
    /// Whether it is in `recent`: what is neither there nor pinned is not here at all.
    var isRecent = false
    /// Tells the place's present use from earlier ones.
    var use: UInt32 = 0
  }

  private var items: [Item] = []
  private var free: [UInt32] = []
  /// A ring of places, as they were used: what falls out of it is packed unless it is pinned.
  private var recent: [(place: UInt32, use: UInt32)?]
  private var nextRecent = 0

  init(recentLimit: Int) { recent = Array(repeating: nil, count: max(1, recentLimit)) }

  var count: Int { items.count - free.count }

  subscript(place: UInt32) -> JobRecord? {
    get { items[Int(place)].record }
    set { items[Int(place)].record = newValue }
  }

  /// Returns the record's place, and the slot whose record is to be packed for it, if any.
  mutating func insert(_ record: JobRecord, _ slot: UInt32) -> (place: UInt32, cooled: UInt32?) {
    let place: UInt32
    if let old = free.popLast() {
      place = old
      items[Int(place)].record = record
      items[Int(place)].slot = slot
    } else {
      place = UInt32(items.count)
      items.append(Item(record: record, slot: slot))
    }
    return (place, remember(place))
  }

  mutating func remove(_ place: UInt32) {
    items[Int(place)] = Item(record: nil, slot: .max, use: items[Int(place)].use &+ 1)
    free.append(place)
  }

  /// Sets whether a record stays whatever its age. Returns the slot whose record is to be packed, if any.
  mutating func pin(_ place: UInt32, _ isPinned: Bool) -> UInt32? {
    items[Int(place)].isPinned = isPinned
    return isPinned || items[Int(place)].isRecent ? nil : remember(place)
  }

  private mutating func remember(_ place: UInt32) -> UInt32? {
    let old = recent[nextRecent]
    recent[nextRecent] = (place, items[Int(place)].use)
    items[Int(place)].isRecent = true
    nextRecent = (nextRecent + 1) % recent.count
    guard let old, items[Int(old.place)].use == old.use else { return nil }
    items[Int(old.place)].isRecent = false
    return items[Int(old.place)].isPinned ? nil : items[Int(old.place)].slot
  }
}
