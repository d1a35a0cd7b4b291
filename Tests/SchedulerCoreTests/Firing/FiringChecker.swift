@testable import SchedulerCore

/// What a server knew when it proposed something as an owner of segments.
struct FiringNote {
  var server: String
  /// By its own clock.
  var time: Timestamp
  /// The watch had brought everything up to here.
  var known: Int64
  var calendars: [String: CalendarSpec]
}

/// Watches what owners of segments commit, and knows what should become of each occurrence. It finds the occurrences by
/// itself (`SimpleOccurrences`), and relies on no part of what it checks.
struct FiringChecker {
  private struct Run {
    var record: RunRecord
    var created: Int64
    var ended: Int64?
    var isRegular: Bool { record.trigger != .backfill }
  }

  private(set) var violations: [String] = []
  private var jobs: [JobKey: JobRecord] = [:]
  private var runs: [JobKey: [String: Run]] = [:]
  /// The ids of all runs that there ever were.
  private var everMade: [JobKey: Set<String>] = [:]
  private var segments: [Int: String] = [:]
  private var backfills: [BackfillKey: BackfillRecord] = [:]
  /// What is worth having happened in a story.
  private(set) var fired = 0
  private(set) var leftOut = 0
  private(set) var backfilled = 0
  private(set) var takeovers = 0

  private mutating func fail(_ key: JobKey, _ text: String) { violations.append("\(key.jobID): \(text)") }

  // MARK: What is committed

  /// A transaction was committed: its proposals, those of owners with what their servers knew.
  mutating func committed(_ proposals: [(Proposal, FiringNote?)], at revision: Int64, _ keyspace: Keyspace) {
    for (proposal, note) in proposals {
      guard let note else { continue }
      checkOwner(proposal, note)
      for case .job(let record) in proposal.writes {
        if proposal.writes.contains(where: { if case .backfill = $0 { true } else { false } }) { continue }
        check(record, proposal, note)
      }
      for case .backfill(let record) in proposal.writes { check(record, proposal) }
    }
  }

  private mutating func checkOwner(_ proposal: Proposal, _ note: FiringNote) {
    for case .segmentUnchanged(let number, _) in proposal.guards where segments[number] != note.server {
      violations.append("\(note.server) wrote to segment \(number) of \(segments[number] ?? "nobody")")
    }
  }

  /// A key was written.
  mutating func happened(_ event: SimulatedEtcd.Event) {
    switch event.change {
    case .job(let key, let job): jobs[key] = job?.record
    case .run(let key, let run):
      guard let run else {
        runs[key.job]?[key.runID] = nil
        return
      }
      everMade[key.job, default: []].insert(key.runID)
      var entry =
        runs[key.job]?[key.runID] ?? Run(record: run.record, created: event.revision, ended: nil)
      entry.record = run.record
      if run.record.state.isTerminal, entry.ended == nil { entry.ended = event.revision }
      runs[key.job, default: [:]][key.runID] = entry
    case .segment(let number, let owner):
      if owner != nil, segments[number] != owner?.record.serverID { takeovers += 1 }
      segments[number] = owner?.record.serverID
    case .backfill(let key, let backfill): backfills[key] = backfill?.record
    case .agent, .server, .leader, .calendar, .drain, .queue, .group, .quota, .listedJob: break
    }
  }

  // MARK: Schedules

  /// An owner has written a job: what became of the occurrences between the old states and the new?
  private mutating func check(_ new: JobRecord, _ proposal: Proposal, _ note: FiringNote) {
    let key = new.key
    guard let old = jobs[key] else { return fail(key, "an owner wrote a job that is not there") }
    var same = old
    same.scheduleStates = new.scheduleStates
    same.nextRunTime = new.nextRunTime
    same.lastRunTime = new.lastRunTime
    same.skips = new.skips
    if same != new { fail(key, "an owner changed more than how the job stands") }
    let created = proposal.writes.compactMap { write -> RunRecord? in
      if case .run(let run) = write { run } else { nil }
    }
    fired += created.count
    if old.pausedAt != nil || old.cancelRequestedAt != nil, !created.isEmpty {
      fail(key, "a run was created although the job is paused or cancelled")
    }
    for (before, after) in zip(old.scheduleStates, new.scheduleStates)
    where after.decidedThrough < before.decidedThrough || after.runs < before.runs {
      fail(key, "a schedule's state went back")
    }
    checkOverlap(key, old.spec.overlap, created.count)
    var story = DecisionStory(old: old, new: new, created: created.map(\.scheduledTime), note: note)
    let known = runs[key]?.filter { $0.value.created <= note.known }.keys.map { $0 } ?? []
    story.judge(existing: everMade[key] ?? [], known: Set(known), unended: unended(key, at: note.known))
    for text in story.violations { fail(key, text) }
    leftOut += story.leftOut
  }

