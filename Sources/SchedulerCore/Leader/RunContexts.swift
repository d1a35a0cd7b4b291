/// Finds out what surrounds a run: the occurrences before and after it, and the last success.
///
/// Schedules and calendars that are made ready are kept, up to bounds; a job without schedules costs nothing.
struct RunContexts: Sendable {
  /// Bounds.
  enum Limits {
    /// Jobs whose schedules are kept ready.
    static let jobs = 4_096
    /// Calendars that are kept ready.
    static let calendars = 256
    /// Runs of a job, newest first, among which the last success is looked for.
    static let runsSearched = 1_000
  }

  private struct Ready: Sendable {
    var uid: String
    var generation: Int
    /// Nil for one that this program cannot make ready.
    var schedules: [CompiledSchedule?]
  }

  private struct ReadyCalendar: Sendable {
    var modRevision: Int64
    /// Nil for one that this program cannot make ready: it excludes nothing.
    var calendar: CompiledCalendar?
  }

  let zones: TimeZones
  /// Schedules and calendars that could not be made ready.
  private(set) var failures = 0
  private var jobs: [JobKey: Ready] = [:]
  private var calendars: [CalendarKey: ReadyCalendar] = [:]

  init(zones: TimeZones) { self.zones = zones }

  mutating func context(of run: RunRecord, _ job: JobRecord, _ cache: ClusterCache) -> RunContext {
    var context = RunContext()
    context.trigger = run.trigger
    context.params = job.spec.params.merging(run.params) { $1 }
    context.lastSuccessTime = lastSuccess(of: job.key, cache)
    guard !job.spec.schedules.isEmpty else { return context }
    let schedules = schedules(of: job)
    for (index, schedule) in job.spec.schedules.enumerated() {
      guard let compiled = schedules[index] else { continue }
      var calendars: [CompiledCalendar] = []
      for name in schedule.calendars {
        if let calendar = calendar(name, of: job.key, cache) { calendars.append(calendar) }
      }
      if let next = compiled.next(after: run.scheduledTime, excluding: calendars),
        job.mayBecomeRun(next, ofSchedule: index)
      {
        context.nextScheduledTime = min(context.nextScheduledTime ?? next, next)
      }
      var previous = compiled.last(before: run.scheduledTime, excluding: calendars)
      if case .fixedDelay = schedule.rule {
        // Later ones depend on when runs end, so only the runs tell.
        previous = scheduledRun(before: run, cache) ?? previous
      }
      if let previous {
        context.previousScheduledTime = max(context.previousScheduledTime ?? previous, previous)
      }
    }
    return context
  }

  // MARK: Runs

  /// The scheduled time of the newest run that succeeded, of those that are kept.
  private func lastSuccess(of key: JobKey, _ cache: ClusterCache) -> Timestamp? {
    let runIDs = cache.runIDs(of: key)
    // The run itself is one, and has not succeeded.
    guard runIDs.count > 1 else { return nil }
    for runID in runIDs.suffix(Limits.runsSearched).reversed() {
      let run = cache.runs[RunKey(job: key, runID: runID)]?.record
      if let run, run.state == .completed { return run.scheduledTime }
    }
    return nil
  }

  /// The scheduled time of the run before this one that a schedule has made.
  private func scheduledRun(before run: RunRecord, _ cache: ClusterCache) -> Timestamp? {
    for runID in cache.runIDs(of: run.key.job).suffix(Limits.runsSearched).reversed() {
      let other = cache.runs[RunKey(job: run.key.job, runID: runID)]?.record
      if let other, other.trigger == .schedule, other.scheduledTime < run.scheduledTime {
        return other.scheduledTime
      }
    }
    return nil
  }

  // MARK: Made ready

  private mutating func schedules(of job: JobRecord) -> [CompiledSchedule?] {
    if let ready = jobs[job.key], ready.uid == job.uid, ready.generation == job.generation {
      return ready.schedules
    }
    var schedules: [CompiledSchedule?] = []
    for schedule in job.spec.schedules {
      do throws(FieldError) {
        schedules.append(
          try CompiledSchedule(schedule, job: job.key, createdAt: job.createdAt, zones: zones))
      } catch {
        failures += 1
        schedules.append(nil)
      }
    }
    // What is in use comes back at once, so nothing needs to know what was used last.
    if jobs.count >= Limits.jobs { jobs.removeAll(keepingCapacity: true) }
    jobs[job.key] = Ready(uid: job.uid, generation: job.generation, schedules: schedules)
    return schedules
  }

  private mutating func calendar(_ name: String, of job: JobKey, _ cache: ClusterCache) -> CompiledCalendar? {
    let key = CalendarKey(namespace: job.namespace, name: name)
    guard let stored = cache.calendars[key] else { return nil }
    if let ready = calendars[key], ready.modRevision == stored.modRevision { return ready.calendar }
    var calendar: CompiledCalendar?
    do throws(FieldError) {
      calendar = try CompiledCalendar(stored.record.spec, name: name, zones: zones)
    } catch {
      failures += 1
    }
    if calendars.count >= Limits.calendars { calendars.removeAll(keepingCapacity: true) }
    calendars[key] = ReadyCalendar(modRevision: stored.modRevision, calendar: calendar)
    return calendar
  }
}

extension ClusterCache {
  /// The ids of a job's runs, oldest first; its record is not looked at.
  fileprivate func runIDs(of key: JobKey) -> [String] { jobs.slot(of: key).map { jobs.runIDs(at: $0) } ?? [] }
}

extension JobRecord {
  /// Whether an occurrence of a schedule has been, or can be, made a run: not one beyond its `max_runs`.
  fileprivate func mayBecomeRun(_ time: Timestamp, ofSchedule index: Int) -> Bool {
    guard let limit = spec.schedules[index].maxRuns, scheduleStates.indices.contains(index) else {
      return true
    }
    return scheduleStates[index].runs < limit || time <= scheduleStates[index].decidedThrough
  }
}
