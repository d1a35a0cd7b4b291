/// Who holds the slots of what is limited, and who waits for them.
///
/// It is derived from the records of runs: a run holds its slots from the decision to give it to an agent until a record
/// that no agent owns is durable. So no slot can leak, and another leader finds the same. A run may need several slots,
/// as of its concurrency group and of its job, and takes all of them or none.
///
/// A run that finds something full is parked here, outside the queue. Parked runs of one queue that need the same slots
/// and ask the same of agents form a class. When a slot becomes free each class that it was kept from offers as many
/// runs as can go now, its first ones; they stand in the queue with all others. So a run that no agent can take, or whose
/// queue is paused, keeps no slot from others, and what is parked costs nothing while it waits.
public struct LimitBook: Sendable {
  /// What has slots.
  public enum Key: Hashable, Sendable, Comparable {
    /// A concurrency group of a namespace.
    case group(GroupKey)
    /// A job, by `max_running`.
    case job(JobKey)
    /// A namespace, by its quota.
    case namespace(String)
  }

  /// A slot that a run needs.
  public struct Claim: Hashable, Sendable {
    /// Of what.
    public var key: Key
    /// How many slots there are, as the run's job says; of several jobs the smallest counts. `Int.max` where it is
    /// silent.
    public var limit: Int

    /// Makes a claim.
    public init(_ key: Key, limit: Int) {
      self.key = key
      self.limit = limit
    }
  }

  /// What is known of one key.
  private struct Place: Sendable {
    var holders: Set<RunKey> = []
    /// How many members say each limit.
    var limits: [Int: Int] = [:]
    /// The classes of which runs are parked.
    var classes: Set<Int> = []
    var members = 0
    /// How many are parked, or stand in the queue.
    var waiting: Int { members - holders.count }
  }

  private enum Standing: Sendable {
    case holding
    /// In the queue, as one of a class.
    case contending(ReadyQueue.Entry, classID: Int)
    case parked(ReadyQueue.Entry, classID: Int)
  }

  private struct Member: Sendable {
    var claims: [Claim]
    var standing: Standing
  }

  private struct ClassKey: Hashable, Sendable {
    var queue: String
    var requirement: Requirement
    var keys: [Key]
  }

  private struct WaitingClass: Sendable {
    var parked = ParkedRuns()
    /// How many stand in the queue.
    var contenders = 0
    var isEmpty: Bool { parked.isEmpty && contenders == 0 }
  }

  private var members: [RunKey: Member] = [:]
  private var places: [Key: Place] = [:]
  /// Limits that go before what jobs say.
  private var overrides: [Key: Int] = [:]
  private var classKeys = KeyTable<ClassKey>()
  private var classes: [WaitingClass] = []
  /// What may have got free slots.
  private var loosened: Set<Key> = []

  /// Makes an empty book.
  public init() {}

  // MARK: Facts

  /// Whether no run needs a slot of anything.
  public var isEmpty: Bool { members.isEmpty }

  /// How many runs are parked.
  public private(set) var parkedCount = 0

  /// Whether something may have got free slots since `takeOffers`.
  public var mayHaveOffers: Bool { !loosened.isEmpty && parkedCount > 0 }

  /// How many slots there are; `Int.max` for any number.
  public func limit(of key: Key) -> Int {
    overrides[key] ?? places[key]?.limits.keys.min() ?? .max
  }

  /// Who holds slots, in an order that does not depend on hashing.
  public func holders(of key: Key) -> [RunKey] { places[key]?.holders.sorted() ?? [] }

  /// How many hold a slot.
  public func holderCount(of key: Key) -> Int { places[key]?.holders.count ?? 0 }

  /// How many wait for a slot, or for an agent with one free.
  public func waitingCount(of key: Key) -> Int { places[key]?.waiting ?? 0 }

  /// Whether a run holds its slots.
  public func isHolding(_ run: RunKey) -> Bool {
    if case .holding? = members[run]?.standing { true } else { false }
  }

