import Glibc
import Logging
import ServiceLifecycle

/// The agents of `rota dev`: child processes, started again when they end.
struct DevAgents: Service {
  /// How one agent is started.
  struct Child: Sendable {
    let id: String
    let program: String
    let arguments: [String]
    let log: String
  }

  let agents: [Child]
  let logger: Logger

  /// More than the agents' drain timeout.
  private static let stopPatience = Duration.seconds(15)
  /// The waits before an agent is started again: the first, and the longest after it failed again and again.
  private static let restartPause: ClosedRange<Duration> = .seconds(1)...(.seconds(15))
  /// An agent that lived so long has not failed again and again.
  private static let healthyLife = Duration.seconds(30)
  /// A log that is larger is put aside at the next start.
  private static let logBytes = 10 << 20

  /// Keeps all agents until graceful shutdown; returns when all have ended.
  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for agent in agents { group.addTask { try await keep(agent) } }
      try await group.waitForAll()
    }
  }

  private func keep(_ agent: Child) async throws {
    var pause = Self.restartPause.lowerBound
    while !Task.isCancelled && !Task.isShuttingDownGracefully {
      Self.putAside(agent.log)
      let started = ContinuousClock.now
      let child = try await ChildProcess.start(
        agent.program, agent.arguments, environment: ChildEnvironment.without(prefixes: ["ROTA_"]),
        log: agent.log)
      logger.info(
        "agent is started", metadata: ["id": "\(agent.id)", "pid": "\(child.pid)", "log": "\(agent.log)"])
      let end = await child.waitOrStop(patience: Self.stopPatience)
      if Task.isCancelled || Task.isShuttingDownGracefully {
        return logger.info("agent has stopped", metadata: ["id": "\(agent.id)", "end": "\(end)"])
      }
      if .now - started > Self.healthyLife { pause = Self.restartPause.lowerBound }
      logger.warning(
        "agent ended by itself; it is started again",
        metadata: ["id": "\(agent.id)", "end": "\(end)", "in": "\(pause)", "log": "\(agent.log)"])
      let thisPause = pause
      try? await cancelWhenGracefulShutdown { try await Task.sleep(for: thisPause) }
      pause = min(pause * 2, Self.restartPause.upperBound)
    }
  }

  /// Keeps one older log beside the present one.
  private static func putAside(_ log: String) {
    if Folder.fileSize(log) > logBytes { rename(log, log + ".1") }
  }
}
