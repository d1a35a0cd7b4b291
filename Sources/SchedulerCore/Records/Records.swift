/// A job as etcd holds it.
public struct JobRecord: Hashable, Sendable {
  /// Which job.
  public var key: JobKey
  /// Random, made once at submission: tells this job from another that had the same id.
  public var uid: String
  /// What to run.
  public var spec: JobSpec
  /// When the submission was accepted, by the accepting server's clock.
  public var createdAt: Timestamp
  /// When the next run is due; nil when none is.
  public var nextRunTime: Timestamp?
  /// The scheduled time of the last run that was created.
  public var lastRunTime: Timestamp?
  /// Set once somebody asked for the job to be cancelled; it starts nothing from then on.
  public var cancelRequestedAt: Timestamp?
  /// Why, in the words of who asked.
  public var cancelReason: String?

  /// Makes a record of a new job.
  public init(key: JobKey, uid: String, spec: JobSpec, createdAt: Timestamp) {
    self.key = key
    self.uid = uid
    self.spec = spec
    self.createdAt = createdAt
  }
}

/// A run as etcd holds it.
public struct RunRecord: Hashable, Sendable {
  /// Which run.
  public var key: RunKey
  /// Where it stands.
  public var state: RunState
  /// When it was due.
  public var scheduledTime: Timestamp
  /// When it was put in the queue first.
  public var createdAt: Timestamp
  /// When it reached its terminal state.
  public var finishedAt: Timestamp?
  /// When a retrying run is due again.
  public var nextAttemptAt: Timestamp?
  /// How many failed attempts have been followed by another; lost agents do not count.
  public var retryCount = 0
  /// The number of the last attempt, from 1; 0 before the first.
  public var attempt = 0
  /// The fencing token of the last attempt: monotone per run; 0 before the first.
  public var fence: Int64 = 0
  /// The last attempts, oldest first, at most `RunLimits.attemptsKept`.
  public var attempts: [AttemptRecord] = []
  /// Why the run is in this state, where that says more than the last attempt does.
  public var message: String?
  /// The end of what the last attempt wrote, at most `RunLimits.outputTailBytes`.
  public var outputTail: [UInt8] = []
  /// How far the last attempt's task said last that it is.
  public var progress: Progress?
  /// What the next attempt is to start from; nil when there is no checkpoint, as after the run's end.
  public var checkpoint: CheckpointNote?

  /// Makes a record of a new run, queued.
  public init(key: RunKey, scheduledTime: Timestamp, createdAt: Timestamp) {
    self.key = key
    self.state = .queued
    self.scheduledTime = scheduledTime
    self.createdAt = createdAt
  }
}

/// One execution of a run.
public struct AttemptRecord: Hashable, Sendable {
  /// Its number, from 1.
  public var attempt: Int
  /// Whom it was given to.
  public var agent: Incarnation
  /// When it was given.
  public var assignedAt: Timestamp
  /// When its task started, by the agent's clock.
  public var startedAt: Timestamp?
  /// When it ended, by the agent's clock, or the leader's where the agent was lost.
  public var endedAt: Timestamp?
  /// Why it ended.
  public var endReason: EndReason?
  /// The task's exit code, where it exited.
  public var exitCode: Int?
  /// The signal that ended the task, where one did.
  public var signal: Int?
  /// The status of the answer to an HTTP task.
  public var httpStatus: Int?
  /// What went wrong, in words.
  public var error: String?
  /// What it used.
  public var usage: ResourceUsage?

  /// Makes a record of an attempt that has just been assigned.
  public init(attempt: Int, agent: Incarnation, assignedAt: Timestamp) {
    self.attempt = attempt
    self.agent = agent
    self.assignedAt = assignedAt
  }
}

/// What an attempt used.
public struct ResourceUsage: Hashable, Sendable {
  /// CPU time in user mode, microseconds.
  public var userCPUMicros: Int64
  /// CPU time in the kernel, microseconds.
  public var systemCPUMicros: Int64
  /// The largest resident set of a process of the task, KiB.
  public var maxRSSKiB: Int64

