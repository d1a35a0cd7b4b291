import Curl
import Logging
import SchedulerCore

/// Runs tasks of every kind.
struct Executor: Sendable {
  private let shims: ShimReactor
  private let http: HTTPRunner
  /// What holds tasks to their limits.
  let isolation: Isolation

  /// - Parameters:
  ///   - isTrusted: whether the lease can be trusted; asked before an HTTP request goes out.
  ///   - deliver: gets events from any thread; those of one attempt come in order.
  init(
    _ configuration: AgentConfiguration, folder: DataFolder, trustFile: TrustFile, engine: CurlEngine,
    isolation: Isolation, logger: Logger, deliver: @escaping @Sendable ([TaskEvent]) -> Void
  ) throws(AgentError) {
    let launcher = ShimLauncher(
      path: configuration.shimPath, root: folder.attempts, trustFile: trustFile.descriptor)
    let settings = ShimReactor.Settings(
      launcher: launcher, agentID: configuration.id, logBytes: configuration.logBytes, isolation: isolation,
      logger: logger)
    self.isolation = isolation
    shims = try ShimReactor(settings, deliver: deliver)
    http = HTTPRunner(
      engine: engine, root: folder.attempts, isTrusted: { Clocks.boot() < trustFile.trustedUntil },
      deliver: deliver)
  }

  /// Starts tasks.
  ///
  /// - Returns: the ends of those that need no time at all.
  func start(_ assignments: [Assignment]) -> [TaskEvent] {
    var ended: [TaskEvent] = []
    var commands: [ShimReactor.Command] = []
    for assignment in assignments {
      switch assignment.spec.task {
      case .exec, .shell: commands.append(.start(assignment))
      case .http(let request): http.start(assignment, request)
      case .noop:
        ended.append(
          .ended(assignment.ref, AttemptEnd(endedAt: Clocks.wall(), reason: .exited, exitCode: 0)))
      case .task(let name, _):
        let error = "this agent does not offer task \(name): tasks are run by workers"
        ended.append(
          .ended(assignment.ref, AttemptEnd(endedAt: Clocks.wall(), reason: .startFailed, error: error)))
      }
    }
    shims.submit(commands)
    return ended
  }

  /// Goes on with tasks of the agent's earlier process.
  func adopt(_ tasks: [AdoptedTask]) { shims.submit(tasks.map { .adopt($0) }) }

  /// Hangs up on all processes of tasks: they go on, for the agent's next process. Nothing can be started after it.
  func leave() { shims.submit([.leave]) }

  /// Kills tasks; those that have ended already are left in peace.
  func kill(_ kills: [AgentMachine.Kill]) {
    for kill in kills { http.kill(kill.ref) }
    shims.submit(kills.map { .kill($0.ref, $0.mode) })
  }

  /// Aborts what is left of HTTP tasks.
  func shutdown() async { await http.shutdown() }
}
