import Testing

@testable import SchedulerCore

/// Calendars that exclude more in a row than one search passes.
struct ExclusionTests {
  private static let calendar = CalendarKey(namespace: "default", name: "closed")

  /// A job that is due every 20 seconds from a Monday on, but not on working days: 21,600 exclusions in a row.
  private static func plan(_ record: JobRecord? = nil) throws -> JobPlan {
    var closed = CalendarSpec()
    closed.cron = ["*/20 * * * * MON-FRI"]
    let calendar = try CompiledCalendar(closed, name: calendar.name, zones: .utcOnly)
    var spec = JobSpec(task: .noop)
    spec.schedules = [cron("*/20 * * * * *")]
    spec.schedules[0].calendars = [calendar.name]
    let monday = try at("2026-11-23T00:00:00Z")
    let record = record ?? JobRecord(key: anyJob, uid: "u", spec: spec, createdAt: monday)
    return try JobPlan(record, zones: .utcOnly) { $0 == Self.calendar ? calendar : nil }
  }

  @Test func theSearchGoesOnWhereItStopped() throws {
    let saturday = try at("2026-11-28T00:00:00Z")
    let monday = try at("2026-11-23T00:00:00Z")
    var record = try Self.plan().started(at: monday)
    var stops: [Timestamp] = []
    while let stop = record.nextRunTime, stop < saturday, stops.count < 5 {
      let before = try Self.plan(record).decide(at: stop.earlier, JobActivity()) { _ in false }
      #expect(stop > monday && before == nil)
      stops.append(stop)
      let decision = try #require(
        try Self.plan(record).decide(at: stop, JobActivity()) { _ in false })
      #expect(decision.runs.isEmpty && decision.skipped.isEmpty)
      record = decision.record
    }
    #expect(stops.count == 2 && stops == stops.sorted())
    #expect(record.nextRunTime == saturday)
    let decision = try #require(
      try Self.plan(record).decide(at: saturday, JobActivity()) { _ in false })
    #expect(decision.runs.map(\.scheduledTime) == [saturday])
  }

  /// What was missed is found behind whatever was excluded.
  @Test func anOutageEndsInTheSameOccurrences() throws {
    var record = try Self.plan().started(at: try at("2026-11-23T00:00:00Z"))
    var runs: [Timestamp] = []
    for _ in 0..<10 {
      guard
        let decision = try Self.plan(record).decide(
          at: try at("2026-12-02T00:00:00Z"), JobActivity(), exists: { _ in false })
      else { break }
      runs += decision.runs.map(\.scheduledTime)
      record = decision.record
    }
    #expect(runs == [try at("2026-11-29T23:59:40Z")])
  }

  @Test func rangesAreSearchedToTheirEnds() throws {
    let rule = try #require(try Self.plan().rules.rules.first)
    let monday = try at("2026-11-23T00:00:00Z")
    let saturday = try at("2026-11-28T00:00:00Z")
    #expect(rule.occurrence(after: monday, through: saturday.earlier) == nil)
    #expect(rule.occurrence(after: monday, through: saturday) == saturday)
    #expect(
      rule.lastOccurrence(before: try at("2026-12-04T00:00:00Z"), after: monday)
        == (try at("2026-11-29T23:59:40Z")))
    let week = OccurrenceSequence(
      try Self.plan().rules, from: monday, through: saturday.adding(milliseconds: 40_000))
    #expect(Array(week) == [0, 20, 40].map { saturday.adding(milliseconds: $0 * 1_000) })
  }
}
