/// What a job's record and its schedules say together: when it is due, what becomes of what is due, and how
/// the record changes by that. Pure: who calls it commits the changed record with a compare on the revision
/// of the one that the plan was made from, together with the runs.
///
/// Each schedule has a state; all its occurrences up to `decidedThrough` are decided, later ones are not. So
/// nothing depends on when, how often or by whom a plan is asked, but for what is late at that time.
public struct JobPlan: Sendable {
  /// The record that the plan was made from.
  public let record: JobRecord
  let rules: Rules

  /// A job's schedules made ready. They depend on the specification, the job's creation and the calendars, not
  /// on anything else in the record.
  public struct Rules: Sendable {
    let rules: [ReadyRule]

    /// Those of a job without schedules.
    public init() { rules = [] }

    /// Makes a job's schedules ready.
    /// - Parameter calendars: Finds a calendar; one that does not exist excludes nothing.
    /// - Throws: An error whose field is relative to the specification: `schedules[1].cron`.
    public init(
      _ record: JobRecord, zones: TimeZones, calendars: (CalendarKey) -> CompiledCalendar?
    ) throws(FieldError) {
      var rules: [ReadyRule] = []
      for (index, schedule) in record.spec.schedules.enumerated() {
        do throws(FieldError) {
          rules.append(
            try ReadyRule(
              schedule, job: record.key, createdAt: record.createdAt, zones: zones, calendars: calendars))
        } catch {
          throw error.inside("schedules[\(index)]")
        }
      }
      self.rules = rules
    }
  }

  /// The next occurrence of a job.
  public struct Due: Hashable, Sendable {
    /// When it is scheduled: what the run is named after.
    public var scheduledTime: Timestamp
    /// When the run is to be created: the same, and its jitter.
    public var creationTime: Timestamp
    /// The schedule, by its place in the specification; nil of a job without schedules.
    public var schedule: Int?
  }

  /// Makes the plan of a job.
  /// - Throws: As `Rules.init` does.
  public init(
    _ record: JobRecord, zones: TimeZones, calendars: (CalendarKey) -> CompiledCalendar?
  ) throws(FieldError) {
    self.init(record, try Rules(record, zones: zones, calendars: calendars))
  }

  /// Makes the plan of a job whose schedules have been made ready before.
  public init(_ record: JobRecord, _ rules: Rules) {
    self.record = record
    self.rules = rules
  }

  /// Whether the job's runs depend on when others have ended, so that its activity has to be known.
  public var dependsOnRuns: Bool {
    record.spec.overlap.isSerial || rules.rules.contains { $0.isFixedDelay }
  }

  /// The next occurrence that has not been decided, the one whose run is created first; nil where there is none,
  /// or none yet. A pause does not count; a job that was cancelled has none.
  public func nextDue(_ activity: JobActivity) -> Due? { Walk(self, activity).due }

  // MARK: Writing records

  /// The record with a next run time that goes by its states.
  public func refreshed(_ activity: JobActivity) -> JobRecord { Walk(self, activity).result }

  /// The record after a calendar has changed, of a job of which nothing was due: what the calendar excluded up to
  /// then stays left out, whatever it says now.
  func refreshed(_ activity: JobActivity, passing calendar: String, through time: Timestamp) -> JobRecord {
    var record = record
    for (index, schedule) in record.spec.schedules.enumerated()
    where schedule.calendars.contains(calendar) && index < record.scheduleStates.count {
      // What is due but still waits for its jitter to pass is not touched.
      let end = time.adding(milliseconds: -schedule.jitterMillis)
      switch rules.rules[index].next(after: record.scheduleStates[index], activity) {
      case .found(let next) where next <= end, .excluded(let next) where next <= end:
        record.scheduleStates[index].decidedThrough = end
      case .found, .excluded, .none: break
      }
    }
    return JobPlan(record, rules).refreshed(activity)
  }

  /// The record as it is to be created: with states for its schedules, and the time of its first run. A job
  /// without schedules is due at its execution time, or, where it names none, at once.
  public func started(at now: Timestamp) -> JobRecord {
    var record = record
    guard !record.spec.schedules.isEmpty else {
      record.nextRunTime = record.spec.executionTime ?? now
      return record
    }
    record.scheduleStates = record.spec.schedules.map { Self.freshState(of: $0, at: now) }
    return JobPlan(record, rules).refreshed(JobActivity())
  }

  /// The record after its specification was changed: the plan is that of the record with the new one, whose
  /// states are still those of the old one. Schedules that are as they were go on where they are. Of one whose
  /// rule is as it was but not the rest, the runs count on, and what was missed by the old one is not made up
  /// for. The others are new.
  /// - Parameter old: The specification before.
  public func updated(from old: JobSpec, _ activity: JobActivity, at now: Timestamp) -> JobRecord {
    var record = record
    record.generation += 1
    guard !record.spec.schedules.isEmpty else {
      record.scheduleStates = []
      let isAsItWas = old.schedules.isEmpty && old.executionTime == record.spec.executionTime
      if !isAsItWas { record.nextRunTime = record.spec.executionTime }
      if record.cancelRequestedAt != nil { record.nextRunTime = nil }
      return record
    }
    var left = Array(zip(old.schedules, record.scheduleStates))
    func take(where matches: (Schedule) -> Bool) -> ScheduleState? {
      left.firstIndex { matches($0.0) }.map { left.remove(at: $0).1 }
    }
    let kept = record.spec.schedules.map { schedule in take { $0 == schedule } }
    record.scheduleStates = zip(record.spec.schedules, kept).map { schedule, state in
      if let state { return state }
      var fresh = Self.freshState(of: schedule, at: now)
      if let state = take(where: { $0.rule == schedule.rule }) {
        fresh.runs = state.runs
        fresh.decidedThrough = max(fresh.decidedThrough, state.decidedThrough)
      }
      return fresh
    }
    return JobPlan(record, rules).refreshed(activity)
  }

  /// The record without its next occurrence; nil where there is none to leave out.
  public func skippingNext(_ activity: JobActivity, at now: Timestamp) -> JobRecord? {
    var walk = Walk(self, activity)
    guard let time = walk.earliest else { return nil }
    walk.leaveOut(time, because: .requested, now: now) { _ in false }
    return walk.result
  }

  /// The state of a schedule that begins now. What it names before, by itself, is due at once.
  private static func freshState(of schedule: Schedule, at now: Timestamp) -> ScheduleState {
    var time = now
    switch schedule.rule {
    case .at(let instant): time = min(now, instant)
    case .fixedDelay: time = min(now, schedule.startTime ?? now)
    case .cron, .fixedRate, .frequency: break
    }
    return ScheduleState(decidedThrough: time.earlier)
  }
}
