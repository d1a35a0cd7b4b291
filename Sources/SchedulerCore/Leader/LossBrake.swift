/// Slows down what follows from the loss of agents, so that the loss of most of them at once does not end in the loss of
/// the rest: all their runs would be given to those that are left, within a moment.
///
/// It counts the agents whose keys have gone, and that have not come back. Where they were more than half of a fleet of
/// ten or more within half a minute, it *engages*: lost runs wait for a pause, in which agents may come back, and follow at
/// a bounded rate. That rate holds at any time; beneath it nobody waits.
public struct LossBrake: Sendable {
  /// When the brake engages, and what it does then.
  public struct Rules: Hashable, Sendable {
    /// Of a smaller fleet the loss of half is a small thing.
    public var fleet = 10
    /// How close together losses have to be.
    public var windowMillis: Int64 = 30_000
    /// How long after the last loss runs wait.
    public var pauseMillis: Int64 = 10_000
    /// How long they wait at most after the brake has engaged, however many agents are still being lost.
    public var longestPauseMillis: Int64 = 30_000
    /// Runs that are given back in a second, and at once.
    public var runsPerSecond: Int64 = 1_000
    /// How many are given back at once.
    public var burst: Int64 = 5_000

    /// Makes the defaults.
    public init() {}
  }

  /// The brake while it is engaged.
  public struct Engagement: Hashable, Sendable {
    /// Since when.
    public var since: Timestamp
    /// Until then no lost run is given back.
    public var pausedUntil: Timestamp
    /// Agents that were lost and have not come back.
    public var lost: Int
    /// Agents that there were, with those.
    public var known: Int
  }

  private let rules: Rules
  /// The agents that were lost within the window and have not come back, and when.
  private var lost: [String: Timestamp] = [:]
  /// The same in the order of time; those that are not in `lost` with that time have come back.
  private var order = AgentMachine.Queue<(id: String, at: Timestamp)>()
  private var engagedSince: Timestamp?
  private var pausedUntil: Timestamp?
  private var lastLoss = Timestamp.earliest
  /// Millionths of a run that may be given back now.
  private var allowance: Int64
  private var filledAt: Timestamp?

  init(rules: Rules) {
    self.rules = rules
    allowance = rules.burst * 1_000_000
  }

  // MARK: Inputs

  /// An agent's key is gone, and the agent has not said before that it leaves.
  mutating func lost(_ id: String, at now: Timestamp) {
    lost[id] = now
    order.append((id, now))
    lastLoss = now
  }

  /// An agent has a key (again).
  mutating func present(_ id: String) { if !lost.isEmpty { lost[id] = nil } }

  /// Looks whether the brake has to engage, or may let go.
  /// - Parameters:
  ///   - agents: How many have a key.
  ///   - waiting: How many lost runs wait.
  mutating func review(agents: Int, waiting: Int, now: Timestamp) {
    forgetOldLosses(now)
    if isMassLoss(agents: agents) {
      let since = engagedSince ?? now
      if engagedSince == nil { (allowance, filledAt) = (0, now) }
      engagedSince = since
      pausedUntil = min(
        lastLoss.adding(milliseconds: rules.pauseMillis), since.adding(milliseconds: rules.longestPauseMillis)
      )
    } else if engagedSince != nil {
      // Enough of them have come back, or it was long ago.
      pausedUntil = pausedUntil.map { min($0, now) }
      if waiting == 0 { (engagedSince, pausedUntil) = (nil, nil) }
    }
  }

  private mutating func forgetOldLosses(_ now: Timestamp) {
    let old = now.adding(milliseconds: -rules.windowMillis)
    while let first = order.first, first.at <= old || lost[first.id] != first.at {
      _ = order.popFirst()
      if lost[first.id] == first.at { lost[first.id] = nil }
    }
  }

  private func isMassLoss(agents: Int) -> Bool {
    let fleet = agents + lost.count
    return fleet >= rules.fleet && lost.count * 2 > fleet
  }

  // MARK: Letting through

  /// How many of so many lost runs may be given back now; they are taken as given back.
  mutating func allow(_ wanted: Int, at now: Timestamp) -> Int {
    if let pausedUntil, pausedUntil > now { return 0 }
    fill(now)
    let allowed = min(Int64(wanted), allowance / 1_000_000)
    allowance -= allowed * 1_000_000
    return Int(allowed)
  }

  /// When the next run may be given back, where none may now.
  func nextChance(at now: Timestamp) -> Timestamp {
    if let pausedUntil, pausedUntil > now { return pausedUntil }
    // In steps of a tenth of a second, not one by one.
    return now.adding(milliseconds: 100)
  }

  private mutating func fill(_ now: Timestamp) {
    let start = max(filledAt ?? now, pausedUntil ?? .earliest)
    let elapsed = now.microseconds - start.microseconds
    filledAt = now
    // The wall clock may have been set back; a jump ahead fills it once.
    guard elapsed > 0 else { return }
    let most = rules.burst * 1_000_000
    let isLong = elapsed / 1_000_000 > rules.burst / max(1, rules.runsPerSecond)
    allowance = isLong ? most : min(most, allowance + elapsed * rules.runsPerSecond)
  }

  // MARK: Facts

  /// Whether it is engaged: `review` has something to do by the passing of time.
  var isEngaged: Bool { engagedSince != nil }

  /// The brake while it is engaged; nil while it is not.
  /// - Parameter agents: How many have a key.
  func engagement(agents: Int) -> Engagement? {
    guard let engagedSince, let pausedUntil else { return nil }
    return Engagement(
      since: engagedSince, pausedUntil: pausedUntil, lost: lost.count, known: agents + lost.count)
  }
}
