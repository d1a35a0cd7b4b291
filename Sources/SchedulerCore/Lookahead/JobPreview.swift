/// What schedules will do next, together: for a job as it stands, or for schedules that no job has.
public struct JobPreview: Hashable, Sendable {
  /// One occurrence.
  public struct Entry: Hashable, Sendable {
    /// The occurrence, by itself.
    public var occurrence: PreviewedOccurrence
    /// The schedule that names it first.
    public var schedule: Int
    /// When its run will be created, jitter included; nil where none will be.
    public var dueTime: Timestamp?
  }

  /// The occurrences, by time.
  public private(set) var entries: [Entry] = []
  /// What is worth knowing about all of them.
  public private(set) var notes: [String] = []

  /// Previews a job as it stands.
  /// - Parameters:
  ///   - time: From when; what has been decided is left out.
  ///   - count: How many that are not left out.
  /// - Throws: An error whose field is relative to the specification: `schedules[1].cron`.
  public init(
    of record: JobRecord, after time: Timestamp, count: Int, zones: TimeZones,
    calendars: (CalendarKey) -> CompiledCalendar?
  ) throws(FieldError) {
    if record.deleteRequestedAt != nil {
      notes.append("the job is being deleted: it will not run again")
    } else if record.cancelRequestedAt != nil {
      notes.append("the job is cancelled: it will not run again")
    }
    guard record.cancelRequestedAt == nil else { return }
    if let paused = record.pausedAt {
      let note = record.pauseNote.map { " (\($0))" } ?? ""
      notes.append(
        "the job is paused since \(paused.rfc3339)\(note): until it is resumed nothing runs, and its misfire policy "
          + "decides what is made up for")
    }
    if record.spec.schedules.isEmpty {
      if let next = record.nextRunTime, next > time { add(Entry(once: next)) }
      finish(count)
      return
    }
    for (index, schedule) in record.spec.schedules.enumerated() {
      let state = record.scheduleStates.indices.contains(index) ? record.scheduleStates[index] : nil
      let isAlone = record.spec.schedules.count == 1
      try add(
        Member(
          schedule: schedule, index: index, job: record.key, createdAt: record.createdAt, state: state,
          nextRunTime: isAlone ? record.nextRunTime : nil),
        after: time, count: count, zones: zones, calendars: calendars)
    }
    finish(count)
  }

  /// Previews schedules that no job has.
  /// - Parameters:
  ///   - namespace: Whose calendars are meant.
  ///   - time: From when; also the time at which a job with them would be created.
  /// - Throws: As above.
  public init(
    of schedules: [Schedule], namespace: String, after time: Timestamp, count: Int, zones: TimeZones,
    calendars: (CalendarKey) -> CompiledCalendar?
  ) throws(FieldError) {
    for (index, schedule) in schedules.enumerated() {
      do throws(FieldError) { try schedule.validate(zones: zones) } catch {
        throw error.inside("schedules[\(index)]")
      }
      if schedule.spreads {
        notes.append("H spreads jobs by their names: a job's own times differ from these")
      }
      let job = JobKey(namespace: namespace, jobID: "preview")
      try add(
        Member(schedule: schedule, index: index, job: job, createdAt: time, state: nil, nextRunTime: nil),
        after: time, count: count, zones: zones, calendars: calendars)
    }
    finish(count)
  }

  // MARK: Schedules

  /// A schedule and what is known of how it stands.
  private struct Member {
    var schedule: Schedule
    var index: Int
    var job: JobKey
    var createdAt: Timestamp
    var state: ScheduleState?
    /// The job's, where no other schedule has a say in it.
    var nextRunTime: Timestamp?
  }

  private mutating func add(
    _ member: Member, after time: Timestamp, count: Int, zones: TimeZones,
    calendars: (CalendarKey) -> CompiledCalendar?
  ) throws(FieldError) {
    let schedule = member.schedule
    let compiled: CompiledSchedule
    do throws(FieldError) {
      compiled = try CompiledSchedule(schedule, job: member.job, createdAt: member.createdAt, zones: zones)
    } catch {
      throw error.inside("schedules[\(member.index)]")
    }
    let excluding = excluded(by: member, calendars)
    let start = max(time, member.state?.decidedThrough ?? time)
    let limit = min(count, runsLeft(of: member, compiled, at: start, excluding) ?? count)
    if case .fixedDelay(let delay) = schedule.rule {
      notes.append(
        "schedule \(member.index): each further run is due \(DurationText.format(milliseconds: delay)) after the end "
          + "of the one before")
      if let next = member.nextRunTime, limit > 0, next > time {
        add(Entry(once: next, member.index))
        return
      }
    }
    guard limit > 0 else { return }
    for occurrence in compiled.preview(after: start, count: limit, excluding: excluding) {
      let due = occurrence.time.adding(milliseconds: compiled.jitter(of: occurrence.time))
      add(Entry(occurrence: occurrence, schedule: member.index, dueTime: occurrence.isSkipped ? nil : due))
    }
  }

