/// How an agent is chosen among those that can take a run.
public struct PlacementWish: Sendable {
  var strategy = Placement.Strategy.leastLoaded
  /// What a consistent hash is of.
  var hashKey = ""
  var affinity: [Placement.Affinity] = []
  var spread: Placement.Spread?
  /// Whether agents with runs of the job are to be left alone where that is possible.
  var isApart = false
  var job: JobKey?
  /// For `random`, and to draw candidates from very many.
  var random: UInt64 = 0

  /// Wishes for nothing but the least loaded agent.
  public init() {}

  /// What a job wishes for.
  /// - Parameters:
  ///   - hashKey: The text that a consistent hash is of, its templates filled in.
  ///   - random: Any number.
  public init(_ placement: Placement, of job: JobKey, hashKey: String, random: UInt64) {
    strategy = placement.strategy
    self.hashKey = hashKey
    affinity = placement.affinity
    spread = placement.spread
    isApart = placement.antiAffinity == .preferred
    self.job = job
    self.random = random
  }

  var order: CandidateOrder {
    switch strategy {
    case .leastLoaded, .consistentHash, .random: .emptiest
    case .binPack: .fullest
    case .roundRobin: .idlest
    }
  }

  /// Whether the first by the order is not simply the best.
  var isWeighed: Bool {
    !affinity.isEmpty || spread != nil || isApart || strategy == .consistentHash || strategy == .random
  }
}

/// What is remembered so that weighing a candidate costs a few additions.
struct Weighings: Sendable {
  /// What the preferences that are weighed depend on of an agent's traits.
  struct Key: Hashable, Sendable {
    var affinity: [Placement.Affinity]
    var spread: String?
  }

  /// The worth of each agent for one set of preferences.
  struct Table: Sendable {
    let conditions: [(condition: Condition, weight: Double)]
    let spread: String?
    /// By the agent's slot.
    var worth: [Double] = []
    /// The number of the value of the label to be spread over; -1 for none.
    var value: [Int32] = []
    /// For which version of the agent's traits that is.
    var version: [UInt32] = []
    var values = KeyTable<String>()

    init(_ key: Key) {
      conditions = key.affinity.map { (Condition($0.constraint), Double($0.weight)) }
      spread = key.spread
    }

    /// Looks at an agent's traits, unless that has been done.
    mutating func look(at slot: Int, _ traits: AgentTraits, version now: UInt32) {
      while version.count <= slot {
        worth.append(0)
        value.append(-1)
        version.append(0)
      }
      guard version[slot] != now else { return }
      version[slot] = now
      worth[slot] = conditions.reduce(0) { $0 + ($1.condition.isMet(by: traits.labels) ? $1.weight : 0) }
      let label = spread.flatMap { traits.labels[$0] }
      value[slot] = label.map { Int32(truncatingIfNeeded: values.insert($0).slot) } ?? -1
    }
  }

  private(set) var tables: [Key: Table] = [:]
  /// How many runs of a job are on the agent of each slot.
  private(set) var tallies: [JobKey: [Int32]] = [:]

  /// Takes a table out, to be put back: in place it could not be changed beside the pool.
  mutating func takeTable(_ key: Key) -> Table {
    if let table = tables.removeValue(forKey: key) { return table }
    if tables.count >= PlacementLimits.weighings { tables.removeAll() }
    return Table(key)
  }

  mutating func put(_ table: Table, _ key: Key) { tables[key] = table }

  mutating func keep(_ tally: [Int32], of job: JobKey) {
    if tallies.count >= PlacementLimits.talliedJobs { tallies.removeAll() }
    tallies[job] = tally
  }

  mutating func add(_ job: JobKey, at slot: Int, _ difference: Int32) {
    guard !tallies.isEmpty, slot < tallies[job]?.count ?? 0 else { return }
    tallies[job]?[slot] += difference
  }

  /// Another agent has a slot, or none has.
  mutating func agentCame(at slot: Int, _ count: (JobKey) -> Int) {
    guard !tallies.isEmpty else { return }
    for job in Array(tallies.keys) where slot < tallies[job]?.count ?? 0 {
      tallies[job]?[slot] = Int32(clamping: count(job))
    }
  }
}

extension AgentPool {
  /// A candidate that has been weighed: the highest score goes first, then the smallest rank, then the id.
  private struct Weighed {
    var score: Double
    var rank: LoadRank
    var slot: Int
  }

