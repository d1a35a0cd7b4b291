// What is said to the leader, and what it has acknowledged.

extension AgentMachine {
  /// The attempts that the agent has, for the hello of a session: those that wait or run first, then ended ones,
  /// as many as fit into one message. It does no harm when some are missing: the leader assigns them again, and that
  /// is dropped here as a duplicate.
  public var known: [AttemptRef] {
    var live: [AttemptRef] = []
    var ended: [AttemptRef] = []
    for attempt in attempts.values where !attempt.forgotten {
      if case .ended = attempt.phase { ended.append(attempt.ref) } else { live.append(attempt.ref) }
    }
    var bytes = 0
    return Array(
      (live + ended).prefix { ref in
        bytes += ref.wireBytes
        return bytes <= limits.messageBytes
      })
  }

  /// Whether a leader has said welcome and the session is not over.
  public var hasSession: Bool { session != nil }

  /// Whether the agent has this attempt and its task may still write.
  public func isLive(_ ref: AttemptRef) -> Bool {
    switch attempts[AttemptKey(ref)]?.phase {
    case .waiting?, .active?: true
    case .ended?, nil: false
    }
  }

  /// Every attempt whose folder is still needed.
  public var needed: [AttemptRef] { attempts.values.map(\.ref) }

  /// The leader said welcome.
  ///
  /// - Returns: false when a newer leader has been seen: the session has to be closed.
  public mutating func sessionOpened(leaderEpoch epoch: Int64) -> Bool {
    guard epoch >= leaderEpoch else { return false }
    leaderEpoch = epoch
    var session = Session()
    session.tellDraining = isDraining
    self.session = session
    for key in attempts.keys {
      attempts[key]?.queued = false
      repeatCheckpoint(of: key)
      enqueue(key)
    }
    return true
  }

  /// Whether the session should be replaced by another: assignments were dropped while too much was not acknowledged, and
  /// by now there is room for them. The leader sends on a new session what the agent does not name in its hello.
  public var wantsNewSession: Bool {
    session?.hasDropped == true && unacknowledgedCount <= limits.unacknowledged / 2
  }

  /// The session is over.
  public mutating func sessionClosed() { session = nil }

  /// Everything up to this status is durable, or refused for good.
  public mutating func acknowledged(_ sequence: UInt64) {
    guard session != nil else { return }
    if sequence > (session?.lastSequence ?? 0) { counters.badAcknowledgements += 1 }
    while let next = session?.inFlight.first, next.sequence <= sequence {
      _ = session?.inFlight.popFirst()
      for key in next.ends {
        guard let attempt = attempts[key], case .ended = attempt.phase else { continue }
        unacknowledgedCount -= 1
        effects.unjournal.append(attempt.ref)
        drop(key)
      }
    }
  }

  /// The last status is with the transport: the next may go.
  public mutating func statusWritten() { session?.isWriting = false }

  /// New figures, to go with the next status.
  public mutating func healthSampled(_ health: AgentHealth) { session?.health = health }

  /// What has to be done now.
  public mutating func takeEffects(at now: AgentTime) -> Effects {
    startWaiting(at: now)
    defer { effects = Effects() }
    return effects
  }

  /// Notes that there is news of an attempt.
  mutating func enqueue(_ key: AttemptKey) {
    guard session != nil, let attempt = attempts[key], !attempt.queued else { return }
    guard !attempt.forgotten, attempt.hasNews else { return }
    attempts[key]?.queued = true
    session?.outbox.append(key)
  }

  /// What is to be said to the leader now; nil when there is nothing, no session, or a status on its way.
  /// Answered by `statusWritten`. Everything in it has to be in the journal by then.
  public mutating func takeStatus() -> AgentStatus? {
    guard let session, !session.isWriting else { return nil }
    var status = AgentStatus(health: session.health, draining: isDraining)
    if session.inFlight.count < limits.statusesInFlight { fill(&status) }
    guard !status.updates.isEmpty || session.health != nil || session.tellDraining else { return nil }
    self.session?.health = nil
    self.session?.tellDraining = false
    self.session?.isWriting = true
    return status
  }

  private mutating func fill(_ status: inout AgentStatus) {
    var ends: [AttemptKey] = []
    var bytes = 0
    while status.updates.count < limits.updatesPerStatus, bytes < limits.messageBytes,
      let key = session?.outbox.popFirst()
    {
      // It may have been forgotten since.
      guard let attempt = attempts[key], attempt.queued else { continue }
      attempts[key]?.queued = false
      guard !attempt.forgotten else { continue }
      var update = AttemptUpdate(ref: attempt.ref, startedAt: attempt.startedAt)
      if case .ended(let end) = attempt.phase {
        update.end = end
        ends.append(key)
        bytes += end.outputTail.count + (end.error?.utf8.count ?? 0)
      }
      bytes += attempt.ref.wireBytes
      status.updates.append(update)
    }
    guard !status.updates.isEmpty, let last = session?.lastSequence else { return }
    status.sequence = last + 1
    session?.lastSequence = status.sequence
    session?.inFlight.append((status.sequence, ends))
  }

  /// Everything that the disk has to know after a restart: what is running, and what is not acknowledged.
  public var journaled: (running: [AttemptRef], ended: [AttemptUpdate]) {
    var running: [AttemptRef] = []
    var ended: [AttemptUpdate] = []
    for attempt in attempts.values {
      switch attempt.phase {
      case .waiting: break
      case .active: running.append(attempt.ref)
      case .ended(let end):
        ended.append(AttemptUpdate(ref: attempt.ref, startedAt: attempt.startedAt, end: end))
      }
    }
    return (running, ended)
  }
}

extension AgentMachine.Attempt {
  /// Whether the leader wants to hear of it.
  fileprivate var hasNews: Bool {
    switch phase {
    case .waiting: false
    case .active: startedAt != nil
    case .ended: true
    }
  }
}

extension AttemptRef {
  /// About what it takes in a message, with the fixed fields of an update.
  fileprivate var wireBytes: Int {
    run.job.namespace.utf8.count + run.job.jobID.utf8.count + run.runID.utf8.count + 96
  }
}