  /// What the etcd held before the transaction decides, not what the owner knew.
  private mutating func checkOverlap(_ key: JobKey, _ policy: OverlapPolicy, _ created: Int) {
    guard created > 0 else { return }
    let unended = runs[key]?.values.count { $0.isRegular && $0.ended == nil } ?? 0
    switch policy {
    case .allow, .replace: break
    case .forbid:
      if unended + created > 1 { fail(key, "\(created) runs beside \(unended), although that is forbidden") }
    case .queue(let limit):
      if unended + created > limit + 1 {
        fail(key, "\(created) runs beside \(unended) for a queue of \(limit)")
      }
    }
  }

  /// Regular runs that had not ended as far as a server knew.
  private func unended(_ key: JobKey, at known: Int64) -> Int {
    runs[key]?.values.count { $0.isRegular && ($0.ended ?? .max) > known } ?? 0
  }

  // MARK: Backfills

  private mutating func check(_ new: BackfillRecord, _ proposal: Proposal) {
    let key = new.key
    guard let old = backfills[key] else {
      return fail(key.job, "an owner wrote a backfill that is not there")
    }
    guard let job = jobs[key.job] else { return fail(key.job, "a backfill of no job") }
    let rules = job.spec.schedules.map { SimpleOccurrences($0, job) }
    var made = 0
    for case .run(let run) in proposal.writes {
      made += 1
      if !(old.from...old.to).contains(run.scheduledTime)
        || !rules.contains(where: { $0.names(run.scheduledTime) })
      {
        fail(key.job, "a backfill made a run for what is no occurrence")
      }
    }
    backfilled += made
    let unfinished =
      runs[key.job]?.values.count { $0.record.backfillID == key.backfillID && $0.ended == nil } ?? 0
    if made > 0, unfinished + made > old.parallelism { fail(key.job, "a backfill passed its parallelism") }
    if new.created != old.created + made || new.existing < old.existing {
      fail(key.job, "a backfill miscounts")
    }
    guard let position = new.position else { return }
    // Each occurrence between the positions has a run.
    let isRising = new.order == .oldestFirst
    let low = isRising ? old.position ?? old.from.earlier : position.earlier
    let high = isRising ? position : old.position?.earlier ?? old.to
    for time in Set(rules.flatMap { $0.between(low, high) }) {
      let id = runID(for: time)
      let isMade = proposal.writes.contains {
        if case .run(let run) = $0 { run.key.runID == id } else { false }
      }
      // A calendar may have left it out.
      if !isMade, runs[key.job]?[id] == nil, rules.allSatisfy({ $0.schedule.calendars.isEmpty }) {
        fail(key.job, "a backfill passed over \(time.microseconds / 1_000)")
      }
    }
  }

  // MARK: The end

  /// After a story that went quiet: nothing that was due is undecided.
  mutating func checkTheEnd(at now: Timestamp) {
    for (key, job) in jobs where job.cancelRequestedAt == nil && job.pausedAt == nil {
      for (schedule, state) in zip(job.spec.schedules, job.scheduleStates) {
        guard state.runs < schedule.maxRuns ?? .max, schedule.calendars.isEmpty else { continue }
        let left = SimpleOccurrences(schedule, job).between(state.decidedThrough, now)
        if !left.isEmpty { fail(key, "\(left.count) occurrences were never decided") }
      }
    }
    for (key, backfill) in backfills where backfill.state == .running {
      fail(key.job, "backfill \(key.backfillID) never ended")
    }
  }
}

/// A schedule's occurrences, found step by step. It knows the rules that the simulation uses, and no others.
struct SimpleOccurrences {
  let schedule: Schedule
  private let job: JobRecord

  init(_ schedule: Schedule, _ job: JobRecord) {
    self.schedule = schedule
    self.job = job
  }

  /// All of them in `low < t <= high`, whatever calendars say. A fixed delay has none that can be told without its runs.
  func between(_ low: Timestamp, _ high: Timestamp) -> [Timestamp] {
    let end = min(high, schedule.endTime ?? high)
    let begin = max(low, schedule.startTime?.earlier ?? low)
    var times: [Timestamp] = []
    switch schedule.rule {
    case .fixedRate(let every):
      var time = schedule.startTime ?? job.createdAt.adding(milliseconds: every)
      while time <= end {
        if time > begin { times.append(time) }
        time = time.adding(milliseconds: every)
      }
    case .cron(let text):
      // "* * * * * *" or "*/n * * * * *".
      let step: Int64 = text.hasPrefix("*/2") ? 2 : 1
      var second = max(begin.milliseconds, 0) / 1_000
      while second * 1_000 <= end.milliseconds {
        let time = Timestamp(milliseconds: second * 1_000)
        if second % step == 0, time > begin { times.append(time) }
        second += 1
      }
    case .at(let time): if time > begin, time <= end { times.append(time) }
    case .fixedDelay, .frequency: break
    }
    return times
  }

  func names(_ time: Timestamp) -> Bool { between(time.earlier, time) == [time] }
}
