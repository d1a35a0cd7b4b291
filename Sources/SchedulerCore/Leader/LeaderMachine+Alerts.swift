// Alerts: the leader notices, writes down, and has the shell tell. Each alert follows from a run's record, a rule of its
// job and an instant, so the next leader comes to the same ones.

extension LeaderMachine {
  /// Bounds.
  public enum AlertLimits {
    /// Alerts that are kept; past it no more are made until some are removed.
    public static let kept = 10_000
    /// How many of those that were told go at once to make room.
    public static let evicted = 500
    /// Alerts that are being told at a time.
    public static let deliveries = 16
    /// What is written, told and removed in one turn.
    public static let stepsPerTurn = 100
    /// How far back a run that has failed is looked at by a leader that takes over, and by a rule: an hour.
    public static let catchUpMillis: Int64 = 3_600_000
    /// The runs of one job that are looked at to count causes, the latest of them.
    public static let runsCounted = 1_000
    /// The first and the longest pause before somebody is told again.
    public static let pauseMillis: ClosedRange<Int64> = 1_000...300_000
    /// How long it is tried: a day.
    public static let patienceMillis: Int64 = 86_400_000
    /// The longest error that is kept, bytes.
    public static let errorBytes = 512
  }

  /// What came of telling somebody.
  public enum Telling: Hashable, Sendable {
    /// It was taken.
    case taken
    /// It was not; why. It is tried again.
    case failed(String)
    /// It cannot be done; why.
    case impossible(String)
  }

  // MARK: Inputs

  /// Whether the alerts that earlier leaders wrote are yet to be read from etcd.
  public var awaitsAlerts: Bool { !alertDesk.isLoaded }

  /// Takes in all alerts that are in etcd. They have to be read after this leader was elected: from then on nobody else
  /// writes them.
  public mutating func alertsLoaded(_ records: [AlertRecord], _ cache: ClusterCache, now: Timestamp) {
    guard awaitsAlerts else { return }
    for run in alertDesk.load(records, retention: retention.millis) { reviewAlerts(of: run, cache, now: now) }
    // What has failed while nobody led, or while this was read.
    let since = now.adding(milliseconds: -AlertLimits.catchUpMillis)
    let failed = cache.runs.filter { _, run in
      run.record.state == .failed && (run.record.finishedAt ?? .earliest) >= since
    }
    for key in failed.keys.sorted() { reviewAlerts(of: key, cache, now: now) }
  }

  /// Somebody was told of an alert, or not.
  public mutating func told(_ key: AlertKey, delivery: Int, _ telling: Telling, now: Timestamp) {
    let created = alertDesk[key]?.createdAt ?? now
    let unit = random.unit()
    alertDesk.told(key, delivery: delivery) { delivery in
      delivery.tries += 1
      delivery.nextTryAt = nil
      switch telling {
      case .taken:
        delivery.state = .delivered
        delivery.error = nil
        delivery.endedAt = now
      case .failed(let why):
        delivery.error = why.cut(toBytes: AlertLimits.errorBytes)
        let next = now.adding(milliseconds: Self.pause(after: delivery.tries, unit))
        if next < created.adding(milliseconds: AlertLimits.patienceMillis) {
          delivery.nextTryAt = next
        } else {
          delivery.state = .givenUp
          delivery.endedAt = now
        }
      case .impossible(let why):
        delivery.error = why.cut(toBytes: AlertLimits.errorBytes)
        delivery.state = .givenUp
        delivery.endedAt = now
      }
    }
    if telling == .taken { counters.alertsTold += 1 } else { counters.alertFailures += 1 }
  }

  /// Doubles from try to try, and varies by a fifth.
  static func pause(after tries: Int, _ unit: Double) -> Int64 {
    let doubled = AlertLimits.pauseMillis.lowerBound << Int64(min(max(0, tries - 1), 20))
    let pause = Double(min(doubled, AlertLimits.pauseMillis.upperBound))
    return Int64(pause * (0.8 + 0.4 * unit))
  }

  /// When something is to be done about alerts; nil for never, and before they are known.
  var alertsDue: Timestamp? { awaitsAlerts ? nil : alertDesk.nextDeadline }

  /// Alerts that are kept, and of those the ones that somebody is to be told of yet.
  public var alertCounts: (kept: Int, pending: Int) { (alertDesk.count, alertDesk.pendingCount) }

