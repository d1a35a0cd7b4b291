@testable import SchedulerCore

/// One decision about a job, told again from the documents: which occurrences it has passed, which of them became runs,
/// and whether those that did not may have been left out.
struct DecisionStory {
  let old: JobRecord
  let new: JobRecord
  let created: [Timestamp]
  let note: FiringNote
  private(set) var violations: [String] = []
  private(set) var leftOut = 0

  init(old: JobRecord, new: JobRecord, created: [Timestamp], note: FiringNote) {
    self.old = old
    self.new = new
    self.created = created
    self.note = note
  }

  private var jitterMillis: Int64 { old.spec.schedules.map(\.jitterMillis).max() ?? 0 }

  /// How late an occurrence is, milliseconds.
  private func lateMicros(_ time: Timestamp) -> Int64 {
    note.time.microseconds - jitterMillis * 1_000 - time.microseconds
  }

  private func isMissed(_ time: Timestamp) -> Bool { lateMicros(time) > old.spec.misfire.graceMillis * 1_000 }

  private func isTooOld(_ time: Timestamp) -> Bool {
    old.spec.misfire.withinMillis.map { lateMicros(time) > $0 * 1_000 } ?? false
  }

  private func isExcluded(_ time: Timestamp, _ schedule: Schedule) -> Bool {
    schedule.calendars.contains { name in
      note.calendars[name]?.ranges.contains { range in
        guard let from = try? Timestamp(rfc3339: range.from), let to = try? Timestamp(rfc3339: range.to)
        else {
          return false
        }
        return from <= time && time < to
      } ?? false
    }
  }

  /// - Parameters:
  ///   - existing: The runs that there were at some time.
  ///   - known: Those of them that the owner certainly saw.
  ///   - unended: How many regular runs had not ended, as far as the owner knew.
  mutating func judge(existing: Set<String>, known: Set<String>, unended: Int) {
    let passed = passed()
    let hasFixedDelay = old.hasFixedDelay
    for time in created {
      if time > note.time { violations.append("a run was created before it was due") }
      if !passed.contains(time), !(hasFixedDelay && new.scheduleStates.contains { $0.decidedThrough >= time })
      {
        violations.append("the run of \(time.milliseconds) is no occurrence that was passed")
      }
      judgeMissed(time)
    }
    let without = passed.filter { !created.contains($0) }
    let left = without.filter { !existing.contains(runID(for: $0)) }
    for time in left where !mayBeLeftOut(time, passed: passed, unended: unended) {
      violations.append("the occurrence of \(time.milliseconds) was lost at \(note.time.milliseconds)")
    }
    leftOut = left.count
    // What has a run that somebody made is not left out, if the owner knew of that run.
    let most = without.count { !known.contains(runID(for: $0)) }
    let noted = new.skips.count - old.skips.count
    if !hasFixedDelay, !hasCalendars, !(left.count...most).contains(noted) {
      violations.append("\(left.count) to \(most) occurrences were left out, \(noted) are noted")
    }
  }

  private var hasCalendars: Bool { old.spec.schedules.contains { !$0.calendars.isEmpty } }

  /// What the states have passed, in order. What a calendar excludes is none of it.
  private func passed() -> [Timestamp] {
    if old.spec.schedules.isEmpty {
      guard let time = old.nextRunTime, new.nextRunTime == nil else { return [] }
      return [time]
    }
    var times = Set<Timestamp>()
    for (index, schedule) in old.spec.schedules.enumerated() {
      let found = SimpleOccurrences(schedule, old).between(
        old.scheduleStates[index].decidedThrough, new.scheduleStates[index].decidedThrough)
      times.formUnion(found.filter { !isExcluded($0, schedule) })
    }
    // A schedule that has had all its runs names no more.
    return times.sorted()
  }

  /// A run of what was missed: does the policy want it?
  private mutating func judgeMissed(_ time: Timestamp) {
    if isTooOld(time) { violations.append("what is older than `within` was run") }
    guard isMissed(time) else { return }
    let later = missedLater(than: time)
    switch old.spec.misfire.action {
    case .skip: violations.append("what was missed was run, although the policy is to skip it")
    case .latest: if later > 0 { violations.append("a missed run that is not the latest") }
    case .all: if later >= old.spec.misfire.limit { violations.append("more missed runs than the limit") }
    }
  }

  /// How many occurrences after one are missed, decided already or not; at least.
  private func missedLater(than time: Timestamp) -> Int {
    // What a fixed delay names cannot be told from the documents, but a run of it shows that it was there: with another
    // schedule beside it, that may be the latest.
    var times = Set(created.filter { $0 > time && isMissed($0) })
    for (index, schedule) in old.spec.schedules.enumerated() where hasRunsLeft(index) {
      let low = max(time, old.scheduleStates[index].decidedThrough)
      let found = SimpleOccurrences(schedule, old).between(low, note.time)
      times.formUnion(found.filter { isMissed($0) && !isExcluded($0, schedule) })
    }
    return times.count
  }

  /// The same, at most: each fixed delay may have named one that did not become a run.
  private func mostMissedLater(than time: Timestamp) -> Int {
    missedLater(than: time)
      + old.spec.schedules.indices.count { index in
        guard case .fixedDelay = old.spec.schedules[index].rule else { return false }
        return hasRunsLeft(index) && new.scheduleStates[index].decidedThrough > time
      }
  }

  /// Whether a calendar, as it was when the job was last written, excluded an occurrence: else that would have been
  /// the next, or due by then. What was excluded up to the calendar's change stays left out.
  private func wasExcluded(_ time: Timestamp) -> Bool {
    old.spec.schedules.contains { schedule in
      guard !schedule.calendars.isEmpty, SimpleOccurrences(schedule, old).names(time) else { return false }
      let creation = time.adding(milliseconds: schedule.jitterMillis)
      return old.nextRunTime.map { $0 > creation } ?? true
    }
  }

  private func hasRunsLeft(_ index: Int) -> Bool {
    old.scheduleStates[index].runs < old.spec.schedules[index].maxRuns ?? .max
  }

  private func mayBeLeftOut(_ time: Timestamp, passed: [Timestamp], unended: Int) -> Bool {
    if isTooOld(time) { return true }
    if created.isEmpty, wasExcluded(time) { return true }
    if isMissed(time) {
      switch old.spec.misfire.action {
      case .skip: return true
      case .latest: if mostMissedLater(than: time) >= 1 { return true }
      case .all: if mostMissedLater(than: time) >= old.spec.misfire.limit { return true }
      }
    }
    let before = created.count { $0 < time }
    switch old.spec.overlap {
    case .allow, .replace: return false
    case .forbid: return unended + before > 0
    case .queue(let limit): return unended + before > limit
    }
  }
}
