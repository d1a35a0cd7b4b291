/// One schedule of a job with what it takes to say when it is due next.
struct ReadyRule: Sendable {
  private enum Kind: Sendable {
    case compiled(CompiledSchedule)
    /// The first occurrence is the schedule's own, the others depend on runs.
    case fixedDelay(CompiledSchedule, delayMillis: Int64)
    /// A job without schedules.
    case once(Timestamp)
  }

  private let kind: Kind
  private let calendars: [CompiledCalendar]
  private let maxRuns: Int
  private let endTime: Timestamp
  let jitterMillis: Int64

  init(
    _ schedule: Schedule, job: JobKey, createdAt: Timestamp, zones: TimeZones,
    calendars: (CalendarKey) -> CompiledCalendar?
  ) throws(FieldError) {
    let compiled = try CompiledSchedule(schedule, job: job, createdAt: createdAt, zones: zones)
    if case .fixedDelay(let delay) = schedule.rule {
      kind = .fixedDelay(compiled, delayMillis: max(1, delay))
    } else {
      kind = .compiled(compiled)
    }
    self.calendars = schedule.calendars.compactMap {
      calendars(CalendarKey(namespace: job.namespace, name: $0))
    }
    maxRuns = schedule.maxRuns ?? .max
    endTime = min(schedule.endTime ?? .latest, .latest)
    jitterMillis = schedule.jitterMillis
  }

  /// The one occurrence of a job without schedules.
  init(once time: Timestamp) {
    kind = .once(time)
    calendars = []
    maxRuns = 1
    endTime = .latest
    jitterMillis = 0
  }

  var isFixedDelay: Bool { if case .fixedDelay = kind { true } else { false } }

  /// The first occurrence that has not been decided. Nothing where there is none (yet).
  func next(after state: ScheduleState, _ activity: JobActivity) -> CompiledSchedule.Search {
    guard state.runs < maxRuns else { return .none }
    switch kind {
    case .compiled: return search(after: state.decidedThrough)
    case .once(let time): return time > state.decidedThrough ? .found(time) : .none
    case .fixedDelay(let schedule, let delay):
      if let first = schedule.next(after: state.decidedThrough) { return firstIncluded(from: first) }
      guard activity.unended == 0 else { return .none }
      let base = max(activity.lastEnd ?? state.decidedThrough, state.decidedThrough)
      // Whole milliseconds, as the ids of runs have them.
      let due = Timestamp(milliseconds: base.adding(milliseconds: delay).milliseconds)
      return firstIncluded(from: due)
    }
  }

  /// Looks for the first occurrence after an instant, up to another, that no calendar excludes, whatever has been
  /// decided; a fixed delay has none.
  private func search(after time: Timestamp, through end: Timestamp = .latest) -> CompiledSchedule.Search {
    guard case .compiled(let schedule) = kind else { return .none }
    return schedule.search(after: time, excluding: calendars, through: end)
  }

  /// The first occurrence after an instant, up to another, that no calendar excludes, however many they do; a fixed
  /// delay has none.
  func occurrence(after time: Timestamp, through end: Timestamp) -> Timestamp? {
    var after = time
    while after < end {
      switch search(after: after, through: end) {
      case .found(let time): return time
      case .excluded(let stop): after = stop
      case .none: return nil
      }
    }
    return nil
  }

  /// The last occurrence in `lower < t < upper` that no calendar excludes; a fixed delay has none.
  func lastOccurrence(before upper: Timestamp, after lower: Timestamp) -> Timestamp? {
    guard case .compiled(let schedule) = kind else { return nil }
    return schedule.last(before: upper, after: lower, excluding: calendars) {
      occurrence(after: $0, through: $1)
    }
  }

  /// As `lastOccurrence(before:after:)`, of what has not been decided.
  func last(before upper: Timestamp, _ state: ScheduleState, _ activity: JobActivity) -> Timestamp? {
    guard state.runs < maxRuns else { return nil }
    if case .compiled = kind { return lastOccurrence(before: upper, after: state.decidedThrough) }
    guard case .found(let time) = next(after: state, activity) else { return nil }
    return time < upper ? time : nil
  }

  /// The first occurrence before an instant that has not been decided, of a job without runs.
  func undecided(_ state: ScheduleState, before end: Timestamp) -> Timestamp? {
    guard state.runs < maxRuns else { return nil }
    if case .compiled = kind { return occurrence(after: state.decidedThrough, through: end.earlier) }
    guard case .found(let time) = next(after: state, JobActivity()) else { return nil }
    return time < end ? time : nil
  }

  func jitter(of occurrence: Timestamp) -> Int64 {
    switch kind {
    case .compiled(let schedule), .fixedDelay(let schedule, _): schedule.jitter(of: occurrence)
    case .once: 0
    }
  }

  /// The state after an occurrence has been left out: a fixed delay counts from now on.
  func leaveOut(_ occurrence: Timestamp, now: Timestamp) -> Timestamp {
    isFixedDelay ? max(occurrence, now) : occurrence
  }

  private func firstIncluded(from time: Timestamp) -> CompiledSchedule.Search {
    var time = time
    var steps = SpecLimits.excludedPerSearch
    while steps > 0 {
      guard time <= endTime else { return .none }
      guard let calendar = calendars.first(where: { $0.excludes(time) }) else { return .found(time) }
      guard let end = calendar.endOfExclusion(at: time, steps: &steps) else { return .none }
      time = end
    }
    return .excluded(through: time.earlier)
  }
}
