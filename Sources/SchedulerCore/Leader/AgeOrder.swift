/// Keys in the order in which etcd created them, for listings that are stable while things change.
///
/// New keys come at the end, so an insertion is cheap; a removal only marks its place, and marked
/// places are swept once they are a quarter of all.
struct AgeOrder<Key: Hashable & Comparable & Sendable>: Sendable {
  /// A place in the order; the key decides between what one transaction created.
  struct Place: Comparable, Sendable {
    let createRevision: Int64
    let key: Key

    static func < (left: Place, right: Place) -> Bool {
      left.createRevision != right.createRevision
        ? left.createRevision < right.createRevision : left.key < right.key
    }
  }

  private var places: [Place] = []
  private var isRemoved: [Bool] = []
  private var removedCount = 0

  /// Adds a key; one that is there already stays as it is.
  mutating func insert(_ key: Key, createdAt revision: Int64) {
    let place = Place(createRevision: revision, key: key)
    let index = lowerBound(place)
    if index < places.count, places[index] == place {
      if isRemoved[index] {
        isRemoved[index] = false
        removedCount -= 1
      }
      return
    }
    places.insert(place, at: index)
    isRemoved.insert(false, at: index)
  }

  /// Takes a key away.
  mutating func remove(_ key: Key, createdAt revision: Int64) {
    let place = Place(createRevision: revision, key: key)
    let index = lowerBound(place)
    guard index < places.count, places[index] == place, !isRemoved[index] else { return }
    isRemoved[index] = true
    removedCount += 1
    if removedCount > 64 && removedCount * 4 > places.count { sweep() }
  }

  /// Calls `visit` for each key older than `limit` (all when nil), newest first, until it returns false.
  func visitNewestFirst(before limit: Place?, _ visit: (Place) -> Bool) {
    var index = limit.map { lowerBound($0) } ?? places.count
    while index > 0 {
      index -= 1
      if !isRemoved[index], !visit(places[index]) { return }
    }
  }

  private mutating func sweep() {
    var kept: [Place] = []
    kept.reserveCapacity(places.count - removedCount)
    for (index, place) in places.enumerated() where !isRemoved[index] { kept.append(place) }
    places = kept
    isRemoved = Array(repeating: false, count: kept.count)
    removedCount = 0
  }

  private func lowerBound(_ place: Place) -> Int {
    // Nearly always the end.
    if let last = places.last, last < place { return places.count }
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if places[middle] < place { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