  /// The slot of the best of some candidates.
  mutating func weigh(
    _ nodes: [HeapNode<LoadRank>], _ wish: PlacementWish, avoiding avoided: Set<String>
  ) -> Int? {
    guard !nodes.isEmpty else { return nil }
    var random = SplitMix64(seed: wish.random)
    if wish.strategy == .random, wish.affinity.isEmpty, wish.spread == nil, !wish.isApart, avoided.isEmpty {
      return Int(nodes[Int(random.next() % UInt64(nodes.count))].slot)
    }
    let looked = Self.sample(nodes, all: wish.strategy == .consistentHash, &random)
    let key = Weighings.Key(affinity: wish.affinity, spread: wish.spread?.label)
    var table = weighings.takeTable(key)
    defer { weighings.put(table, key) }
    for node in looked { look(at: Int(node.slot), &table) }
    let own = wish.spread != nil || wish.isApart ? tally(of: wish.job) : []
    let crowds = wish.spread.map { _ in self.crowds(own, looked, &table) } ?? [:]
    let hash = wish.strategy == .consistentHash ? Self.hash(wish.hashKey) : 0
    var best: Weighed?
    for node in looked {
      let slot = Int(node.slot)
      var score = table.worth[slot]
      if !avoided.isEmpty, avoided.contains(ids[slot]) { score -= 1_000_000 }
      if let spread = wish.spread {
        let value = table.value[slot]
        score -= Double(spread.weight) * Self.crowded(crowds[value] ?? 0, hasValue: value >= 0)
      }
      if wish.isApart, own[slot] > 0 {
        score -= PlacementLimits.apartWeight * Self.crowded(Int(own[slot]), hasValue: true)
      }
      var rank = node.rank
      switch wish.strategy {
      case .leastLoaded: score -= PlacementLimits.loadWeight * rank.first
      case .binPack: score -= PlacementLimits.loadWeight * (1 + rank.first)
      case .roundRobin: break
      case .consistentHash:
        rank = LoadRank(first: -Self.unit(hash, members[slot]?.idHash ?? 0), second: 0)
      case .random: rank = LoadRank(first: random.unit(), second: 0)
      }
      let weighed = Weighed(score: score, rank: rank, slot: slot)
      if best.map({ precedes(weighed, $0) }) ?? true { best = weighed }
    }
    return best?.slot
  }

  private func precedes(_ left: Weighed, _ right: Weighed) -> Bool {
    if left.score != right.score { return left.score > right.score }
    if left.rank != right.rank { return left.rank < right.rank }
    return ids[left.slot] < ids[right.slot]
  }

  /// Half of the weight for one run more than where there are the fewest, and nearly all of it for many.
  private static func crowded(_ more: Int, hasValue: Bool) -> Double {
    hasValue ? Double(more) / Double(more + 1) : 1
  }

  /// The candidates that are looked at: a heap's beginning has the first ones by the strategy.
  private static func sample(
    _ nodes: [HeapNode<LoadRank>], all: Bool, _ random: inout SplitMix64
  ) -> ArraySlice<HeapNode<LoadRank>> {
    let limit = PlacementLimits.weighedCandidates
    guard nodes.count > limit, !all else { return nodes[...] }
    // A stretch of the rest, from any place.
    let rest = limit / 2
    let start = rest + Int(random.next() % UInt64(nodes.count - limit + 1))
    return nodes[..<rest] + nodes[start..<(start + rest)]
  }

  private func look(at slot: Int, _ table: inout Weighings.Table) {
    guard let member = members[slot] else { return }
    table.look(at: slot, member.agent.traits, version: traitVersions[slot])
  }

  private mutating func tally(of job: JobKey?) -> [Int32] {
    if let job, let tally = weighings.tallies[job], tally.count >= members.count { return tally }
    var tally = [Int32](repeating: 0, count: members.count)
    guard let job else { return tally }
    for (id, count) in ownRuns[job]?.counts ?? [:] {
      if let slot = ids.slot(of: id) { tally[slot] = Int32(clamping: count) }
    }
    weighings.keep(tally, of: job)
    return tally
  }

  /// For each value of the label, how many more runs of the job there are than at the candidates' value with the
  /// fewest.
  private func crowds(
    _ own: [Int32], _ candidates: ArraySlice<HeapNode<LoadRank>>, _ table: inout Weighings.Table
  ) -> [Int32: Int] {
    var counts: [Int32: Int] = [:]
    for slot in own.indices where own[slot] > 0 && members[slot] != nil {
      look(at: slot, &table)
      counts[table.value[slot], default: 0] += Int(own[slot])
    }
    var fewest = Int.max
    var seen: Set<Int32> = []
    for node in candidates {
      let value = table.value[Int(node.slot)]
      if value >= 0, seen.insert(value).inserted { fewest = min(fewest, counts[value] ?? 0) }
    }
    for value in seen { counts[value] = max(0, (counts[value] ?? 0) - fewest) }
    return counts
  }

  // MARK: Hashing

  /// FNV-1a (Fowler, Noll and Vo): the same in every process, as Swift's own is not.
  static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  /// What an agent draws for a key, 0 to 1: the highest wins (Thaler and Ravishankar, "Using name-based mappings to
  /// increase hit rates"). When an agent goes, only its own keys move.
  static func unit(_ key: UInt64, _ agent: UInt64) -> Double {
    var mixed = SplitMix64(seed: key ^ agent)
    return mixed.unit()
  }
}
