/// All jobs of a cluster, a million of them in a few hundred bytes each.
///
/// A job has a slot, a small number that stays the same until the job is deleted; a later job may get it again.
/// Whoever keeps something about many jobs keeps it by slot. The record is packed (`PackedJob`) but for those of
/// jobs that something happens to: while a run has not ended, and for a while after a change, it stays decoded. So
/// `subscript` costs a copy for those, and a few microseconds for the others; `facts(at:)` never decodes anything.
///
/// Listings (all, not ended, by user) go by age: the create revision, and the key between what one transaction
/// created; the same on all servers.
public struct JobTable: Sendable {
  /// A job's place.
  public typealias Slot = UInt32

  /// What is known of a job without decoding its record.
  public struct Facts: Sendable {
    /// Of the record.
    public var record: JobFacts
    /// What record and runs say together.
    public var status: JobStatus
    /// The segment that its key is in.
    public var segment: Int
    /// The revision at which its key was created.
    public var createRevision: Int64
    /// The revision at which it was last written.
    public var modRevision: Int64
    /// Whether it has runs, ended or not.
    public var hasRuns: Bool
  }

  private struct Entry: Sendable {
    /// The key and the packed record; the key alone while the record is decoded; nothing in a free slot.
    var block = JobBlock.none
    var runIDs: [String] = []
    var createRevision: Int64 = 0
    var modRevision: Int64 = 0
    /// Microseconds; `never` for none, `unknown` for one that the end of a run has to tell, `leftOut` for none where
    /// nothing ever ran.
    var nextRunTime = Entry.never
    var hash: UInt32 = 0
    /// The user's slot in `users`.
    var user: UInt32 = 0
    var nextInSegment = JobTable.none
    var previousInSegment = JobTable.none
    /// Where the decoded record is in `warm`; `none` while it is packed.
    var warm = JobTable.none
    var segment: UInt16 = 0
    var flags: Flags = []
    var generation: Generation = 0

    static let never = Int64.max
    static let unknown = Int64.max - 1
    static let leftOut = Int64.max - 2
  }

  /// The lowest three bits are the status.
  private struct Flags: OptionSet {
    var rawValue: UInt8 = 0
    static let cancelled = Flags(rawValue: 8)
    static let fired = Flags(rawValue: 16)
    static let used = Flags(rawValue: 32)
    static let paused = Flags(rawValue: 64)
    static let deleteRequested = Flags(rawValue: 128)
  }

  private static let none = Slot.max
  private static let statuses: [JobStatus] = [.pending, .running, .completed, .failed, .cancelled]

  private let keyspace: Keyspace
  private var entries: [Entry] = []
  private var freeSlots: [Slot] = []
  private var index = SlotIndex()
  private var warm: WarmRecords
  /// The first slot of each segment.
  private var segmentHeads: [Slot]
  private var users = KeyTable<String>()

  /// All jobs, by age.
  private(set) var order = SortedChunks<Slot>()
  /// Jobs that are pending or running, by age.
  private(set) var activeOrder = SortedChunks<Slot>()
  /// Jobs by age, by the slots of their users.
  private var userOrders: [SortedChunks<Slot>] = []
  /// Jobs by age, by their labels.
  private(set) var labels = LabelIndex()
  /// Set while the orders wait for `endFilling`, and are empty.
  private var isFilling = false

  /// Makes an empty table.
  /// - Parameter recentJobs: How many jobs stay decoded that nothing is running for.
  init(segmentCount: Int, recentJobs: Int) {
    keyspace = Keyspace(segmentCount: segmentCount)
    segmentHeads = Array(repeating: Self.none, count: segmentCount)
    warm = WarmRecords(recentLimit: recentJobs)
  }

  // MARK: Reading

