@testable import SchedulerCore

// Users who schedule jobs, and what they do to them.

extension LeaderSimulation {
  /// When the last schedule ends: then the story can come to rest.
  var scheduleEnd: Timestamp { Timestamp(milliseconds: 1_000_000 + 5_000) }

  static let calendar = CalendarKey(namespace: "default", name: "closed")

  mutating func stepSchedulers() {
    if chance(12), scheduledJobs < 8 { submitScheduled() }
    if chance(15) { control() }
    if chance(3) { changeCalendar() }
  }

  private mutating func pick<Value>(_ values: [Value]) -> Value {
    values[Int.random(in: values.indices, using: &random)]
  }

  private mutating func randomSchedule() -> Schedule {
    var schedule: Schedule
    switch Int.random(in: 0..<10, using: &random) {
    case 0...3: schedule = Schedule(.fixedRate(everyMillis: pick([100, 300, 700, 1_500])))
    case 4, 5: schedule = Schedule(.cron(pick(["* * * * * *", "*/2 * * * * *"])))
    case 6, 7: schedule = Schedule(.fixedDelay(delayMillis: pick([50, 200, 500])))
    default:
      schedule = Schedule(.at(time.adding(milliseconds: Int64.random(in: -500...2_500, using: &random))))
    }
    if chance(30) {
      schedule.startTime = Timestamp(milliseconds: now + Int64.random(in: -300...800, using: &random))
    }
    schedule.endTime = scheduleEnd
    if chance(20) { schedule.maxRuns = Int.random(in: 1...6, using: &random) }
    if chance(20) { schedule.jitterMillis = 150 }
    if chance(20) { schedule.calendars = [Self.calendar.name] }
    return schedule
  }

  private mutating func randomSpec() -> JobSpec {
    var spec = JobSpec(task: chance(70) ? .noop : .exec(argv: ["true"]))
    spec.maxRetries = Int.random(in: 0...1, using: &random)
    spec.backoff = Backoff(curve: .list([20]), jitter: 0)
    if chance(15) {
      spec.executionTime = time.adding(milliseconds: Int64.random(in: 1...2_000, using: &random))
    } else {
      for _ in 0..<(chance(30) ? 2 : 1) { spec.schedules.append(randomSchedule()) }
    }
    spec.misfire.action = pick(MisfirePolicy.Action.allCases)
    if spec.misfire.action == .all { spec.misfire.limit = Int.random(in: 1...30, using: &random) }
    spec.misfire.graceMillis = pick([0, 100, 300, 60_000])
    if chance(20) { spec.misfire.withinMillis = 400 }
    spec.overlap = pick([.allow, .allow, .forbid, .queue(limit: 1), .queue(limit: 3), .replace])
    return spec
  }

  private func plan(_ record: JobRecord) -> JobPlan? {
    try? JobPlan(record, zones: .utcOnly) { key in
      etcd.calendars[key].flatMap {
        try? CompiledCalendar($0.record.spec, name: key.name, zones: .utcOnly)
      }
    }
  }

  private mutating func submitScheduled() {
    scheduledJobs += 1
    let key = JobKey(namespace: "default", jobID: "s\(scheduledJobs)")
    let record = JobRecord(key: key, uid: "us\(scheduledJobs)", spec: randomSpec(), createdAt: time)
    guard let started = plan(record)?.started(at: time) else {
      return checker.fail("no plan of \(key.jobID)")
    }
    write([.jobAbsent(key)], [.job(started)])
  }

  /// A server does what a user asks for, with all that etcd holds in view.
  private mutating func write(_ guards: [Proposal.Guard], _ writes: [Proposal.Write]) {
    commit([(Proposal(guards: guards, writes: writes), nil)])
  }

  // MARK: Control

  private func activity(of key: JobKey) -> JobActivity {
    var activity = JobActivity()
    for run in etcd.runs.values.map(\.record) where run.key.job == key && run.trigger != .backfill {
      if run.state.isTerminal {
        activity.lastEnd = max(activity.lastEnd ?? .earliest, run.finishedAt ?? run.createdAt)
      } else {
        activity.unended += 1
        activity.newestUnended = max(activity.newestUnended ?? "", run.key.runID)
      }
    }
    return activity
  }