  // MARK: Noticing

  /// Looks whether a run gives cause for an alert, and sees to it that it is looked at again when it may.
  mutating func reviewAlerts(of key: RunKey, _ cache: ClusterCache, now: Timestamp) {
    guard let run = cache.runs[key]?.record, let job = cache.jobs[key.job]?.job.record else { return }
    reviewAlerts(of: run, job, cache, now: now)
  }

  /// As above, where the records are at hand.
  mutating func reviewAlerts(of run: RunRecord, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp) {
    guard !job.spec.alerts.isEmpty else { return }
    guard alertDesk.isLoaded else { return alertDesk.postpone(run.key) }
    var next: Timestamp?
    for rule in job.spec.alerts {
      guard let occurrence = rule.occurrence(of: run) else { continue }
      if occurrence.at > now {
        next = min(next ?? occurrence.at, occurrence.at)
      } else {
        raise(rule, occurrence, run, job, cache, now: now)
      }
    }
    if let next, !run.state.isTerminal {
      deadlines.set(.alert(run.key), at: next)
    } else {
      deadlines.remove(.alert(run.key))
    }
  }

  private mutating func raise(
    _ rule: AlertRule, _ occurrence: AlertRule.Occurrence, _ run: RunRecord, _ job: JobRecord,
    _ cache: ClusterCache, now: Timestamp
  ) {
    let at = occurrence.at
    // Nothing of what was before there was the rule, and nothing that is long over.
    guard at >= job.origin.at else { return }
    guard !run.state.isTerminal || at >= now.adding(milliseconds: -AlertLimits.catchUpMillis) else { return }
    let key = AlertKey(job: job.key, alertID: AlertRecord.id(of: run.key, rule, at: at))
    guard alertDesk[key] == nil else { return }
    let latest = alertDesk.latest(of: rule, job.key)
    if let latest, rule.silenceMillis > 0, at < latest.adding(milliseconds: rule.silenceMillis) { return }
    let count = rule.count > 1 ? causes(of: rule, job.key, until: at, after: latest, cache) : 1
    guard count >= rule.count else { return }
    var record = AlertRecord(
      key: key, runID: run.key.runID, attempt: occurrence.attempt, rule: rule, at: at, createdAt: now,
      message: rule.message(of: occurrence, in: run, count: count).cut(toBytes: RunLimits.errorBytes))
    record.count = count
    if alertDesk.raise(record) {
      counters.alertsRaised += 1
    } else {
      counters.alertsDropped += 1
    }
  }

  /// How many runs of a job have given a rule cause within its window until an instant, and since the last alert.
  private func causes(
    of rule: AlertRule, _ job: JobKey, until end: Timestamp, after latest: Timestamp?, _ cache: ClusterCache
  ) -> Int {
    guard let slot = cache.jobs.slot(of: job) else { return 0 }
    let start = end.adding(milliseconds: -(rule.windowMillis ?? 0))
    return cache.jobs.runIDs(at: slot).suffix(AlertLimits.runsCounted).count { runID in
      guard let run = cache.runs[RunKey(job: job, runID: runID)]?.record,
        let at = rule.occurrence(of: run)?.at
      else { return false }
      return at > start && at <= end && latest.map { at > $0 } ?? true
    }
  }

  // MARK: Doing

  /// Proposes what is to be written and removed, and hands out what is to be told.
  mutating func tendAlerts(now: Timestamp) {
    for step in alertDesk.steps(now: now, retention: retention.millis) {
      switch step {
      case .write(let record, let isNew):
        propose(
          .alert(record.key, isDeletion: false), guards: isNew ? [.alertAbsent(record.key)] : [],
          writes: [.alert(record)])
      case .tell(let record, let delivery): effects.append(.tell(record, delivery: delivery))
      case .delete(let key):
        propose(.alert(key, isDeletion: true), guards: [], writes: [.deleteAlert(key)])
      }
    }
  }

  /// What became of a write. A conflict says that it is there already: what makes it makes the same.
  mutating func alertConcluded(
    _ key: AlertKey, isDeletion: Bool, _ outcome: ProposalOutcome, again: Timestamp
  ) {
    if case .refused = outcome {
      alertDesk.refused(key, isDeletion: isDeletion, again: again)
    } else if isDeletion {
      alertDesk.deleted(key)
    } else {
      alertDesk.written(key, retention: retention.millis)
    }
  }
}
