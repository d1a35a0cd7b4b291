import Agent
import ArgumentParser
import SchedulerCore

/// The flags of an agent that say what its tasks may use, and as whom they may run.
struct IsolationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How tasks are held to their limits: auto, cgroup_v2, cgroup_v1, rlimits or none. (env: ROTA_ISOLATION)",
      valueName: "how"))
  var isolation = IsolationMode.auto

  @Option(
    help: ArgumentHelp(
      "The folder below the mount points of control groups to make the agent's own in; the group that it is in when not "
        + "given. (env: ROTA_CGROUP_PARENT)", valueName: "folder"))
  var cgroupParent: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A user that jobs may run as, by name or number, or user:group; * for all but root. Commas, or several times. "
        + "(env: ROTA_ALLOW_RUN_AS)", valueName: "user"))
  var allowRunAs: [String] = []

  @Option(
    help: ArgumentHelp(
      "The memory of an attempt whose job names no limit, as 2GiB. (env: ROTA_DEFAULT_MEMORY)",
      valueName: "bytes"))
  var defaultMemory: BytesArgument?

  @Option(
    help: ArgumentHelp(
      "The processes and threads of an attempt whose job names no limit. (env: ROTA_DEFAULT_PIDS)",
      valueName: "count"))
  var defaultPids: Int?

  /// Puts what was given into an agent's configuration, which checks it.
  func apply(to configuration: inout AgentConfiguration) {
    configuration.isolation = isolation
    configuration.cgroupParent = cgroupParent
    configuration.allowRunAs = allowRunAs.flatMap { $0.split(separator: ",").map(String.init) }
    configuration.defaultLimits = TaskLimits(memoryBytes: defaultMemory?.bytes, pids: defaultPids)
  }
}

extension IsolationMode: ExpressibleByArgument {}
