extension FiringMachine {
  // MARK: Deadlines

  /// Sets when a job is to be looked at: when it is due, or later.
  mutating func schedule(_ slot: JobTable.Slot, _ cache: ClusterCache, notBefore earliest: Timestamp? = nil) {
    postponed.remove(slot)
    guard let facts = cache.jobs.facts(at: slot), epochs[facts.segment] != nil, let time = facts.record.due
    else { return due.set(slot, at: nil) }
    guard let earliest, earliest > time else { return due.set(slot, at: time) }
    postponed.insert(slot)
    due.set(slot, at: earliest)
  }

  /// What waits until the clock shows a time would wait for as long as it was put back, besides. It does not.
  mutating func clockWasPutBack(_ cache: ClusterCache) {
    for slot in postponed.sorted() { schedule(slot, cache) }
    for key in backfillPauses.popDue(now: Timestamp(microseconds: .max)) { wake(key, cache) }
  }

  /// Looks again at what waited for the watch.
  mutating func catchUp(_ cache: ClusterCache) {
    if !ownWrites.isEmpty { ownWrites = ownWrites.filter { $0.value > cache.revision } }
    for (slot, wait) in behind.popReached(by: cache.revision) {
      if wait.isDue { schedule(slot, cache) }
      for cause in wait.reviews { reviews.add(slot, cause) }
    }
  }

  /// Whether all runs that were created by the job's last write are in the cache. Each creation of a run of a serial
  /// job writes the job, and is compared with the write before. So what the watch has passed, or what was written
  /// here on the ground of a complete view, tells of all.
  func hasCompleteView(of key: JobKey, _ modRevision: Int64, _ cache: ClusterCache) -> Bool {
    modRevision <= cache.revision || ownWrites[key] == modRevision
  }

  // MARK: Deciding

  /// Proposes what becomes of the occurrences of a job that are due.
  mutating func decide(_ slot: JobTable.Slot, _ cache: ClusterCache, now: Timestamp) {
    guard let facts = cache.jobs.facts(at: slot), let epoch = epochs[facts.segment],
      let time = facts.record.due, let key = cache.jobs.key(at: slot), !busy.contains(key)
    else { return }
    guard time <= now else { return due.set(slot, at: time) }
    if !cache.quotas.isEmpty, waitsForQuota(key.namespace, cache) {
      return schedule(slot, cache, notBefore: now.adding(milliseconds: quotaPauseMillis))
    }
    guard let job = cache.jobs[slot]?.job, let plan = plan(of: job.record, cache) else { return }
    if plan.dependsOnRuns, !hasCompleteView(of: key, job.modRevision, cache) {
      return behind.add(slot, until: job.modRevision)
    }
    let activity = plan.dependsOnRuns ? cache.activity(of: key) : JobActivity()
    let decided = plan.decide(at: now, activity) { cache.runs[RunKey(job: key, runID: $0)] != nil }
    let unchanged = Proposal.Guard.jobUnchanged(key, modRevision: job.modRevision)
    guard var decision = decided else {
      // The record promised too much: a calendar has changed, or a run that has to end first began.
      let record = plan.refreshed(activity)
      return propose(.refresh(key, record), epoch: epoch, guards: [unchanged], writes: [.job(record)])
    }
    for index in decision.runs.indices {
      decision.runs[index].history.createdBy = RunActor.server(serverID)
    }
    var creates: NewRun?
    if decision.runs.count == 1, let run = decision.runs.first, !decision.record.spec.overlap.isSerial {
      creates = NewRun(run: run, job: decision.record)
    }
    // What a calendar excludes from the moment when its change is acknowledged must not be fired any more.
    let guards = [unchanged] + calendarsUnchanged(for: job.record, cache)
    propose(
      .fire(decision, key), epoch: epoch, guards: guards + decision.runs.map { .runAbsent($0.key) },
      writes: [.job(decision.record)] + decision.runs.map { .run($0) }, creates: creates)
  }

  private func calendarsUnchanged(for job: JobRecord, _ cache: ClusterCache) -> [Proposal.Guard] {
    Set(job.spec.schedules.flatMap(\.calendars)).sorted().map { name in
      let key = CalendarKey(namespace: job.key.namespace, name: name)
      return .calendarUnchanged(key, modRevision: cache.calendars[key]?.modRevision ?? 0)
    }
  }

