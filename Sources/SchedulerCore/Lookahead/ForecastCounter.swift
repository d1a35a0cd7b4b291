/// Counts how many runs schedules will create in each minute of a range. Jobs are added one by one, so that many can
/// be counted without holding anything up.
///
/// Work is bounded: as soon as more than the budget of fires has been counted, the later half of the range is given
/// up, for the jobs counted before as well as for those to come. So what is told is complete for all jobs.
public struct ForecastCounter: Sendable {
  /// Where the range begins: a whole minute.
  public let from: Timestamp
  /// The fires of each minute, as far as the range has not been cut.
  public private(set) var fires: [Int64]
  /// How many jobs were counted.
  public private(set) var jobs: Int64 = 0
  /// Whether the range has been cut.
  public private(set) var isCut = false
  private let budget: Int64
  private var counted: Int64 = 0

  private static let minute: Int64 = 60_000_000

  /// Makes a counter of a range, whose ends are moved out to whole minutes.
  /// - Parameter budget: How many fires are counted at most, but for those of one minute.
  public init(from: Timestamp, to: Timestamp, budget: Int64 = LookaheadLimits.forecastFires) {
    let first = CivilTime.floorDivide(from.microseconds, by: Self.minute).quotient
    let end = CivilTime.floorDivide(to.microseconds + Self.minute - 1, by: Self.minute).quotient
    self.from = Timestamp(microseconds: first * Self.minute)
    self.budget = budget
    fires = [Int64](
      repeating: 0, count: Int(max(1, min(end - first, Int64(LookaheadLimits.forecastMinutes)))))
  }

  /// The end of what is counted: the first instant after the last minute.
  public var end: Timestamp { Timestamp(microseconds: from.microseconds + Int64(fires.count) * Self.minute) }

  /// Whether a job may create a run before the end of a range, told by what is known without decoding it. The next run
  /// of a job is created before all others.
  public static func mayFire(_ facts: JobFacts, before end: Timestamp) -> Bool {
    facts.due.map { $0 < end } ?? false
  }

  /// Adds jobs that create nothing in the range.
  public mutating func addIdleJobs(_ count: Int) { jobs += Int64(count) }

  /// Adds a job. One that is paused or cancelled creates nothing.
  /// - Parameter rules: Those of the record.
  public mutating func add(_ record: JobRecord, _ rules: JobPlan.Rules) {
    jobs += 1
    guard record.pausedAt == nil, record.cancelRequestedAt == nil else { return }
    // Without schedules, or where runs decide, the record knows the next one, and nobody those after it.
    guard rules.rules.contains(where: { !$0.isFixedDelay }) else {
      if let time = record.nextRunTime { count(time) }
      return
    }
    addOccurrences(of: record, rules.rules)
  }

  private mutating func addOccurrences(of record: JobRecord, _ rules: [ReadyRule]) {
    var states = rules.indices.map { index in
      record.scheduleStates.indices.contains(index)
        ? record.scheduleStates[index] : ScheduleState(decidedThrough: record.createdAt)
    }
    for index in rules.indices where record.spec.schedules[index].maxRuns == nil {
      // What is created in the range may have been due before, by its jitter.
      let start = from.adding(milliseconds: -rules[index].jitterMillis).earlier
      states[index].decidedThrough = max(states[index].decidedThrough, start)
    }
    var heads = rules.indices.map { rules[$0].undecided(states[$0], before: end) }
    // A schedule's occurrences are decided in order: one whose jitter is shorter waits for those before it.
    var decidedBy = rules.indices.map { _ in Timestamp.earliest }
    var passed = 0
    while let time = heads.lazy.compactMap(\.self).min(), time < end,
      passed < LookaheadLimits.occurrencesPassed
    {
      let naming = heads.indices.filter { heads[$0] == time }
      let creation =
        naming.map { max(decidedBy[$0], time.adding(milliseconds: rules[$0].jitter(of: time))) }.min() ?? time
      if creation < from { passed += 1 } else { count(creation) }
      for index in naming {
        decidedBy[index] = creation
        states[index].decidedThrough = time
        states[index].runs += 1
        heads[index] =
          rules[index].isFixedDelay ? nil : rules[index].undecided(states[index], before: end)
      }
    }
  }

  private mutating func count(_ time: Timestamp) {
    guard time >= from, time < end else { return }
    fires[Int((time.microseconds - from.microseconds) / Self.minute)] += 1
    counted += 1
    while counted > budget, fires.count > 1 {
      fires.removeLast(fires.count / 2)
      counted = fires.reduce(0, +)
      isCut = true
    }
  }
}
