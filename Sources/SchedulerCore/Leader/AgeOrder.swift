/// Keys in the order in which etcd created them, for listings that are stable while things change.
///
/// A sorted sequence, cut into chunks of bounded size: a change moves at most one chunk's places, wherever
/// it falls. (A listing of etcd comes in the order of keys, so at a start most insertions fall in the middle.)
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

  /// The most places in a chunk; one that grows beyond is split.
  private static var chunkLimit: Int { 256 }

  /// None is empty.
  private var chunks: [[Place]] = []

  /// Adds a key; one that is there already stays as it is.
  mutating func insert(_ key: Key, createdAt revision: Int64) {
    let place = Place(createRevision: revision, key: key)
    guard !chunks.isEmpty else { return chunks.append([place]) }
    // What is newer than all goes to the end of the last chunk.
    let chunk = min(self.chunk(of: place), chunks.count - 1)
    let index = Self.lowerBound(place, in: chunks[chunk])
    if index < chunks[chunk].count, chunks[chunk][index] == place { return }
    chunks[chunk].insert(place, at: index)
    if chunks[chunk].count > Self.chunkLimit { split(chunk, isGrowing: chunk == chunks.count - 1) }
  }

  /// Takes a key away.
  mutating func remove(_ key: Key, createdAt revision: Int64) {
    let place = Place(createRevision: revision, key: key)
    let chunk = self.chunk(of: place)
    guard chunk < chunks.count else { return }
    let index = Self.lowerBound(place, in: chunks[chunk])
    guard index < chunks[chunk].count, chunks[chunk][index] == place else { return }
    chunks[chunk].remove(at: index)
    if chunks[chunk].isEmpty { chunks.remove(at: chunk) }
  }

  /// Calls `visit` for each key older than `limit` (all when nil), newest first, until it returns false.
  func visitNewestFirst(before limit: Place?, _ visit: (Place) -> Bool) {
    var chunk = chunks.count
    if let limit {
      chunk = self.chunk(of: limit)
      if chunk < chunks.count {
        let end = Self.lowerBound(limit, in: chunks[chunk])
        for place in chunks[chunk][..<end].reversed() where !visit(place) { return }
      }
    }
    while chunk > 0 {
      chunk -= 1
      for place in chunks[chunk].reversed() where !visit(place) { return }
    }
  }

  /// Halves a chunk; the last, which most insertions go to the end of, is left full.
  private mutating func split(_ chunk: Int, isGrowing: Bool) {
    let middle = isGrowing ? chunks[chunk].count - 1 : chunks[chunk].count / 2
    let upper = Array(chunks[chunk][middle...])
    chunks[chunk].removeLast(upper.count)
    chunks.insert(upper, at: chunk + 1)
  }

  /// The first chunk whose last place is not before `place`; the count of chunks where there is none.
  private func chunk(of place: Place) -> Int {
    var low = 0
    var high = chunks.count
    while low < high {
      let middle = (low + high) / 2
      if let last = chunks[middle].last, last < place { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private static func lowerBound(_ place: Place, in places: [Place]) -> Int {
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if places[middle] < place { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
