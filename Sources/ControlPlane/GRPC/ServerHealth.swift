import Logging
import Proto
import Synchronization

/// Keeps a health board up to date with what this server can do:
///
/// - The server as a whole, and `rota.v1`'s services: SERVING while the copy of the state is warm and etcd has answered
///   within `ServerLimits.healthPatience`. A short silence, such as an election in etcd, changes nothing: all servers
///   would be taken out of service at once.
/// - `rota.v1.AgentSession`: besides, only where this server leads. So whoever asks all servers finds the leader.
/// - Health and reflection themselves: SERVING as long as the process answers, whatever etcd does.
struct ServerHealth: Sendable {
  let board: HealthBoard
  let replica: Replica
  let barrier: ReadBarrier
  let logger: Logger

  static let agentSession = "rota.v1.AgentSession"

  /// Runs until the task is cancelled.
  func run() async {
    // One task asks, another one alone writes the board: a question that hangs is noticed by its silence.
    let lastPassed = LastPassed()
    await withDiscardingTaskGroup { group in
      group.addTask {
        while !Task.isCancelled {
          if await passes() { lastPassed.time.withLock { $0 = .now } }
          try? await Task.sleep(for: ServerLimits.healthInterval)
        }
      }
      group.addTask {
        while !Task.isCancelled {
          let last = lastPassed.time.withLock { $0 }
          await show(isHealthy: last.map { .now - $0 < ServerLimits.healthPatience } ?? false)
          try? await Task.sleep(for: ServerLimits.healthInterval)
        }
      }
    }
  }

  /// As `/readyz`: the cache is warm, and shows what etcd holds now.
  private func passes() async -> Bool {
    guard await replica.isWarm else { return false }
    do throws(ServiceError) {
      try await barrier.pass()
      return true
    } catch {
      logger.debug("the health probe failed", metadata: ["error": "\(error)"])
      return false
    }
  }

  private func show(isHealthy: Bool) async {
    let leads = await replica.leader != nil
    let changed = board.set { service in
      switch service {
      case HealthService.name: .serving
      case let name where ReflectionService.names.contains(name): .serving
      case Self.agentSession: isHealthy && leads ? .serving : .notServing
      default: isHealthy ? .serving : .notServing
      }
    }
    guard changed.contains("") else { return }
    if isHealthy {
      logger.notice("the server can serve")
    } else {
      logger.error("the server cannot serve", metadata: ["quiet_for": "\(ServerLimits.healthPatience)"])
    }
  }
}

/// When the question was last answered well.
private final class LastPassed: Sendable {
  let time = Mutex<ContinuousClock.Instant?>(nil)
}