  /// How many jobs there are.
  public var count: Int { index.count }
  /// Whether there are none.
  public var isEmpty: Bool { count == 0 }
  /// How many jobs are pending or running.
  public var activeCount: Int { activeOrder.count }
  /// All slots are below this; some may be free.
  public var slotEnd: Slot { Slot(entries.count) }
  /// How many records are decoded.
  var warmCount: Int { warm.count }
  /// The bytes of all blocks.
  var packedBytes: Int { entries.reduce(0) { $0 + $1.block.count } }

  /// A job; nil when there is none.
  public subscript(key: JobKey) -> ClusterCache.Job? { slot(of: key).flatMap { self[$0] } }

  /// The job of a slot; nil for a free one.
  public subscript(slot: Slot) -> ClusterCache.Job? {
    guard isUsed(slot), let record = record(at: slot) else { return nil }
    let entry = entries[Int(slot)]
    let versioned = Versioned(
      record, createRevision: entry.createRevision, modRevision: entry.modRevision)
    return ClusterCache.Job(job: versioned, runIDs: entry.runIDs, status: Self.status(entry.flags))
  }

  /// The slot of a job; nil when there is none.
  public func slot(of key: JobKey) -> Slot? { slot(of: key, hash: JobBlock.hash(of: key)) }

  /// The key of the job in a slot; nil for a free one.
  public func key(at slot: Slot) -> JobKey? { isUsed(slot) ? entries[Int(slot)].block.key : nil }

  /// What is known of the job in a slot without decoding it; nil for a free slot.
  public func facts(at slot: Slot) -> Facts? {
    guard isUsed(slot) else { return nil }
    let entry = entries[Int(slot)]
    return Facts(
      record: recordFacts(entry), status: Self.status(entry.flags), segment: Int(entry.segment),
      createRevision: entry.createRevision, modRevision: entry.modRevision, hasRuns: !entry.runIDs.isEmpty)
  }

  /// As `facts(at:)`, of a key; nil when there is no such job.
  public func facts(of key: JobKey) -> Facts? { slot(of: key).flatMap(facts(at:)) }

  /// The ids of the runs of the job in a slot, oldest first.
  public func runIDs(at slot: Slot) -> [String] { isUsed(slot) ? entries[Int(slot)].runIDs : [] }

  /// Calls `visit` with the slot of each job of a segment, in no order.
  public func forEach(inSegment segment: Int, _ visit: (Slot) -> Void) {
    var slot = segmentHeads[segment]
    while slot != Self.none {
      visit(slot)
      slot = entries[Int(slot)].nextInSegment
    }
  }

  /// Jobs of a user, by age.
  func order(ofUser user: String) -> SortedChunks<Slot> {
    users.slot(of: user).map { userOrders[$0] } ?? SortedChunks()
  }

  /// Whether the job in a slot, which is in use, is in that namespace.
  func isIn(_ namespace: String, _ slot: Slot) -> Bool { entries[Int(slot)].block.isIn(namespace) }

  /// Whether the job in a slot is a user's.
  func isOf(user: String, _ slot: Slot) -> Bool { users[Int(entries[Int(slot)].user)] == user }

  /// The job's place in the order by age.
  func place(of slot: Slot) -> AgePlace<JobKey>? {
    key(at: slot).map { AgePlace(createRevision: entries[Int(slot)].createRevision, key: $0) }
  }

  /// Whether the job in a slot is older than a place.
  func isOlder(_ slot: Slot, than place: AgePlace<JobKey>) -> Bool {
    let entry = entries[Int(slot)]
    return entry.createRevision != place.createRevision
      ? entry.createRevision < place.createRevision : entry.block.precedes(place.key)
  }

  private func isUsed(_ slot: Slot) -> Bool {
    slot < slotEnd && entries[Int(slot)].flags.contains(.used)
  }

  private func slot(of key: JobKey, hash: Int) -> Slot? {
    index.slot(hash: hash & Self.hashMask) {
      entries[Int($0)].hash == UInt32(truncatingIfNeeded: hash) && entries[Int($0)].block.isOf(key)
    }
  }

