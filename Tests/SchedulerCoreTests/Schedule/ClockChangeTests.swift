import SchedulerCore
import Testing

/// Cases made by hand: where clocks change, and what has to be due then.
@Suite struct ClockChangeTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var cron: String
    var zone: String
    var gap: Schedule.GapPolicy?
    var overlap: Schedule.OverlapPolicy?
    var after: String
    var due: [String]

    init(
      _ cron: String, _ zone: String, gap: Schedule.GapPolicy? = nil, overlap: Schedule.OverlapPolicy? = nil,
      after: String, _ due: [String]
    ) {
      (self.cron, self.zone, self.gap, self.overlap) = (cron, zone, gap, overlap)
      (self.after, self.due) = (after, due)
    }

    var testDescription: String { "\(cron) in \(zone) after \(after)" }
  }

  static let cases = [
    // Berlin, 2026-03-29: 02:00 -> 03:00.
    Case(
      "30 2 * * *", "Europe/Berlin", after: "2026-03-28T00:00:00Z",
      ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
    Case(
      "30 2 * * *", "Europe/Berlin", gap: .skip, after: "2026-03-28T00:00:00Z",
      ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]),
    // Many times in the gap, and the time after it, are one.
    Case(
      "*/5 2-3 29 3 *", "Europe/Berlin", after: "2026-03-29T00:00:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-29T01:05:00Z"]),
    // Hours that are `*` go by elapsed time.
    Case(
      "30 * * * *", "Europe/Berlin", after: "2026-03-29T00:00:00Z",
      ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]),
    Case(
      "0 */2 * * *", "Europe/Berlin", after: "2026-03-28T23:00:00Z",
      ["2026-03-29T02:00:00Z", "2026-03-29T04:00:00Z"]),
    Case(
      "30 * * * *", "Europe/Berlin", gap: .runAfter, after: "2026-03-29T00:00:00Z",
      ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]),
    // Berlin, 2026-10-25: 03:00 -> 02:00.
    Case(
      "30 2 * * *", "Europe/Berlin", after: "2026-10-24T12:00:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
    Case(
      "30 2 * * *", "Europe/Berlin", overlap: .second, after: "2026-10-24T12:00:00Z",
      ["2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]),
    Case(
      "30 2 * * *", "Europe/Berlin", overlap: .both, after: "2026-10-24T12:00:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]),
    Case(
      "*/30 * * * *", "Europe/Berlin", after: "2026-10-25T00:00:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"]),
    // Half an hour.
    Case(
      "15 2 * * *", "Australia/Lord_Howe", after: "2026-10-03T00:00:00Z",
      ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]),
    Case(
      "45 1 * * *", "Australia/Lord_Howe", overlap: .both, after: "2026-04-04T00:00:00Z",
      ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-05T15:15:00Z"]),
    // Two hours, both of them in the expression.
    Case(
      "30 1-2 * * *", "Antarctica/Troll", after: "2026-03-28T12:00:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-29T23:30:00Z"]),
    Case(
      "30 2 * * *", "Antarctica/Troll", overlap: .both, after: "2026-10-25T00:00:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"]),
    // Standard time in summer, for Ramadan: negative daylight-saving time.
    Case(
      "30 2 * * *", "Africa/Casablanca", overlap: .both, after: "2026-02-14T12:00:00Z",
      ["2026-02-15T01:30:00Z", "2026-02-15T02:30:00Z"]),
    Case(
      "30 2 * * *", "Africa/Casablanca", after: "2026-03-21T12:00:00Z",
      ["2026-03-22T02:00:00Z", "2026-03-23T01:30:00Z"]),
    Case(
      "30 1 * * *", "Europe/Dublin", overlap: .both, after: "2026-10-24T12:00:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
    // Whole days that do not exist: 2011-12-30, 1993-08-21.
    Case(
      "0 12 * * *", "Pacific/Apia", after: "2011-12-29T00:00:00Z",
      ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"]),
    Case(
      "0 12 * * *", "Pacific/Apia", gap: .skip, after: "2011-12-29T00:00:00Z",
      ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]),
    Case(
      "*/5 9-17 30 12 *", "Pacific/Apia", after: "2011-12-29T00:00:00Z",
      ["2011-12-30T10:00:00Z", "2012-12-29T19:00:00Z"]),
    Case(
      "0 9 21 8 *", "Pacific/Kwajalein", after: "1993-08-01T00:00:00Z",
      ["1993-08-21T12:00:00Z", "1994-08-20T21:00:00Z"]),
    // An offset with seconds: -00:44:30 until 1972-01-07.
    Case(
      "20 0 7 1 *", "Africa/Monrovia", after: "1972-01-01T00:00:00Z",
      ["1972-01-07T00:44:30Z", "1973-01-07T00:20:00Z"]),
    Case("0 0 6 1 *", "Africa/Monrovia", after: "1972-01-01T00:00:00Z", ["1972-01-06T00:44:30Z"]),
    // Midnight does not exist.
    Case(
      "0 0 * * *", "America/Santiago", after: "2026-09-05T00:00:00Z",
      ["2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]),
    // Far beyond the table, by the rule in the file's end.
    Case(
      "30 2 * 3 SUNL", "Europe/Berlin", after: "2899-01-01T00:00:00Z",
      ["2899-03-29T01:00:00Z", "2900-03-28T01:00:00Z"]),
    Case(
      "30 2 * * SUN", "America/New_York", after: "2998-03-01T00:00:00Z",
      ["2998-03-04T07:30:00Z", "2998-03-11T07:00:00Z", "2998-03-18T06:30:00Z"]),
    // A rule with 50 hours: `M3.4.4/50` is the Saturday after.
    Case(
      "0 0 26-27 3 *", "Asia/Gaza", after: "2050-01-01T00:00:00Z",
      ["2050-03-25T22:00:00Z", "2050-03-26T21:00:00Z"]),
  ]

  @Test(arguments: cases)
  func isDue(_ test: Case) throws {
    let schedule = cron(test.cron, test.zone, gap: test.gap, overlap: test.overlap)
    #expect(try schedule.upcoming(test.due.count, after: test.after) == test.due)
    // The same from behind.
    let compiled = try schedule.compiled()
    var time = try at(try #require(test.due.last))
    for due in test.due.reversed() {
      let last = try #require(compiled.last(notAfter: time))
      #expect(last.rfc3339 == due)
      time = Timestamp(microseconds: last.microseconds - 1)
    }
  }

  @Test func knowsZonesByNameAlone() throws {
    #expect(Zones.all.unreadable.isEmpty)
    #expect(Zones.all.names.contains("Europe/Berlin"))
    for (name, meant) in [
      ("Europe/Berln", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("Berlin", "Europe/Berlin"),
      ("New York", "America/New_York"), ("utc", "UTC"),
    ] {
      let error = try #require(throws: FieldError.self) { try Zones.all.zone(name) }
      #expect(error.field == "time_zone")
      #expect(error.message.contains("did you mean \(meant)?"))
    }
    for name in [
      "", "../../etc/passwd", "/etc/localtime", "Mars/Olympus_Mons", String(repeating: "x", count: 1 << 20),
    ] {
      let error = try #require(throws: FieldError.self) { try Zones.all.zone(name) }
      #expect(error.message.contains("such as Europe/Berlin"))
    }
    #expect(try TimeZones.utcOnly.zone("UTC").name == "UTC")
  }
}