  // MARK: Schedules made ready

  /// The plan of a job; nil where its schedules cannot be made ready, which is counted. Such a job is looked at
  /// again once it is written, or the segment moves.
  mutating func plan(of record: JobRecord, _ cache: ClusterCache) -> JobPlan? {
    let schedules = record.spec.schedules
    if schedules.isEmpty { return JobPlan(record, JobPlan.Rules()) }
    if let ready = compiled[record.key], ready.uid == record.uid, ready.generation == record.generation {
      return JobPlan(record, ready.rules)
    }
    do throws(FieldError) {
      var calendars: [CalendarKey: CompiledCalendar] = [:]
      for schedule in schedules {
        for name in schedule.calendars {
          let key = CalendarKey(namespace: record.key.namespace, name: name)
          calendars[key] = try calendar(key, cache)
        }
      }
      let rules = try JobPlan.Rules(record, zones: zones) { calendars[$0] }
      if compiled.count >= FiringLimits.compiledJobs { compiled.removeAll(keepingCapacity: true) }
      compiled[record.key] = CompiledJob(uid: record.uid, generation: record.generation, rules: rules)
      return JobPlan(record, rules)
    } catch {
      counters.unreadable += 1
      return nil
    }
  }

  private mutating func calendar(
    _ key: CalendarKey, _ cache: ClusterCache
  ) throws(FieldError) -> CompiledCalendar? {
    if let ready = compiledCalendars[key] { return ready }
    guard let spec = cache.calendars[key]?.record.spec else { return nil }
    let calendar = try CompiledCalendar(spec, name: key.name, zones: zones)
    compiledCalendars[key] = calendar
    return calendar
  }

  // MARK: Reviews

  /// Looks whether what a job's record promises still holds after something besides it has changed.
  mutating func review(
    _ slot: JobTable.Slot, _ cause: ReviewQueue.Cause, _ cache: ClusterCache, now: Timestamp
  ) {
    guard let facts = cache.jobs.facts(at: slot), let epoch = epochs[facts.segment],
      !facts.record.isCancelled, cause.mayConcern(facts, cache), let job = cache.jobs[slot]?.job,
      cause.concerns(job.record)
    else { return }
    let key = job.record.key
    guard !busy.contains(key) else {
      parkedReviews[key] = cause
      return
    }
    guard let plan = plan(of: job.record, cache) else { return }
    guard !plan.dependsOnRuns || hasCompleteView(of: key, job.modRevision, cache) else {
      return behind.add(slot, until: job.modRevision, review: cause)
    }
    let activity = plan.dependsOnRuns ? cache.activity(of: key) : JobActivity()
    var record = plan.refreshed(activity)
    // With no occurrence left, all that there might have been was excluded; what a pause holds up is still to be decided.
    if case .calendar(let calendar, let time) = cause, facts.record.nextRunTime.map({ $0 > time }) ?? true {
      record = plan.refreshed(activity, passing: calendar.name, through: time)
    }
    guard record != job.record else { return }
    propose(
      .refresh(key, record), epoch: epoch, guards: [.jobUnchanged(key, modRevision: job.modRevision)],
      writes: [.job(record)])
  }

  /// A run of a job without a next run time has ended.
  mutating func reviewFixedDelay(_ slot: JobTable.Slot, _ cache: ClusterCache, now: Timestamp) {
    guard let record = cache.jobs[slot]?.job.record, record.hasFixedDelay else { return }
    reviews.add(slot)
  }
}

extension JobRecord {
  /// Whether a run's end says when the next is due.
  var hasFixedDelay: Bool {
    spec.schedules.contains { if case .fixedDelay = $0.rule { true } else { false } }
  }

  /// Whether a fixed delay may create more runs.
  var hasFixedDelayLeft: Bool { hasFixedDelayLeft(after: .earliest) }

  /// Whether a fixed delay is due once more, after a run that has ended then.
  func hasFixedDelayLeft(after end: Timestamp) -> Bool {
    zip(spec.schedules, scheduleStates).contains { schedule, state in
      guard case .fixedDelay(let delay) = schedule.rule, state.runs < schedule.maxRuns ?? .max else {
        return false
      }
      return end.adding(milliseconds: delay) <= schedule.endTime ?? .latest
    }
  }
}
