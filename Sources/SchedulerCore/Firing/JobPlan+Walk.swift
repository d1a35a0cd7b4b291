extension JobPlan {
  /// Goes through a job's occurrences in the order of time, and notes what becomes of each.
  struct Walk {
    private let plan: JobPlan
    private let rules: [ReadyRule]
    private(set) var states: [ScheduleState]
    /// The first occurrence of each schedule that is not decided.
    private(set) var heads: [Timestamp?] = []
    /// How far the search for one came where calendars exclude too much for one search.
    private var horizons: [Timestamp?] = []
    private(set) var activity: JobActivity
    /// The runs to be created.
    private(set) var runs: [RunRecord] = []
    /// When each of them was due to be created.
    private(set) var dueTimes: [Timestamp] = []
    /// Occurrences left out, by reason.
    private(set) var skipped: [SkipReason: Int] = [:]
    private var record: JobRecord

    init(_ plan: JobPlan, _ activity: JobActivity) {
      self.plan = plan
      self.activity = activity
      record = plan.record
      let record = plan.record
      if record.cancelRequestedAt != nil {
        (rules, states) = ([], [])
      } else if record.spec.schedules.isEmpty {
        let time = record.nextRunTime
        rules = time.map { [ReadyRule(once: $0)] } ?? []
        states = time.map { [ScheduleState(decidedThrough: $0.earlier)] } ?? []
      } else {
        rules = plan.rules.rules
        states = record.scheduleStates
        // A record of another program may have fewer; what it has not decided is not made up for.
        while states.count < rules.count {
          states.append(ScheduleState(decidedThrough: record.lastRunTime ?? record.createdAt))
        }
      }
      heads = rules.map { _ in nil }
      horizons = heads
      for index in rules.indices { look(index) }
    }

    /// Finds the next occurrence of a schedule.
    private mutating func look(_ index: Int) {
      (heads[index], horizons[index]) = (nil, nil)
      switch rules[index].next(after: states[index], activity) {
      case .found(let time): heads[index] = time
      case .excluded(let end): horizons[index] = end
      case .none: break
      }
    }

    /// The earliest occurrence.
    var earliest: Timestamp? { heads.lazy.compactMap(\.self).min() }

    /// When the run of a schedule's next occurrence is to be created.
    private func creation(_ index: Int) -> Timestamp? {
      heads[index].map { $0.adding(milliseconds: rules[index].jitter(of: $0)) }
    }

    /// The occurrence whose run is to be created first.
    var due: Due? {
      var first: Due?
      for index in rules.indices {
        guard let time = heads[index], let creation = creation(index) else { continue }
        if let first, (first.creationTime, first.scheduledTime) <= (creation, time) { continue }
        first = Due(
          scheduledTime: time, creationTime: creation,
          schedule: plan.record.spec.schedules.isEmpty ? nil : index)
      }
      return first
    }

    /// The earliest of the occurrences whose runs are to be created by now.
    func dueOccurrence(by now: Timestamp) -> Timestamp? {
      rules.indices.lazy.filter { creation($0).map { $0 <= now } ?? false }.compactMap { heads[$0] }.min()
    }

    /// The longest jitter: an occurrence is late only once that is over.
    var jitterMillis: Int64 { rules.lazy.map(\.jitterMillis).max() ?? 0 }

    /// The last `count` of the occurrences before an instant, as far back as `oldest`; in order.
    func lastOccurrences(before end: Timestamp, count: Int, oldest: Timestamp) -> [Timestamp] {
      var lasts = rules.indices.map { rules[$0].last(before: end, states[$0], activity) }
      var found: [Timestamp] = []
      while found.count < count, let time = lasts.lazy.compactMap(\.self).max(), time >= oldest {
        found.append(time)
        for index in lasts.indices where lasts[index] == time {
          let earlier =
            rules[index].isFixedDelay ? nil : rules[index].last(before: time, states[index], activity)
          lasts[index] = earlier
        }
      }
      return found.reversed()
    }

    // MARK: Deciding

    /// Goes on with the searches that had to stop before now, each by one search. Returns false where there is none:
    /// then all that is due is known.
    mutating func passExcluded(by now: Timestamp) -> Bool {
      let stopped = horizons.indices.filter { horizons[$0].map { $0 < now } ?? false }
      pass(stopped, through: { [horizons] in horizons[$0] ?? now })
      return !stopped.isEmpty
    }

    /// An occurrence becomes a run, unless there is that run already, or the overlap policy is against it.
    mutating func create(_ time: Timestamp, now: Timestamp, exists: (String) -> Bool) {
      let naming = heads.indices.filter { heads[$0] == time }
      guard !naming.isEmpty else { return }
      let id = runID(for: time)
      if exists(id) || runs.contains(where: { $0.key.runID == id }) {
        return pass(naming, through: { _ in time })
      }
      if let reason = plan.record.spec.overlap.objection(to: activity) {
        return leaveOut(time, because: reason, now: now, exists: exists)
      }
      dueTimes.append(naming.compactMap(creation).min() ?? time)
      var run = RunRecord(key: RunKey(job: record.key, runID: id), scheduledTime: time, createdAt: now)
      run.joinGroup(of: record.spec)
      runs.append(run)
      record.lastRunTime = max(record.lastRunTime ?? time, time)
      activity.unended += 1
      activity.newestUnended = max(activity.newestUnended ?? id, id)
      for index in naming { states[index].runs += 1 }
      pass(naming, through: { _ in time })
      // Where the end of runs counts, this one's does.
      for index in rules.indices where rules[index].isFixedDelay {
        look(index)
      }
    }

    /// An occurrence does not become a run. One that has its run already, made by hand or by a backfill, is not left
    /// out by that.
    mutating func leaveOut(
      _ time: Timestamp, because reason: SkipReason, now: Timestamp, exists: (String) -> Bool
    ) {
      let naming = heads.indices.filter { heads[$0] == time }
      guard !naming.isEmpty else { return }
      if !exists(runID(for: time)) { note(time, reason) }
      pass(naming, through: { [rules] in rules[$0].leaveOut(time, now: now) })
    }

    /// All occurrences before an instant are missed: those that there is time for one by one, then the rest.
    mutating func leaveOutAll(
      before end: Timestamp, now: Timestamp, steps: inout Int, exists: (String) -> Bool
    ) {
      while steps > 0, let time = earliest, time < end {
        leaveOut(time, because: .misfire, now: now, exists: exists)
        steps -= 1
      }
      guard let rest = earliest, rest < end else { return }
      var last = rest
      for index in rules.indices {
        guard let time = rules[index].last(before: end, states[index], activity) else { continue }
        last = max(last, time)
        pass([index], through: { [rules] in rules[$0].leaveOut(time, now: now) })
      }
      note(last, .misfire)
    }

    private mutating func note(_ time: Timestamp, _ reason: SkipReason) {
      skipped[reason, default: 0] += 1
      record.skips.count += 1
      record.skips.lastTime = time
      record.skips.lastReason = reason
    }

    private mutating func pass(_ indices: [Int], through time: (Int) -> Timestamp) {
      for index in indices {
        states[index].decidedThrough = time(index)
        look(index)
      }
    }

    /// The record with all that has been decided.
    var result: JobRecord {
      var record = record
      if !record.spec.schedules.isEmpty, record.cancelRequestedAt == nil { record.scheduleStates = states }
      // Where a search had to stop it goes on when that time comes: nothing is due before.
      let resumptions = horizons.lazy.compactMap(\.self).map { Timestamp(microseconds: $0.microseconds + 1) }
      record.nextRunTime = [due?.creationTime, resumptions.min()].compactMap(\.self).min()
      return record
    }
  }
}

extension OverlapPolicy {
  /// Why there must not be another regular run now; nil where there may.
  func objection(to activity: JobActivity) -> SkipReason? {
    switch self {
    case .allow, .replace: nil
    case .forbid: activity.unended > 0 ? .overlap : nil
    case .queue(let limit): activity.unended > limit ? .queueFull : nil
    }
  }
}