  private mutating func control() {
    let keys = etcd.jobs.keys.filter { $0.jobID.hasPrefix("s") }.sorted()
    guard let key = keys.randomElement(using: &random), let job = etcd.jobs[key],
      job.record.cancelRequestedAt == nil, let plan = plan(job.record)
    else { return }
    let unchanged = Proposal.Guard.jobUnchanged(key, modRevision: job.modRevision)
    let activity = activity(of: key)
    var record = job.record
    switch Int.random(in: 0..<12, using: &random) {
    case 0...2:
      record.pausedAt = record.pausedAt == nil ? time : nil
      write([unchanged], [.job(record)])
    case 3...5:
      let asked = plan.triggered(at: time, params: ["by": "hand"], activity) {
        etcd.runs[RunKey(job: key, runID: $0)] != nil
      }
      guard case .run(let run, let changed) = asked else { return }
      write([unchanged, .runAbsent(run.key)], [.job(changed), .run(run)])
    case 6:
      guard let changed = plan.skippingNext(activity, at: time) else { return }
      write([unchanged], [.job(changed)])
    case 7, 8:
      record.spec.schedules = record.spec.schedules.map { chance(50) ? $0 : randomSchedule() }
      guard let new = self.plan(record) else { return }
      write([unchanged], [.job(new.updated(from: job.record.spec, activity, at: time))])
    case 9:
      record.cancelRequestedAt = time
      if chance(50) { record.deleteRequestedAt = time }
      record.nextRunTime = nil
      cancelled.insert(key)
      write([unchanged], [.job(record)])
    default: backfill(key)
    }
  }

  private mutating func backfill(_ key: JobKey) {
    // A run that retention has removed would be another with the same name.
    guard !removesEarly else { return }
    let id = "b\(etcd.backfills.count)"
    let from = Int64.random(in: now - 2_000...now, using: &random)
    let to = Int64.random(in: from...now, using: &random)
    let record = BackfillRecord(
      key: BackfillKey(job: key, backfillID: id), from: Timestamp(milliseconds: from),
      to: Timestamp(milliseconds: to), order: pick(BackfillRecord.Order.allCases),
      parallelism: Int.random(in: 1...4, using: &random), createdAt: time)
    write([.backfillUnchanged(record.key, modRevision: 0)], [.backfill(record)])
  }

  private mutating func changeCalendar() {
    let old = etcd.calendars[Self.calendar]
    guard old == nil || chance(70) else { return write([], [.deleteCalendar(Self.calendar)]) }
    var spec = CalendarSpec()
    let from = Int64.random(in: now - 500...now + 1_500, using: &random)
    spec.ranges = [
      .init(
        from: Timestamp(milliseconds: from).rfc3339,
        to: Timestamp(milliseconds: from + Int64.random(in: 200...1_500, using: &random)).rfc3339)
    ]
    write([], [.calendar(CalendarRecord(key: Self.calendar, spec: spec, createdAt: time))])
  }

  // MARK: Servers

  mutating func randomClockOffset() -> Int64 { pick([0, 0, 3_600_000, -3_600_000, 250, -250]) }

  /// A server writes its own key anew: its figures, or that it is about to leave.
  mutating func keepServerKey(_ index: Int) {
    guard hasSchedules else { return }
    if fault(0.5) { servers[index].isDraining.toggle() }
    if chance(8) { etcd.register(servers[index].reportingRecord(now: time)) }
  }

  // MARK: The end

  /// So that all that is scheduled comes to its end.
  mutating func resumeAll() {
    for (key, job) in etcd.jobs.sorted(by: { $0.key < $1.key }) where job.record.pausedAt != nil {
      var record = job.record
      record.pausedAt = nil
      write([.jobUnchanged(key, modRevision: job.modRevision)], [.job(record)])
    }
  }

  mutating func checkFirings() {
    reviewFirings()
    firingChecker.checkTheEnd(at: time)
    reviewFirings()
    for server in servers where !server.firing.busy.isEmpty || !server.firing.behind.isEmpty {
      checker.fail("s\(server.index): firings are left over")
    }
  }

  // MARK: Committing

  /// Commits in one transaction, and lets the checker see what the state was before.
  @discardableResult
  mutating func commit(_ proposals: [(Proposal, FiringNote?)]) -> Bool {
    reviewFirings()
    guard etcd.commit(proposals.map(\.0)) else { return false }
    firingChecker.committed(proposals, at: etcd.revision, keyspace)
    reviewFirings()
    checker.review(etcd)
    return true
  }

  /// Shows the checker what was written since the last time.
  mutating func reviewFirings() {
    while firingsChecked < etcd.history.count {
      firingChecker.happened(etcd.history[firingsChecked])
      firingsChecked += 1
    }
    for text in firingChecker.violations.dropFirst(firingViolationsTold) { checker.fail(text) }
    firingViolationsTold = firingChecker.violations.count
  }
}
