import ArgumentParser
import SchedulerCore

/// The flags that say when a job runs. Those that several schedules can share hold for all that are given.
struct ScheduleOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      """
      When it runs again and again: 5 fields, 6 with seconds in front, or a macro such as @daily. Several make \
      several schedules.
      """, valueName: "expression"))
  var cron: [String] = []

  @Option(help: ArgumentHelp("Again and again, so often.", valueName: "time"))
  var every: DurationArgument?

  @Option(help: ArgumentHelp("Again and again, so long after the end of the last run.", valueName: "time"))
  var fixedDelay: DurationArgument?

  @Option(help: "once, hourly, daily, weekly or monthly, at the local time of --at.")
  var frequency: FrequencyArgument?

  @Option(
    help: ArgumentHelp(
      "When to run it, as 2026-12-24T18:00:00Z, or for the first time with --frequency; at once when not given.",
      valueName: "time"))
  var at: String?

  @Option(help: ArgumentHelp("Run it once, so long from now.", valueName: "time"))
  var delay: DurationArgument?

  @Option(
    help: ArgumentHelp(
      "The time zone of the schedules, as Europe/Berlin; UTC when not given.", valueName: "zone"))
  var tz: String?

  @Option(help: ArgumentHelp("Nothing is due before, as 2026-12-24T18:00:00Z.", valueName: "time"))
  var start: String?

  @Option(help: ArgumentHelp("Nothing is due after.", valueName: "time"))
  var end: String?

  @Option(help: ArgumentHelp("How many runs each schedule may create.", valueName: "count"))
  var maxRuns: Int?

  @Option(help: ArgumentHelp("Create each run up to so much later than it is due.", valueName: "time"))
  var jitter: DurationArgument?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A calendar whose time is excluded; may be given several times.", valueName: "name"))
  var calendar: [String] = []

  @Option(
    help: ArgumentHelp(
      "What becomes of a local time that does not exist: run_after or skip.", valueName: "policy"))
  var dstGap: GapArgument?

  @Option(
    help: ArgumentHelp(
      "What becomes of a local time that comes twice: first, second or both.", valueName: "policy"))
  var dstOverlap: DSTOverlapArgument?

  @Option(
    help: ArgumentHelp(
      "What becomes of missed occurrences: skip, latest (when not given), all, or all:10 for at most 10.",
      valueName: "policy"))
  var misfire: String?

  @Option(help: ArgumentHelp("Missed occurrences that are older never run.", valueName: "time"))
  var misfireWithin: DurationArgument?

  @Option(
    help: ArgumentHelp(
      "What is late by no more is not missed, it runs late; 1m when not given.", valueName: "time"))
  var misfireGrace: DurationArgument?

  @Option(
    help: ArgumentHelp(
      """
      What happens when it is due while a run of it has not ended: allow (when not given), forbid, queue, queue:3 for \
      at most 3, or replace.
      """, valueName: "policy"))
  var overlap: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A value for templates and the task (ROTA_PARAM_NAME); may be given several times.",
      valueName: "name=value"))
  var param: [PairArgument] = []

  /// Changes what is given.
  func apply(to spec: inout JobSpec) throws {
    let rules = try rules()
    try check(rules)
    if !rules.isEmpty {
      spec.schedules = try rules.map(schedule)
      spec.executionTime = nil
    } else if let at {
      spec.executionTime = try Self.time("--at", at)
      spec.schedules = []
    }
    if let misfire { try Self.read(misfire: misfire, into: &spec.misfire) }
    if let misfireWithin { spec.misfire.withinMillis = misfireWithin.millis }
    if let misfireGrace { spec.misfire.graceMillis = misfireGrace.millis }
    if let overlap { spec.overlap = try Self.overlap(overlap) }
    if !param.isEmpty { spec.params = param.dictionary }
  }

  // MARK: Schedules

  private func rules() throws -> [Schedule.Rule] {
    var rules = cron.map { Schedule.Rule.cron($0) }
    if let every { rules.append(.fixedRate(everyMillis: every.millis)) }
    if let fixedDelay { rules.append(.fixedDelay(delayMillis: fixedDelay.millis)) }
    if let frequency = frequency?.frequency { rules.append(.frequency(frequency)) }
    return rules
  }

  private func check(_ rules: [Schedule.Rule]) throws {
    guard rules.isEmpty || delay == nil else {
      throw ValidationError("--delay is for a job that runs once; schedules have --start")
    }
    guard at == nil || delay == nil else { throw ValidationError("give only one of --at and --delay") }
    guard maxRuns.map({ $0 > 0 }) ?? true else { throw ValidationError("--max-runs has to be 1 or more") }
    let isRepeated = frequency?.frequency != nil
    guard rules.count <= (isRepeated ? 1 : 0) || at == nil else {
      throw ValidationError("--at is for a job that runs once, or for --frequency; schedules have --start")
    }
    guard at == nil || start == nil else { throw ValidationError("give only one of --at and --start") }
    guard rules.isEmpty else { return }
    let lonely: [(flag: String, isGiven: Bool)] = [
      ("--tz", tz != nil), ("--start", start != nil), ("--end", end != nil), ("--max-runs", maxRuns != nil),
      ("--jitter", jitter != nil), ("--calendar", !calendar.isEmpty), ("--dst-gap", dstGap != nil),
      ("--dst-overlap", dstOverlap != nil),
    ]
    if let flag = lonely.first(where: \.isGiven)?.flag {
      throw ValidationError("\(flag) goes with --cron, --every, --fixed-delay or --frequency")
    }
  }

  private func schedule(_ rule: Schedule.Rule) throws -> Schedule {
    var schedule = Schedule(rule)
    if let tz { schedule.timeZone = tz }
    schedule.dstGap = dstGap?.policy
    schedule.dstOverlap = dstOverlap?.policy
    if let at { schedule.startTime = try Self.time("--at", at) }
    if let start { schedule.startTime = try Self.time("--start", start) }
    if let end { schedule.endTime = try Self.time("--end", end) }
    schedule.maxRuns = maxRuns
    schedule.jitterMillis = jitter?.millis ?? 0
    schedule.calendars = calendar
    return schedule
  }

  // MARK: Texts

  private static func time(_ flag: String, _ text: String) throws -> Timestamp {
    try SpecOptions.reading(flag) { try Timestamp(rfc3339: text) }
  }

  /// A word, and behind a colon a number.
  private static func wordAndNumber(_ flag: String, _ text: String) throws -> (word: String, number: Int?) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return (text, nil) }
    guard let number = Int(parts[1]) else {
      throw ValidationError("\(flag) '\(text)': a number was expected behind the colon")
    }
    return (String(parts[0]), number)
  }

  private static func read(misfire text: String, into policy: inout MisfirePolicy) throws {
    let (word, number) = try wordAndNumber("--misfire", text)
    guard let action = MisfirePolicy.Action(rawValue: word) else {
      throw ValidationError("--misfire '\(word)': skip, latest, all or all:NUMBER was expected")
    }
    guard number == nil || action == .all else {
      throw ValidationError("--misfire '\(text)': a number goes with all")
    }
    policy.action = action
    policy.limit = number ?? MisfirePolicy.Defaults.limit
  }

  private static func overlap(_ text: String) throws -> OverlapPolicy {
    let (word, number) = try wordAndNumber("--overlap", text)
    do throws(FieldError) { return try OverlapPolicy(word: word, limit: number) } catch {
      throw ValidationError("--overlap '\(text)': \(error.message)")
    }
  }
}

/// `--frequency`.
enum FrequencyArgument: String, ExpressibleByArgument, CaseIterable {
  case once, hourly, daily, weekly, monthly

  /// Nil for `once`, which is no repetition.
  var frequency: Schedule.Frequency? {
    switch self {
    case .once: nil
    case .hourly: .hourly
    case .daily: .daily
    case .weekly: .weekly
    case .monthly: .monthly
    }
  }
}

/// `--dst-gap`.
enum GapArgument: String, ExpressibleByArgument, CaseIterable {
  case runAfter = "run_after"
  case skip

  var policy: Schedule.GapPolicy { self == .runAfter ? .runAfter : .skip }
}

/// `--dst-overlap`.
enum DSTOverlapArgument: String, ExpressibleByArgument, CaseIterable {
  case first, second, both

  var policy: Schedule.OverlapPolicy {
    switch self {
    case .first: .first
    case .second: .second
    case .both: .both
    }
  }
}
