// Trust in the lease, incarnations, and draining.

extension AgentMachine {
  /// Whether tasks may run.
  public func isTrusted(at now: AgentTime) -> Bool { now.boot < trustedUntil }

  /// The lease may be trusted until then; CLOCK_BOOTTIME, nanoseconds. Only ever moves forward.
  public mutating func leaseTrusted(until: Int64, at now: AgentTime) {
    // Past the old end everything has to be killed, whatever the new one says: the shims do so too.
    fenceIfUntrusted(at: now)
    trustedUntil = max(trustedUntil, until)
    startWaiting(at: now)
  }

  /// The agent's key is gone: everything is killed. A new incarnation may only begin when `activeCount` is 0.
  public mutating func incarnationLost(at now: AgentTime) {
    incarnation = nil
    trustedUntil = Int64.min
    fenceIfUntrusted(at: now)
  }

  /// The agent has a new key.
  public mutating func newIncarnation(_ createRevision: Int64) {
    incarnation = createRevision
  }

  /// Time passes: call it at least when trust runs out.
  public mutating func tick(at now: AgentTime) {
    fenceIfUntrusted(at: now)
    startWaiting(at: now)
  }

  /// Past the end of trust nothing may run, nor start.
  mutating func fenceIfUntrusted(at now: AgentTime) {
    guard !isTrusted(at: now), activeCount + waitingCount > 0 else { return }
    endAll(
      at: now, reason: .fenced, error: "the agent's lease could not be trusted", mode: .now, cause: .fenced)
  }

  /// Takes no new work. What runs goes on; what waits for a slot is given back.
  public mutating func drain(at now: AgentTime) {
    guard !isDraining else { return }
    isDraining = true
    session?.tellDraining = true
    for (key, attempt) in attempts {
      guard case .waiting = attempt.phase else { continue }
      end(key, reason: .agentStopped, error: "the agent is draining", at: now)
    }
  }

  /// Kills all tasks since the agent stops.
  public mutating func stopAll(mode: KillMode, at now: AgentTime) {
    endAll(at: now, reason: .agentStopped, error: "the agent was stopped", mode: mode, cause: .agentStopped)
  }

  private mutating func endAll(
    at now: AgentTime, reason: EndReason, error: String, mode: KillMode, cause: KillCause
  ) {
    for (key, attempt) in attempts {
      switch attempt.phase {
      case .waiting: end(key, reason: reason, error: error, at: now)
      case .active:
        if cause == .fenced, attempt.killed != .now { counters.fenced += 1 }
        kill(key, mode: mode, cause: cause)
      case .ended: break
      }
    }
  }
}
