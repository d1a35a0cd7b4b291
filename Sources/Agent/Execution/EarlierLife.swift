import Logging
import SchedulerCore

/// Sees to it that nothing of an earlier process of this agent runs, but for what was taken over.
struct EarlierLife: Sendable {
  /// The folder of all attempts.
  let attempts: String
  /// Paths of the folders of those that were taken over.
  let spared: Set<String>
  /// The end of trust in the earlier process's lease; CLOCK_BOOTTIME, nanoseconds.
  let trustedUntil: Int64
  let isolation: Isolation
  let logger: Logger

  /// What is left at a moment.
  private struct Left {
    var processes: [StrayProcesses.Found]
    /// Names of control groups with processes in them.
    var groups: [String]

    var isNothing: Bool { processes.isEmpty && groups.isEmpty }
    /// Folders of attempts whose shim lives: it is told to kill its task, and knows best how.
    var guarded: Set<String> { Set(processes.filter(\.isShim).map(\.folder)) }
  }

  /// Ends it. Shims are told to kill their tasks, and have some time for it; what has no shim is killed here at once. Past the end of
  /// trust nothing has time: when the lease lapses its run may begin elsewhere.
  ///
  /// - Parameter begun: the attempts that may have a shim.
  /// - Throws: `AgentError` with code `strayProcess` when something does not die.
  func end(_ begun: [AttemptFolder]) async throws {
    var unreached = begun
    let start = ContinuousClock.now
    // The tasks that go on need their lease renewed.
    let grace = spared.isEmpty ? AgentLimits.strayGrace : AgentLimits.strayGraceBesideAdopted
    var hasKilled = false
    while true {
      let left = look()
      if left.isNothing { return }
      unreached = Adoption.dismiss(unreached)
      let waited = ContinuousClock.now - start
      guard waited < grace + AgentLimits.strayKillWait else { throw undead(left) }
      let hasTime = waited <= grace && Clocks.boot() < trustedUntil
      let guarded = hasTime ? left.guarded : []
      if kill(left, sparing: guarded), !hasKilled {
        logger.warning("tasks of the agent's earlier process are still alive; killing them")
        hasKilled = true
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// The shims first: what is found without one after that has none. A shim outlives all that it guards.
  private func look() -> Left {
    let processes = StrayProcesses.list(under: attempts, sparing: spared)
    return Left(processes: processes, groups: isolation.leftovers(except: spared))
  }

  /// - Returns: whether there was something to kill.
  private func kill(_ left: Left, sparing guarded: Set<String>) -> Bool {
    let kept = spared.union(guarded)
    var found = false
    if left.processes.contains(where: { !kept.contains($0.folder) }) {
      found = !StrayProcesses.kill(under: attempts, sparing: kept)
    }
    if !left.groups.isEmpty, !isolation.leftovers(except: kept).isEmpty {
      found = true
      isolation.killLeftovers(except: kept)
    }
    return found
  }

  private func undead(_ left: Left) -> AgentError {
    let names = left.processes.map { "pid \($0.pid)" } + left.groups
    return AgentError(
      .strayProcess,
      "processes of the agent's earlier life do not die (\(names.joined(separator: ", "))); "
        + "the agent must not start beside them")
  }
}
