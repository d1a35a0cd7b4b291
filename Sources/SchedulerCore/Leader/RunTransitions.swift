/// Every way in which a run's record changes. Pure: the caller commits the changed copy with a
/// compare on the revision of the record that it started from.
extension RunRecord {
  /// The attempt that belongs to an agent now; nil when none does.
  public var current: AttemptRef? {
    guard state.isOwned, let last = attempts.last else { return nil }
    return AttemptRef(run: key, attempt: attempt, fence: fence, incarnation: last.agent.createRevision)
  }

  /// The incarnation that owns the current attempt; nil when none does.
  public var owner: Incarnation? { state.isOwned ? attempts.last?.agent : nil }

  /// What the agents that failed or lost earlier attempts are called, for "prefer another agent".
  public var agentsTried: Set<String> { Set(attempts.map(\.agent.agentID)) }

  /// queued → assigned: the next attempt, with the next fencing token.
  /// - Parameters:
  ///   - generation: The generation of the job that it will run.
  ///   - server: The server that leads.
  ///   - resources: What of the agent is reserved for it.
  public mutating func assign(
    to agent: Incarnation, at now: Timestamp, generation: Int = 1, by server: String? = nil,
    resources: Resources = Resources()
  ) {
    attempt += 1
    fence += 1
    var assigned = AttemptRecord(attempt: attempt, agent: agent, assignedAt: now, generation: generation)
    assigned.history.assignedBy = server.map(RunActor.server)
    assigned.resources = resources
    attempts.append(assigned)
    if attempts.count > RunLimits.attemptsKept {
      attempts.removeFirst(attempts.count - RunLimits.attemptsKept)
    }
    nextAttemptAt = nil
    waitsForWorker = nil
    waitsUntil = nil
    message = nil
    outputTail = []
    progress = nil
    state = .assigned
  }

  /// The agent that alone may take the run at that time; nil for any. A job that was changed to wait for no agent
  /// has its runs wait no longer.
  public func awaitedAgent(_ spec: JobSpec, at now: Timestamp) -> String? {
    guard spec.onAgentLoss == .wait, let waitsUntil, waitsUntil > now else { return nil }
    return waitsForWorker
  }

  /// retrying → queued.
  /// - Parameter server: The server that leads.
  public mutating func requeueForRetry(at now: Timestamp, by server: String? = nil) {
    nextAttemptAt = nil
    state = .queued
    history.add(RunEvent(.queued, at: now, actor: server.map(RunActor.server)))
  }

  /// queued or retrying → cancelled.
  public mutating func cancelWaiting(reason: String?, at now: Timestamp, by server: String? = nil) {
    history.endedBy = server.map(RunActor.server)
    finish(.cancelled, message: reason, at: now)
  }

  /// queued or retrying → failed: the run's total timeout is over.
  public mutating func failOverdue(spec: JobSpec, at now: Timestamp, by server: String? = nil) {
    history.endedBy = server.map(RunActor.server)
    finish(.failed, message: spec.totalTimeoutText, at: now)
  }

  /// queued → skipped, before the first attempt.
  public mutating func skip(_ why: String, at now: Timestamp, by server: String? = nil) {
    history.endedBy = server.map(RunActor.server)
    finish(.skipped, message: why, at: now)
  }

  /// Whether the run's total timeout is over.
  public func isOverdue(_ spec: JobSpec, at now: Timestamp) -> Bool {
    spec.totalDeadline(from: createdAt).map { $0 <= now } ?? false
  }

  /// Whether an agent's update is news.
  public enum UpdateVerdict: Hashable, Sendable {
    /// The record has changed.
    case applied
    /// The record says so already.
    case known
    /// The update is of an attempt that is not the run's current one.
    case stale
  }

  /// Takes in what an agent says of an attempt.
  /// - Parameters:
  ///   - agentID: Who says it.
  ///   - job: The run's job.
  ///   - random: 0 ..< 1, for the jitter of a retry.
  public mutating func apply(
    _ update: AttemptUpdate, from agentID: String, job: JobRecord, now: Timestamp, random: Double
  ) -> UpdateVerdict {
    guard let current, current == update.ref, owner?.agentID == agentID else { return .stale }
    let last = attempts.count - 1
    if let startedAt = update.startedAt, attempts[last].startedAt == nil {
      attempts[last].startedAt = startedAt
    }
    guard let end = update.end else {
      guard state == .assigned else { return .known }
      state = .running
      return .applied
    }
    attempts[last].record(end)
    outputTail = Array(end.outputTail.suffix(RunLimits.outputTailBytes))
    conclude(end, job: job, now: now, random: random)
    return .applied
  }