  private static let hashMask = Int(UInt32.max)

  /// The record in a slot that is in use. What is packed was read once, or written by this program.
  private func record(at slot: Slot) -> JobRecord? {
    let entry = entries[Int(slot)]
    if entry.warm != Self.none { return warm[entry.warm] }
    do {
      return try JobRecord(decoding: entry.block.text, key: entry.block.key)
    } catch {
      assertionFailure("a packed job cannot be read: \(error)")
      return nil
    }
  }

  private func recordFacts(_ entry: Entry) -> JobFacts {
    var facts = JobFacts()
    switch entry.nextRunTime {
    case Entry.never: break
    case Entry.unknown: facts.awaitsRun = true
    case Entry.leftOut: facts.isLeftOut = true
    case let time: facts.nextRunTime = Timestamp(microseconds: time)
    }
    facts.isCancelled = entry.flags.contains(.cancelled)
    facts.isPaused = entry.flags.contains(.paused)
    facts.isDeleteRequested = entry.flags.contains(.deleteRequested)
    facts.hasFired = entry.flags.contains(.fired)
    return facts
  }

  // MARK: Writing

  /// What is put into a slot.
  enum Content: Sendable {
    /// A record that something is about to happen to.
    case decoded(JobRecord)
    /// One that was listed.
    case packed(PackedJob)
  }

  /// Puts a job in, in place of the one that has its key.
  mutating func set(
    _ key: JobKey, _ content: Content, createRevision: Int64, modRevision: Int64, generation: Generation
  ) -> Slot {
    let hash = JobBlock.hash(of: key)
    let facts: JobFacts
    let user: String
    let labels: [String: String]
    switch content {
    case .decoded(let record):
      (facts, user, labels) = (JobFacts(record), record.spec.userID, record.spec.labels)
    case .packed(let packed): (facts, user, labels) = (packed.facts, packed.userID, packed.labels)
    }
    let slot: Slot
    if let old = self.slot(of: key, hash: hash) {
      slot = old
      if entries[Int(slot)].createRevision != createRevision || !isOf(user: user, slot)
        || !self.labels.areThese(labels, slot)
      {
        removeFromOrders(slot)
        entries[Int(slot)].createRevision = createRevision
        addToOrders(slot, user: user, labels: labels)
      }
    } else {
      slot = newSlot()
      entries[Int(slot)].hash = UInt32(truncatingIfNeeded: hash)
      entries[Int(slot)].createRevision = createRevision
      entries[Int(slot)].block = JobBlock(key)
      link(slot, to: keyspace.segment(of: key))
      index.insert(slot) { [entries] in Int(entries[Int($0)].hash) }
      addToOrders(slot, user: user, labels: labels)
    }
    entries[Int(slot)].modRevision = modRevision
    entries[Int(slot)].generation = generation
    note(facts, slot)
    switch content {
    case .decoded(let record): warmUp(slot, record)
    case .packed(let packed):
      entries[Int(slot)].block = packed.block
      if entries[Int(slot)].warm != Self.none { warm.remove(entries[Int(slot)].warm) }
      entries[Int(slot)].warm = Self.none
    }
    return slot
  }

  /// Takes a job out.
  mutating func remove(_ slot: Slot) {
    removeFromOrders(slot)
    index.remove(slot) { [entries] in Int(entries[Int($0)].hash) }
    unlink(slot)
    if entries[Int(slot)].warm != Self.none { warm.remove(entries[Int(slot)].warm) }
    entries[Int(slot)] = Entry()
    freeSlots.append(slot)
  }

