import Synchronization

/// Lets agents' new sessions in at a bounded rate. After a change of the leader all agents come at once; each hello makes
/// the leader look at all that the agent runs, and answer. Who comes too early is told when it is its turn, so that they
/// come one after the other, and not all of them again.
final class SessionGate: Sendable {
  /// Bounds.
  struct Rate: Sendable {
    /// Sessions that begin in a second.
    var perSecond: Int
    /// Sessions that may begin at once.
    var burst: Int
    /// The longest time that anybody is sent away for.
    var longestWait = ServerLimits.longestSessionWait
  }

  private struct State {
    var tokens: Double
    var filledAt: ContinuousClock.Instant?
    /// When the next of those who were sent away is to come.
    var nextTurn: ContinuousClock.Instant?
  }

  private let rate: Rate
  private let state: Mutex<State>

  init(_ rate: Rate) {
    self.rate = rate
    state = Mutex(State(tokens: Double(rate.burst)))
  }

  /// Asks for a session to begin.
  /// - Returns: Nil when it may; otherwise how long to wait before asking again.
  func enter(at now: ContinuousClock.Instant) -> Duration? {
    state.withLock { state in
      if let filledAt = state.filledAt {
        let seconds = filledAt.duration(to: now) / Duration.seconds(1)
        state.tokens = min(Double(rate.burst), state.tokens + seconds * Double(rate.perSecond))
      }
      state.filledAt = now
      if state.tokens >= 1 {
        state.tokens -= 1
        return nil
      }
      let turn = max(state.nextTurn ?? now, now) + Duration.seconds(1) / rate.perSecond
      state.nextTurn = min(turn, now + rate.longestWait)
      return min(now.duration(to: turn), rate.longestWait)
    }
  }
}
