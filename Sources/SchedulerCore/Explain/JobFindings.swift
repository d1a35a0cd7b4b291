/// What a job's record says of why it is not due, or what it is at. Any server knows that.
public struct JobFindings: Sendable {
  let job: JobRecord
  let status: JobStatus
  /// How many of its runs have not ended, and the newest of them.
  let unendedRuns: Int
  let newestUnended: RunRecord?
  let now: Timestamp

  /// Whether an occurrence should have become a run by now.
  var isDue: Bool {
    job.pausedAt == nil && job.cancelRequestedAt == nil && job.nextRunTime.map { $0 <= now } ?? false
  }

  /// - Parameters:
  ///   - owner: The server that owns the job's segment; nil where none does.
  ///   - fullQuota: What is said of the quota of the job's namespace while that keeps runs from being created.
  func all(segment: Int, owner: String?, fullQuota: Finding? = nil) -> [Finding] {
    if let requested = job.deleteRequestedAt { return [deleted(since: requested)] }
    if let requested = job.cancelRequestedAt { return [cancelled(since: requested)] }
    var findings: [Finding] = []
    if let since = job.pausedAt {
      // A pause keeps nothing from being due where nothing is.
      if job.nextRunTime != nil || !job.spec.schedules.isEmpty { findings.append(paused(since: since)) }
    } else if let next = job.nextRunTime {
      if next <= now, owner != nil, let fullQuota {
        findings.append(fullQuota)
      } else {
        findings.append(next > now ? notDue(next) : due(next, segment: segment, owner: owner))
      }
    } else if let finding = waitsForEnd {
      findings.append(finding)
    } else if status.isTerminal, unendedRuns == 0, !job.spec.schedules.isEmpty {
      findings.append(
        Finding(
          .ended, "no schedule of the job is ever due again",
          facts: job.lastRunTime.map { ["last_run_time": $0.rfc3339] } ?? [:],
          fix: "give the job a schedule that is due with 'rota update', or run it once: "
            + ExplainTexts.command("trigger", job.key)))
    }
    if let finding = skipped { findings.append(finding) }
    return findings
  }

  // MARK: What somebody asked for

  private func deleted(since requested: Timestamp) -> Finding {
    let runs = ExplainTexts.count(unendedRuns, "run")
    let left = unendedRuns == 0 ? "" : ", as soon as \(runs) of it have ended"
    return Finding(
      .deleted, "its deletion was asked for at \(requested.rfc3339): it is removed with its runs\(left)",
      facts: ["delete_requested_at": requested.rfc3339, "unended_runs": "\(unendedRuns)"])
  }

  private func cancelled(since requested: Timestamp) -> Finding {
    var facts = ["cancel_requested_at": requested.rfc3339]
    if let reason = job.cancelReason { facts["reason"] = reason }
    if let user = job.cancelRequestedBy { facts["cancel_requested_by"] = user }
    let who = job.cancelRequestedBy.map { " by \($0)" } ?? ""
    return Finding(
      .cancelled,
      "it was cancelled at \(requested.rfc3339)\(who)\(job.cancelReason.map { " (\($0))" } ?? ""): it never runs again",
      facts: facts, fix: "submit it anew, under another id or after 'rota delete'")
  }

  private func paused(since: Timestamp) -> Finding {
    var facts = ["paused_at": since.rfc3339]
    if let note = job.pauseNote { facts["note"] = note }
    if let user = job.pausedBy { facts["paused_by"] = user }
    let who = job.pausedBy.map { " by \($0)" } ?? ""
    if let next = job.nextRunTime { facts["next_run_time"] = next.rfc3339 }
    let length = ExplainTexts.length(from: since, to: now)
    return Finding(
      .paused,
      "it is paused\(who) since \(since.rfc3339), for \(length)\(job.pauseNote.map { " (\($0))" } ?? "")",
      facts: facts, fix: ExplainTexts.command("resume", job.key))
  }

  // MARK: When it is due

  private func notDue(_ next: Timestamp) -> Finding {
    Finding(
      .notDue, "it is due at \(next.rfc3339), in \(ExplainTexts.length(from: now, to: next))",
      facts: ["next_run_time": next.rfc3339],
      fix: "to run it now: \(ExplainTexts.command("trigger", job.key))", until: next)
  }