  /// Notes what a job's record and runs say together.
  /// - Parameter isBusy: Whether a run has not ended: the record then stays decoded.
  mutating func settle(_ slot: Slot, _ status: JobStatus, isBusy: Bool) {
    let flags = entries[Int(slot)].flags
    if !isFilling && Self.status(flags).isTerminal != status.isTerminal {
      let entries = entries
      if status.isTerminal {
        activeOrder.remove(slot) { Self.precedes(entries, $0, $1) }
      } else {
        activeOrder.insert(slot) { Self.precedes(entries, $0, $1) }
      }
    }
    self.entries[Int(slot)].flags = Self.flags(flags, with: status)
    if isBusy && entries[Int(slot)].warm == Self.none, let record = record(at: slot) { warmUp(slot, record) }
    let warmth = entries[Int(slot)].warm
    if warmth != Self.none, let cooled = warm.pin(warmth, isBusy) { pack(cooled) }
  }

  /// Adds a run to a job's list.
  mutating func addRun(_ id: String, _ slot: Slot) {
    // Run ids sort by scheduled time, and new ones come last.
    var place = entries[Int(slot)].runIDs.count
    while place > 0, entries[Int(slot)].runIDs[place - 1] > id { place -= 1 }
    entries[Int(slot)].runIDs.insert(id, at: place)
  }

  /// Takes a run from a job's list.
  mutating func removeRun(_ id: String, _ slot: Slot) { entries[Int(slot)].runIDs.removeAll { $0 == id } }

  /// Notes that a listing has brought the job.
  mutating func mark(_ slot: Slot, _ generation: Generation) { entries[Int(slot)].generation = generation }

  /// The jobs, in some slots, that the listing of that generation has not brought.
  func unmarked(_ generation: Generation, in slots: Range<Slot>) -> [Slot] {
    slots.clamped(to: 0..<slotEnd).filter {
      entries[Int($0)].generation != generation && entries[Int($0)].flags.contains(.used)
    }
  }

  private mutating func newSlot() -> Slot {
    if let free = freeSlots.popLast() {
      entries[Int(free)].flags = .used
      return free
    }
    entries.append(Entry(flags: .used))
    return Slot(entries.count - 1)
  }

  private mutating func note(_ facts: JobFacts, _ slot: Slot) {
    entries[Int(slot)].nextRunTime =
      facts.nextRunTime?.microseconds
      ?? (facts.awaitsRun ? Entry.unknown : facts.isLeftOut ? Entry.leftOut : Entry.never)
    var flags = entries[Int(slot)].flags.subtracting([.cancelled, .paused, .deleteRequested, .fired])
    if facts.isCancelled { flags.insert(.cancelled) }
    if facts.isPaused { flags.insert(.paused) }
    if facts.isDeleteRequested { flags.insert(.deleteRequested) }
    if facts.hasFired { flags.insert(.fired) }
    entries[Int(slot)].flags = flags
  }

  private static func status(_ flags: Flags) -> JobStatus { statuses[Int(flags.rawValue & 7)] }

  private static func flags(_ flags: Flags, with status: JobStatus) -> Flags {
    let number = statuses.firstIndex(of: status) ?? 0
    return Flags(rawValue: flags.rawValue & ~7 | UInt8(number))
  }

  // MARK: Decoded records

  private mutating func warmUp(_ slot: Slot, _ record: JobRecord) {
    let place = entries[Int(slot)].warm
    if place != Self.none {
      warm[place] = record
    } else {
      // The place first: making room may pack another.
      let (place, cooled) = warm.insert(record, slot)
      entries[Int(slot)].warm = place
      entries[Int(slot)].block = JobBlock(record.key)
      if let cooled { pack(cooled) }
    }
  }

  /// Packs the record of a slot that nothing has happened to for a while.
  private mutating func pack(_ slot: Slot) {
    guard let record = warm[entries[Int(slot)].warm] else { return }
    entries[Int(slot)].block = PackedJob(record).block
    warm.remove(entries[Int(slot)].warm)
    entries[Int(slot)].warm = Self.none
  }

  // MARK: Orders

