// Assignments, stops, and what the executors report.

extension AgentMachine {
  /// The leader gives attempts to this agent.
  ///
  /// What the agent has or had is dropped: its end, if not acknowledged, is sent again anyhow.
  public mutating func assign(_ assignments: [Assignment], at now: AgentTime) {
    fenceIfUntrusted(at: now)
    for assignment in assignments { assign(assignment, at: now) }
    startWaiting(at: now)
  }

  private mutating func assign(_ assignment: Assignment, at now: AgentTime) {
    let ref = assignment.ref
    let key = AttemptKey(ref)
    guard let incarnation, ref.incarnation == incarnation else {
      counters.foreignAssignments += 1
      return
    }
    guard attempts[key] == nil, !memory.contains(key) else {
      counters.duplicateAssignments += 1
      return
    }
    guard unacknowledgedCount < limits.unacknowledged else {
      counters.droppedAssignments += 1
      session?.hasDropped = true
      return
    }
    if !isTrusted(at: now) {
      end(newly: ref, reason: .fenced, error: "the agent's lease could not be trusted", at: now)
    } else if isDraining {
      end(newly: ref, reason: .agentStopped, error: "the agent is draining", at: now)
    } else if activeCount + waitingCount >= limits.attempts {
      let error = "the agent is full: it has \(activeCount) attempts running and \(waitingCount) waiting"
      end(newly: ref, reason: .startFailed, error: error, at: now)
    } else if assignment.spec.task == .noop {
      attempts[key] = Attempt(ref: ref, phase: .active(takesSlot: false))
      activeCount += 1
      effects.start.append(assignment)
    } else {
      attempts[key] = Attempt(ref: ref, phase: .waiting(assignment))
      waitingCount += 1
      if waiting.count > 2 * limits.attempts { forgetStaleWaiters() }
      waiting.append(key)
    }
  }

  /// The leader wants attempts stopped; with `forget` it wants no report either.
  public mutating func stop(_ refs: [AttemptRef], forget: Bool, reason: String, at now: AgentTime) {
    for ref in refs {
      if forget { self.forget(ref) } else { cancel(ref, reason: reason, at: now) }
    }
    startWaiting(at: now)
  }

  private mutating func cancel(_ ref: AttemptRef, reason: String, at now: AgentTime) {
    let key = AttemptKey(ref)
    guard let attempt = attempts[key] else {
      // It has ended and the leader knows; or it never came here, and the leader waits to hear that.
      if !memory.contains(key) {
        end(newly: ref, reason: .cancelled, error: "the agent does not have this attempt", at: now)
      }
      return
    }
    switch attempt.phase {
    case .waiting: end(key, reason: .cancelled, error: reason, at: now)
    case .active: kill(key, mode: .terminate, cause: .cancelled(reason))
    case .ended: break
    }
  }

  /// The leader wants attempts ended so that other agents can have their runs.
  public mutating func handOver(_ refs: [AttemptRef], reason: String, at now: AgentTime) {
    for ref in refs {
      let key = AttemptKey(ref)
      switch attempts[key]?.phase {
      case .waiting?: end(key, reason: .agentStopped, error: reason, at: now)
      case .active?: kill(key, mode: .terminate, cause: .handedOver(reason))
      case .ended?: break
      case nil:
        // As in `cancel`.
        if !memory.contains(key) {
          end(newly: ref, reason: .agentStopped, error: "the agent does not have this attempt", at: now)
        }
      }
    }
    startWaiting(at: now)
  }

  private mutating func forget(_ ref: AttemptRef) {
    let key = AttemptKey(ref)
    guard let attempt = attempts[key] else { return memory.insert(key) }
    switch attempt.phase {
    case .waiting:
      waitingCount -= 1
      drop(key)
    case .active:
      attempts[key]?.forgotten = true
      kill(key, mode: .now, cause: .cancelled("forgotten"))
    case .ended:
      unacknowledgedCount -= 1
      effects.unjournal.append(attempt.ref)
      drop(key)
    }
  }

  /// A task has started. A noop is never said to.
  public mutating func taskStarted(_ ref: AttemptRef, at start: Timestamp) {
    let key = AttemptKey(ref)
    guard case .active? = attempts[key]?.phase else { return }
    attempts[key]?.startedAt = start
    enqueue(key)
  }

  /// A task and all its processes are dead, or it could not be started.
  ///
  /// The reason `cancelled` of an executor only says that the task was killed on request; the machine knows
  /// why. Any other reason is kept, also when a kill was under way: the task ended by itself first.
  public mutating func taskEnded(_ ref: AttemptRef, _ end: AttemptEnd, startedAt: Timestamp? = nil) {
    let key = AttemptKey(ref)
    guard let attempt = attempts[key], case .active(let takesSlot) = attempt.phase else { return }
    activeCount -= 1
    if takesSlot { slotsTaken -= 1 }
    if attempt.forgotten {
      effects.unjournal.append(attempt.ref)
      return drop(key)
    }
    var end = end
    if end.reason == .cancelled {
      switch attempt.cause {
      case .cancelled(let reason)?: if end.error == nil, !reason.isEmpty { end.error = reason }
      case .handedOver(let reason)?:
        end.reason = .agentStopped
        if end.error == nil { end.error = reason }
      case .fenced?: end.reason = .fenced
      case .agentStopped?, nil: end.reason = .agentStopped
      }
    }
    if let startedAt { attempts[key]?.startedAt = startedAt }
    settle(key, end)
  }

