/// The runs that wait for an agent, in the order in which they should get one:
///
/// 1. The queue of the highest priority; queues of the same priority take turns by weight.
/// 2. In a queue: the highest priority of the jobs. Both age: what is passed over counts as one point more for each
///    half minute, so that nothing is passed over for ever (`Aging`).
/// 3. Of the same priority: namespaces take turns by weight, then users.
/// 4. Of one user: the run that waits longest, then the smallest key.
///
/// What cannot go now is passed over as one, and blocks nobody behind it: runs of a requirement that no agent meets
/// now, queues and namespaces that are closed. It is put aside when it comes to its turn, and comes back when `open…` is
/// called. Each decision is O(log n) in the number of runs.
public struct ReadyQueue: Sendable {
  /// A run that waits.
  public struct Entry: Hashable, Sendable {
    /// Which run.
    public var run: RunKey
    /// The queue of its job.
    public var queue: String
    /// The user of its job.
    public var userID: String
    /// 1 (last) to 100 (first).
    public var priority: Int
    /// Since when it waits.
    public var enqueuedAt: Timestamp
    /// What it asks of an agent; of what the queue gives out, with what the queue asks.
    public var requirement: Requirement
    /// The generation of the job that all of this is of.
    public var generation: Int

    /// Makes an entry.
    public init(
      run: RunKey, queue: String = JobSpec.Defaults.queue, userID: String = "", priority: Int,
      enqueuedAt: Timestamp, requirement: Requirement, generation: Int = 1
    ) {
      self.run = run
      self.queue = queue
      self.userID = userID
      self.priority = priority
      self.enqueuedAt = enqueuedAt
      self.requirement = requirement
      self.generation = generation
    }
  }

  /// What becomes of a run that is offered.
  public enum Verdict: Hashable, Sendable {
    /// An agent has it.
    case placed
    /// It has no place in the queue.
    case gone
    /// No agent can take any run now: the round is over.
    case noSlot
    /// No agent can take a run with this requirement now.
    case noAgent
    /// Its queue gives out nothing now.
    case queueClosed
    /// Its namespace may have no more now.
    case namespaceClosed
  }

  /// The time of waiting that makes up for one point of priority, where none is said.
  public static let defaultAgingMillis: Int64 = 30_000

  /// What runs of one queue with equal requirements share.
  private struct Class: Sendable {
    /// With what the queue asks for.
    var requirement: Requirement
    var isBlocked = false
    /// The lines with a lane of it that is parked.
    var parked: Set<LinePlace> = []
    /// How many lanes it has.
    var lanes = 0
  }

  private struct ClassKey: Hashable, Sendable {
    var queue: String
    var requirement: Requirement
  }

  /// Where a line is.
  private struct LinePlace: Hashable, Sendable {
    var tier: Int
    var queue: Int
    var priority: Int
    var namespace: Int
    var user: Int
  }

  private struct Waiting: Sendable {
    var line: LinePlace
    var classID: Int
    var generation: Int
  }

  private struct Path {
    var line: LinePlace
    /// The place of the level in its queue.
    var level: Int
    var run: Int
    var classID: Int
  }

  private let agingMicros: Int64
  private var runs = KeyTable<RunKey>()
  /// What is known of each run's slot.
  private var waiting: [Waiting] = []
  /// Since when each run's slot waits.
  private var since: [Timestamp] = []
  /// The position of each run's slot in the heap of its lane.
  private var positions: [Int32] = []
  private var classKeys = KeyTable<ClassKey>()
  private var classes: [Class] = []
  private var blockedClasses: Set<Int> = []
  /// By the priority of queues.
  private var tiers = [ReadyTier](repeating: ReadyTier(), count: QueueLimits.priority.upperBound + 1)
  /// The priorities of queues in which something may go, in no order.
  private var openTiers: [Int] = []
  /// What queues are set to; of those that go by the defaults nothing.
  private var specs: [String: QueueSpec] = [:]
  /// Where namespaces are closed.
  private var closedNamespaces: [String: Set<LinePlace>] = [:]
  private var pace = DispatchPace()

  /// Makes an empty queue.
  /// - Parameter agingMillisPerPriorityPoint: The time of waiting that makes up for one point of priority.
  public init(agingMillisPerPriorityPoint: Int64 = ReadyQueue.defaultAgingMillis) {
    agingMicros = agingMillisPerPriorityPoint * 1_000
  }

  // MARK: Facts

  /// How many runs wait.
  public var count: Int { runs.count }

  /// Whether none waits.
  public var isEmpty: Bool { runs.count == 0 }

  /// Whether there is a run that has not been put aside.
  public var hasOpen: Bool { !openTiers.isEmpty }

