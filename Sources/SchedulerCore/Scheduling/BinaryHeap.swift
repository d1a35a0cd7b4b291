/// An element of a heap: what it is ordered by, and the slot of what it stands for.
struct HeapNode<Rank: Comparable & Sendable>: Sendable {
  var rank: Rank
  var slot: UInt32
}

/// An indexed binary heap as algorithms on two arrays of the caller: the nodes, and for each slot the
/// position of its node, so that any node can be moved or removed in O(log n). The arrays are the caller's
/// because several heaps may share one array of positions.
enum BinaryHeap {
  /// The position of a slot that is in no heap.
  static let absent: Int32 = -1

  /// Adds a node.
  static func insert<Rank>(
    _ node: HeapNode<Rank>, into nodes: inout [HeapNode<Rank>], positions: inout [Int32],
    precedes: (HeapNode<Rank>, HeapNode<Rank>) -> Bool
  ) {
    nodes.append(node)
    siftUp(nodes.count - 1, &nodes, &positions, precedes)
  }

  /// Changes the rank of the node at a position.
  static func update<Rank>(
    at position: Int, rank: Rank, in nodes: inout [HeapNode<Rank>], positions: inout [Int32],
    precedes: (HeapNode<Rank>, HeapNode<Rank>) -> Bool
  ) {
    nodes[position].rank = rank
    restore(position, &nodes, &positions, precedes)
  }

  /// Removes the node at a position.
  @discardableResult
  static func remove<Rank>(
    at position: Int, from nodes: inout [HeapNode<Rank>], positions: inout [Int32],
    precedes: (HeapNode<Rank>, HeapNode<Rank>) -> Bool
  ) -> HeapNode<Rank> {
    let removed = nodes[position]
    let last = nodes.removeLast()
    positions[Int(removed.slot)] = absent
    if position < nodes.count {
      nodes[position] = last
      restore(position, &nodes, &positions, precedes)
    }
    return removed
  }

  private static func restore<Rank>(
    _ position: Int, _ nodes: inout [HeapNode<Rank>], _ positions: inout [Int32],
    _ precedes: (HeapNode<Rank>, HeapNode<Rank>) -> Bool
  ) {
    if position > 0, precedes(nodes[position], nodes[(position - 1) / 2]) {
      siftUp(position, &nodes, &positions, precedes)
    } else {
      siftDown(position, &nodes, &positions, precedes)
    }
  }

  private static func siftUp<Rank>(
    _ start: Int, _ nodes: inout [HeapNode<Rank>], _ positions: inout [Int32],
    _ precedes: (HeapNode<Rank>, HeapNode<Rank>) -> Bool
  ) {
    let node = nodes[start]
    var position = start
    while position > 0 {
      let parent = (position - 1) / 2
      guard precedes(node, nodes[parent]) else { break }
      nodes[position] = nodes[parent]
      positions[Int(nodes[position].slot)] = Int32(truncatingIfNeeded: position)
      position = parent
    }
    nodes[position] = node
    positions[Int(node.slot)] = Int32(truncatingIfNeeded: position)
  }

  private static func siftDown<Rank>(
    _ start: Int, _ nodes: inout [HeapNode<Rank>], _ positions: inout [Int32],
    _ precedes: (HeapNode<Rank>, HeapNode<Rank>) -> Bool
  ) {
    let node = nodes[start]
    var position = start
    while true {
      var child = 2 * position + 1
      guard child < nodes.count else { break }
      if child + 1 < nodes.count, precedes(nodes[child + 1], nodes[child]) { child += 1 }
      guard precedes(nodes[child], node) else { break }
      nodes[position] = nodes[child]
      positions[Int(nodes[position].slot)] = Int32(truncatingIfNeeded: position)
      position = child
    }
    nodes[position] = node
    positions[Int(node.slot)] = Int32(truncatingIfNeeded: position)
  }
}

/// A heap with positions of its own.
struct SlotHeap<Rank: Comparable & Sendable>: Sendable {
  private(set) var nodes: [HeapNode<Rank>] = []
  private var positions: [Int32] = []

  /// The first node.
  var first: HeapNode<Rank>? { nodes.first }

  /// The rank of a slot; nil when it is not in the heap.
  func rank(of slot: Int) -> Rank? {
    guard slot < positions.count, positions[slot] != BinaryHeap.absent else { return nil }
    return nodes[Int(positions[slot])].rank
  }

  /// Adds a slot, or changes its rank.
  mutating func set(_ slot: Int, rank: Rank) {
    while positions.count <= slot { positions.append(BinaryHeap.absent) }
    let position = positions[slot]
    if position == BinaryHeap.absent {
      BinaryHeap.insert(
        HeapNode(rank: rank, slot: UInt32(slot)), into: &nodes, positions: &positions,
        precedes: Self.precedes)
    } else {
      BinaryHeap.update(
        at: Int(position), rank: rank, in: &nodes, positions: &positions, precedes: Self.precedes)
    }
  }

  /// Removes a slot, if it is there.
  mutating func remove(_ slot: Int) {
    guard slot < positions.count, positions[slot] != BinaryHeap.absent else { return }
    BinaryHeap.remove(
      at: Int(positions[slot]), from: &nodes, positions: &positions, precedes: Self.precedes)
  }

  private static func precedes(_ left: HeapNode<Rank>, _ right: HeapNode<Rank>) -> Bool {
    left.rank < right.rank
  }
}
