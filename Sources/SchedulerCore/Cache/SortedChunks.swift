/// Elements in an order that the caller knows, for listings that are stable while things change.
///
/// A sorted sequence, cut into chunks of bounded size: a change moves at most one chunk's elements, wherever
/// it falls. (A listing of etcd comes in the order of keys, so at a start most insertions fall in the middle.)
/// The order comes with each call, since it may be kept in tables of the caller's; it must not change for what is
/// in here.
struct SortedChunks<Element: Equatable & Sendable>: Sendable {
  /// Whether the left element comes first.
  typealias Precedes = (Element, Element) -> Bool

  /// The most elements in a chunk; one that grows beyond is split.
  private static var chunkLimit: Int { 256 }

  /// None is empty.
  private var chunks: [[Element]] = []
  /// How many elements there are.
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  /// Makes one of nothing.
  init() {}

  /// Makes one of elements that are in order.
  init(sorted elements: [Element]) {
    count = elements.count
    // Not full, so that what comes later in the middle splits few.
    let step = Self.chunkLimit * 3 / 4
    chunks = stride(from: 0, to: elements.count, by: step).map {
      Array(elements[$0..<min($0 + step, elements.count)])
    }
  }

  /// Adds an element; one that is there already stays as it is.
  mutating func insert(_ element: Element, by precedes: Precedes) {
    guard !chunks.isEmpty else {
      count += 1
      return chunks.append([element])
    }
    // What is after all goes to the end of the last chunk.
    let chunk = min(self.chunk { precedes($0, element) }, chunks.count - 1)
    let index = Self.end(of: chunks[chunk]) { precedes($0, element) }
    if index < chunks[chunk].count, chunks[chunk][index] == element { return }
    chunks[chunk].insert(element, at: index)
    count += 1
    if chunks[chunk].count > Self.chunkLimit { split(chunk, isGrowing: chunk == chunks.count - 1) }
  }

  /// Takes an element away.
  mutating func remove(_ element: Element, by precedes: Precedes) {
    let chunk = self.chunk { precedes($0, element) }
    guard chunk < chunks.count else { return }
    let index = Self.end(of: chunks[chunk]) { precedes($0, element) }
    guard index < chunks[chunk].count, chunks[chunk][index] == element else { return }
    chunks[chunk].remove(at: index)
    count -= 1
    if chunks[chunk].isEmpty { chunks.remove(at: chunk) }
  }

  /// Calls `visit` for each element that is before the limit (all when nil), last first, until it returns false.
  func visitLastFirst(before isBeforeLimit: ((Element) -> Bool)?, _ visit: (Element) -> Bool) {
    var chunk = chunks.count
    if let isBeforeLimit {
      chunk = self.chunk(isBeforeLimit)
      if chunk < chunks.count {
        let end = Self.end(of: chunks[chunk], isBeforeLimit)
        for element in chunks[chunk][..<end].reversed() where !visit(element) { return }
      }
    }
    while chunk > 0 {
      chunk -= 1
      for element in chunks[chunk].reversed() where !visit(element) { return }
    }
  }

  /// Halves a chunk; the last, which most insertions go to the end of, is left full.
  private mutating func split(_ chunk: Int, isGrowing: Bool) {
    let middle = isGrowing ? chunks[chunk].count - 1 : chunks[chunk].count / 2
    let upper = Array(chunks[chunk][middle...])
    chunks[chunk].removeLast(upper.count)
    chunks.insert(upper, at: chunk + 1)
  }

  /// The first chunk whose last element is not before a limit; the count of chunks where there is none.
  private func chunk(_ isBeforeLimit: (Element) -> Bool) -> Int {
    var low = 0
    var high = chunks.count
    while low < high {
      let middle = (low + high) / 2
      if let last = chunks[middle].last, isBeforeLimit(last) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// How many of the elements are before a limit.
  private static func end(of elements: [Element], _ isBeforeLimit: (Element) -> Bool) -> Int {
    var low = 0
    var high = elements.count
    while low < high {
      let middle = (low + high) / 2
      if isBeforeLimit(elements[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