  private static func precedes(_ entries: [Entry], _ left: Slot, _ right: Slot) -> Bool {
    let (first, second) = (entries[Int(left)].createRevision, entries[Int(right)].createRevision)
    return first != second
      ? first < second : entries[Int(left)].block.keyPrecedes(entries[Int(right)].block)
  }

  /// From here on jobs come in great number and nobody asks for listings. They are then sorted once, at the end,
  /// rather than each found its place. Does nothing where there are jobs already.
  mutating func beginFilling() {
    guard !isFilling && isEmpty else { return }
    isFilling = true
    users = KeyTable()
    userOrders = []
    labels = LabelIndex()
  }

  /// The end of what `beginFilling` began.
  mutating func endFilling() {
    guard isFilling else { return }
    isFilling = false
    let entries = entries
    // The revision beside the slot, since to look a million of them up at random takes far longer.
    let used = (0..<slotEnd).filter(isUsed).map { (slot: $0, revision: entries[Int($0)].createRevision) }
    let byAge = used.sorted {
      $0.revision != $1.revision ? $0.revision < $1.revision : Self.precedes(entries, $0.slot, $1.slot)
    }.map(\.slot)
    order = SortedChunks(sorted: byAge)
    activeOrder = SortedChunks(sorted: byAge.filter { !Self.status(entries[Int($0)].flags).isTerminal })
    var ofUsers = userOrders.map { _ in [Slot]() }
    for slot in byAge { ofUsers[Int(entries[Int(slot)].user)].append(slot) }
    userOrders = ofUsers.map { SortedChunks(sorted: $0) }
    for user in userOrders.indices where userOrders[user].isEmpty { users.remove(users[user]) }
    labels.fill(byAge)
  }

  private mutating func addToOrders(_ slot: Slot, user: String, labels: [String: String]) {
    let (userSlot, isNew) = users.insert(user)
    if isNew && userSlot == userOrders.count { userOrders.append(SortedChunks()) }
    entries[Int(slot)].user = UInt32(userSlot)
    self.labels.note(labels, slot)
    if isFilling { return }
    let entries = entries
    order.insert(slot) { Self.precedes(entries, $0, $1) }
    userOrders[userSlot].insert(slot) { Self.precedes(entries, $0, $1) }
    self.labels.insert(slot) { Self.precedes(entries, $0, $1) }
    if !Self.status(entries[Int(slot)].flags).isTerminal {
      activeOrder.insert(slot) { Self.precedes(entries, $0, $1) }
    }
  }

  private mutating func removeFromOrders(_ slot: Slot) {
    if isFilling { return labels.forget(slot) }
    let entries = entries
    order.remove(slot) { Self.precedes(entries, $0, $1) }
    activeOrder.remove(slot) { Self.precedes(entries, $0, $1) }
    let user = Int(entries[Int(slot)].user)
    userOrders[user].remove(slot) { Self.precedes(entries, $0, $1) }
    if userOrders[user].isEmpty { users.remove(users[user]) }
    labels.remove(slot) { Self.precedes(entries, $0, $1) }
  }

  // MARK: Segments

  private mutating func link(_ slot: Slot, to segment: Int) {
    let next = segmentHeads[segment]
    entries[Int(slot)].segment = UInt16(segment)
    entries[Int(slot)].nextInSegment = next
    if next != Self.none { entries[Int(next)].previousInSegment = slot }
    segmentHeads[segment] = slot
  }

  private mutating func unlink(_ slot: Slot) {
    let entry = entries[Int(slot)]
    if entry.nextInSegment != Self.none {
      entries[Int(entry.nextInSegment)].previousInSegment = entry.previousInSegment
    }
    if entry.previousInSegment != Self.none {
      entries[Int(entry.previousInSegment)].nextInSegment = entry.nextInSegment
    } else {
      segmentHeads[Int(entry.segment)] = entry.nextInSegment
    }
  }
}
