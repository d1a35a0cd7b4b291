import Proto
import SchedulerCore

/// How schedules look to people.
enum ScheduleTexts {
  /// The status, and whether it is paused or being deleted.
  static func status(of job: JobView) -> String {
    if job.deleteRequestedAt != nil { return "\(job.status.rawValue), being deleted" }
    return job.pausedAt == nil ? job.status.rawValue : "\(job.status.rawValue), paused"
  }

  /// The first schedule, and how many more there are.
  static func short(_ schedules: [Schedule]) -> String {
    guard let first = schedules.first else { return "-" }
    return rule(first.rule) + (schedules.count == 1 ? "" : " +\(schedules.count - 1)")
  }

  /// Adds what a job's schedules are and how they stand.
  static func add(_ job: JobView, to facts: inout Table) {
    for (index, schedule) in job.spec.schedules.enumerated() {
      let runs = job.scheduleStates.indices.contains(index) ? job.scheduleStates[index].runs : 0
      facts.add([index == 0 ? "Schedule:" : "", line(schedule, runs: runs)])
    }
    if let next = job.nextRunTime { facts.add(["Next run:", Texts.time(next)]) }
    if let last = job.lastRunTime, !job.spec.schedules.isEmpty { facts.add(["Last run:", Texts.time(last)]) }
    if let paused = job.pausedAt {
      facts.add(["Paused:", Texts.time(paused) + (job.pauseNote.map { ": \($0)" } ?? "")])
    }
    if job.spec.misfire != MisfirePolicy() { facts.add(["Misfire:", misfire(job.spec.misfire)]) }
    if job.spec.overlap != .allow { facts.add(["Overlap:", overlap(job.spec.overlap)]) }
    if job.skips.count > 0 {
      let reason = job.skips.lastReason.map { ": \($0.rawValue)" } ?? ""
      facts.add(["Left out:", "\(job.skips.count), the last of \(Texts.time(job.skips.lastTime))\(reason)"])
    }
    facts.add(["Generation:", "\(job.generation) (etag \(job.etag))"])
  }

  private static func line(_ schedule: Schedule, runs: Int) -> String {
    var parts = [rule(schedule.rule)]
    if schedule.timeZone != Schedule.Defaults.timeZone { parts[0] += " " + schedule.timeZone }
    if let gap = schedule.dstGap { parts.append("DST gap: \(gap.rawValue)") }
    if let overlap = schedule.dstOverlap { parts.append("DST overlap: \(overlap.rawValue)") }
    if let start = schedule.startTime { parts.append("from \(Texts.time(start))") }
    if let end = schedule.endTime { parts.append("until \(Texts.time(end))") }
    if let most = schedule.maxRuns { parts.append("\(runs) of at most \(most) runs") }
    if schedule.jitterMillis != 0 {
      parts.append("jitter \(DurationText.format(milliseconds: schedule.jitterMillis))")
    }
    if !schedule.calendars.isEmpty { parts.append("except \(schedule.calendars.joined(separator: ", "))") }
    return parts.joined(separator: ", ")
  }

  private static func rule(_ rule: Schedule.Rule) -> String {
    switch rule {
    case .cron(let text): text
    case .fixedRate(let millis): "every \(DurationText.format(milliseconds: millis))"
    case .fixedDelay(let millis): "\(DurationText.format(milliseconds: millis)) after the last run"
    case .frequency(let frequency): frequency.rawValue
    case .at(let time): "at \(Texts.time(time))"
    }
  }

  private static func misfire(_ policy: MisfirePolicy) -> String {
    var parts = [policy.action.rawValue]
    if policy.action == .all { parts[0] += ", at most \(policy.limit)" }
    if let within = policy.withinMillis {
      parts.append("no older than \(DurationText.format(milliseconds: within))")
    }
    return parts.joined(separator: ", ")
  }

  private static func overlap(_ policy: OverlapPolicy) -> String {
    if case .queue(let limit) = policy { return "queue, at most \(limit)" }
    return policy.word
  }
}
