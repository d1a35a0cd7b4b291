/// The runs that wait for an agent, in the order in which they should get one.
///
/// Order: a point of priority is worth as much as a fixed time of waiting, so a run of low priority is not
/// passed for ever. Since all runs age equally, their order never changes: the sort key is the time of
/// entry minus priority × aging. The smallest goes first, then the earliest, then the smallest key.
///
/// Runs with equal requirements form a class with a heap of its own; the classes form a heap by their
/// heads. So a class that no agent can take now is passed over as one, and a blocked run never keeps one
/// behind it from an agent.
public struct ReadyQueue: Sendable {
  /// A run that waits.
  public struct Entry: Hashable, Sendable {
    /// Which run.
    public var run: RunKey
    /// 1 (last) to 100 (first).
    public var priority: Int
    /// Since when it waits.
    public var enqueuedAt: Timestamp
    /// What it asks of an agent.
    public var requirement: Requirement

    /// Makes an entry.
    public init(run: RunKey, priority: Int, enqueuedAt: Timestamp, requirement: Requirement) {
      self.run = run
      self.priority = priority
      self.enqueuedAt = enqueuedAt
      self.requirement = requirement
    }
  }

  /// The time of waiting that makes up for one point of priority, where none is said.
  public static let defaultAgingMillis: Int64 = 30_000

  private let agingMicros: Int64
  private var runs = KeyTable<RunKey>()
  /// What is known of each run's slot.
  private var waiting: [Waiting] = []
  /// The position of each run's slot in the heap of its class.
  private var positions: [Int32] = []
  private var requirements = KeyTable<Requirement>()
  /// The heap of each class, by the slot of its requirement.
  private var classes: [[HeapNode<Rank>]] = []
  /// The classes by their heads.
  private var order = SlotHeap<Head>()

  /// Makes an empty queue.
  /// - Parameter agingMillisPerPriorityPoint: The time of waiting that makes up for one point of priority.
  public init(agingMillisPerPriorityPoint: Int64 = ReadyQueue.defaultAgingMillis) {
    agingMicros = agingMillisPerPriorityPoint * 1_000
  }

  /// How many runs wait.
  public var count: Int { runs.count }

  /// Whether none waits.
  public var isEmpty: Bool { runs.count == 0 }

  /// How many different requirements they have.
  public var classCount: Int { requirements.count }

  /// Whether a run waits.
  public func contains(_ run: RunKey) -> Bool { runs.slot(of: run) != nil }

  // MARK: Changing

  /// Adds a run; one that waits already is put where the new entry says.
  public mutating func insert(_ entry: Entry) {
    remove(entry.run)
    let slot = runs.insert(entry.run).slot
    let (id, isNewClass) = requirements.insert(entry.requirement)
    if isNewClass, id == classes.count { classes.append([]) }
    let rank = Rank(
      aged: entry.enqueuedAt.microseconds - Int64(entry.priority) * agingMicros,
      enqueuedAt: entry.enqueuedAt)
    if slot == waiting.count {
      waiting.append(Waiting(classID: id, priority: entry.priority))
      positions.append(BinaryHeap.absent)
    } else {
      waiting[slot] = Waiting(classID: id, priority: entry.priority)
    }
    // A copy that shares storage: the closure may not read what `positions` is part of.
    let runs = runs
    BinaryHeap.insert(
      HeapNode(rank: rank, slot: UInt32(slot)), into: &classes[id], positions: &positions
    ) { Self.precedes($0, $1, runs) }
    if positions[slot] == 0 { updateHead(of: id) }
  }

  /// Removes a run; false when it did not wait.
  @discardableResult
  public mutating func remove(_ run: RunKey) -> Bool {
    guard let slot = runs.slot(of: run) else { return false }
    removeNode(of: slot)
    runs.remove(run)
    return true
  }

  // MARK: Taking

  /// The first run, in the order of all, of a class that can be placed.
  /// - Parameter canPlace: Whether an agent could take a run with this requirement now; asked once for
  ///   each class, in the order of their heads, until the answer is yes.
  public func next(where canPlace: (Requirement) throws -> Bool) rethrows -> Entry? {
    guard let first = order.first else { return nil }
    if try canPlace(requirements[Int(first.slot)]) { return entry(headOf: Int(first.slot)) }
    var rest = order
    rest.remove(Int(first.slot))
    while let head = rest.first {
      if try canPlace(requirements[Int(head.slot)]) { return entry(headOf: Int(head.slot)) }
      rest.remove(Int(head.slot))
    }
    return nil
  }

  /// Removes and returns what `next(where:)` finds.
  public mutating func popNext(where canPlace: (Requirement) throws -> Bool) rethrows -> Entry? {
    guard let entry = try next(where: canPlace) else { return nil }
    remove(entry.run)
    return entry
  }

  /// One round of placing: offers runs in order, and removes those that were placed. A class whose head was
  /// refused is left out of the rest of the round, since placing others frees no agent. With many blocked
  /// classes this is cheaper than `popNext` for each run, which asks for all of them again.
  /// - Parameters:
  ///   - limit: The most runs to place.
  ///   - place: Places the run, or refuses it.
  /// - Returns: How many were placed.
  @discardableResult
  public mutating func drain(limit: Int, _ place: (Entry) throws -> Bool) rethrows -> Int {
    var refused: [Int] = []
    defer { for id in refused { updateHead(of: id) } }
    var placed = 0
    while placed < limit, let first = order.first {
      let id = Int(first.slot)
      let entry = entry(headOf: id)
      if try place(entry) {
        remove(entry.run)
        placed += 1
      } else {
        order.remove(id)
        refused.append(id)
      }
    }
    return placed
  }

  // MARK: Order

  /// What a run is ordered by within its class, before its key.
  private struct Rank: Hashable, Comparable, Sendable {
    /// Time of entry minus priority × aging, microseconds.
    var aged: Int64
    var enqueuedAt: Timestamp

    static func < (left: Rank, right: Rank) -> Bool {
      left.aged != right.aged ? left.aged < right.aged : left.enqueuedAt < right.enqueuedAt
    }
  }

  /// The first run of a class.
  private struct Head: Comparable, Sendable {
    var rank: Rank
    var run: RunKey

    static func < (left: Head, right: Head) -> Bool {
      left.rank != right.rank ? left.rank < right.rank : left.run < right.run
    }
  }

  private struct Waiting: Sendable {
    var classID: Int
    var priority: Int
  }

  private static func precedes(
    _ left: HeapNode<Rank>, _ right: HeapNode<Rank>, _ runs: KeyTable<RunKey>
  ) -> Bool {
    left.rank != right.rank ? left.rank < right.rank : runs[Int(left.slot)] < runs[Int(right.slot)]
  }

  private func entry(headOf id: Int) -> Entry {
    let node = classes[id][0]
    return Entry(
      run: runs[Int(node.slot)], priority: waiting[Int(node.slot)].priority,
      enqueuedAt: node.rank.enqueuedAt, requirement: requirements[id])
  }

  private mutating func removeNode(of slot: Int) {
    let id = waiting[slot].classID
    let position = Int(positions[slot])
    let runs = runs
    BinaryHeap.remove(at: position, from: &classes[id], positions: &positions) {
      Self.precedes($0, $1, runs)
    }
    if position == 0 { updateHead(of: id) }
  }

  /// Puts a class where its head belongs; a class without runs is forgotten.
  private mutating func updateHead(of id: Int) {
    if let node = classes[id].first {
      order.set(id, rank: Head(rank: node.rank, run: runs[Int(node.slot)]))
    } else {
      order.remove(id)
      requirements.remove(requirements[id])
    }
  }
}
