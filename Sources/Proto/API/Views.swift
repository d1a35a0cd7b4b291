import SchedulerCore

/// A job as the API shows it: its record, and what follows from it.
public struct JobView: Hashable, Sendable {
  /// Which job.
  public var key: JobKey
  /// Rises with each change of the specification, from 1.
  public var generation = 1
  /// Names this generation of this job, for `if_match`.
  public var etag: String
  /// What to run.
  public var spec: JobSpec
  /// How it stands.
  public var status: JobStatus
  /// When the submission was accepted.
  public var createdAt: Timestamp
  /// When the next run is due; nil when none is.
  public var nextRunTime: Timestamp?
  /// The scheduled time of the last run that was created.
  public var lastRunTime: Timestamp?
  /// When somebody asked first for the job to be cancelled.
  public var cancelRequestedAt: Timestamp?
  /// Why, in the words of who asked.
  public var cancelReason: String?
  /// How the schedules stand, in the order of the specification.
  public var scheduleStates: [ScheduleState] = []
  /// Set while the job is paused.
  public var pausedAt: Timestamp?
  /// Why, in the words of who paused it.
  public var pauseNote: String?
  /// Who paused it, where that is known.
  public var pausedBy: String?
  /// Who asked for it to be cancelled, where that is known.
  public var cancelRequestedBy: String?
  /// The occurrences that were left out.
  public var skips = SkipSummary()
  /// When somebody asked for the job to be deleted.
  public var deleteRequestedAt: Timestamp?
  /// How its present specification came to be; nil of the first generation.
  public var updated: VersionOrigin?
  /// Its runs, newest first; empty in lists.
  public var runs: [RunView]
  /// The etcd revision of the job's record.
  public var revision: Int64

  /// Makes a view.
  public init(
    key: JobKey, etag: String, spec: JobSpec, status: JobStatus, createdAt: Timestamp,
    nextRunTime: Timestamp? = nil,
    lastRunTime: Timestamp? = nil, cancelRequestedAt: Timestamp? = nil,
    cancelReason: String? = nil, runs: [RunView] = [], revision: Int64 = 0
  ) {
    self.key = key
    self.etag = etag
    self.spec = spec
    self.status = status
    self.createdAt = createdAt
    self.nextRunTime = nextRunTime
    self.lastRunTime = lastRunTime
    self.cancelRequestedAt = cancelRequestedAt
    self.cancelReason = cancelReason
    self.runs = runs
    self.revision = revision
  }

  /// Makes a view of a record.
  public init(record: JobRecord, status: JobStatus, runs: [RunView] = [], revision: Int64) {
    self.init(
      key: record.key, etag: record.etag, spec: record.spec, status: status, createdAt: record.createdAt,
      nextRunTime: record.nextRunTime, lastRunTime: record.lastRunTime,
      cancelRequestedAt: record.cancelRequestedAt, cancelReason: record.cancelReason ?? record.leftOutReason,
      runs: runs,
      revision: revision)
    generation = record.generation
    scheduleStates = record.scheduleStates
    pausedAt = record.pausedAt
    pauseNote = record.pauseNote
    pausedBy = record.pausedBy
    cancelRequestedBy = record.cancelRequestedBy
    skips = record.skips
    deleteRequestedAt = record.deleteRequestedAt
    updated = record.updated
  }
}

/// A run as the API shows it.
public struct RunView: Hashable, Sendable {
  /// The run.
  public var record: RunRecord
  /// The etcd revision of the run's record.
  public var revision: Int64
  /// What has happened to it, oldest first; only where one run is asked for.
  public var timeline: [RunEvent] = []

  /// Makes a view.
  public init(record: RunRecord, revision: Int64) {
    self.record = record
    self.revision = revision
  }
}

/// One attempt of a run, with the names of what it belongs to.
public struct ExecutionView: Hashable, Sendable {
  /// Which run's.
  public var run: RunKey
  /// When that run was due.
  public var scheduledTime: Timestamp
  /// The run's state for its last attempt; of an earlier one, what came of it.
  public var state: RunState
  /// The attempt.
  public var attempt: AttemptRecord

  /// Makes a view.
  public init(run: RunKey, scheduledTime: Timestamp, state: RunState, attempt: AttemptRecord) {
    self.run = run
    self.scheduledTime = scheduledTime
    self.state = state
    self.attempt = attempt
  }

  /// Makes a view of an attempt of a run.
  init(_ attempt: AttemptRecord, of run: RunRecord) {
    let isLast = attempt.attempt == run.attempts.last?.attempt && attempt.endReason?.isAgentsFault != true
    let isOver = run.state == .retrying || run.state == .queued
    self.init(
      run: run.key, scheduledTime: run.scheduledTime, state: isLast && !isOver ? run.state : .failed,
      attempt: attempt)
  }

  /// `job_id/run_id/attempt`
  public var executionID: String { "\(run.job.jobID)/\(run.runID)/\(attempt.attempt)" }
}

/// An agent that holds a lease, as the API shows it.
public struct AgentView: Hashable, Sendable {
  /// How it describes itself.
  public var record: AgentRecord
  /// How many attempts are assigned to it.
  public var slotsUsed: Int
  /// Whether it has a session with the leader, as far as the answering server knows.
  public var connected: Bool
  /// Whether it takes no new work.
  public var draining: Bool
  /// Its figures, where they are known.
  public var health: AgentHealth?
  /// The revision at which its key was created.
  public var incarnation: Int64
  /// Whether it is fit for new work; nil where that is not known.
  public var healthState: HealthState?
  /// Why it is not, or only on trial; nil when it is as good as any.
  public var healthReason: String?
  /// Set while somebody has it drained.
  public var drain: DrainRecord?
  /// What it has promised to the attempts that are assigned to it.
  public var resourcesUsed = Resources()
  /// The run that it is kept for, as `namespace/job/run`; nil when it is kept for none, as far as the leader knows.
  public var keptFor: String?

  /// Makes a view.
  public init(
    record: AgentRecord, slotsUsed: Int, connected: Bool, draining: Bool, health: AgentHealth? = nil,
    incarnation: Int64
  ) {
    self.record = record
    self.slotsUsed = slotsUsed
    self.connected = connected
    self.draining = draining
    self.health = health
    self.incarnation = incarnation
  }
}
