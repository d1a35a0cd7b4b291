extension Versioned<RunRecord> {
  /// What has happened to the run, in the order in which it became durable: from its creation, its attempts and its end,
  /// and from the events that its record keeps.
  public var timeline: [RunEvent] {
    var events = [created]
    if !wasCreatedAssigned {
      events.append(
        RunEvent(
          .queued, at: record.createdAt, actor: record.history.createdBy, revision: createRevision))
    }
    for attempt in record.attempts { events += self.events(of: attempt) }
    events += record.history.events.map { event in
      var event = event
      event.revision = event.revision ?? modRevision
      return event
    }
    if let event = checkpointEvent { events.append(event) }
    if let event = ended { events.append(event) }
    return events.byRevision
  }

  private var created: RunEvent {
    var text: String?
    switch record.trigger {
    case .schedule: text = "due at \(record.scheduledTime.rfc3339)"
    case .manual: text = "triggered"
    case .backfill: text = "by backfill \(record.backfillID ?? ""), for \(record.scheduledTime.rfc3339)"
    case .retry: text = "runs \(record.retryOf ?? "another") again"
    }
    return RunEvent(
      .created, at: record.createdAt, actor: record.history.createdBy, message: text, revision: createRevision
    )
  }

  /// Whether it never waited for an agent.
  private var wasCreatedAssigned: Bool {
    guard let first = record.attempts.first, first.attempt == 1 else { return false }
    return revision(first.history.assignedRevision, first) == createRevision
  }

  /// A revision that no later write has noted is that of the last write.
  private func revision(_ noted: Int64?, _ attempt: AttemptRecord) -> Int64? {
    if let noted { return noted }
    let isLast = attempt.attempt == record.attempts.last?.attempt
    return isLast && attempt.history.assignedBy != nil ? modRevision : nil
  }

  private func events(of attempt: AttemptRecord) -> [RunEvent] {
    let agent = attempt.agent.agentID
    var events = [
      RunEvent(
        .assigned, at: attempt.assignedAt, actor: attempt.history.assignedBy, attempt: attempt.attempt,
        message: "to agent '\(agent)'", revision: revision(attempt.history.assignedRevision, attempt))
    ]
    if let startedAt = attempt.startedAt {
      events.append(
        RunEvent(
          .started, at: startedAt, actor: RunActor.agent(agent), attempt: attempt.attempt,
          revision: revision(attempt.history.startRevision, attempt)))
    }
    guard let endedAt = attempt.endedAt, let reason = attempt.endReason else { return events }
    // The end of the last one is the end of the run.
    let isTheEnd = attempt.attempt == record.attempts.last?.attempt && record.state.isTerminal
    guard reason.isAgentsFault || !isTheEnd else { return events }
    events.append(
      RunEvent(
        reason.isAgentsFault ? .lost : .retried, at: endedAt,
        actor: attempt.history.endedBy ?? RunActor.agent(agent), attempt: attempt.attempt,
        message: attempt.endText, revision: revision(attempt.history.endRevision, attempt)))
    return events
  }

  private var checkpointEvent: RunEvent? {
    guard let note = record.checkpoint else { return nil }
    return record.event(of: note, revision: record.history.checkpointRevision ?? modRevision)
  }

  private var ended: RunEvent? {
    guard record.state.isTerminal else { return nil }
    let last = record.attempts.last
    let why = record.message ?? last?.endText
    return RunEvent(
      .ended, at: record.finishedAt ?? last?.endedAt ?? record.createdAt,
      actor: record.history.endedBy ?? last?.history.endedBy ?? last.map { RunActor.agent($0.agent.agentID) },
      attempt: last?.attempt, message: record.state.rawValue + (why.map { ": \($0)" } ?? ""),
      revision: modRevision)
  }
}

extension RunRecord {
  /// The event of a checkpoint that was saved.
  func event(of note: CheckpointNote, revision: Int64?) -> RunEvent {
    let agent = attempts.last { $0.attempt == note.attempt }?.agent.agentID
    return RunEvent(
      .checkpoint, at: note.savedAt, actor: agent.map(RunActor.agent), attempt: note.attempt,
      message: "\(note.bytes) bytes", revision: revision)
  }
}

extension AttemptRecord {
  /// How it ended, in words; nil of one that goes on.
  fileprivate var endText: String? {
    guard let endReason else { return nil }
    if let error { return error }
    if let signal { return "signal \(signal)" }
    if let exitCode { return "exit code \(exitCode)" }
    return endReason.rawValue
  }
}

extension [RunEvent] {
  /// By revision; what has none stays behind what is before it.
  fileprivate var byRevision: [RunEvent] {
    var last: Int64 = 0
    let placed = enumerated().map { index, event in
      last = event.revision ?? last
      return (revision: last, index: index, event: event)
    }
    return placed.sorted { ($0.revision, $0.index) < ($1.revision, $1.index) }.map(\.event)
  }
}
