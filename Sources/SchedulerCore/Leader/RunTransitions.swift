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
  /// - Parameter generation: The generation of the job that it will run.
  public mutating func assign(to agent: Incarnation, at now: Timestamp, generation: Int = 1) {
    attempt += 1
    fence += 1
    attempts.append(
      AttemptRecord(attempt: attempt, agent: agent, assignedAt: now, generation: generation))
    if attempts.count > RunLimits.attemptsKept {
      attempts.removeFirst(attempts.count - RunLimits.attemptsKept)
    }
    nextAttemptAt = nil
    message = nil
    outputTail = []
    progress = nil
    state = .assigned
  }

  /// retrying → queued.
  public mutating func requeueForRetry() {
    nextAttemptAt = nil
    state = .queued
  }

  /// queued or retrying → cancelled.
  public mutating func cancelWaiting(reason: String?, at now: Timestamp) {
    finish(.cancelled, message: reason, at: now)
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
      giveBack(job: job, why: "the agent could not keep it (\(end.reason.rawValue))", now: now)
    } else {
      switch RetryPolicy.decide(spec: job.spec, retryCount: retryCount, now: now, randomUnit: random) {
      case .retry(let time):
        retryCount += 1
        nextAttemptAt = time
        state = .retrying
      case .giveUp(let why): finish(.failed, message: why, at: now)
      }
    }
  }

  /// The owner's key is gone from etcd: its incarnation has ended, and with it the attempt.
  public mutating func loseAgent(job: JobRecord, now: Timestamp) {
    guard let last = attempts.indices.last else { return }
    attempts[last].endedAt = now
    attempts[last].endReason = .agentLost
    attempts[last].error = "the lease of agent '\(attempts[last].agent.agentID)' lapsed"
    if job.cancelRequestedAt != nil {
      finish(.cancelled, message: job.cancelReason, at: now)
    } else {
      giveBack(job: job, why: "agent '\(attempts[last].agent.agentID)' was lost", now: now)
    }
  }

  /// Back to the queue, or failed where the job must not start twice and this attempt may have started.
  private mutating func giveBack(job: JobRecord, why: String, now: Timestamp) {
    let neverStarted =
      state == .assigned && attempts.last?.endReason != .agentLost && attempts.last?.startedAt == nil
    if job.spec.onAgentLoss == .fail && !neverStarted {
      finish(.failed, message: "\(why), and the job says on_agent_loss: fail", at: now)
    } else {
      message = why
      state = .queued
    }
  }

  private mutating func finish(_ terminal: RunState, message: String?, at now: Timestamp) {
    state = terminal
    finishedAt = now
    nextAttemptAt = nil
    // Nobody will start from it.
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