  /// Takes over a task of the agent's earlier process, which runs on. Before anything is assigned.
  ///
  /// The incarnation has yet to be confirmed: `newIncarnation` with the one of the attempt, or `incarnationLost`.
  ///
  /// - Returns: false for an attempt that is known already.
  @discardableResult
  public mutating func adopted(_ ref: AttemptRef, startedAt: Timestamp) -> Bool {
    let key = AttemptKey(ref)
    guard attempts[key] == nil else { return false }
    attempts[key] = Attempt(ref: ref, phase: .active(takesSlot: true), startedAt: startedAt)
    activeCount += 1
    slotsTaken += 1
    counters.adopted += 1
    enqueue(key)
    return true
  }

  /// Takes up what the agent knew before it was restarted.
  ///
  /// - Parameters:
  ///   - ends: ends that were never acknowledged, of any incarnation.
  ///   - known: attempts that must not be started again.
  ///   - leaderEpoch: the highest epoch of a leader seen. An agent that goes on as the same incarnation has
  ///     forgotten what it was done with; a deposed leader, which does not know that either, could have it
  ///     started again.
  public mutating func recovered(
    _ ends: [AttemptUpdate], known: [AttemptRef] = [], leaderEpoch epoch: Int64 = 0
  ) {
    leaderEpoch = max(leaderEpoch, epoch)
    for ref in known { memory.insert(AttemptKey(ref)) }
    for update in ends {
      let key = AttemptKey(update.ref)
      guard let end = update.end, attempts[key] == nil else { continue }
      // Whether it had started died with the earlier process. "Never" would have the leader start it again
      // even where the job forbids that.
      let startedAt = update.startedAt ?? (end.reason.isAgentsFault ? end.endedAt : nil)
      attempts[key] = Attempt(ref: update.ref, phase: .ended(end), startedAt: startedAt)
      unacknowledgedCount += 1
      enqueue(key)
    }
  }
}

// MARK: - The steps of an attempt's life

extension AgentMachine {
  /// Starts what waits while there are slots.
  mutating func startWaiting(at now: AgentTime) {
    guard isTrusted(at: now) else { return }
    while slotsTaken < limits.slots, let key = waiting.popFirst() {
      // It may have been stopped while it waited.
      guard case .waiting(let assignment)? = attempts[key]?.phase else { continue }
      attempts[key]?.phase = .active(takesSlot: true)
      waitingCount -= 1
      activeCount += 1
      slotsTaken += 1
      effects.start.append(assignment)
    }
  }

  /// What was stopped while it waited leaves its key behind in the queue.
  private mutating func forgetStaleWaiters() {
    var fresh = Queue<AttemptKey>()
    while let key = waiting.popFirst() {
      if case .waiting? = attempts[key]?.phase { fresh.append(key) }
    }
    waiting = fresh
  }

  /// Kills an active attempt. A user's wish to cancel outweighs the agent's own reasons.
  mutating func kill(_ key: AttemptKey, mode: KillMode, cause: KillCause) {
    guard var attempt = attempts[key] else { return }
    if case .cancelled = cause { attempt.cause = cause } else { attempt.cause = attempt.cause ?? cause }
    if attempt.killed == nil || (attempt.killed == .terminate && mode == .now) {
      attempt.killed = mode
      effects.kill.append(Kill(ref: attempt.ref, mode: mode))
    }
    attempts[key] = attempt
  }

  /// Ends an attempt that is waiting.
  mutating func end(_ key: AttemptKey, reason: EndReason, error: String, at now: AgentTime) {
    waitingCount -= 1
    settle(key, AttemptEnd(endedAt: now.wall, reason: reason, error: error))
  }

  /// Ends an attempt that was never taken up.
  mutating func end(newly ref: AttemptRef, reason: EndReason, error: String, at now: AgentTime) {
    let end = AttemptEnd(endedAt: now.wall, reason: reason, error: error)
    let key = AttemptKey(ref)
    attempts[key] = Attempt(ref: ref, phase: .ended(end))
    settle(key, end)
  }

  /// The end of an attempt is kept until it is acknowledged.
  private mutating func settle(_ key: AttemptKey, _ end: AttemptEnd) {
    guard var attempt = attempts[key] else { return }
    var end = end
    if let error = end.error, error.utf8.count > RunLimits.errorBytes {
      end.error = String(decoding: error.utf8.prefix(RunLimits.errorBytes), as: UTF8.self)
    }
    if end.outputTail.count > RunLimits.outputTailBytes {
      end.outputTail = Array(end.outputTail.suffix(RunLimits.outputTailBytes))
    }
    attempt.phase = .ended(end)
    attempts[key] = attempt
    unacknowledgedCount += 1
    effects.journal.append(AttemptUpdate(ref: attempt.ref, startedAt: attempt.startedAt, end: end))
    lastCheckpoint(of: key)
    enqueue(key)
  }

  /// Nothing is to be said of an attempt any more.
  mutating func drop(_ key: AttemptKey) {
    attempts[key] = nil
    memory.insert(key)
  }
}
