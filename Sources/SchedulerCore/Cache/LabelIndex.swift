/// The jobs that have a label, by age, so that a listing by label does not pass all jobs. A job without labels costs
/// nothing here.
struct LabelIndex: Sendable {
  typealias Slot = JobTable.Slot
  /// A label's name and value.
  typealias Label = Dictionary<String, String>.Element

  private struct Pair: Hashable, Sendable {
    var name: String
    var value: String

    init(_ label: Label) { (name, value) = label }
  }

  private var pairs = KeyTable<Pair>()
  /// By the slots of `pairs`.
  private var orders: [SortedChunks<Slot>] = []
  /// The slots in `pairs` of each job that has labels.
  private var pairsOfJobs: [Slot: [UInt32]] = [:]

  // MARK: Reading

  /// The jobs with a label, by age.
  func order(of label: Label) -> SortedChunks<Slot> {
    pairs.slot(of: Pair(label)).map { orders[$0] } ?? SortedChunks()
  }

  /// Whether a job has a label.
  func has(_ label: Label, _ slot: Slot) -> Bool {
    guard let pair = pairs.slot(of: Pair(label)) else { return false }
    return pairsOfJobs[slot]?.contains(UInt32(pair)) ?? false
  }

  /// Whether these are all labels of a job.
  func areThese(_ labels: [String: String], _ slot: Slot) -> Bool {
    (pairsOfJobs[slot]?.count ?? 0) == labels.count && labels.allSatisfy { has($0, slot) }
  }

  // MARK: Writing

  /// Says which labels a job has, which has had none so far. The job is not in the orders yet.
  mutating func note(_ labels: [String: String], _ slot: Slot) {
    guard !labels.isEmpty else { return }
    pairsOfJobs[slot] = labels.map { label in
      let (pair, isNew) = pairs.insert(Pair(label))
      if isNew && pair == orders.count { orders.append(SortedChunks()) }
      return UInt32(pair)
    }
  }

  /// Puts a job into the orders of its labels.
  mutating func insert(_ slot: Slot, by precedes: SortedChunks<Slot>.Precedes) {
    for pair in pairsOfJobs[slot] ?? [] { orders[Int(pair)].insert(slot, by: precedes) }
  }

  /// Takes a job out of the orders, and forgets its labels.
  mutating func remove(_ slot: Slot, by precedes: SortedChunks<Slot>.Precedes) {
    for pair in pairsOfJobs.removeValue(forKey: slot) ?? [] {
      orders[Int(pair)].remove(slot, by: precedes)
      if orders[Int(pair)].isEmpty { pairs.remove(pairs[Int(pair)]) }
    }
  }

  /// Forgets the labels of a job that is not in the orders.
  mutating func forget(_ slot: Slot) { pairsOfJobs[slot] = nil }

  /// Makes the orders, which are empty so far, of all jobs by age.
  mutating func fill(_ byAge: [Slot]) {
    guard !pairsOfJobs.isEmpty else { return }
    var slots = orders.map { _ in [Slot]() }
    for slot in byAge {
      for pair in pairsOfJobs[slot] ?? [] { slots[Int(pair)].append(slot) }
    }
    orders = slots.map { SortedChunks(sorted: $0) }
    for pair in orders.indices where orders[pair].isEmpty { pairs.remove(pairs[pair]) }
  }
}
