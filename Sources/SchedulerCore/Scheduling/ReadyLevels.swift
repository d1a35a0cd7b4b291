// The levels of the ready queue between a queue and the line of a user.

/// The waiting runs of a namespace, of one priority and one queue: its users take turns.
struct ReadyNamespace: FairChild {
  var users = FairSet<ReadyLine>()
  /// Whether none of its runs may go, though an agent is free.
  var isClosed = false

  init() {}

  var oldest: Int64? { isClosed ? nil : users.oldest }
  var isEmpty: Bool { users.isEmpty }
}

/// What ages: since when the oldest run of a level has waited without the level having had its turn.
///
/// A level that is passed over ages as its oldest run does. One that has turns does not, whatever its runs have waited:
/// what waits there waits for others of the same level, and fairness decides among those. So a flood of one priority
/// does not come to count as more urgent than other priorities by its own length.
struct Aging: Sendable {
  private var floor = Int64.min

  /// Since when a level counts as waiting.
  func base(_ oldest: Int64) -> Int64 { max(floor, oldest) }

  /// The level has had a turn.
  /// - Parameter turn: By how much that makes it younger, microseconds.
  mutating func served(_ oldest: Int64, now: Int64, turn: Int64) {
    floor = min(now, base(oldest) + turn)
  }
}

/// How fast runs are given out, and what a turn costs by that.
struct DispatchPace: Sendable {
  /// The bounds of the estimate.
  enum Limits {
    /// A level that has aged enough to be served beside one of a higher priority gets one turn in so many.
    static let share = 10.0
    /// The longest time between two turns that counts, microseconds: longer ones are rests.
    static let gapMicros = 10_000_000.0
    /// How much the last gap counts in the mean.
    static let weight = 1.0 / 32
    /// The cost of a turn, microseconds.
    static let turnMicros = 1_000.0...60_000_000.0
  }

  private var last: Int64?
  private var meanGap = Limits.turnMicros.lowerBound

  /// What a turn costs now, microseconds.
  var turn: Int64 {
    let range = Limits.turnMicros
    return Int64(min(max(meanGap * Limits.share, range.lowerBound), range.upperBound))
  }

  /// A run has been given out.
  mutating func dispatched(at now: Int64) {
    defer { last = now }
    guard let last else { return }
    let gap = min(Double(max(0, now - last)), Limits.gapMicros)
    meanGap += (gap - meanGap) * Limits.weight
  }
}

/// The waiting runs of one priority in a queue: their namespaces take turns.
struct ReadyLevel: Sendable {
  let priority: Int
  var aging = Aging()
  var namespaces = FairSet<ReadyNamespace>()

  init(priority: Int) { self.priority = priority }
}

/// The waiting runs of a queue, by priority.
struct ReadyQueueNode: FairChild {
  /// Of each priority in which something waits, in no order; there are at most 100.
  var levels: [ReadyLevel] = []
  /// Whether none of its runs may go, though an agent is free.
  var isClosed = false
  /// How many runs wait.
  var count = 0

  init() {}

  var oldest: Int64? { isClosed ? nil : levels.lazy.compactMap(\.namespaces.oldest).min() }
  var isEmpty: Bool { levels.isEmpty }

  /// The place of a priority's level, which is made if it is not there.
  mutating func place(of priority: Int) -> Int {
    if let place = levels.firstIndex(where: { $0.priority == priority }) { return place }
    levels.append(ReadyLevel(priority: priority))
    return levels.count - 1
  }

  /// The level whose turn it is; nil when nothing may go.
  /// - Parameter agingMicros: What a point of priority is worth.
  func next(agingMicros: Int64) -> Int? {
    var best: (place: Int, key: Int64)?
    for (place, level) in levels.enumerated() {
      guard let oldest = level.namespaces.oldest else { continue }
      let key = level.aging.base(oldest) - Int64(level.priority) * agingMicros
      guard let other = best else {
        best = (place, key)
        continue
      }
      if key < other.key || (key == other.key && level.priority > levels[other.place].priority) {
        best = (place, key)
      }
    }
    return best?.place
  }
}

/// The waiting runs of all queues of one priority: the queues take turns.
struct ReadyTier: Sendable {
  var aging = Aging()
  var queues = FairSet<ReadyQueueNode>()
}
