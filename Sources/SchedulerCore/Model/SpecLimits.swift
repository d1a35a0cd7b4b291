/// The bounds of what a submission may say. Lengths are bytes of UTF-8, times are milliseconds.
public enum SpecLimits {
  /// The longest user id.
  public static let userIDBytes = 128
  /// The longest idempotency key.
  public static let idempotencyKeyBytes = 128
  /// The arguments and the environment of a task together, each with its terminating NUL. Linux takes
  /// 128 KiB as one string and more in all; this leaves room for what the agent adds.
  public static let argumentBytes = 128 * 1_024
  /// The longest script.
  public static let scriptBytes = 128 * 1_024
  /// The longest path of a working directory: Linux's PATH_MAX.
  public static let pathBytes = 4_096
  /// The longest timeout: a year.
  public static let timeoutMillis: Int64 = 365 * 86_400_000
  /// The longest grace between SIGTERM and SIGKILL: an hour.
  public static let killGraceMillis: Int64 = 3_600_000
  /// The most retries.
  public static let retries = 1_000
  /// The most exit codes, or HTTP statuses, that a filter of failures names; a range counts once.
  public static let filterEntries = 64
  /// The exit codes of failures.
  public static let exitCodes = 1...255
  /// What a filter may call an HTTP status (RFC 9110 section 15).
  public static let httpStatuses = 100...599
  /// The range of the wait for an agent that was lost: a second to 30 days.
  public static let agentLossWaitMillis: ClosedRange<Int64> = 1_000...30 * 86_400_000
  /// The longest wait before a retry that a task may wish for: a day.
  public static let retryAfterMillis: Int64 = 86_400_000
  /// The most entries of a backoff list.
  public static let backoffEntries = 64
  /// The longest wait before a retry: 30 days.
  public static let backoffMillis: Int64 = 30 * 86_400_000
  /// The range of a backoff's multiplier.
  public static let backoffMultiplier = 1.0...100.0
  /// The range of priorities; the highest goes first.
  public static let priority = 1...100
  /// The most constraints.
  public static let constraints = 64
  /// The most values of one constraint.
  public static let constraintValues = 64
  /// The range of a limit on memory. A program of libc alone needs about a mebibyte.
  public static let memoryBytes: ClosedRange<Int64> = (1 << 20)...(1 << 50)
  /// The range of a limit on processes; Linux numbers at most 2^22.
  public static let pids = 1...(1 << 22)
  /// The range of a limit on processors; the kernel's smallest quota is 1 ms of 100 ms.
  public static let cpus = 0.01...4_096.0
  /// The range of what an attempt may be promised of a resource: thousandths are counted.
  public static let resourceAmount = 0.001...1_000_000_000.0
  /// The range of the memory that it may be promised, bytes.
  public static let reservedMemoryBytes: ClosedRange<Int64> = 1...(1 << 50)
  /// The most resources that a job or an agent names besides processors and memory.
  public static let customResources = 16
  /// The most preferences for agents.
  public static let affinities = 16
  /// The range of their weights.
  public static let affinityWeight = -100...100
  /// The range of the weight of a spread.
  public static let spreadWeight = 1...100
  /// The longest text that an agent is chosen by, before its templates are filled in.
  public static let hashKeyBytes = 1_024
  /// The longest pattern that a label is held against.
  public static let patternBytes = 128
  /// The steps that a pattern may have, its repetitions written out.
  public static let patternSteps = 256
  /// Groups inside each other in a pattern.
  public static let patternDepth = 16
  /// The most that a repetition of a pattern may be told to repeat.
  public static let patternRepeats = 64
  /// The longest name of a user or a group: Linux's LOGIN_NAME_MAX.
  public static let userNameBytes = 255
  /// The longest label name.
  public static let labelBytes = 128
  /// The most labels of a job or a calendar.
  public static let labels = 32
  /// The longest label value.
  public static let labelValueBytes = 256
  /// The longest URL.
  public static let urlBytes = 8_192
  /// The most request headers.
  public static let headers = 64
  /// All request headers together.
  public static let headerBytes = 32 * 1_024
  /// The longest request body.
  public static let bodyBytes = 128 * 1_024
  /// The longest payload of a named task.
  public static let payloadBytes = 256 * 1_024
  /// Containers inside each other in a payload: fewer than `JSONLimits.depth`, for records and answers put it
  /// into containers of their own.
  public static let payloadDepth = 48
  /// The whole specification as JSON: etcd takes requests of 1.5 MiB, and a run goes with its job.
  public static let recordBytes = 1 << 20
  /// The most schedules of a job.
  public static let schedules = 32
  /// The most values for templates and the task.
  public static let params = 64
  /// The longest name of one.
  public static let paramNameBytes = 64
  /// All names and values together.
  public static let paramBytes = 32 * 1_024
  /// The longest delay of a submission: ten years.
  public static let delayMillis: Int64 = DurationText.maxMillis
  /// The longest cron expression.
  public static let cronBytes = 256
  /// The longest name of a time zone.
  public static let timeZoneBytes = 64
  /// The range of an interval: a second to ten years.
  public static let intervalMillis: ClosedRange<Int64> = 1_000...DurationText.maxMillis
  /// The longest jitter: a day.
  public static let jitterMillis: Int64 = 86_400_000
  /// The most runs that a schedule may be bounded to.
  public static let scheduleRuns = 1_000_000_000
  /// The most calendars of one schedule.
  public static let scheduleCalendars = 32
  /// The most excluded stretches that one search for an occurrence passes: a few milliseconds.
  public static let excludedPerSearch = 10_000
  /// The most that are passed where nothing can go on later: who only wants to know what comes next.
  public static let excludedInARow = 100_000
  /// The most days, ranges and cron windows of a calendar, each.
  public static let calendarEntries = 1_000
  /// The longest description of a calendar.
  public static let calendarDescriptionBytes = 1_024
  /// The range of how many missed occurrences may be made up for.
  public static let misfireRuns = 1...10_000
  /// The longest age of what is missed, and the longest grace: a year.
  public static let misfireMillis: Int64 = 365 * 86_400_000
  /// The range of how many runs may wait for the end of another.
  public static let overlapQueue = 1...1_000
  /// The longest key of a concurrency group, as a job says it and with its templates filled in.
  public static let groupBytes = 256
  /// The range of how many runs of a group may be with agents at once.
  public static let groupLimit = 1...1_000_000
  /// The range of how many runs of a job may be; 0 for any number.
  public static let maxRunning = 0...1_000_000
  /// The methods of an HTTP task.
  public static let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
}