  /// How many different requirements they have, of one queue each.
  public var classCount: Int { classKeys.count }

  /// Whether a run waits.
  public func contains(_ run: RunKey) -> Bool { runs.slot(of: run) != nil }

  /// The generation of the job that a run waits by; nil when it does not wait.
  public func generation(of run: RunKey) -> Int? { runs.slot(of: run).map { waiting[$0].generation } }

  /// What a run that waits asks of an agent, with what its queue asks.
  public func requirement(of run: RunKey) -> Requirement? {
    runs.slot(of: run).map { classes[waiting[$0].classID].requirement }
  }

  /// What a run of a queue asks of an agent, with what the queue asks.
  public func requirement(_ requirement: Requirement, in queue: String) -> Requirement {
    guard let agents = specs[queue]?.agents, !agents.isEmpty else { return requirement }
    return requirement.adding(agents)
  }

  /// Whether runs that ask for the same of the same queue, or the whole queue, have been put aside.
  public func isPutAside(_ requirement: Requirement, in queue: String) -> Bool {
    guard !isEmpty else { return false }
    let tier = tier(of: queue)
    if let slot = tiers[tier].queues.slot(of: queue), tiers[tier].queues[slot].isClosed { return true }
    guard !blockedClasses.isEmpty else { return false }
    let key = ClassKey(queue: queue, requirement: requirement)
    return classKeys.slot(of: key).map { classes[$0].isBlocked } ?? false
  }

  /// How many runs of a queue wait, and since when the oldest of them does, of those that agents can take.
  public func waiting(in queue: String) -> (count: Int, since: Timestamp?) {
    let tier = tier(of: queue)
    guard let slot = tiers[tier].queues.slot(of: queue) else { return (0, nil) }
    let levels = tiers[tier].queues[slot].levels
    let oldest = levels.compactMap(\.namespaces.oldest).min()
    return (tiers[tier].queues[slot].count, oldest.map { Timestamp(microseconds: $0) })
  }

  /// The queues in which runs wait, in no order.
  public var queues: [String] {
    tiers.flatMap { tier in tier.queues.occupied.map { tier.queues.name(of: $0) } }
  }

  private func tier(of queue: String) -> Int { specs[queue]?.priority ?? QueueSpec.Defaults.priority }

  // MARK: Changing

  /// Adds a run; one that waits already is put where the new entry says.
  public mutating func insert(_ entry: Entry) {
    remove(entry.run)
    let slot = runs.insert(entry.run).slot
    let classID = classID(of: entry)
    let (tier, namespace) = (tier(of: entry.queue), entry.run.job.namespace)
    let queue = tiers[tier].queues.place(of: entry.queue)
    let level = tiers[tier].queues[queue].place(of: entry.priority)
    let place = tiers[tier].queues[queue].levels[level].namespaces.place(of: namespace)
    let user = tiers[tier].queues[queue].levels[level].namespaces[place].users.place(of: entry.userID)
    let line = LinePlace(
      tier: tier, queue: queue, priority: entry.priority, namespace: place, user: user)
    let known = Waiting(line: line, classID: classID, generation: entry.generation)
    if slot == waiting.count {
      waiting.append(known)
      since.append(entry.enqueuedAt)
      positions.append(BinaryHeap.absent)
    } else {
      waiting[slot] = known
      since[slot] = entry.enqueuedAt
    }
    let isBlocked = classes[classID].isBlocked
    let isNewLane = tiers[tier].queues[queue].levels[level].namespaces[place].users[user].insert(
      slot, since: entry.enqueuedAt.microseconds, classID: classID, isParked: isBlocked,
      positions: &positions, keys: runs)
    if isNewLane {
      classes[classID].lanes += 1
      if isBlocked { classes[classID].parked.insert(line) }
    }
    tiers[tier].queues[queue].count += 1
    refresh(line, level: level)
  }

