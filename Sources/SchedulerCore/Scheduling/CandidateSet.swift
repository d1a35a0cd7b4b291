/// What candidates are ordered by, before their ids: the smallest goes first.
struct LoadRank: Hashable, Comparable, Sendable {
  /// Of the emptiest first, the share that is promised. Equal ratios are equal doubles, since division rounds
  /// correctly.
  var first: Double
  /// Busy share of the machine's cores.
  var second: Double

  static func < (left: LoadRank, right: LoadRank) -> Bool {
    left.first != right.first ? left.first < right.first : left.second < right.second
  }
}

/// In which order agents are taken.
enum CandidateOrder: Hashable, Sendable {
  /// The emptiest first, then the one whose machine is least busy.
  case emptiest
  /// The fullest that has room first.
  case fullest
  /// The one first whose last attempt was given the longest ago.
  case idlest
}

/// The agents that meet one requirement: a heap of those that can take work now, and for all others
/// whether they meet it, so that traits are compared once for each agent and requirement.
struct CandidateSet: Sendable {
  let requirement: Requirement
  private let conditions: [Condition]
  private(set) var nodes: [HeapNode<LoadRank>] = []
  /// By the agent's slot: its position in `nodes`; `BinaryHeap.absent` for one that meets the requirement
  /// but can take no work; `mismatch`; or `unknown`.
  private var positions: [Int32] = []
  /// How much of the pool's change log this set has seen.
  var cursor = 0

  private static let mismatch: Int32 = -2
  private static let unknown: Int32 = -3

  init(requirement: Requirement) {
    self.requirement = requirement
    conditions = requirement.constraints.map(Condition.init)
  }

  /// Brings the set up to date with one agent.
  /// - Parameters:
  ///   - slot: The agent's slot in `ids`.
  ///   - traits: Its traits; nil when it is gone.
  ///   - rank: Its rank; nil when it can take no such work now.
  ///   - traitsMayDiffer: Whether what is known of its traits has to be found anew.
  ///   - ids: The agents' ids.
  mutating func update(
    _ slot: Int, traits: AgentTraits?, rank: LoadRank?, traitsMayDiffer: Bool, ids: KeyTable<String>
  ) {
    while positions.count <= slot { positions.append(Self.unknown) }
    let meets = traits.map { traits in
      positions[slot] == Self.unknown || traitsMayDiffer
        ? isMet(by: traits) : positions[slot] != Self.mismatch
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

  private func isMet(by traits: AgentTraits) -> Bool {
    requirement.isOffered(by: traits) && conditions.allSatisfy { $0.isMet(by: traits.labels) }
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

/// Which agents have changed, oldest first. Entries are numbered from 0 for ever; old ones are dropped.
struct ChangeLog: Sendable {
  /// The agent's slot, twice, and one more if its traits may differ: 4 bytes a change.
  struct Change: Sendable {
    private let packed: UInt32

    init(slot: Int, traitsDiffer: Bool) { packed = UInt32(slot) << 1 | (traitsDiffer ? 1 : 0) }

    var slot: Int { Int(packed >> 1) }
    var traitsDiffer: Bool { packed & 1 == 1 }
  }

  private var entries: [Change] = []
  /// The number of the first entry that is kept.
  private var start = 0

  /// The number that the next entry will have.
  var end: Int { start + entries.count }

  mutating func append(_ slot: Int, traitsDiffer: Bool, bound: Int) {
    if entries.count >= bound {
      let dropped = entries.count - bound / 2
      entries.removeFirst(dropped)
      start += dropped
    }
    entries.append(Change(slot: slot, traitsDiffer: traitsDiffer))
  }

  /// The entries from number `cursor` on; nil when some of them are no longer kept.
  func since(_ cursor: Int) -> ArraySlice<Change>? {
    cursor >= start ? entries[(cursor - start)...] : nil
  }
}
