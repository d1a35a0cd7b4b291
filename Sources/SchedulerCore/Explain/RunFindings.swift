/// What a run's record, its job and the runs beside it say of why it is where it is. Any server knows that.
enum RunFindings {
  static func all(of subject: RunSubject, _ cache: ClusterCache) -> [Finding] {
    let run = subject.run.record
    if run.state.isTerminal { return [ended(run)] }
    if run.state.isOwned { return owned(subject) }
    if subject.job.cancelRequestedAt != nil { return [beingCancelled(subject.job)] }
    var findings: [Finding] = []
    if run.state == .retrying, let finding = backoff(subject) { findings.append(finding) }
    if subject.waitsForAgent {
      if let finding = serialOverlap(subject, cache) { findings.append(finding) }
      if let finding = awaitingAgent(subject, cache) { findings.append(finding) }
    }
    return findings
  }

  // MARK: Waiting

  private static func backoff(_ subject: RunSubject) -> Finding? {
    let run = subject.run.record
    guard let due = run.nextAttemptAt, due > subject.now else { return nil }
    var facts = [
      "next_attempt_at": due.rfc3339, "retry_count": "\(run.retryCount)",
      "max_retries": "\(subject.job.spec.maxRetries)", "attempt": "\(run.attempt)",
    ]
    if let agent = run.attempts.last?.agent.agentID { facts["worker_id"] = agent }
    if let code = run.attempts.last?.exitCode { facts["exit_code"] = "\(code)" }
    let why = run.message.map { ": \($0)" } ?? ""
    return Finding(
      .backoff,
      "attempt \(run.attempt) failed\(why); the next one begins at \(due.rfc3339), in "
        + ExplainTexts.length(from: subject.now, to: due),
      facts: facts,
      fix: "look at what the attempt wrote: \(ExplainTexts.command("logs", run.key.job, run: run.key.runID))",
      until: due)
  }

  /// The runs of the job that go before this one, where they may not be beside each other.
  private static func serialOverlap(_ subject: RunSubject, _ cache: ClusterCache) -> Finding? {
    guard subject.job.spec.overlap.isSerial else { return nil }
    let others = cache.runs(of: subject.key.job).reversed().filter { other in
      guard other.record.key != subject.key else { return false }
      if other.record.state.isOwned || other.record.state == .retrying { return true }
      return other.record.state == .queued && subject.run.isYounger(than: other)
    }.map(\.record)
    guard let first = others.first(where: { $0.state.isOwned }) ?? others.first else { return nil }
    let policy = subject.job.spec.overlap.word
    var facts = [
      "overlap": policy, "runs_before": "\(others.count)", "run_id": first.key.runID,
      "run_state": first.state.rawValue,
    ]
    let place = first.owner.map { " on agent '\($0.agentID)'" } ?? ""
    if let owner = first.owner { facts["worker_id"] = owner.agentID }
    let more = others.count > 1 ? ", and \(ExplainTexts.count(others.count - 1, "more")) before it" : ""
    return Finding(
      .serialOverlap,
      "the job's overlap policy is \(policy): run \(first.key.runID) is \(first.state.rawValue)\(place) and has to "
        + "end first\(more)", facts: facts,
      fix: "wait for it, see "
        + ExplainTexts.command("explain", first.key.job, run: first.key.runID)
        + "; or have the job's runs beside each other with overlap: allow")
  }

  private static func awaitingAgent(_ subject: RunSubject, _ cache: ClusterCache) -> Finding? {
    let run = subject.run.record
    guard let agent = run.awaitedAgent(subject.job.spec, at: subject.now), let until = run.waitsUntil else {
      return nil
    }
    let isThere = cache.agents[agent] != nil
    return Finding(
      .awaitingAgent,
      "it waits until \(until.rfc3339) for agent '\(agent)', which had its last attempt and "
        + (isThere ? "is back" : "holds no lease")
        + " (on_agent_loss: wait); after that any agent may take it",
      facts: ["worker_id": agent, "until": until.rfc3339, "agent_present": isThere ? "true" : "false"],
      fix: "start agent '\(agent)' again, or have the job's runs move on at once with on_agent_loss: restart",
      until: until)
  }

  private static func beingCancelled(_ job: JobRecord) -> Finding {
    Finding(
      .stopping,
      "the job was cancelled\(job.cancelReason.map { " (\($0))" } ?? ""): this run is about to end",
      facts: job.cancelRequestedAt.map { ["cancel_requested_at": $0.rfc3339] } ?? [:])
  }

  // MARK: With an agent

  private static func owned(_ subject: RunSubject) -> [Finding] {
    let run = subject.run.record
    guard let attempt = run.attempts.last else { return [] }
    let agent = attempt.agent.agentID
    var facts = [
      "worker_id": agent, "attempt": "\(attempt.attempt)", "assigned_at": attempt.assignedAt.rfc3339,
    ]
    var findings: [Finding] = []
    if subject.job.cancelRequestedAt != nil {
      let grace = DurationText.format(milliseconds: subject.job.spec.killGraceMillis)
      findings.append(
        Finding(
          .stopping,
          "it was cancelled, and agent '\(agent)' ends its task, which may take its kill_grace of \(grace)",
          facts: facts))
    }
    guard run.state == .running else {
      findings.append(
        Finding(
          .assigned,
          "agent '\(agent)' has attempt \(attempt.attempt) since \(attempt.assignedAt.rfc3339) and has not said yet that "
            + "it started", facts: facts))
      return findings
    }
    if let started = attempt.startedAt { facts["start_time"] = started.rfc3339 }
    var sentence = "attempt \(attempt.attempt) runs on agent '\(agent)' since "
    sentence += (attempt.startedAt ?? attempt.assignedAt).rfc3339
    if let progress = run.progress {
      facts["progress"] = "\(progress.fraction)"
      sentence += ", at \(Int(progress.fraction * 100))%"
    }
    let end = subject.job.spec.timeoutMillis.flatMap { limit in
      attempt.startedAt.map { $0.adding(milliseconds: limit) }
    }
    if let end { sentence += "; its timeout ends it at \(end.rfc3339)" }
    findings.append(Finding(.running, sentence, facts: facts, until: end))
    return findings
  }

  // MARK: The end

  private static func ended(_ run: RunRecord) -> Finding {
    var facts = ["state": run.state.rawValue, "attempts": "\(run.attempt)"]
    if let time = run.finishedAt { facts["finished_at"] = time.rfc3339 }
    if let code = run.attempts.last?.exitCode { facts["exit_code"] = "\(code)" }
    if let reason = run.attempts.last?.endReason { facts["end_reason"] = reason.rawValue }
    if let agent = run.attempts.last?.agent.agentID { facts["worker_id"] = agent }
    let time = run.finishedAt.map { " at \($0.rfc3339)" } ?? ""
    let why = run.message ?? run.attempts.last?.error
    return Finding(
      .ended, "it has ended: \(run.state.rawValue)\(time)\(why.map { ", \($0)" } ?? "")", facts: facts,
      fix: run.state == .completed
        ? "" : "to run it again: \(ExplainTexts.command("retry", run.key.job, run: run.key.runID))")
  }
}
