import Testing

@testable import SchedulerCore

@Suite struct CalendarTests {
  private func calendar(
    days: [String] = [], ranges: [(String, String)] = [], cron: [String] = [], zone: String = "UTC"
  ) -> CalendarSpec {
    var spec = CalendarSpec()
    spec.days = days
    spec.ranges = ranges.map { CalendarSpec.Range(from: $0.0, to: $0.1) }
    spec.cron = cron
    spec.timeZone = zone
    return spec
  }

  private func compiled(_ spec: CalendarSpec) throws -> CompiledCalendar {
    try CompiledCalendar(spec, name: "off", zones: Zones.all)
  }

  @Test(
    arguments: [
      // The time, whether it is excluded, and until when.
      ("2026-12-24T22:59:59Z", nil), ("2026-12-24T23:00:00Z", "2026-12-27T23:00:00Z"),
      // A Friday, with the weekend after it; a weekend; New Year's Day before one.
      ("2026-10-30T22:59:59Z", nil), ("2026-10-31T12:00:00Z", "2026-11-01T23:00:00Z"),
      ("2027-12-25T12:00:00Z", "2027-12-26T23:00:00Z"), ("2027-12-31T23:00:00Z", "2028-01-02T23:00:00Z"),
    ] as [(String, String?)])
  func daysAreLocal(time: String, end: String?) throws {
    let off = try compiled(calendar(days: ["2026-12-25", "01-01", "sat", "Sunday"], zone: "Europe/Berlin"))
    #expect(off.excludes(try at(time)) == (end != nil))
    #expect(off.endOfExclusion(at: try at(time))?.rfc3339 == end ?? time)
  }

  @Test func rangesAreInstantsOrLocal() throws {
    let off = try compiled(
      calendar(
        ranges: [
          ("2026-12-24", "2026-12-27"), ("2026-12-26T20:00:00Z", "2026-12-28T00:00:00+01:00"),
          ("2026-06-01T08:00", "2026-06-01T09:30:15"),
        ], zone: "Europe/Berlin"))
    #expect(!off.excludes(try at("2026-12-23T22:59:59.999999Z")))
    #expect(off.excludes(try at("2026-12-23T23:00:00Z")))
    // Two that overlap are left together.
    #expect(off.endOfExclusion(at: try at("2026-12-25T00:00:00Z"))?.rfc3339 == "2026-12-27T23:00:00Z")
    #expect(off.excludes(try at("2026-06-01T07:30:14.999Z")))
    #expect(!off.excludes(try at("2026-06-01T07:30:15Z")))
  }

  @Test func windowsOfFiveFieldsAreWholeMinutes() throws {
    let off = try compiled(calendar(cron: ["* 22-5 * * *", "*/2 30 12 * * *"], zone: "Europe/Berlin"))
    #expect(off.endOfExclusion(at: try at("2026-01-01T21:00:30.5Z"))?.rfc3339 == "2026-01-02T05:00:00Z")
    // The night in which clocks go forward is an hour shorter.
    #expect(off.endOfExclusion(at: try at("2026-03-28T21:00:00Z"))?.rfc3339 == "2026-03-29T04:00:00Z")
    #expect(off.excludes(try at("2026-01-01T11:30:02Z")))
    #expect(!off.excludes(try at("2026-01-01T11:30:01Z")))
    #expect(off.endOfExclusion(at: try at("2026-01-01T11:30:02Z"))?.rfc3339 == "2026-01-01T11:30:03Z")
  }

  @Test func whatNeverEndsHasNoEnd() throws {
    for spec in [
      calendar(cron: ["* * * * *"]), calendar(days: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
      calendar(ranges: [("2020-01-01", "2999-12-31T23:59:59.999999Z")], cron: ["* * 31 12 *"]),
      calendar(cron: ["*/2 * * * * *", "1/2 * * * * *"]),
    ] {
      let off = try compiled(spec)
      #expect(off.endOfExclusion(at: try at("2026-01-01T00:00:00Z")) == nil)
      #expect(
        try cron("0 0 * * *").compiled().next(after: try at("2026-01-01T00:00:00Z"), excluding: [off]) == nil)
    }
    // Excluded again and again, each time anew.
    let noon = try compiled(calendar(cron: ["0 0 12 * * *"]))
    #expect(try cron("0 12 * * *").compiled().next(after: .earliest, excluding: [noon]) == nil)
  }