  /// Removes a run; false when it did not wait.
  @discardableResult
  public mutating func remove(_ run: RunKey) -> Bool {
    guard let slot = runs.slot(of: run) else { return false }
    let (line, classID) = (waiting[slot].line, waiting[slot].classID)
    guard let level = level(of: line) else { return false }
    let wasLastOfLane = tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace]
      .users[line.user].remove(slot, classID: classID, positions: &positions, keys: runs)
    tiers[line.tier].queues[line.queue].count -= 1
    if wasLastOfLane {
      classes[classID].parked.remove(line)
      classes[classID].lanes -= 1
      if classes[classID].lanes == 0 {
        blockedClasses.remove(classID)
        classKeys.remove(classKeys[classID])
      }
    }
    runs.remove(run)
    refresh(line, level: level)
    return true
  }

  /// Sets how a queue gives its runs out; nil for the defaults. All that wait in it come back, as far as they may.
  public mutating func configure(_ queue: String, _ spec: QueueSpec?) {
    let old = specs[queue] ?? QueueSpec()
    let new = spec ?? QueueSpec()
    guard old != new else { return }
    // Where runs are, and what they ask for, depends on these two.
    guard old.priority != new.priority || old.agents != new.agents else {
      specs[queue] = spec
      return
    }
    var entries: [Entry] = []
    if let slot = tiers[old.priority].queues.slot(of: queue) {
      for run in 0..<runs.slotEnd where runs.isInUse(run) {
        let line = waiting[run].line
        if line.tier == old.priority, line.queue == slot { entries.append(entry(of: run)) }
      }
    }
    for entry in entries { remove(entry.run) }
    specs[queue] = spec
    for entry in entries { insert(entry) }
  }

  // MARK: Taking

  /// One round of placing: offers runs in order, removes those that were placed or are gone, and puts aside what cannot
  /// go.
  /// - Parameters:
  ///   - limit: The most runs to place.
  ///   - place: Places the run, or says why not.
  /// - Returns: How many were placed.
  @discardableResult
  public mutating func drain(limit: Int, now: Timestamp, _ place: (Entry) throws -> Verdict) rethrows -> Int {
    var placed = 0
    while placed < limit, let path = first() {
      // Put aside before, with others of its class.
      if classes[path.classID].isBlocked {
        park(path)
        continue
      }
      var entry = entry(of: path.run)
      entry.requirement = classes[path.classID].requirement
      switch try place(entry) {
      case .placed:
        charge(path, entry, now: now)
        remove(entry.run)
        placed += 1
      case .gone: remove(entry.run)
      case .noSlot: return placed
      case .noAgent:
        classes[path.classID].isBlocked = true
        blockedClasses.insert(path.classID)
        park(path)
      case .queueClosed:
        tiers[path.line.tier].queues[path.line.queue].isClosed = true
        refreshQueue(path.line)
      case .namespaceClosed: close(path, entry.run.job.namespace)
      }
    }
    return placed
  }

  /// The classes that have been put aside, with what they ask for.
  public var blocked: [(classID: Int, requirement: Requirement)] {
    blockedClasses.sorted().map { ($0, classes[$0].requirement) }
  }

  /// Brings back a class whose requirement an agent can meet again. Of as many steps as lines have a lane of it.
  public mutating func open(classID id: Int) {
    guard blockedClasses.remove(id) != nil else { return }
    classes[id].isBlocked = false
    let parked = classes[id].parked
    classes[id].parked = []
    for line in parked { setParked(false, id, line) }
  }

  /// Brings back a queue that has been put aside.
  public mutating func open(queue: String) {
    let tier = tier(of: queue)
    guard let slot = tiers[tier].queues.slot(of: queue), tiers[tier].queues[slot].isClosed else { return }
    tiers[tier].queues[slot].isClosed = false
    refreshQueue(LinePlace(tier: tier, queue: slot, priority: 0, namespace: 0, user: 0))
  }

  /// Brings back a namespace that has been put aside.
  public mutating func open(namespace: String) {
    for place in closedNamespaces.removeValue(forKey: namespace) ?? [] {
      guard let level = level(of: place) else { continue }
      tiers[place.tier].queues[place.queue].levels[level].namespaces[place.namespace].isClosed = false
      refreshNamespace(place, level: level)
    }
  }

  // MARK: Order

  /// The way to the run whose turn it is.
  private func first() -> Path? {
    var best: (tier: Int, key: Int64)?
    for tier in openTiers {
      guard let oldest = tiers[tier].queues.oldest else { continue }
      let key = tiers[tier].aging.base(oldest) - Int64(tier) * agingMicros
      guard let other = best else {
        best = (tier, key)
        continue
      }
      if key < other.key || (key == other.key && tier > other.tier) { best = (tier, key) }
    }
    guard let tier = best?.tier, let queue = tiers[tier].queues.next,
      let level = tiers[tier].queues[queue].next(agingMicros: agingMicros),
      let namespace = tiers[tier].queues[queue].levels[level].namespaces.next,
      let user = tiers[tier].queues[queue].levels[level].namespaces[namespace].users.next,
      let head = tiers[tier].queues[queue].levels[level].namespaces[namespace].users[user].next
    else { return nil }
    let line = LinePlace(
      tier: tier, queue: queue, priority: tiers[tier].queues[queue].levels[level].priority,
      namespace: namespace, user: user)
    return Path(line: line, level: level, run: head.run, classID: head.classID)
  }

  /// A run has been placed: everything that it is part of has had a turn.
  private mutating func charge(_ path: Path, _ entry: Entry, now: Timestamp) {
    let (line, level) = (path.line, path.level)
    let spec = specs[entry.queue]
    let micros = now.microseconds
    pace.dispatched(at: micros)
    let turn = pace.turn
    if let oldest = tiers[line.tier].queues.oldest {
      tiers[line.tier].aging.served(oldest, now: micros, turn: turn)
    }
    tiers[line.tier].queues.charge(line.queue, weight: spec?.weight ?? QueueSpec.Defaults.weight)
    if let oldest = tiers[line.tier].queues[line.queue].levels[level].namespaces.oldest {
      tiers[line.tier].queues[line.queue].levels[level].aging.served(
        oldest, now: micros, turn: turn)
    }
    tiers[line.tier].queues[line.queue].levels[level].namespaces.charge(
      line.namespace,
      weight: spec?.weight(ofNamespace: entry.run.job.namespace) ?? QueueSpec.Defaults.weight)
    tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace].users.charge(
      line.user, weight: QueueSpec.Defaults.weight)
  }

  // MARK: Parts

  private func level(of line: LinePlace) -> Int? {
    tiers[line.tier].queues[line.queue].levels.firstIndex { $0.priority == line.priority }
  }

  private func entry(of run: Int) -> Entry {
    let (line, classID) = (waiting[run].line, waiting[run].classID)
    let key = classKeys[classID]
    let level = level(of: line) ?? 0
    let user = tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace]
      .users.name(of: line.user)
    return Entry(
      run: runs[run], queue: key.queue, userID: user, priority: line.priority, enqueuedAt: since[run],
      requirement: key.requirement, generation: waiting[run].generation)
  }

  private mutating func classID(of entry: Entry) -> Int {
    let (id, isNew) = classKeys.insert(ClassKey(queue: entry.queue, requirement: entry.requirement))
    guard isNew else { return id }
    let made = Class(requirement: requirement(entry.requirement, in: entry.queue))
    if id == classes.count { classes.append(made) } else { classes[id] = made }
    return id
  }

  private mutating func park(_ path: Path) {
    classes[path.classID].parked.insert(path.line)
    setParked(true, path.classID, path.line)
  }

  private mutating func setParked(_ isParked: Bool, _ classID: Int, _ line: LinePlace) {
    guard let level = level(of: line) else { return }
    tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace].users[line.user]
      .setParked(isParked, classID: classID, keys: runs)
    refresh(line, level: level)
  }

  private mutating func close(_ path: Path, _ namespace: String) {
    var place = path.line
    place.user = 0
    closedNamespaces[namespace, default: []].insert(place)
    tiers[place.tier].queues[place.queue].levels[path.level].namespaces[place.namespace].isClosed = true
    refreshNamespace(place, level: path.level)
  }

  /// Brings everything above a line up to date with it.
  private mutating func refresh(_ line: LinePlace, level: Int) {
    tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace].users.refresh(line.user)
    refreshNamespace(line, level: level)
  }

  private mutating func refreshNamespace(_ line: LinePlace, level: Int) {
    if tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace].isClosed,
      tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace].isEmpty
    {
      let name = tiers[line.tier].queues[line.queue].levels[level].namespaces.name(of: line.namespace)
      forgetClosed(line, name)
      tiers[line.tier].queues[line.queue].levels[level].namespaces[line.namespace].isClosed = false
    }
    tiers[line.tier].queues[line.queue].levels[level].namespaces.refresh(line.namespace)
    if tiers[line.tier].queues[line.queue].levels[level].namespaces.isEmpty {
      tiers[line.tier].queues[line.queue].levels.remove(at: level)
    }
    refreshQueue(line)
  }

  private mutating func forgetClosed(_ line: LinePlace, _ namespace: String) {
    var place = line
    place.user = 0
    closedNamespaces[namespace]?.remove(place)
    if closedNamespaces[namespace]?.isEmpty == true { closedNamespaces[namespace] = nil }
  }

  private mutating func refreshQueue(_ line: LinePlace) {
    if tiers[line.tier].queues[line.queue].isEmpty {
      tiers[line.tier].queues[line.queue].isClosed = false
    }
    tiers[line.tier].queues.refresh(line.queue)
    let isOpen = tiers[line.tier].queues.oldest != nil
    if isOpen, !openTiers.contains(line.tier) {
      openTiers.append(line.tier)
    } else if !isOpen {
      openTiers.removeAll { $0 == line.tier }
    }
    if tiers[line.tier].queues.isEmpty { tiers[line.tier] = ReadyTier() }
  }
}