  private mutating func excluded(
    by member: Member, _ calendars: (CalendarKey) -> CompiledCalendar?
  ) -> [CompiledCalendar] {
    var excluding: [CompiledCalendar] = []
    for name in member.schedule.calendars {
      if let calendar = calendars(CalendarKey(namespace: member.job.namespace, name: name)) {
        excluding.append(calendar)
      } else {
        notes.append(
          "there is no calendar '\(name)' in namespace '\(member.job.namespace)': it excludes nothing")
      }
    }
    return excluding
  }

  /// How many runs a schedule may still have from an instant on; nil where they are not bounded.
  private mutating func runsLeft(
    of member: Member, _ compiled: CompiledSchedule, at start: Timestamp, _ excluding: [CompiledCalendar]
  ) -> Int? {
    guard let maxRuns = member.schedule.maxRuns else { return nil }
    let left = max(0, maxRuns - (member.state?.runs ?? 0))
    notes.append("schedule \(member.index): \(left) of at most \(maxRuns) runs are left")
    let decided = member.state?.decidedThrough ?? start
    return left - Self.occurrences(compiled, after: decided, through: start, excluding, atMost: left)
  }

  /// How many occurrences there are between two instants, which a bounded number of runs is used up by.
  private static func occurrences(
    _ compiled: CompiledSchedule, after start: Timestamp, through end: Timestamp,
    _ calendars: [CompiledCalendar],
    atMost limit: Int
  ) -> Int {
    var found = 0
    var time = start
    while found < min(limit, LookaheadLimits.occurrencesPassed),
      let next = compiled.next(after: time, excluding: calendars), next <= end
    {
      found += 1
      time = next
    }
    return found
  }

  // MARK: Putting together

  private mutating func add(_ entry: Entry) { entries.append(entry) }

  /// Sorts, makes one of what names the same instant, and cuts after `count` that are due.
  private mutating func finish(_ count: Int) {
    entries.sort { ($0.occurrence.time, $0.schedule) < ($1.occurrence.time, $1.schedule) }
    var merged: [Entry] = []
    var due = 0
    for entry in entries {
      if let due = entry.dueTime, let twin = Self.twin(of: entry, in: merged), let time = merged[twin].dueTime
      {
        merged[twin].occurrence.notes.append("schedule \(entry.schedule) names it too: one run")
        merged[twin].dueTime = min(time, due)
        continue
      }
      guard due < count else { break }
      if entry.dueTime != nil { due += 1 }
      merged.append(entry)
    }
    entries = merged
    if due == 0 { notes.append("nothing is due") }
    var seen = Set<String>()
    notes.removeAll { !seen.insert($0).inserted }
  }

  /// Where the end of `entries` has one that is due at the same instant.
  private static func twin(of entry: Entry, in entries: [Entry]) -> Int? {
    entries.indices.reversed().lazy.prefix { entries[$0].occurrence.time == entry.occurrence.time }
      .first { entries[$0].dueTime != nil }
  }
}

extension JobPreview.Entry {
  /// What the record alone knows of.
  fileprivate init(once time: Timestamp, _ schedule: Int = 0) {
    let local = ZonedText.utc(time)
    self.init(
      occurrence: PreviewedOccurrence(time: time, localTime: local.text, weekday: local.weekday),
      schedule: schedule, dueTime: time)
  }
}

/// An instant as clocks show it.
private enum ZonedText {
  private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

  static func utc(_ time: Timestamp) -> (text: String, weekday: String) {
    let seconds = CivilTime.floorDivide(time.microseconds, by: CivilTime.microsPerSecond).quotient
    let days = Int(CivilTime.floorDivide(seconds, by: CivilTime.secondsPerDay).quotient)
    return (time.rfc3339, weekdays[CivilTime.weekday(days: days)])
  }
}

extension Schedule {
  /// Whether its expression has an `H`, which stands for another value in each job.
  fileprivate var spreads: Bool {
    guard case .cron(let text) = rule else { return false }
    let words = text.uppercased().split { !($0.isLetter || $0.isNumber || $0 == "@") }
    return words.contains("H")
  }
}
