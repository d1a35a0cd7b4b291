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
  /// Rises with each change of the specification, from 1.
  public var generation = 1
  /// Random, made anew for each change that somebody asks for: tells a change whose answer was lost from the same
  /// change made by somebody else.
  public var changeID: String?
  /// Names the update that made this generation: whoever sends that again is answered as the first time. Nil of the
  /// first generation.
  public var updateID: String?
  /// When, and by whom, the job was given its present specification; nil of the first generation. See `origin`.
  public var updated: VersionOrigin?
  /// How the schedules stand, in the order of the specification; as many as it has.
  public var scheduleStates: [ScheduleState] = []
  /// When the next run is due to be created, jitter included; nil when none is. Of a paused job: when it would
  /// be. The owner of the job's segment decides by `scheduleStates`, and keeps this up to date for everybody
  /// else.
  public var nextRunTime: Timestamp?
  /// The scheduled time of the last run that was created.
  public var lastRunTime: Timestamp?
  /// Set once somebody asked for the job to be cancelled; it starts nothing from then on.
  public var cancelRequestedAt: Timestamp?
  /// Why, in the words of who asked.
  public var cancelReason: String?
  /// Set while the job is paused: it is never due.
  public var pausedAt: Timestamp?
  /// Why, in the words of who paused it.
  public var pauseNote: String?
  /// Who paused it, where that is known.
  public var pausedBy: String?
  /// Who asked for it to be cancelled, where that is known.
  public var cancelRequestedBy: String?
  /// The occurrences that were left out.
  public var skips = SkipSummary()
  /// Set once somebody asked for the job to be deleted: it is cancelled as well, and removed with its runs as
  /// soon as they have ended.
  public var deleteRequestedAt: Timestamp?

  /// Makes a record of a new job.
  public init(key: JobKey, uid: String, spec: JobSpec, createdAt: Timestamp) {
    self.key = key
    self.uid = uid
    self.spec = spec
    self.createdAt = createdAt
  }

  /// Names this generation of this job, and of no other that had the same id: what `If-Match` is compared with.
  public var etag: String { "\(uid)-\(generation)" }
}

/// How one schedule of a job stands.
public struct ScheduleState: Hashable, Sendable {
  /// All occurrences up to here have been decided: they have become runs, or were left out.
  public var decidedThrough: Timestamp
  /// How many runs it has created.
  public var runs: Int

  /// Makes a state.
  public init(decidedThrough: Timestamp, runs: Int = 0) {
    self.decidedThrough = decidedThrough
    self.runs = runs
  }
}

/// The occurrences of a job that were left out.
public struct SkipSummary: Hashable, Sendable {
  /// How many; of what an outage swallowed, at least this many.
  public var count = 0
  /// The last one's scheduled time.
  public var lastTime: Timestamp?
  /// Why it was left out.
  public var lastReason: SkipReason?

  /// Makes an empty summary.
  public init() {}
}

/// Why an occurrence did not become a run.
public enum SkipReason: String, Hashable, Sendable, CaseIterable {
  /// The misfire policy.
  case misfire
  /// An earlier run had not ended, and the overlap policy forbids another.
  case overlap
  /// An earlier run had not ended, and the queue of the overlap policy was full.
  case queueFull = "queue_full"
  /// Somebody asked for it.
  case requested
}

/// What made a run.
public enum RunTrigger: String, Hashable, Sendable, CaseIterable {
  /// A schedule, or the submission itself.
  case schedule
  /// Somebody triggered it.
  case manual
  /// A backfill.
  case backfill
  /// Somebody asked for a run that has ended to be run again.
  case retry
}

/// A run as etcd holds it.
public struct RunRecord: Hashable, Sendable {
  /// Which run.
  public var key: RunKey
  /// Where it stands.
  public var state: RunState
  /// What made it.
  public var trigger = RunTrigger.schedule
  /// The values that it was triggered with; for others the job's count.
  public var params: [String: String] = [:]
  /// The backfill that made it.
  public var backfillID: String?
  /// The run, of the same job, that it runs again.
  public var retryOf: String?
  /// When it was due, jitter not included.
  public var scheduledTime: Timestamp
  /// When it was put in the queue first.
  public var createdAt: Timestamp
  /// When it reached its terminal state.
  public var finishedAt: Timestamp?
  /// When a retrying run is due again.
  public var nextAttemptAt: Timestamp?
  /// Of a queued run: the agent that alone may take it until `waitsUntil`, for it had the last attempt.
  public var waitsForWorker: String?
  /// Until when; after that any agent may take it.
  public var waitsUntil: Timestamp?
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
  /// The concurrency group that it belongs to, as its job's key was filled in when it was created; nil for none.
  public var group: String?
  /// What its timeline is made from besides.
  public var history = RunHistory()

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
  /// The generation of the job that it runs.
  public var generation: Int
  /// What of its agent is reserved for it until it ends.
  public var resources = Resources()
  /// What the run's timeline is made from besides.
  public var history = AttemptHistory()