  /// Whether a run is parked.
  public func isParked(_ run: RunKey) -> Bool {
    if case .parked? = members[run]?.standing { true } else { false }
  }

  /// What keeps a parked run from the queue now.
  public func fullKeys(for run: RunKey) -> [Key] {
    members[run]?.claims.map(\.key).filter { freeSlots(of: $0) == 0 } ?? []
  }

  /// Whether one more run, with this claim, finds no slot.
  public func isFull(_ claim: Claim) -> Bool {
    let own = overrides[claim.key] == nil ? claim.limit : .max
    return min(limit(of: claim.key), own) <= holderCount(of: claim.key)
  }

  /// Whether all slots are free that a run needs.
  public func hasRoom(for claims: [Claim]) -> Bool { claims.allSatisfy { !isFull($0) } }

  /// Whether a newcomer would overtake nobody.
  public func isUncontested(_ claims: [Claim]) -> Bool { claims.allSatisfy { waitingCount(of: $0.key) == 0 } }

  private func freeSlots(of key: Key) -> Int { max(0, limit(of: key) - holderCount(of: key)) }

  // MARK: Changes

  /// Sets a limit that goes before what jobs say; nil for none.
  public mutating func override(_ key: Key, _ limit: Int?) {
    overrides[key] = limit
    loosened.insert(key)
  }

  /// A run waits for an agent.
  /// - Returns: Whether it is to stand in the queue; otherwise it is parked, until it is offered.
  public mutating func wait(_ entry: ReadyQueue.Entry, _ claims: [Claim]) -> Bool {
    if let member = members[entry.run], member.claims == claims {
      switch member.standing {
      case .contending(entry, _): return true
      case .parked(entry, _): return false
      case .holding, .contending, .parked: break
      }
    }
    leave(entry.run)
    let id = join(entry, claims)
    if hasRoom(for: claims) {
      classes[id].contenders += 1
      members[entry.run] = Member(claims: claims, standing: .contending(entry, classID: id))
      return true
    }
    park(entry, claims, in: id)
    return false
  }

  /// A run of the queue found something full: it is parked.
  public mutating func park(_ entry: ReadyQueue.Entry, _ claims: [Claim]) {
    leave(entry.run)
    park(entry, claims, in: join(entry, claims))
  }

  /// A run takes its slots, full or not: what a record says is so.
  public mutating func take(_ run: RunKey, _ claims: [Claim]) {
    if let member = members[run], member.claims == claims, case .holding = member.standing { return }
    // Of what it has waited for it takes the slot itself.
    remove(run)
    guard !claims.isEmpty else { return }
    count(claims, by: 1)
    for claim in claims { places[claim.key]?.holders.insert(run) }
    members[run] = Member(claims: claims, standing: .holding)
  }

  /// A run of the queue has left it without taking its slots.
  public mutating func leaveQueue(_ run: RunKey) {
    if case .contending? = members[run]?.standing { leave(run) }
  }

  /// A run neither holds slots nor waits for any.
  public mutating func leave(_ run: RunKey) {
    for claim in remove(run) { loosened.insert(claim.key) }
  }

  @discardableResult
  private mutating func remove(_ run: RunKey) -> [Claim] {
    guard !members.isEmpty, let member = members.removeValue(forKey: run) else { return [] }
    for claim in member.claims { places[claim.key]?.holders.remove(run) }
    count(member.claims, by: -1)
    switch member.standing {
    case .holding: break
    case .contending(_, let id):
      classes[id].contenders -= 1
      forgetIfEmpty(id)
    case .parked(_, let id):
      classes[id].parked.remove(run)
      parkedCount -= 1
      unlinkIfNoneParked(id)
      forgetIfEmpty(id)
    }
    return member.claims
  }

  /// The parked runs that are to stand in the queue from now on.
  public mutating func takeOffers() -> [ReadyQueue.Entry] {
    guard !loosened.isEmpty else { return [] }
    var offers: [ReadyQueue.Entry] = []
    for key in parkedCount > 0 ? loosened.sorted() : [] {
      for id in places[key]?.classes.sorted() ?? [] { offer(id, &offers) }
    }
    loosened.removeAll(keepingCapacity: true)
    return offers
  }

