import Testing

@testable import SchedulerCore

/// What a dry run says is what the owner of the segment does.
@Suite struct BackfillOutlookTests {
  /// A backfill of a random range, long or short, with at most so many occurrences.
  private static func backfill(_ plan: JobPlan, _ random: inout SplitMix) -> BackfillRecord {
    var backfill = range(of: plan, &random)
    if let last = outlook(backfill, plan, limit: most).limitReached {
      if backfill.order == .oldestFirst { backfill.to = last } else { backfill.from = last }
    }
    return backfill
  }

  private static let most = 150

  private static func range(of plan: JobPlan, _ random: inout SplitMix) -> BackfillRecord {
    let from = random.time(RandomSchedules.month)
    let span: Int64 = random.pick([0, 1_000, 3_600_000_000, 86_400_000_000, 5 * 86_400_000_000])
    return BackfillRecord(
      key: BackfillKey(job: plan.record.key, backfillID: "b"), from: from,
      to: Timestamp(microseconds: min(from.microseconds + span, RandomSchedules.month.upperBound)),
      order: random.pick(BackfillRecord.Order.allCases), parallelism: 1, createdAt: from)
  }

  private static func outlook(
    _ backfill: BackfillRecord, _ plan: JobPlan, piece: Int = 100, limit: Int = .max, runs: Set<String> = []
  ) -> BackfillOutlook {
    var outlook = BackfillOutlook(of: backfill, plan, previewCount: .max, limit: limit)
    while outlook.look(most: piece, exists: runs.contains) {}
    return outlook
  }

  @Test(arguments: 0..<200) func anOwnerDoesWhatADryRunSays(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let plan = try random.job()
    var backfill = Self.backfill(plan, &random)
    let all = Self.outlook(backfill, plan)
    var runs = Set(
      all.preview.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }.map { runID(for: $0) })
    let piece = random.pick([1, 3, 1_000])
    let told = Self.outlook(backfill, plan, piece: piece, runs: runs)
    var created: [Timestamp] = []
    var steps = 0
    while backfill.state == .running {
      var step = BackfillStep(backfill, plan, now: backfill.createdAt)
      step.run(most: Int.random(in: 1...FiringLimits.runsPerProposal, using: &random), exists: runs.contains)
      backfill = step.record
      created += step.runs.map(\.scheduledTime)
      runs.formUnion(step.runs.map(\.key.runID))
      steps += 1
      try #require(steps < 100_000)
    }
    #expect(backfill.state == .completed)
    #expect(created == told.preview)
    #expect(backfill.created == told.preview.count && backfill.existing == told.existing)
    #expect(backfill.created + backfill.existing == told.occurrences)
    #expect(told.occurrences == all.occurrences && told.limitReached == nil)
    // Afterwards there is nothing left to do.
    backfill.position = nil
    let again = Self.outlook(backfill, plan, runs: runs)
    #expect(again.existing == told.occurrences && again.preview.isEmpty && again.decided == 0)
  }

  @Test(arguments: 0..<200) func backwardsIsTheReverseOfForwards(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let plan = try random.job()
    let backfill = Self.backfill(plan, &random)
    func times(_ order: BackfillRecord.Order) -> [Timestamp] {
      Array(OccurrenceSequence(plan.rules, from: backfill.from, through: backfill.to, order: order))
    }
    let forwards = times(.oldestFirst)
    #expect(times(.newestFirst) == forwards.reversed())
    #expect(forwards == Array(Set(forwards)).sorted())
    #expect(forwards.allSatisfy { $0 >= backfill.from && $0 <= backfill.to })
  }

  @Test(arguments: BackfillRecord.Order.allCases) func aLongRangeIsGivenUpAtTheLimit(
    order: BackfillRecord.Order
  ) throws {
    var spec = JobSpec(task: .noop)
    spec.schedules = [Schedule(.cron("* * * * * *"))]
    let start = Timestamp(microseconds: RandomSchedules.month.lowerBound)
    let record = JobRecord(key: anyJob, uid: "u", spec: spec, createdAt: start)
    let plan = try JobPlan(record, zones: .utcOnly) { _ in nil }
    // Fifty years of seconds.
    let end = start.adding(milliseconds: 50 * 365 * 86_400_000)
    let backfill = BackfillRecord(
      key: BackfillKey(job: anyJob, backfillID: "b"), from: start, to: end, order: order, parallelism: 1,
      createdAt: end)
    let found = Self.outlook(backfill, plan, limit: 1_000)
    #expect(found.occurrences == 1_000)
    let last =
      order == .oldestFirst ? start.adding(milliseconds: 999_000) : end.adding(milliseconds: -999_000)
    #expect(found.limitReached == last)
    var exact = backfill
    (exact.from, exact.to) = order == .oldestFirst ? (start, last) : (last, end)
    #expect(Self.outlook(exact, plan, limit: 1_000).limitReached == nil)
  }

  @Test func whatWasDecidedBeforeIsTold() throws {
    var spec = JobSpec(task: .noop)
    spec.schedules = [Schedule(.cron("0 * * * *"))]
    let start = try at("2026-03-10T00:00:00Z")
    var record = JobRecord(
      key: anyJob, uid: "u", spec: spec, createdAt: try at("2026-03-10T02:30:00Z"))
    record.scheduleStates = [ScheduleState(decidedThrough: try at("2026-03-10T06:00:00Z"))]
    let plan = try JobPlan(record, zones: .utcOnly) { _ in nil }
    let backfill = BackfillRecord(
      key: BackfillKey(job: anyJob, backfillID: "b"), from: start, to: try at("2026-03-10T08:00:00Z"),
      order: .oldestFirst, parallelism: 1, createdAt: start)
    let found = Self.outlook(backfill, plan, runs: [runID(for: try at("2026-03-10T04:00:00Z"))])
    // 0, 1 and 2 were before the job, 3, 5 and 6 were decided, 4 is there, 7 and 8 are still to be.
    #expect((found.occurrences, found.existing, found.decided, found.preview.count) == (9, 1, 3, 8))
  }
}