  /// The state after an attempt that has ended.
  private mutating func conclude(_ end: AttemptEnd, job: JobRecord, now: Timestamp, random: Double) {
    if end.succeeded {
      finish(.completed, message: nil, at: now)
    } else if job.cancelRequestedAt != nil || end.reason == .cancelled {
      // An agent only stops what a leader told it to: the job was cancelled, heard of here or not.
      finish(.cancelled, message: job.cancelReason, at: now)
    } else if end.reason.isAgentsFault {
      let why = "the agent could not keep it (\(end.reason.rawValue))"
      if job.spec.onAgentLoss == .fail && mayHaveStarted {
        // The agent itself says that the task is dead: nothing would run twice at once.
        retryOrFail(
          end, job: job, now: now, random: random, because: "\(why), and the job says on_agent_loss: fail; ")
      } else {
        giveBack(job: job, why: why, now: now)
      }
    } else {
      retryOrFail(end, job: job, now: now, random: random, because: "")
    }
  }

  private mutating func retryOrFail(
    _ end: AttemptEnd, job: JobRecord, now: Timestamp, random: Double, because: String
  ) {
    switch RetryPolicy.decide(
      end, spec: job.spec, retryCount: retryCount, createdAt: createdAt, now: now, randomUnit: random)
    {
    case .retry(let time, let why):
      retryCount += 1
      nextAttemptAt = time
      message = because + why
      state = .retrying
    case .giveUp(let why): finish(.failed, message: because + why, at: now)
    }
  }

  /// The owner's key is gone from etcd: its incarnation has ended, and with it the attempt.
  /// - Parameter server: The server that leads.
  public mutating func loseAgent(job: JobRecord, now: Timestamp, by server: String? = nil) {
    guard let last = attempts.indices.last else { return }
    attempts[last].history.endedBy = server.map(RunActor.server)
    attempts[last].endedAt = now
    attempts[last].endReason = .agentLost
    attempts[last].error = "the lease of agent '\(attempts[last].agent.agentID)' lapsed"
    let why = "agent '\(attempts[last].agent.agentID)' was lost"
    if job.cancelRequestedAt != nil {
      finish(.cancelled, message: job.cancelReason, at: now)
    } else if job.spec.onAgentLoss == .fail {
      // Nobody says whether the task has done its work, nor that it is dead.
      finish(.failed, message: "\(why), and the job says on_agent_loss: fail", at: now)
    } else {
      giveBack(job: job, why: why, now: now)
    }
  }

  /// Whether the last attempt's task may have run, as far as its agent has said.
  private var mayHaveStarted: Bool { state != .assigned || attempts.last?.startedAt != nil }

  /// Back to the queue, for the same agent where the job waits for it.
  private mutating func giveBack(job: JobRecord, why: String, now: Timestamp) {
    message = why
    state = .queued
    guard job.spec.onAgentLoss == .wait, let agent = attempts.last?.agent.agentID else { return }
    let wait = job.spec.agentLossWaitMillis ?? JobSpec.Defaults.agentLossWaitMillis
    waitsForWorker = agent
    waitsUntil = now.adding(milliseconds: wait)
    message = "\(why), and the job says on_agent_loss: wait (\(DurationText.format(milliseconds: wait)))"
  }

  private mutating func finish(_ terminal: RunState, message: String?, at now: Timestamp) {
    state = terminal
    finishedAt = now
    nextAttemptAt = nil
    waitsForWorker = nil
    waitsUntil = nil
    // Nobody will start from it.
    if let checkpoint {
      history.add(event(of: checkpoint, revision: history.checkpointRevision))
      history.checkpointRevision = nil
    }
    checkpoint = nil
    self.message = message
  }
}

extension AttemptRecord {
  fileprivate mutating func record(_ end: AttemptEnd) {
    endedAt = end.endedAt
    endReason = end.reason
    exitCode = end.exitCode
    signal = end.signal
    httpStatus = end.httpStatus
    // Agents are told the bound, but not all of them are ours.
    error = end.error?.cut(toBytes: RunLimits.errorBytes)
    usage = end.usage
  }
}

extension EndReason {
  /// Whether the attempt ended for the agent's sake, not the task's: it costs the job no retry.
  public var isAgentsFault: Bool {
    switch self {
    case .fenced, .agentStopped, .agentLost: true
    case .exited, .timeout, .cancelled, .startFailed, .outOfMemory: false
    }
  }
}
