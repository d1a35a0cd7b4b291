// What an agent and the leader say to each other: the model of `rota/v1/agent_session.proto`.

/// What an agent sends on its session.
public enum AgentMessage: Hashable, Sendable {
  /// The first message of a session.
  case hello(AgentHello)
  /// What happened since.
  case status(AgentStatus)
  /// What a task wants its next attempt to start from.
  case checkpoint(CheckpointReport)
}

/// What the leader sends on a session.
public enum ServerMessage: Hashable, Sendable {
  /// The answer to the hello. An agent refuses a session with a lower epoch than it has seen.
  case welcome(serverID: String, leaderEpoch: Int64)
  /// Attempts to run.
  case assign([Assignment])
  /// Attempts to stop; with `forget` they are not the agent's any more and no report is wanted.
  case stop([AttemptRef], forget: Bool, reason: String)
  /// Attempts to end as `agentStopped`, so that other agents can have their runs.
  case handOver([AttemptRef], reason: String)
  /// All updates up to the status with this sequence are durable, or refused for good.
  case ack(UInt64)
  /// What became of a checkpoint: it, or a newer one of the same attempt, is durable; or, with an error, it was
  /// refused.
  case checkpointAck(AttemptRef, sequence: UInt64, error: String?)
}

/// How an agent introduces itself.
public struct AgentHello: Hashable, Sendable {
  /// The agent's id.
  public var agentID: String
  /// The create revision of its key.
  public var incarnation: Int64
  /// Rota's version.
  public var version: String
  /// Every attempt that it has: waiting, running, or ended and not acknowledged.
  public var attempts: [AttemptRef]
  /// Its figures.
  public var health: AgentHealth
  /// Whether it takes no new work.
  public var draining: Bool

  /// Makes a hello.
  public init(
    agentID: String, incarnation: Int64, version: String, attempts: [AttemptRef] = [],
    health: AgentHealth = AgentHealth(), draining: Bool = false
  ) {
    self.agentID = agentID
    self.incarnation = incarnation
    self.version = version
    self.attempts = attempts
    self.health = health
    self.draining = draining
  }
}

/// A batch of news from an agent.
public struct AgentStatus: Hashable, Sendable {
  /// Rises by one with each status of a session that has updates, from 1; 0 for one without updates.
  public var sequence: UInt64
  /// What became of attempts.
  public var updates: [AttemptUpdate]
  /// The agent's figures, now and then.
  public var health: AgentHealth?
  /// Whether the agent takes no new work.
  public var draining: Bool

  /// Makes a status.
  public init(
    sequence: UInt64 = 0, updates: [AttemptUpdate] = [], health: AgentHealth? = nil, draining: Bool = false
  ) {
    self.sequence = sequence
    self.updates = updates
    self.health = health
    self.draining = draining
  }
}

/// What became of one attempt. A start and an end may be one update.
public struct AttemptUpdate: Hashable, Sendable {
  /// Which attempt.
  public var ref: AttemptRef
  /// When its task started; nil where it never did, or where that is not known any more.
  public var startedAt: Timestamp?
  /// How it ended; nil while it runs.
  public var end: AttemptEnd?
  /// How far its task says that it is; only the latest counts.
  public var progress: Progress?

  /// Makes an update.
  public init(
    ref: AttemptRef, startedAt: Timestamp? = nil, end: AttemptEnd? = nil, progress: Progress? = nil
  ) {
    self.ref = ref
    self.startedAt = startedAt
    self.end = end
    self.progress = progress
  }
}

/// What a task wants its next attempt to start from; it replaces what the run had before.
public struct CheckpointReport: Hashable, Sendable {
  /// Which attempt.
  public var ref: AttemptRef
  /// Chosen by the agent, rising within the attempt, from 1.
  public var sequence: UInt64
  /// The task's own; at most `RunLimits.checkpointBytes`.
  public var data: [UInt8]

  /// Makes a report.
  public init(ref: AttemptRef, sequence: UInt64, data: [UInt8]) {
    self.ref = ref
    self.sequence = sequence
    self.data = data
  }
}

