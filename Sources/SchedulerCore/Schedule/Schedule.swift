/// One rule for when a job is due. A job may have several: it is due whenever one of them says so, and
/// where two name the same instant it runs once. Lengths of time are milliseconds.
public struct Schedule: Hashable, Sendable {
  /// What the instants are.
  public enum Rule: Hashable, Sendable {
    /// Five fields (minute, hour, day of month, month, day of week), six with seconds in front, or a macro
    /// such as `@daily`; see `CronExpression`.
    case cron(String)
    /// Every so often, whatever the runs take: at `startTime` plus multiples of it, without a start from one
    /// interval after the job's creation.
    case fixedRate(everyMillis: Int64)
    /// So long after the end of the job's last run; for the first time at `startTime`, without one so long
    /// after the job's creation.
    case fixedDelay(delayMillis: Int64)
    /// Each hour, day, week or month at the local time of `startTime`, without one of the job's creation.
    case frequency(Frequency)
    /// Once.
    case at(Timestamp)
  }

  /// Plain repetitions. `once` is no repetition: requests turn it into `Rule.at`.
  public enum Frequency: String, Hashable, Sendable, CaseIterable {
    /// Every 3,600 seconds.
    case hourly
    /// Every day at the same local time.
    case daily
    /// Every week on the same day.
    case weekly
    /// Every month on the same day, in shorter months on their last.
    case monthly
  }

  /// What becomes of a local time that clocks which are put forward skip.
  public enum GapPolicy: String, Hashable, Sendable, CaseIterable {
    /// It is due at the first instant after the gap; once, however many of its times the gap swallows.
    case runAfter = "run_after"
    /// It is left out.
    case skip
  }

  /// What becomes of a local time that clocks which are put back show twice.
  public enum OverlapPolicy: String, Hashable, Sendable, CaseIterable {
    /// It is due the first time.
    case first
    /// It is due the second time.
    case second
    /// It is due both times.
    case both
  }

  /// When it is due.
  public var rule: Rule
  /// The IANA name of the zone whose local time counts.
  public var timeZone = Defaults.timeZone
  /// Nil for the default: `skip` for a cron expression whose hours are `*` or `*/n`, which goes by elapsed
  /// time, otherwise `runAfter`.
  public var dstGap: GapPolicy?
  /// Nil for the default: `both` for a cron expression whose hours are `*` or `*/n`, otherwise `first`.
  public var dstOverlap: OverlapPolicy?
  /// Nothing is due before.
  public var startTime: Timestamp?
  /// Nothing is due after.
  public var endTime: Timestamp?
  /// How many runs it may create; nil for any number.
  public var maxRuns: Int?
  /// Each run is created up to so much later than it is due: a share that depends on the job and the
  /// occurrence alone.
  public var jitterMillis: Int64 = 0
  /// The calendars, of the job's namespace, on whose days nothing is due.
  public var calendars: [String] = []

  /// Makes a schedule with the defaults.
  public init(_ rule: Rule) { self.rule = rule }

  /// What is assumed where a schedule is silent.
  public enum Defaults {
    /// The zone.
    public static let timeZone = "UTC"
  }
}

/// What becomes of occurrences that were missed: while the job was paused, nothing ran, or all was slow.
public struct MisfirePolicy: Hashable, Sendable {
  /// Which of the missed occurrences run.
  public enum Action: String, Hashable, Sendable, CaseIterable {
    /// None.
    case skip
    /// The latest.
    case latest
    /// All, oldest first; of more than `limit` the latest.
    case all
  }

  /// Which run.
  public var action = Action.latest
  /// How many, for `all`.
  public var limit = Defaults.limit
  /// What is older is never run; nil for any age.
  public var withinMillis: Int64?
  /// What is late by no more is not missed: it runs, late.
  public var graceMillis = Defaults.graceMillis

  /// Makes the default policy.
  public init() {}

  /// What is assumed where a policy is silent.
  public enum Defaults {
    /// Runs of `all`.
    public static let limit = 100
    /// A minute, as Quartz's misfire threshold.
    public static let graceMillis: Int64 = 60_000
  }
}

/// What happens when a job is due while a run of it has not ended.
public enum OverlapPolicy: Hashable, Sendable {
  /// They run beside each other.
  case allow
  /// The new one is left out.
  case forbid
  /// The new one waits for its turn; while so many wait, it is left out.
  case queue(limit: Int)
  /// The old ones are cancelled; the new one starts once they have stopped.
  case replace

  /// The limit of a queue that names none.
  public static let defaultQueueLimit = 1

  /// Whether runs of the job may never be with agents at the same time.
  public var isSerial: Bool { self != .allow }
}