  /// Makes a usage.
  public init(userCPUMicros: Int64, systemCPUMicros: Int64, maxRSSKiB: Int64) {
    self.userCPUMicros = userCPUMicros
    self.systemCPUMicros = systemCPUMicros
    self.maxRSSKiB = maxRSSKiB
  }
}

/// The bounds of a run's record.
public enum RunLimits {
  /// How many attempts a record keeps; older ones are dropped, their number is not lost.
  public static let attemptsKept = 20
  /// How much of the output's end a record keeps, bytes.
  public static let outputTailBytes = 2_048
  /// The longest error text kept, bytes.
  public static let errorBytes = 1_024
  /// The largest checkpoint, bytes.
  public static let checkpointBytes = 256 * 1_024
  /// The longest message of a progress kept, bytes.
  public static let progressMessageBytes = 256
}

/// An agent as it describes itself in etcd, under its lease.
public struct AgentRecord: Hashable, Sendable {
  /// The agent's id.
  public var agentID: String
  /// The host's name.
  public var host: String
  /// What constraints are held against.
  public var labels: [String: String]
  /// How many attempts it may run at once.
  public var slots: Int
  /// Rota's version.
  public var version: String
  /// When the process started.
  public var startedAt: Timestamp
  /// What it runs: names of `TaskKind`s, and of kinds that this program does not know.
  public var kinds: [String]
  /// The names of the tasks that it offers, for jobs of kind `task`.
  public var tasks: [String]
  /// Whether it asked for no new work when it wrote this.
  public var draining = false

  /// Makes a record.
  public init(
    agentID: String, host: String, labels: [String: String], slots: Int, version: String,
    startedAt: Timestamp, kinds: [String] = TaskKind.builtIn.map(\.rawValue), tasks: [String] = []
  ) {
    self.agentID = agentID
    self.host = host
    self.labels = labels
    self.slots = slots
    self.version = version
    self.startedAt = startedAt
    self.kinds = kinds
    self.tasks = tasks
  }
}

/// The bounds of what is read of an agent's record.
public enum AgentRecordLimits {
  /// Kinds of work; further ones are not read.
  public static let kinds = 32
  /// Names of tasks; further ones are not read.
  public static let tasks = 1_024
}

/// An agent's own figures.
public struct AgentHealth: Hashable, Sendable {
  /// Busy share of all cores, 0 to 1.
  public var cpu = 0.0
  /// One-minute load average.
  public var load1 = 0.0
  /// Physical memory, bytes.
  public var memoryTotal: Int64 = 0
  /// Memory that new work could use, bytes.
  public var memoryAvailable: Int64 = 0
  /// Of the file system that holds the data folder, bytes.
  public var diskTotal: Int64 = 0
  /// Free for the agent on that file system, bytes.
  public var diskAvailable: Int64 = 0

  /// Makes figures of zero.
  public init() {}
}

/// A server as it describes itself in etcd, under its lease; also the value of its leader key.
public struct ServerRecord: Hashable, Sendable {
  /// The server's id.
  public var serverID: String
  /// Where its gRPC can be reached, host:port.
  public var grpcAddress: String
  /// Where its REST can be reached, host:port.
  public var httpAddress: String
  /// Rota's version.
  public var version: String
  /// When the process started.
  public var startedAt: Timestamp

  /// Makes a record.
  public init(
    serverID: String, grpcAddress: String, httpAddress: String, version: String, startedAt: Timestamp
  ) {
    self.serverID = serverID
    self.grpcAddress = grpcAddress
    self.httpAddress = httpAddress
    self.version = version
    self.startedAt = startedAt
  }
}

/// What the first server wrote about the data in this etcd.
public struct MetaRecord: Hashable, Sendable {
  /// The version of the key and value formats.
  public var formatVersion: Int
  /// The number of segments that keys are spread over; fixed for a cluster.
  public var segmentCount: Int

  /// What this program reads and writes.
  public static let current = MetaRecord(formatVersion: 1, segmentCount: 256)

  /// Makes a record.
  public init(formatVersion: Int, segmentCount: Int) {
    self.formatVersion = formatVersion
    self.segmentCount = segmentCount
  }
}
