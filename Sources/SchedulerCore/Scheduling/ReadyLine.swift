/// The waiting runs of one user: of one namespace, one priority and one queue. The earliest goes first, then the
/// smallest key.
///
/// Runs with equal requirements are a lane: a lane whose requirement no agent can meet now is parked, and blocks no other.
struct ReadyLine: FairChild {
  private struct Lane: Sendable {
    var runs: [HeapNode<Int64>] = []
    var isParked = false
  }

  /// The first run of a lane.
  private struct Head: Comparable, Sendable {
    var since: Int64
    var run: RunKey

    static func < (left: Head, right: Head) -> Bool {
      left.since != right.since ? left.since < right.since : left.run < right.run
    }
  }

  private var classes = KeyTable<Int>()
  private var lanes: [Lane] = []
  /// The lanes that are not parked, by their heads.
  private var open = SlotHeap<Head>()

  init() {}

  var oldest: Int64? { open.first?.rank.since }
  var isEmpty: Bool { classes.count == 0 }

  /// The first run that may go, and its class.
  var next: (run: Int, classID: Int)? {
    open.first.map { (Int(lanes[Int($0.slot)].runs[0].slot), classes[Int($0.slot)]) }
  }

  /// Since when a run of a class waits that is the first of it.
  func since(ofFirstIn classID: Int) -> Int64? {
    classes.slot(of: classID).flatMap { lanes[$0].runs.first?.rank }
  }

  /// Adds a run. Returns whether it is the first of its class here.
  mutating func insert(
    _ run: Int, since: Int64, classID: Int, isParked: Bool, positions: inout [Int32], keys: KeyTable<RunKey>
  ) -> Bool {
    let (lane, isNew) = classes.insert(classID)
    if isNew {
      if lane == lanes.count { lanes.append(Lane()) }
      lanes[lane].isParked = isParked
    }
    BinaryHeap.insert(
      HeapNode(rank: since, slot: UInt32(run)), into: &lanes[lane].runs, positions: &positions
    ) { Self.precedes($0, $1, keys) }
    if positions[run] == 0 { refresh(lane, keys) }
    return isNew
  }

  /// Removes a run. Returns whether it was the last of its class here.
  mutating func remove(
    _ run: Int, classID: Int, positions: inout [Int32], keys: KeyTable<RunKey>
  ) -> Bool {
    guard let lane = classes.slot(of: classID) else { return false }
    let position = Int(positions[run])
    BinaryHeap.remove(at: position, from: &lanes[lane].runs, positions: &positions) {
      Self.precedes($0, $1, keys)
    }
    guard lanes[lane].runs.isEmpty else {
      if position == 0 { refresh(lane, keys) }
      return false
    }
    open.remove(lane)
    classes.remove(classID)
    lanes[lane] = Lane()
    return true
  }

  /// Parks a lane, or opens it.
  mutating func setParked(_ isParked: Bool, classID: Int, keys: KeyTable<RunKey>) {
    guard let lane = classes.slot(of: classID) else { return }
    lanes[lane].isParked = isParked
    refresh(lane, keys)
  }

  private mutating func refresh(_ lane: Int, _ keys: KeyTable<RunKey>) {
    guard !lanes[lane].isParked, let first = lanes[lane].runs.first else { return open.remove(lane) }
    open.set(lane, rank: Head(since: first.rank, run: keys[Int(first.slot)]))
  }

  private static func precedes(
    _ left: HeapNode<Int64>, _ right: HeapNode<Int64>, _ keys: KeyTable<RunKey>
  ) -> Bool {
    left.rank != right.rank ? left.rank < right.rank : keys[Int(left.slot)] < keys[Int(right.slot)]
  }
}
