import SchedulerCore

/// How an agent holds tasks to their limits.
public enum IsolationMode: String, Hashable, Sendable, CaseIterable {
  /// The best of the others that this machine allows.
  case auto
  /// Control groups, version 2: where the agent's own group has the controllers.
  case cgroupV2 = "cgroup_v2"
  /// Control groups, version 1.
  case cgroupV1 = "cgroup_v1"
  /// Limits of single processes and of users (setrlimit(2)), and niceness: weaker, but always there.
  case rlimits
  /// None; a job that asks for limits is refused.
  case none
}

/// What the shim is told of a task's limits and user.
struct Confinement: Hashable, Sendable {
  /// The control groups that the task joins.
  var cgroups: [String] = []
  /// RLIMIT_AS, bytes.
  var addressSpaceBytes: Int64?
  /// RLIMIT_NPROC.
  var processes: Int?
  /// How much nicer it is than the agent.
  var nice: Int?
  /// Whom it runs as; nil for the agent's own user.
  var account: UserAccount?

  /// Holds a task to what control groups do not: `limited` by them already.
  mutating func limit(_ limits: TaskLimits, besides limited: Set<CgroupController>, processors: Int) {
    if !limited.contains(.memory) { addressSpaceBytes = limits.memoryBytes }
    if !limited.contains(.pids) { processes = limits.pids }
    if !limited.contains(.cpu), let cpus = limits.cpus, cpus < Double(processors) {
      nice = AgentLimits.niceOfLimitedTask
    }
  }
}