  // MARK: Parts

  /// Offers the first runs of a class: as many as could take their slots if no other class did.
  private mutating func offer(_ id: Int, _ offers: inout [ReadyQueue.Entry]) {
    let room = classKeys[id].keys.map(freeSlots).min() ?? 0
    while classes[id].contenders < room, let entry = classes[id].parked.popFirst() {
      guard let member = members[entry.run] else { continue }
      parkedCount -= 1
      classes[id].contenders += 1
      members[entry.run] = Member(claims: member.claims, standing: .contending(entry, classID: id))
      offers.append(entry)
    }
    unlinkIfNoneParked(id)
  }

  private mutating func park(_ entry: ReadyQueue.Entry, _ claims: [Claim], in id: Int) {
    classes[id].parked.insert(entry)
    parkedCount += 1
    members[entry.run] = Member(claims: claims, standing: .parked(entry, classID: id))
    for claim in claims { places[claim.key]?.classes.insert(id) }
  }

  /// Counts a run that begins to wait, and finds its class.
  private mutating func join(_ entry: ReadyQueue.Entry, _ claims: [Claim]) -> Int {
    count(claims, by: 1)
    let (id, isNew) = classKeys.insert(
      ClassKey(queue: entry.queue, requirement: entry.requirement, keys: claims.map(\.key)))
    if isNew, id == classes.count { classes.append(WaitingClass()) }
    return id
  }

  private mutating func count(_ claims: [Claim], by difference: Int) {
    for claim in claims {
      var place = places[claim.key] ?? Place()
      place.members += difference
      let saying = (place.limits[claim.limit] ?? 0) + difference
      place.limits[claim.limit] = saying > 0 ? saying : nil
      places[claim.key] = place.members > 0 ? place : nil
    }
  }

  private mutating func unlinkIfNoneParked(_ id: Int) {
    guard classes[id].parked.isEmpty else { return }
    for key in classKeys[id].keys { places[key]?.classes.remove(id) }
  }

  private mutating func forgetIfEmpty(_ id: Int) {
    guard classes[id].isEmpty else { return }
    classes[id] = WaitingClass()
    classKeys.remove(classKeys[id])
  }
}

/// Runs in the order in which they are to go: that of `ReadyQueue` within a class.
private struct ParkedRuns: Sendable {
  private struct Rank: Comparable, Sendable {
    /// Time of entry minus priority × aging, microseconds.
    var aged: Int64
    var enqueuedAt: Timestamp
    var run: RunKey

    init(_ entry: ReadyQueue.Entry) {
      aged =
        entry.enqueuedAt.microseconds - Int64(entry.priority) * ReadyQueue.defaultAgingMillis * 1_000
      enqueuedAt = entry.enqueuedAt
      run = entry.run
    }

    static func < (left: Rank, right: Rank) -> Bool {
      (left.aged, left.enqueuedAt, left.run) < (right.aged, right.enqueuedAt, right.run)
    }
  }

  private var slots = KeyTable<RunKey>()
  private var entries: [ReadyQueue.Entry?] = []
  private var heap = SlotHeap<Rank>()

  var isEmpty: Bool { slots.count == 0 }

  mutating func insert(_ entry: ReadyQueue.Entry) {
    let slot = slots.insert(entry.run).slot
    if slot == entries.count { entries.append(entry) } else { entries[slot] = entry }
    heap.set(slot, rank: Rank(entry))
  }

  mutating func remove(_ run: RunKey) {
    guard let slot = slots.remove(run) else { return }
    entries[slot] = nil
    heap.remove(slot)
  }

  mutating func popFirst() -> ReadyQueue.Entry? {
    guard let first = heap.first, let entry = entries[Int(first.slot)] else { return nil }
    remove(entry.run)
    return entry
  }
}
