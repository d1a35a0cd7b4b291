import CMalloc
import Glibc
import Logging
import ServiceLifecycle
import UnixSignals

/// Runs services until SIGTERM or Ctrl-C, then stops them in reverse order.
enum Daemon {
  /// How long a graceful stop may take before everything is cancelled.
  static let stopPatience = Duration.seconds(60)

  /// Blocks of at least so many bytes go back to the system as soon as they are free. Without that glibc raises its
  /// threshold to the largest that it has seen, up to 32 MiB, and the pages of a listing leave holes in the heap.
  private static let largeBlock: Int32 = 1 << 20

  /// Runs the services. A second signal ends the process at once.
  ///
  /// - Parameter onUpgrade: called at SIGUSR2, which otherwise ends the process, as it does by default.
  static func run(
    _ services: [any Service], logger: Logger, onUpgrade: (@Sendable () -> Void)? = nil
  ) async throws {
    // Fails only for values out of range.
    mallopt(M_MMAP_THRESHOLD, largeBlock)
    let configurations = services.map {
      ServiceGroupConfiguration.ServiceConfiguration(
        service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
        failureTerminationBehavior: .gracefullyShutdownGroup, serviceName: "\(type(of: $0))")
    }
    // What the group itself has to say is of interest to those who debug it.
    var groupLogger = logger
    groupLogger.logLevel = max(logger.logLevel, .warning)
    var configuration = ServiceGroupConfiguration(
      services: configurations, gracefulShutdownSignals: [.sigterm, .sigint], logger: groupLogger)
    configuration.maximumGracefulShutdownDuration = stopPatience
    let group = ServiceGroup(configuration: configuration)
    do {
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { await endAtSecondSignal(logger) }
        if let onUpgrade {
          tasks.addTask { for await _ in await UnixSignalsSequence(trapping: .sigusr2) { onUpgrade() } }
        }
        tasks.addTask { try await group.run() }
        // The others end only when they are cancelled.
        defer { tasks.cancelAll() }
        try await tasks.next()
      }
    } catch let failure as CommandFailure {
      throw failure
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  private static func endAtSecondSignal(_ logger: Logger) async {
    var count = 0
    for await signal in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
      count += 1
      if count == 1 {
        logger.notice("stopping; a second signal ends the process at once", metadata: ["signal": "\(signal)"])
      } else {
        logger.warning("ended at once by a second signal", metadata: ["signal": "\(signal)"])
        Glibc.exit(128 + SIGINT)
      }
    }
  }
}
