import SchedulerCore
import Testing

@Suite struct JobPreviewTests {
  private static let now = Timestamp(microseconds: 1_800_000_000_000_000)  // 2027-01-15T08:00:00Z, a Friday
  private static let minute: Int64 = 60_000

  private func record(_ schedules: [Schedule]) -> JobRecord {
    var spec = JobSpec(task: .noop)
    spec.schedules = schedules
    var record = JobRecord(
      key: JobKey(namespace: "default", jobID: "job"), uid: "u", spec: spec, createdAt: Self.now)
    record.scheduleStates = schedules.map { _ in ScheduleState(decidedThrough: Self.now) }
    return record
  }

  private func preview(_ record: JobRecord, after: Timestamp = now, count: Int = 3) throws -> JobPreview {
    try JobPreview(of: record, after: after, count: count, zones: .utcOnly) { _ in nil }
  }

  private func minutes(_ preview: JobPreview) -> [Int64] {
    preview.entries.map { ($0.occurrence.time.milliseconds - Self.now.milliseconds) / Self.minute }
  }

  @Test func schedulesAreMerged() throws {
    let preview = try preview(
      record([Schedule(.cron("*/10 * * * *")), Schedule(.cron("*/15 * * * *"))]), count: 5)
    #expect(minutes(preview) == [10, 15, 20, 30, 40])
    #expect(preview.entries.map(\.schedule) == [0, 1, 0, 0, 0])
    #expect(preview.entries[3].occurrence.notes == ["schedule 1 names it too: one run"])
  }

  @Test func whatHasBeenDecidedIsLeftOut() throws {
    var job = record([Schedule(.cron("* * * * *"))])
    // The next one was skipped on request.
    job.scheduleStates[0].decidedThrough = Self.now.adding(milliseconds: Self.minute)
    #expect(minutes(try preview(job, count: 2)) == [2, 3])
  }

  @Test func runsThatAreLeftBoundIt() throws {
    var schedule = Schedule(.cron("* * * * *"))
    schedule.maxRuns = 8
    var job = record([schedule])
    job.scheduleStates[0].runs = 3
    let all = try preview(job, count: 10)
    #expect(minutes(all) == [1, 2, 3, 4, 5])
    #expect(all.notes == ["schedule 0: 5 of at most 8 runs are left"])
    let later = try preview(job, after: Self.now.adding(milliseconds: 3 * Self.minute), count: 10)
    #expect(minutes(later) == [4, 5])
    job.scheduleStates[0].runs = 8
    #expect(try preview(job).notes.last == "nothing is due")
  }

  @Test func pauseAndCancellationAreTold() throws {
    var job = record([Schedule(.cron("* * * * *"))])
    job.pausedAt = Self.now
    job.pauseNote = "maintenance"
    let paused = try preview(job)
    #expect(paused.entries.count == 3)
    #expect(paused.notes[0].hasPrefix("the job is paused since 2027-01-15T08:00:00Z (maintenance)"))
    job.cancelRequestedAt = Self.now
    let cancelled = try preview(job)
    #expect(cancelled.entries.isEmpty)
    #expect(cancelled.notes == ["the job is cancelled: it will not run again"])
  }

  @Test func jobsWithoutSchedulesHaveOne() throws {
    var job = record([])
    job.nextRunTime = Self.now.adding(milliseconds: 7 * Self.minute)
    let preview = try preview(job)
    #expect(minutes(preview) == [7])
    #expect(preview.entries[0].occurrence.weekday == "Fri")
  }

  @Test func aFixedDelayKnowsItsNextRunOnly() throws {
    var job = record([Schedule(.fixedDelay(delayMillis: 5 * Self.minute))])
    job.nextRunTime = Self.now.adding(milliseconds: 2 * Self.minute)
    let preview = try preview(job)
    #expect(minutes(preview) == [2])
    #expect(preview.notes == ["schedule 0: each further run is due 5m after the end of the one before"])
  }

  @Test func jitterMovesTheDueTimeOnly() throws {
    var schedule = Schedule(.cron("* * * * *"))
    schedule.jitterMillis = 30_000
    let preview = try preview(record([schedule]), count: 50)
    for (index, entry) in preview.entries.enumerated() {
      let due = try #require(entry.dueTime)
      #expect(entry.occurrence.time == Self.now.adding(milliseconds: Int64(index + 1) * Self.minute))
      #expect((0...30_000).contains(due.milliseconds - entry.occurrence.time.milliseconds))
    }
    #expect(preview.entries.contains { $0.dueTime != $0.occurrence.time })
  }

  @Test func missingCalendarsAndSpreadAreTold() throws {
    var schedule = Schedule(.cron("H * * * *"))
    schedule.calendars = ["holidays"]
    let preview = try JobPreview(
      of: [schedule], namespace: "default", after: Self.now, count: 1, zones: .utcOnly
    ) { _ in nil }
    #expect(preview.notes.contains { $0.hasPrefix("H spreads jobs") })
    #expect(preview.notes.contains { $0.hasPrefix("there is no calendar 'holidays'") })
    let march = try JobPreview(
      of: [Schedule(.cron("0 0 * MAR THU"))], namespace: "default", after: Self.now, count: 1, zones: .utcOnly
    ) { _ in nil }
    #expect(march.notes.isEmpty)
  }

  @Test func errorsNameTheSchedule() {
    #expect {
      try JobPreview(
        of: [Schedule(.cron("@daily")), Schedule(.cron("61 * * * *"))], namespace: "default", after: Self.now,
        count: 1, zones: .utcOnly
      ) { _ in nil }
    } throws: { error in
      (error as? FieldError)?.field == "schedules[1].cron"
    }
  }

  @Test func anOccurrenceSequenceHasEachInstantOfTheRangeOnce() throws {
    let job = record([Schedule(.cron("*/10 * * * *")), Schedule(.cron("*/15 * * * *"))])
    let rules = try JobPlan.Rules(job, zones: .utcOnly) { _ in nil }
    let end = Self.now.adding(milliseconds: 60 * Self.minute)
    let times = Array(OccurrenceSequence(rules, from: Self.now, through: end))
    #expect(
      times.map { ($0.milliseconds - Self.now.milliseconds) / Self.minute } == [
        0, 10, 15, 20, 30, 40, 45, 50, 60,
      ])
  }
}