  private func due(_ next: Timestamp, segment: Int, owner: String?) -> Finding {
    let late = ExplainTexts.length(from: next, to: now)
    var facts = ["next_run_time": next.rfc3339, "segment": "\(segment)"]
    guard let owner else {
      return Finding(
        .segmentUnowned,
        "it is due since \(next.rfc3339), \(late) ago, and no server owns its segment, \(segment), so nothing fires "
          + "it", facts: facts,
        fix: "the leader gives segments to servers within seconds; if it lasts, see that servers run and "
          + "one leads: rota cluster")
    }
    facts["server_id"] = owner
    return Finding(
      .beingFired,
      "it is due since \(next.rfc3339), \(late) ago, and server '\(owner)', which owns its segment, has not created the "
        + "run yet", facts: facts,
      fix: "if it lasts, see whether that server is behind: rota cluster")
  }

  /// A fixed delay counts from the end of a run.
  private var waitsForEnd: Finding? {
    guard let run = newestUnended else { return nil }
    var shortest: Int64?
    for schedule in job.spec.schedules {
      if case .fixedDelay(let delay) = schedule.rule { shortest = min(shortest ?? delay, delay) }
    }
    guard let delay = shortest else { return nil }
    let length = DurationText.format(milliseconds: delay)
    return Finding(
      .waitsForEnd,
      "it is due \(length) after the end of run \(run.key.runID), which is \(run.state.rawValue)",
      facts: ["run_id": run.key.runID, "run_state": run.state.rawValue, "fixed_delay": length],
      fix: ExplainTexts.command("explain", job.key, run: run.key.runID))
  }

  /// What was left out since the last run.
  private var skipped: Finding? {
    guard let time = job.skips.lastTime, let reason = job.skips.lastReason,
      job.lastRunTime.map({ time > $0 }) ?? true
    else { return nil }
    return Finding(
      .occurrencesSkipped,
      "the occurrence of \(time.rfc3339) was left out: \(reason.text); \(job.skips.count) of the job's so far",
      facts: ["last_skipped_time": time.rfc3339, "reason": reason.rawValue, "skipped": "\(job.skips.count)"],
      fix: reason.fix)
  }

  // MARK: Calendars

  /// What a job's calendars exclude before it is due next.
  /// - Parameter calendars: Finds a calendar of the job's.
  public static func excluded(
    of job: JobRecord, now: Timestamp, zones: TimeZones, calendars: (CalendarKey) -> CompiledCalendar?
  ) -> [Finding] {
    guard job.pausedAt == nil, job.cancelRequestedAt == nil,
      job.spec.schedules.contains(where: { !$0.calendars.isEmpty })
    else { return [] }
    // A record whose schedules cannot be read is somebody else's to complain about.
    guard
      let preview = try? JobPreview(of: job, after: now, count: 1, zones: zones, calendars: calendars)
    else { return [] }
    let before = preview.entries.prefix { $0.dueTime == nil }
    return before.prefix(ExplainLimits.names).compactMap { entry in
      guard let name = entry.occurrence.calendar else { return nil }
      let time = entry.occurrence.time.rfc3339
      return Finding(
        .excludedByCalendar,
        "the occurrence of \(time) is left out: \(entry.occurrence.notes.joined(separator: "; "))",
        facts: ["calendar": name, "scheduled_time": time, "schedule": "\(entry.schedule)"],
        fix: "see the calendar: rota calendar get \(name)"
          + (job.key.namespace == JobSpec.Defaults.namespace ? "" : " -n \(job.key.namespace)"))
    }
  }
}

extension SkipReason {
  fileprivate var text: String {
    switch self {
    case .misfire: "it was missed, and the misfire policy does not make up for it"
    case .overlap: "a run had not ended, and the overlap policy forbids another"
    case .queueFull: "a run had not ended, and the queue of the overlap policy was full"
    case .requested: "somebody asked for that"
    }
  }

  fileprivate var fix: String {
    switch self {
    case .misfire: "set misfire: all or a longer grace, or run what was missed with 'rota backfill'"
    case .overlap: "let runs wait with overlap: queue, or have them beside each other with overlap: allow"
    case .queueFull: "raise the limit of overlap: queue, or make the runs shorter"
    case .requested: ""
    }
  }
}
