import SchedulerCore
import Testing

@Suite struct PreviewTests {
  private func preview(
    _ schedule: Schedule, after: String, count: Int = 3, excluding calendars: [CompiledCalendar] = []
  ) throws -> [String] {
    try schedule.compiled().preview(after: try at(after), count: count, excluding: calendars).map { entry in
      ([entry.isSkipped ? "-" : "+", entry.weekday, entry.localTime] + entry.notes).joined(separator: " ")
    }
  }

  @Test func pointsOutWhatClocksDo() throws {
    let nightly = "30 2 * * *"
    #expect(
      try preview(cron(nightly, "Europe/Berlin"), after: "2026-03-28T00:00:00Z") == [
        "+ Sat 2026-03-28T02:30:00+01:00",
        "+ Sun 2026-03-29T03:00:00+02:00 moved out of the gap: 02:30 does not exist, clocks go forward 02:00 -> 03:00",
        "+ Mon 2026-03-30T02:30:00+02:00",
      ])
    #expect(
      try preview(cron(nightly, "Europe/Berlin", gap: .skip), after: "2026-03-28T12:00:00Z", count: 1) == [
        "- Sun 2026-03-29T03:00:00+02:00 left out: 02:30 does not exist, clocks go forward 02:00 -> 03:00",
        "+ Mon 2026-03-30T02:30:00+02:00",
      ])
    #expect(
      try preview(cron(nightly, "Europe/Berlin", overlap: .both), after: "2026-10-24T12:00:00Z", count: 2)
        == [
          "+ Sun 2026-10-25T02:30:00+02:00 first 02:30 of two: clocks go back 03:00 -> 02:00",
          "+ Sun 2026-10-25T02:30:00+01:00 second 02:30 of two: clocks go back 03:00 -> 02:00",
        ])
    #expect(
      try preview(cron("30 2,3 29 3 *", "Europe/Berlin"), after: "2026-03-28T12:00:00Z", count: 2) == [
        "+ Sun 2026-03-29T03:00:00+02:00 moved out of the gap: 02:30 does not exist, clocks go forward 02:00 -> 03:00",
        "+ Sun 2026-03-29T03:30:00+02:00",
      ])
    #expect(
      try preview(cron("0 2-3 29 3 *", "Europe/Berlin"), after: "2026-03-28T12:00:00Z", count: 1) == [
        "+ Sun 2026-03-29T03:00:00+02:00 also for what is left out: 02:00 does not exist, clocks go forward 02:00 -> 03:00"
      ])
    #expect(
      try preview(cron("0 12 * * *", "Pacific/Apia"), after: "2011-12-30T00:00:00Z", count: 1) == [
        "+ Sat 2011-12-31T00:00:00+14:00 moved out of the gap: 12:00 does not exist, "
          + "clocks go forward 2011-12-30 00:00 -> 2011-12-31 00:00"
      ])
    #expect(
      try preview(cron("0 0 6 1 *", "Africa/Monrovia"), after: "1972-01-01T00:00:00Z", count: 1)
        == ["+ Thu 1972-01-06T00:00:00-00:44:30"])
  }

  @Test func showsWhatCalendarsExclude() throws {
    var spec = CalendarSpec()
    spec.days = ["sat", "sun"]
    let weekends = try CompiledCalendar(spec, name: "weekends", zones: .utcOnly)
    #expect(
      try preview(cron("0 */8 * * *"), after: "2026-11-27T12:00:00Z", count: 2, excluding: [weekends]) == [
        "+ Fri 2026-11-27T16:00:00+00:00",
        "- Sat 2026-11-28T00:00:00+00:00 excluded by the calendar weekends until 2026-11-30T00:00:00+00:00",
        "+ Mon 2026-11-30T00:00:00+00:00",
      ])
    spec.cron = ["* * * * *"]
    let always = try CompiledCalendar(spec, name: "always", zones: .utcOnly)
    #expect(
      try preview(cron("@daily"), after: "2026-11-27T12:00:00Z", excluding: [always])
        == ["- Sat 2026-11-28T00:00:00+00:00 excluded by the calendar always for ever"])
  }

  @Test func isBounded() throws {
    var spec = CalendarSpec()
    spec.cron = ["0 0 12 * * *"]
    let noon = try CompiledCalendar(spec, name: "noon", zones: .utcOnly)
    #expect(
      try preview(cron("0 12 * * *"), after: "2026-01-01T00:00:00Z", count: 5, excluding: [noon]).count == 5)
    #expect(try preview(cron("0 12 * * *"), after: "2026-01-01T00:00:00Z", count: 0) == [])
    #expect(
      try preview(cron("30 2 29 3 *", "Europe/Berlin", gap: .skip), after: "2900-01-01T00:00:00Z", count: 500)
        .count <= 1_000)
  }
}
