import Proto
import SchedulerCore

/// How runs look to people.
enum RunTexts {
  static func show(_ runs: [RunView], namingJobs: Bool) {
    var table = Table(
      (namingJobs ? ["JOB"] : []) + ["RUN", "STATE", "AGENT", "DUE", "TOOK", "ATTEMPTS", "OUTCOME"])
    for view in runs {
      let run = view.record
      let last = run.attempts.last
      let took = last?.startedAt.map { Texts.length(from: $0, to: last?.endedAt ?? WallClock.now()) }
      table.add(
        (namingJobs ? [run.key.job.jobID] : []) + [
          run.key.runID, run.state.rawValue, last?.agent.agentID ?? "-", Texts.time(run.scheduledTime),
          took ?? "-", "\(run.attempt)", Texts.outcome(of: run),
        ])
    }
    table.print()
  }

  /// Everything about a run.
  static func show(_ run: RunRecord) {
    var facts = Table(["Run:", "\(run.key.job.namespace)/\(run.key.job.jobID)/\(run.key.runID)"])
    facts.add(["State:", run.state.rawValue])
    if let message = run.message { facts.add(["Because:", message]) }
    facts.add(["Next:", next(of: run)])
    facts.add(["Due:", Texts.time(run.scheduledTime)])
    facts.add(["Made by:", run.trigger.rawValue + (run.retryOf.map { " of \($0)" } ?? "")])
    if let group = run.group { facts.add(["Group:", group]) }
    facts.add(["Created:", Texts.time(run.createdAt)])
    if run.retryCount > 0 { facts.add(["Retries:", "\(run.retryCount)"]) }
    if let progress = run.progress { facts.add(["Progress:", Texts.text(progress)]) }
    if let checkpoint = run.checkpoint {
      facts.add(["Checkpoint:", "\(checkpoint.bytes) bytes, \(Texts.time(checkpoint.savedAt))"])
    }
    facts.print()
    guard !run.attempts.isEmpty else { return }
    Terminal.print("")
    var table = Table(["ATTEMPT", "AGENT", "STARTED", "TOOK", "CPU", "MEMORY", "OUTCOME"])
    for attempt in run.attempts {
      let took = attempt.startedAt.map { Texts.length(from: $0, to: attempt.endedAt ?? WallClock.now()) }
      let cpu = attempt.usage.map { usage in
        DurationText.format(milliseconds: (usage.userCPUMicros + usage.systemCPUMicros) / 1_000)
      }
      table.add([
        "\(attempt.attempt)", attempt.agent.agentID, Texts.time(attempt.startedAt), took ?? "-", cpu ?? "-",
        attempt.usage.map { Texts.mebibytes($0.maxRSSKiB * 1_024) } ?? "-", Texts.outcome(of: attempt),
      ])
    }
    table.print()
  }

  /// What has happened to a run.
  static func showTimeline(_ run: RunView) {
    guard !run.timeline.isEmpty else { return }
    Terminal.print("")
    var table = Table(["TIME", "EVENT", "ATTEMPT", "BY", "REVISION", "WHAT"])
    for event in run.timeline {
      let what = [event.code, event.message].compactMap(\.self).joined(separator: ": ")
      table.add([
        event.at.rfc3339, event.kind.rawValue, event.attempt.map { "\($0)" } ?? "-", event.actor ?? "-",
        event.revision.map { "\($0)" } ?? "-", what.isEmpty ? "-" : what,
      ])
    }
    table.print()
  }

  /// What will become of a run by itself.
  static func next(of run: RunRecord) -> String {
    switch run.state {
    case .queued:
      guard let agent = run.waitsForWorker, let until = run.waitsUntil else { return "an agent takes it" }
      return "agent '\(agent)' takes it, from \(Texts.time(until)) on any agent"
    case .retrying: return "attempt \(run.attempt + 1) at \(Texts.time(run.nextAttemptAt))"
    case .assigned: return "agent '\(run.owner?.agentID ?? "")' starts it"
    case .running: return "it ends on agent '\(run.owner?.agentID ?? "")'"
    case .completed: return "nothing"
    case .failed, .cancelled, .skipped:
      return "nothing; 'rota retry \(run.key.job.jobID)/\(run.key.runID)' runs it again"
    }
  }
}