  /// Makes a record of an attempt that has just been assigned.
  public init(attempt: Int, agent: Incarnation, assignedAt: Timestamp, generation: Int = 1) {
    self.generation = generation
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
  /// The most memory that it used, KiB: of all its processes together with what they have cached of files, where a
  /// control group limits it; otherwise the largest resident set of one process.
  public var maxRSSKiB: Int64
  /// What it wrote to its standard output, bytes; what was dropped by the limit on logs is among it.
  public var stdoutBytes: Int64
  /// The same of its standard error; 0 where both are one.
  public var stderrBytes: Int64

  /// Makes a usage.
  public init(
    userCPUMicros: Int64, systemCPUMicros: Int64, maxRSSKiB: Int64, stdoutBytes: Int64 = 0,
    stderrBytes: Int64 = 0
  ) {
    self.userCPUMicros = userCPUMicros
    self.systemCPUMicros = systemCPUMicros
    self.maxRSSKiB = maxRSSKiB
    self.stdoutBytes = stdoutBytes
    self.stderrBytes = stderrBytes
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
  /// How it holds tasks to their limits, and which: `cgroup_v2`, `cgroup_v1` or `rlimits`, a colon and some of memory,
  /// pids and cpu; `none`. Empty of an agent that starts no processes.
  public var isolation = ""
  /// The users that jobs may run as; `*` for all but root.
  public var runAsUsers: [String] = []
  /// What it has to promise to attempts; nothing of an agent of before there were resources.
  public var resources = Resources()

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
  /// Names of users; further ones are not read.
  public static let users = 256
  /// What is read of the text about isolation and of a user's name, bytes.
  public static let textBytes = 256
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
  /// Why it wants no new work by its own judgement; nil when it is well.
  public var unhealthyReason: String?

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
  /// The lease that its keys hang on; 0 in records of before there were segments, whose servers own none.
  public var lease: Int64 = 0
  /// Whether it is about to leave, so that its segments have to move.
  public var draining = false
  /// What it says of itself now and then; not in its leader key.
  public var figures: ServerFigures?

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

/// What a server reports of its segments.
public struct ServerFigures: Hashable, Sendable {
  /// When, by its own clock.
  public var reportedAt: Timestamp
  /// Runs that it created by schedules in the last minute.
  public var fires = 0
  /// How late they were created, milliseconds: the median, the 99th percentile and the worst of the last minute.
  public var latenessP50Millis: Int64 = 0
  /// The 99th percentile.
  public var latenessP99Millis: Int64 = 0
  /// The worst.
  public var latenessMaxMillis: Int64 = 0
  /// Jobs of its segments that have a next occurrence.
  public var scheduledJobs = 0
  /// Occurrences that are due and have not been decided.
  public var overdue = 0

  /// Makes figures of zero.
  public init(reportedAt: Timestamp) { self.reportedAt = reportedAt }
}

/// Who owns a segment. The epoch that fences its writes is the `modRevision` of the record.
public struct SegmentRecord: Hashable, Sendable {
  /// The server.
  public var serverID: String

  /// Makes a record.
  public init(serverID: String) { self.serverID = serverID }
}

/// Names a calendar within the cluster.
public struct CalendarKey: Hashable, Sendable, Comparable {
  /// The namespace of the jobs that may use it.
  public let namespace: String
  /// Its name.
  public let name: String

  /// Makes a key; the parts are taken as they are.
  public init(namespace: String, name: String) {
    self.namespace = namespace
    self.name = name
  }

  /// By namespace, then name.
  public static func < (left: CalendarKey, right: CalendarKey) -> Bool {
    (left.namespace, left.name) < (right.namespace, right.name)
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
