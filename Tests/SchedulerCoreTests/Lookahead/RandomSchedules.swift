@testable import SchedulerCore

/// Random jobs with schedules of every kind, of zones with odd clock changes and with calendars.
extension SplitMix {
  mutating func pick<Element>(_ elements: [Element]) -> Element { elements.randomElement(using: &self)! }

  mutating func time(_ range: ClosedRange<Int64>) -> Timestamp {
    Timestamp(microseconds: Int64.random(in: range, using: &self))
  }

  mutating func schedule() -> Schedule {
    let anchor = time(RandomSchedules.month)
    var schedule: Schedule
    switch Int.random(in: 0..<10, using: &self) {
    case 0...4:
      schedule = Schedule(
        .cron(
          pick([
            "*/10 * * * *", "30 2 * * *", "0 */2 * * *", "15,45 1-3 * * *", "*/20 30 * * * *", "0 0 L * *",
            "H H * * *",
            "0 12 * * MON#2", "* * 29 3 *",
          ])))
    case 5:
      schedule = Schedule(
        .fixedRate(everyMillis: pick([1_000, 7_000, 61_000, 3_600_000, 86_400_000])))
    case 6: schedule = Schedule(.frequency(pick([.hourly, .daily, .weekly, .monthly])))
    case 7: schedule = Schedule(.at(anchor))
    case 8: schedule = Schedule(.fixedDelay(delayMillis: 60_000))
    default: schedule = Schedule(.cron("*/5 * * * *"))
    }
    schedule.timeZone = pick([
      "UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
    ])
    if Bool.random(using: &self) { schedule.calendars = [pick(["nights", "sundays", "odd"])] }
    if Int.random(in: 0..<3, using: &self) == 0 { schedule.startTime = anchor }
    if Int.random(in: 0..<4, using: &self) == 0 {
      schedule.endTime = Timestamp(microseconds: RandomSchedules.month.upperBound - 86_400_000_000)
    }
    if Int.random(in: 0..<3, using: &self) == 0 { schedule.jitterMillis = pick([500, 90_000, 7_200_000]) }
    if Int.random(in: 0..<4, using: &self) == 0 { schedule.maxRuns = Int.random(in: 1...200, using: &self) }
    return schedule
  }

  /// A job whose schedules stand somewhere within the month.
  mutating func job() throws -> JobPlan {
    var spec = JobSpec(task: .noop)
    spec.schedules = (0..<Int.random(in: 1...4, using: &self)).map { _ in schedule() }
    // Two instants within one millisecond.
    if Int.random(in: 0..<4, using: &self) == 0 {
      for shift: Int64 in [0, 400] {
        var twin = Schedule(.fixedRate(everyMillis: 600_000))
        twin.startTime = Timestamp(microseconds: RandomSchedules.month.lowerBound + shift)
        spec.schedules.append(twin)
      }
    }
    let key = JobKey(namespace: "default", jobID: "job-\(Int.random(in: 0..<1_000, using: &self))")
    let record = JobRecord(key: key, uid: "u", spec: spec, createdAt: time(RandomSchedules.month))
    let rules = try JobPlan.Rules(record, zones: Zones.all) { RandomSchedules.calendars[$0.name] }
    var started = JobPlan(record, rules).started(at: record.createdAt)
    for index in started.scheduleStates.indices where Bool.random(using: &self) {
      started.scheduleStates[index].decidedThrough = time(RandomSchedules.month)
    }
    return JobPlan(JobPlan(started, rules).refreshed(JobActivity()), rules)
  }
}

enum RandomSchedules {
  /// 2026-03-10 to 2026-04-10, microseconds: clocks change in Europe, in Morocco and on Lord Howe.
  static let month: ClosedRange<Int64> = 1_773_100_800_000_000...1_775_779_200_000_000

  /// Within the month: what is excluded for ever is searched for to the end of time, which is another test's subject.
  static let calendars: [String: CompiledCalendar] = {
    var nights = CalendarSpec()
    nights.timeZone = "Europe/Berlin"
    nights.cron = ["* 1-3 * 3 MON-FRI"]
    var sundays = CalendarSpec()
    sundays.days = ["03-15", "03-22", "2026-03-29", "2026-04-05", "03-27"]
    var odd = CalendarSpec()
    odd.cron = ["*/7 * * * 3 TUE,THU", "1-59/2 * * 3 MON,SUN"]
    let specs = ["nights": nights, "sundays": sundays, "odd": odd]
    return specs.compactMapValues { try? CompiledCalendar($0, name: "any", zones: Zones.all) }
  }()
}
