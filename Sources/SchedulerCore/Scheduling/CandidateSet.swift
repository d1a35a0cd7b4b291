/// What candidates are ordered by, before their ids: the emptiest first, then the one whose machine is
/// least busy.
struct LoadRank: Hashable, Comparable, Sendable {
  /// Used slots per slot. Equal ratios are equal doubles, since division rounds correctly.
  var ratio: Double
  /// Busy share of the machine's cores.
  var cpu: Double

  static func < (left: LoadRank, right: LoadRank) -> Bool {
    left.ratio != right.ratio ? left.ratio < right.ratio : left.cpu < right.cpu
  }
}

/// The agents that meet one requirement: a heap of those that can take work now, and for all others
/// whether they meet it, so that traits are compared once for each agent and requirement.
struct CandidateSet: Sendable {
  private let requirement: Requirement
  private(set) var nodes: [HeapNode<LoadRank>] = []
  /// By the agent's slot: its position in `nodes`; `BinaryHeap.absent` for one that meets the requirement
  /// but can take no work; `mismatch`; or `unknown`.
  private var positions: [Int32] = []
  /// How much of the pool's change log this set has seen.
  var cursor = 0

  private static let mismatch: Int32 = -2
  private static let unknown: Int32 = -3

  init(requirement: Requirement) { self.requirement = requirement }

  /// Brings the set up to date with one agent.
  /// - Parameters:
  ///   - slot: The agent's slot in `ids`.
  ///   - traits: Its traits; nil when it is gone.
  ///   - rank: Its rank; nil when it can take no work.
  ///   - traitsMayDiffer: Whether what is known of its traits has to be found anew.
  ///   - ids: The agents' ids.
  mutating func update(
    _ slot: Int, traits: AgentTraits?, rank: LoadRank?, traitsMayDiffer: Bool, ids: KeyTable<String>
  ) {
    while positions.count <= slot { positions.append(Self.unknown) }
    let meets = traits.map { traits in
      positions[slot] == Self.unknown || traitsMayDiffer
        ? requirement.isMet(by: traits) : positions[slot] != Self.mismatch
    }
    if let rank, meets == true {
      put(slot, rank: rank, ids: ids)
      return
    }
    remove(slot, ids: ids)
    switch meets {
    case true?: positions[slot] = BinaryHeap.absent
    case false?: positions[slot] = Self.mismatch
    case nil: positions[slot] = Self.unknown
    }
  }

  /// The best candidate; one of `avoided` only if there is no other.
  mutating func best(avoiding avoided: Set<String>, ids: KeyTable<String>) -> Int? {
    guard let first = nodes.first else { return nil }
    guard avoided.contains(ids[Int(first.slot)]) else { return Int(first.slot) }
    var aside: [HeapNode<LoadRank>] = []
    for id in avoided {
      guard let slot = ids.slot(of: id), let node = remove(slot, ids: ids) else { continue }
      aside.append(node)
    }
    let best = nodes.first ?? first
    for node in aside { put(Int(node.slot), rank: node.rank, ids: ids) }
    return Int(best.slot)
  }

  private mutating func put(_ slot: Int, rank: LoadRank, ids: KeyTable<String>) {
    let position = positions[slot]
    if position < 0 {
      BinaryHeap.insert(HeapNode(rank: rank, slot: UInt32(slot)), into: &nodes, positions: &positions) {
        Self.precedes($0, $1, ids)
      }
    } else if nodes[Int(position)].rank != rank {
      BinaryHeap.update(at: Int(position), rank: rank, in: &nodes, positions: &positions) {
        Self.precedes($0, $1, ids)
      }
    }
  }

  @discardableResult
  private mutating func remove(_ slot: Int, ids: KeyTable<String>) -> HeapNode<LoadRank>? {
    guard slot < positions.count, positions[slot] >= 0 else { return nil }
    return BinaryHeap.remove(at: Int(positions[slot]), from: &nodes, positions: &positions) {
      Self.precedes($0, $1, ids)
    }
  }

  /// Slots in a heap always have ids: the pool takes an agent out of every set before it gives up its slot.
  private static func precedes(
    _ left: HeapNode<LoadRank>, _ right: HeapNode<LoadRank>, _ ids: KeyTable<String>
  ) -> Bool {
    if left.rank != right.rank { return left.rank < right.rank }
    return ids[Int(left.slot)] < ids[Int(right.slot)]
  }
}
