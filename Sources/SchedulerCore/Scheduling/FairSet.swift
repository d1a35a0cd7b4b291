/// A part of the ready queue that competes with others for the next turn.
protocol FairChild: Sendable {
  /// Makes one in which nothing waits.
  init()
  /// Since when the oldest run waits in it that may go now; nil when none may.
  var oldest: Int64? { get }
  /// Whether nothing waits in it at all.
  var isEmpty: Bool { get }
}

/// Named children that take turns by their weights: the one that has had the least for its weight goes next.
///
/// Start-time fair queueing (Goyal, Vin and Cheng, 1996). Each child has a virtual time, which a turn moves on by the
/// inverse of its weight; the set's clock is the virtual time of the child that had the last turn. A child that comes
/// back after a rest starts from the clock: it neither saves up turns nor loses what it has overdrawn. All of it is
/// O(log n) in the number of children.
struct FairSet<Child: FairChild>: Sendable {
  private struct Member: Sendable {
    var child = Child()
    /// The virtual time at which its next turn starts.
    var time: Int64 = 0
  }

  /// What children are ordered by: the name decides between equal times, so that the order depends on nothing else.
  private struct Turn: Comparable, Sendable {
    var time: Int64
    var name: String

    static func < (left: Turn, right: Turn) -> Bool {
      left.time != right.time ? left.time < right.time : left.name < right.name
    }
  }

  private var names = KeyTable<String>()
  private var members: [Member] = []
  /// The children in which something may go, by their turns.
  private var turns = SlotHeap<Turn>()
  /// The same children, by their oldest runs.
  private var ages = SlotHeap<Int64>()
  /// Children in which nothing waits and which have had more than others: they are forgotten once the clock has passed
  /// their times.
  private var idle = SlotHeap<Int64>()
  private var clock: Int64 = 0

  /// The virtual time that a turn takes of a child of weight 1.
  private static var turnUnits: Int64 { 1_000_000 }

  /// Since when the oldest run waits that may go now; nil when none may.
  var oldest: Int64? { ages.first?.rank }

  /// Whether nothing waits in any child.
  var isEmpty: Bool { names.count == idle.nodes.count }

  /// The child whose turn it is; nil when nothing may go.
  var next: Int? { turns.first.map { Int($0.slot) } }

  /// A child's name.
  func name(of slot: Int) -> String { names[slot] }

  /// The place of a child that is there.
  func slot(of name: String) -> Int? { names.slot(of: name) }

  /// The place of a child, which is made if it is not there. Whoever makes one puts something into it.
  mutating func place(of name: String) -> Int {
    let (slot, isNew) = names.insert(name)
    if isNew, slot == members.count { members.append(Member()) }
    if isNew { members[slot].time = clock }
    return slot
  }

  /// A child. After a change, `refresh` has to be called.
  subscript(slot: Int) -> Child {
    _read { yield members[slot].child }
    _modify { yield &members[slot].child }
  }

  /// Brings what is known of a child up to date with it. One in which nothing waits any more may be gone afterwards.
  mutating func refresh(_ slot: Int) {
    if let oldest = members[slot].child.oldest {
      if turns.rank(of: slot) == nil {
        members[slot].time = max(members[slot].time, clock)
        idle.remove(slot)
        turns.set(slot, rank: Turn(time: members[slot].time, name: names[slot]))
      }
      if ages.rank(of: slot) != oldest { ages.set(slot, rank: oldest) }
      return
    }
    turns.remove(slot)
    ages.remove(slot)
    guard members[slot].child.isEmpty else { return idle.remove(slot) }
    if members[slot].time > clock { idle.set(slot, rank: members[slot].time) } else { forget(slot) }
  }

  /// A child has had a turn.
  mutating func charge(_ slot: Int, weight: Int) {
    let start = members[slot].time
    clock = max(clock, start)
    members[slot].time = start + Self.turnUnits / Int64(max(1, weight))
    if turns.rank(of: slot) != nil {
      turns.set(slot, rank: Turn(time: members[slot].time, name: names[slot]))
    } else if idle.rank(of: slot) != nil {
      idle.set(slot, rank: members[slot].time)
    }
    while let first = idle.first, first.rank <= clock { forget(Int(first.slot)) }
  }

  /// The places of all children in which something waits.
  var occupied: [Int] {
    (0..<names.slotEnd).filter { names.isInUse($0) && idle.rank(of: $0) == nil }
  }

  private mutating func forget(_ slot: Int) {
    idle.remove(slot)
    names.remove(names[slot])
    members[slot] = Member()
  }
}