/// How an attempt ended.
public struct AttemptEnd: Hashable, Sendable {
  /// When, by the agent's clock.
  public var endedAt: Timestamp
  /// Why.
  public var reason: EndReason
  /// The exit code, where the task exited. For an HTTP task 0 (an answer of 2xx) or 1.
  public var exitCode: Int?
  /// The signal that ended the task, where one did.
  public var signal: Int?
  /// The status of the answer to an HTTP task.
  public var httpStatus: Int?
  /// What went wrong, in words; at most `RunLimits.errorBytes`.
  public var error: String?
  /// The end of what the task wrote; at most `RunLimits.outputTailBytes`.
  public var outputTail: [UInt8]
  /// What the task used.
  public var usage: ResourceUsage?
  /// Whether the task says that another attempt would be of no use.
  public var noRetry: Bool
  /// How long the task wants the next attempt to wait, milliseconds; nil where it leaves that to its job.
  public var retryAfterMillis: Int64?

  /// Makes an end.
  public init(
    endedAt: Timestamp, reason: EndReason, exitCode: Int? = nil, signal: Int? = nil, httpStatus: Int? = nil,
    error: String? = nil, outputTail: [UInt8] = [], usage: ResourceUsage? = nil, noRetry: Bool = false,
    retryAfterMillis: Int64? = nil
  ) {
    self.noRetry = noRetry
    self.retryAfterMillis = retryAfterMillis
    self.endedAt = endedAt
    self.reason = reason
    self.exitCode = exitCode
    self.signal = signal
    self.httpStatus = httpStatus
    self.error = error
    self.outputTail = outputTail
    self.usage = usage
  }

  /// Whether the task did what it should.
  public var succeeded: Bool { reason == .exited && exitCode == 0 && signal == nil }
}

/// One attempt to run, with all that the agent needs to know.
public struct Assignment: Hashable, Sendable {
  /// Which attempt.
  public var ref: AttemptRef
  /// What to run.
  public var spec: JobSpec
  /// When the run was due.
  public var scheduledTime: Timestamp
  /// How many failed attempts the run has behind it.
  public var retryCount: Int
  /// What an earlier attempt saved last; empty when nothing was.
  public var checkpoint: [UInt8]
  /// What the task may want to know of its run. Templates in `spec` have been filled in.
  public var context: RunContext

  /// Makes an assignment.
  public init(
    ref: AttemptRef, spec: JobSpec, scheduledTime: Timestamp, retryCount: Int = 0, checkpoint: [UInt8] = [],
    context: RunContext = RunContext()
  ) {
    self.context = context
    self.ref = ref
    self.spec = spec
    self.scheduledTime = scheduledTime
    self.retryCount = retryCount
    self.checkpoint = checkpoint
  }
}

/// What surrounds a run.
public struct RunContext: Hashable, Sendable {
  /// What made the run.
  public var trigger = RunTrigger.schedule
  /// The job's values and those that the run was triggered with.
  public var params: [String: String] = [:]
  /// The occurrence before the scheduled time, by the job's schedules.
  public var previousScheduledTime: Timestamp?
  /// The occurrence after it.
  public var nextScheduledTime: Timestamp?
  /// The scheduled time of the last run that succeeded, of those that are kept.
  public var lastSuccessTime: Timestamp?

  /// Makes a context that knows nothing.
  public init() {}
}

/// Which output of a task.
public enum LogStream: String, Hashable, Sendable, CaseIterable {
  /// File descriptor 1.
  case stdout
  /// File descriptor 2.
  case stderr
}

/// The leader asks an agent for a piece of a log.
public struct LogQuery: Hashable, Sendable {
  /// Comes back in the reply.
  public var request: UInt64
  /// Whose log.
  public var ref: AttemptRef
  /// Which output.
  public var stream: LogStream
  /// From where, in bytes since the attempt's first output; a negative one counts from the present end.
  public var offset: Int64
  /// At most so many bytes; the agent gives at most 256 KiB.
  public var limit: Int

  /// Makes a query.
  public init(request: UInt64, ref: AttemptRef, stream: LogStream, offset: Int64, limit: Int) {
    self.request = request
    self.ref = ref
    self.stream = stream
    self.offset = offset
    self.limit = limit
  }
}

/// The answer to a `LogQuery`. An agent's first message on the log stream has request 0 and its id as `error`.
public struct LogReply: Hashable, Sendable {
  /// The query's.
  public var request: UInt64
  /// Where `data` starts; beyond the asked offset when older output was removed.
  public var offset: Int64
  /// The piece.
  public var data: [UInt8]
  /// Whether nothing more will come after `data`.
  public var end: Bool
  /// Why there is nothing, when that is an error.
  public var error: String?

  /// Makes a reply.
  public init(request: UInt64, offset: Int64 = 0, data: [UInt8] = [], end: Bool = false, error: String? = nil)
  {
    self.request = request
    self.offset = offset
    self.data = data
    self.end = end
    self.error = error
  }
}
