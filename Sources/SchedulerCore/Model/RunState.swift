/// How a job stands, in one word.
public enum JobStatus: String, Hashable, Sendable, CaseIterable {
  /// Scheduled, queued, assigned or waiting for a retry.
  case pending
  /// An agent runs it.
  case running
  /// Its last run succeeded.
  case completed
  /// Its last run failed for good.
  case failed
  /// Somebody cancelled it, or its last run was skipped; or its policies left out all that was ever due, and nothing
  /// more is.
  case cancelled

  /// Whether nothing more will happen by itself.
  public var isTerminal: Bool { self != .pending && self != .running }
}

/// The exact state of a run.
///
///     queued → assigned → running → completed | failed | cancelled
///        ↑         └─────────┤ (assigned may end as running does)
///        └── retrying ←──────┘ (a failed attempt that may be retried)
///     queued → skipped (before its first attempt: too late, or no slot and the job does not wait)
///
/// An attempt that its agent could not keep (lost, fenced, stopped) goes back to `queued`; where the job says
/// `on_agent_loss: fail`, to `failed`, or, if the agent has confirmed that it stopped, where a failed one goes.
/// `queued` and `retrying` may go to `cancelled`, and to `failed` once the run's total timeout is over.
public enum RunState: String, Hashable, Sendable, CaseIterable {
  /// Due, waiting for an agent.
  case queued
  /// An attempt failed; waiting for the next.
  case retrying
  /// Given to an agent that has not said yet that it started.
  case assigned
  /// An agent runs it.
  case running
  /// Succeeded.
  case completed
  /// Failed for good.
  case failed
  /// Cancelled.
  case cancelled
  /// Left out before its first attempt: its `start_deadline` was over, or its concurrency group was full and the job
  /// says `when_full: skip`.
  case skipped

  /// The job status that it means.
  public var status: JobStatus {
    switch self {
    case .queued, .retrying, .assigned: .pending
    case .running: .running
    case .completed: .completed
    case .failed: .failed
    case .cancelled, .skipped: .cancelled
    }
  }

  /// Whether the run never changes again.
  public var isTerminal: Bool { status.isTerminal }

  /// Whether the run's last attempt belongs to an agent.
  public var isOwned: Bool { self == .assigned || self == .running }

  /// The states that may follow.
  public var successors: Set<RunState> {
    switch self {
    case .queued: [.assigned, .cancelled, .failed, .skipped]
    case .retrying: [.queued, .cancelled, .failed]
    case .assigned: [.running, .completed, .failed, .cancelled, .retrying, .queued]
    case .running: [.completed, .failed, .cancelled, .retrying, .queued]
    case .completed, .failed, .cancelled, .skipped: []
    }
  }
}

/// Why an attempt ended.
public enum EndReason: String, Hashable, Sendable, CaseIterable {
  /// By itself: see the exit code or signal.
  case exited
  /// It ran longer than its timeout.
  case timeout
  /// Somebody cancelled it.
  case cancelled
  /// The agent's lease could no longer be trusted, so the task was killed.
  case fenced
  /// The agent was shut down or restarted.
  case agentStopped = "agent_stopped"
  /// The agent's lease lapsed.
  case agentLost = "agent_lost"
  /// It could not be started: see the error.
  case startFailed = "start_failed"
  /// The kernel killed processes of it at its limit on memory, and it failed: see the exit code or signal.
  case outOfMemory = "out_of_memory"

  /// Whether the task's exit code or signal goes with it: it ended by itself, or by what its own doing brought on it.
  public var hasExitStatus: Bool { self == .exited || self == .outOfMemory }
}
