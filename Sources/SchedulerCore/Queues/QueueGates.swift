/// Which queues may give out runs: those that are not paused, have fewer runs with agents than they may, and have not
/// used up their rate.
///
/// How many runs have an agent is counted by the runs' records, as the machine that takes them in tells of each. So it
/// holds through a change of leaders, and nothing can leak. The rates are one leader's own: its successor begins with
/// none saved up.
struct QueueGates: Sendable {
  /// Bounds.
  enum Limits {
    /// Queues that nobody has put of which something is counted; past that those of which nothing has an agent are
    /// forgotten.
    static let unnamedQueues = 10_000
    /// Runs of a queue among which the first are looked for, to name some of them.
    static let holdersSearched = 1_000
  }

  private struct State: Sendable {
    var maxRunning: Int?
    var isPaused = false
    var hasRecord = false
    var rate: DispatchRate?
    var runs: Set<RunKey> = []
    var running: Int { runs.count }
    var dispatched = 0
  }

  private var states: [String: State] = [:]
  /// The queue of each run that an agent has, or is about to have.
  private var queues: [RunKey: String] = [:]
  private var unnamed = 0
  /// Queues that may give out runs again, perhaps.
  private var reopened: Set<String> = []

  // MARK: Changing

  /// A queue has been put, paused or deleted.
  mutating func set(_ name: String, _ record: QueueRecord?, now: Timestamp) {
    var state = states[name] ?? State()
    if states[name] != nil, !state.hasRecord { unnamed -= 1 }
    state.hasRecord = record != nil
    state.maxRunning = record?.spec.maxRunning
    state.isPaused = record?.pausedAt != nil
    if let rate = record?.spec.dispatchRate, let burst = record?.spec.burst {
      if state.rate?.isOf(rate, burst: burst) != true {
        state.rate = DispatchRate(perSecond: rate, burst: burst, startingAt: now)
      }
    } else {
      state.rate = nil
    }
    reopened.insert(name)
    if record == nil, state.running == 0 {
      states[name] = nil
      return
    }
    if record == nil { unnamed += 1 }
    states[name] = state
  }

  /// An agent has a run of a queue, or is about to; nil for none.
  mutating func hold(_ run: RunKey, in queue: String?) {
    let old = queues[run]
    guard old != queue else { return }
    queues[run] = queue
    if let old {
      states[old]?.runs.remove(run)
      reopened.insert(old)
    }
    if let queue { change(queue) { $0.runs.insert(run) } }
  }

  /// A run of a queue is about to be given to an agent.
  mutating func dispatched(_ queue: String, at now: Timestamp) {
    change(queue) { state in
      state.dispatched += 1
      state.rate?.take(at: now)
    }
  }

  /// The deadline of a queue's rate has come.
  mutating func mayReopen(_ queue: String) { reopened.insert(queue) }

  /// The queues that may give out runs again, perhaps, since this was asked last.
  mutating func takeReopened() -> [String] {
    guard !reopened.isEmpty else { return [] }
    defer { reopened = [] }
    return reopened.sorted()
  }

  private mutating func change(_ queue: String, _ change: (inout State) -> Void) {
    if states[queue] == nil {
      if unnamed >= Limits.unnamedQueues { forgetUnused() }
      unnamed += 1
    }
    change(&states[queue, default: State()])
  }

  private mutating func forgetUnused() {
    states = states.filter { $0.value.hasRecord || $0.value.running > 0 }
    unnamed = states.values.count { !$0.hasRecord }
  }

  // MARK: Asking

  /// Why a queue gives out nothing, and of a rate until when; nil while it may.
  func block(of queue: String, at now: Timestamp) -> (why: QueueFigures.Block, until: Timestamp?)? {
    guard let state = states[queue] else { return nil }
    if state.isPaused { return (.paused, nil) }
    if let most = state.maxRunning, state.running >= most { return (.full, nil) }
    if let until = state.rate?.next(after: now) { return (.rateLimited, until) }
    return nil
  }

  /// How many runs of a queue have an agent, or are about to.
  func running(in queue: String) -> Int { states[queue]?.running ?? 0 }

  /// How many runs of a queue have been given to agents.
  func dispatched(of queue: String) -> Int { states[queue]?.dispatched ?? 0 }

  /// The queues of which runs have an agent.
  var inUse: [String] { states.filter { $0.value.running > 0 }.map(\.key) }

  /// Some of the runs of a queue that have an agent, in order; the first of all where there are not too many.
  func holders(of queue: String, limit: Int) -> [RunKey] {
    let some = (states[queue]?.runs ?? []).prefix(Limits.holdersSearched)
    return Array(some.sorted().prefix(limit))
  }
}

/// How many runs may be given out in a time: so many each second on average, and after a rest so many at once. It begins
/// with nothing saved up.
struct DispatchRate: Hashable, Sendable {
  private let perSecond: Double
  private let burst: Double
  /// How many may be given out.
  private var saved = 0.0
  /// As of when.
  private var asOf: Timestamp

  /// What arithmetic may have lost of a whole one.
  private static let tolerance = 1e-6

  init(perSecond: Double, burst: Int, startingAt now: Timestamp) {
    self.perSecond = perSecond
    self.burst = Double(burst)
    asOf = now
  }

  /// Whether it is a rate of these figures.
  func isOf(_ perSecond: Double, burst: Int) -> Bool {
    self.perSecond == perSecond && self.burst == Double(burst)
  }

  private func saved(at now: Timestamp) -> Double {
    // A clock that was set back earns nothing.
    let seconds = Double(max(0, now.microseconds - asOf.microseconds)) / 1_000_000
    return min(burst, saved + seconds * perSecond)
  }

  /// When the next may be given out; nil for now.
  func next(after now: Timestamp) -> Timestamp? {
    let saved = saved(at: now)
    guard saved < 1 - Self.tolerance else { return nil }
    let micros = ((1 - saved) / perSecond * 1_000_000).rounded(.up)
    return Timestamp(microseconds: now.microseconds + max(1, Int64(micros)))
  }

  /// Gives one out.
  mutating func take(at now: Timestamp) {
    saved = saved(at: now) - 1
    asOf = now
  }
}
