import SchedulerCore

/// Asks for the next occurrences of a job, or of schedules that no job has.
public struct PreviewRequest: Hashable, Sendable {
  /// The most occurrences in one answer.
  public static let maximumCount = 1_000
  /// How many there are where none is asked for.
  public static let defaultCount = 10

  /// The job's; with `schedules`, the one whose calendars are meant.
  public var namespace: String
  /// The job; nil with `schedules`.
  public var jobID: String?
  /// What to preview instead of a job's own schedules.
  public var schedules: [Schedule]
  /// From when; nil for now.
  public var after: Timestamp?
  /// How many, at most `maximumCount`; 0 for the default.
  public var count: Int

  /// Makes a request.
  public init(
    namespace: String = JobSpec.Defaults.namespace, jobID: String? = nil, schedules: [Schedule] = [],
    after: Timestamp? = nil, count: Int = 0
  ) {
    self.namespace = namespace
    self.jobID = jobID
    self.schedules = schedules
    self.after = after
    self.count = count
  }
}

/// The next occurrences.
public struct PreviewResponse: Hashable, Sendable {
  /// By scheduled time.
  public var occurrences: [OccurrenceView]
  /// What is worth knowing about all of them.
  public var notes: [String]

  /// Makes an answer.
  public init(occurrences: [OccurrenceView], notes: [String] = []) {
    self.occurrences = occurrences
    self.notes = notes
  }
}

/// An occurrence as the API shows it.
public struct OccurrenceView: Hashable, Sendable {
  /// When it is due, jitter not included.
  public var scheduledTime: Timestamp
  /// As clocks in the schedule's zone show it, with the offset.
  public var localTime: String
  /// Which schedule, from 0.
  public var schedule: Int
  /// When the run will be created, jitter included; nil where none will be.
  public var dueTime: Timestamp?
  /// Whether it is left out; the note says why.
  public var skipped: Bool
  /// What daylight-saving time or a calendar does to it; empty when nothing.
  public var note: String

  /// Makes a view.
  public init(
    scheduledTime: Timestamp, localTime: String, schedule: Int = 0, dueTime: Timestamp? = nil,
    skipped: Bool = false, note: String = ""
  ) {
    self.scheduledTime = scheduledTime
    self.localTime = localTime
    self.schedule = schedule
    self.dueTime = dueTime
    self.skipped = skipped
    self.note = note
  }
}

/// Asks how many runs the schedules of all jobs will create in each minute of a range.
public struct ForecastRequest: Hashable, Sendable {
  /// Only this namespace; nil for all.
  public var namespace: String?
  /// From when, rounded down to a minute; nil for now.
  public var from: Timestamp?
  /// To when; nil for an hour later.
  public var to: Timestamp?

  /// Makes a request.
  public init(namespace: String? = nil, from: Timestamp? = nil, to: Timestamp? = nil) {
    self.namespace = namespace
    self.from = from
    self.to = to
  }
}

/// How many runs are to be expected.
public struct ForecastResponse: Hashable, Sendable {
  /// The first minute.
  public var from: Timestamp
  /// Of each minute from `from`.
  public var fires: [Int64]
  /// Their sum.
  public var total: Int64
  /// How many jobs were looked at.
  public var jobs: Int64
  /// Where counting was cut short: only the minutes before this one are complete; nil where it was not.
  public var completeUntil: Timestamp?

  /// Makes an answer.
  public init(
    from: Timestamp, fires: [Int64], total: Int64, jobs: Int64, completeUntil: Timestamp? = nil
  ) {
    self.from = from
    self.fires = fires
    self.total = total
    self.jobs = jobs
    self.completeUntil = completeUntil
  }
}