  @Test func schedulesPassOverCalendars() throws {
    let weekends = try compiled(calendar(days: ["sat", "sun"], zone: "Europe/Berlin"))
    let holidays = try compiled(
      calendar(days: ["2026-11-23"], ranges: [("2026-11-24", "2026-11-25")], zone: "Europe/Berlin"))
    let everySecond = try cron("* * * * * *").compiled()
    let friday = try at("2026-11-20T22:59:59Z")
    #expect(everySecond.next(after: friday, excluding: [weekends])?.rfc3339 == "2026-11-22T23:00:00Z")
    #expect(
      everySecond.next(after: friday, excluding: [weekends, holidays])?.rfc3339 == "2026-11-24T23:00:00Z")
    #expect(everySecond.next(after: friday, excluding: [])?.rfc3339 == "2026-11-20T23:00:00Z")
  }

  /// Against a look at every minute.
  @Test(arguments: 0..<20)
  func equalsLookingAtEveryMinute(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let zone = Zones.names[seed % Zones.names.count]
    let windows = ["* 9-16 * * *", "0-29 */2 * * *", "* * L * ?", "* 22-5 * * FRI-MON", "*/7 2 * * *"]
    let days = ["sat", "mon", "03-29", "10-25", "2026-03-28", "12-30"]
    let spec = calendar(
      days: Array(days.shuffled(using: &random).prefix(seed % 4)),
      ranges: seed % 3 == 0
        ? [("2026-03-27T13:00:00Z", "2026-03-28T04:05:00Z"), ("2026-10-24", "2026-10-24T02:30")] : [],
      cron: Array(windows.shuffled(using: &random).prefix(seed % 3)), zone: zone)
    let off = try compiled(spec)
    let rules = try Zones.all.zone(zone)
    let expressions = try spec.cron.map { try CronExpression(window: $0, job: anyJob) }
    for start in ["2026-03-26T18:00:00Z", "2026-10-22T18:00:00Z"] {
      let first = try at(start).milliseconds / 1_000
      var free: Int64?
      for utc in stride(from: first + 4 * 86_400, to: first, by: -60) {
        let local = utc + rules.offset(rules.index(at: utc))
        let time = Timestamp(milliseconds: utc * 1_000)
        let isExcluded =
          expressions.contains { $0.matches(local) } || spec.days.contains { Self.matches($0, local) }
          || (!spec.ranges.isEmpty && Self.isInRanges(utc, rules))
        #expect(off.excludes(time) == isExcluded, "\(time.rfc3339)")
        if !isExcluded { free = utc }
        if let free {
          #expect(off.endOfExclusion(at: time) == Timestamp(milliseconds: free * 1_000), "\(time.rfc3339)")
        }
      }
    }
  }

  private static func matches(_ day: String, _ local: Int64) -> Bool {
    let text = Timestamp(milliseconds: local * 1_000).rfc3339
    let weekday = (local / 86_400 + 4) % 7
    return text.prefix(10).hasSuffix(day) || (day == "sat" && weekday == 6) || (day == "mon" && weekday == 1)
  }

  private static func isInRanges(_ utc: Int64, _ rules: TimeZoneRules) -> Bool {
    let from = rules.instant(of: 1_792_800_000)
    let to = rules.instant(of: 1_792_800_000 + 9_000)
    return (1_774_616_400..<1_774_670_700).contains(utc) || (from..<to).contains(utc)
  }

  @Test(
    arguments: [
      (#"days[1]"#, ["sat", "someday"], [], []), ("days[0]", ["02-30"], [], []),
      ("days[0]", ["2026-02-29"], [], []),
      ("days[0]", ["1969-12-31"], [], []), ("days[0]", ["+1-01"], [], []),
      ("ranges[0].to", [], [("2026-01-02", "2026-01-01")], []),
      ("ranges[0].to", [], [("2026-01-02", "2026-01-02")], []),
      ("ranges[0].from", [], [("yesterday", "2026-01-01")], []),
      ("ranges[0].to", [], [("2026-01-02", "2026-13-01")], []),
      ("cron[1]", [], [], ["* * * * *", "61 * * * *"]),
    ] as [(String, [String], [(String, String)], [String])])
  func saysWhichEntryIsWrong(field: String, days: [String], ranges: [(String, String)], cron: [String]) throws
  {
    let error = try #require(throws: FieldError.self) {
      try calendar(days: days, ranges: ranges, cron: cron).validate(zones: .utcOnly)
    }
    #expect(error.field == field)
  }

  @Test func boundsHold() throws {
    try calendar(days: ["02-29", "sat", "2999-12-31"]).validate(zones: .utcOnly)
    let tooMany = Array(repeating: "sat", count: SpecLimits.calendarEntries + 1)
    #expect(throws: FieldError.self) { try calendar(days: tooMany).validate(zones: .utcOnly) }
    #expect(throws: FieldError.self) { try calendar(zone: "Mars/Base").validate(zones: .utcOnly) }
  }
}
