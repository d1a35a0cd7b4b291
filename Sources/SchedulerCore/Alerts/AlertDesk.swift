/// What a leader knows of alerts: those that are kept, what of them is to be written and told, and when. All of it
/// follows from the records; nobody but the leader writes them, so it needs no watch on them.
struct AlertDesk: Sendable {
  /// The alerts that a rule's silence is about.
  struct Stream: Hashable {
    var job: JobKey
    var rule: AlertRule
  }

  /// Whether the alerts of earlier leaders are known. Before that nothing is decided.
  private(set) var isLoaded = false
  /// The runs that were to be looked at before that.
  private(set) var postponed: Set<RunKey> = []
  private var alerts: [AlertKey: AlertRecord] = [:]
  /// The latest instant that was told of each stream.
  private var latest: [Stream: Timestamp] = [:]
  /// When something of an alert is to be done: another try, or its removal.
  private var due = DeadlineHeap<AlertKey>()
  /// Those that are not in etcd yet.
  private var unborn: Set<AlertKey> = []
  /// Those that have changed since they were written last.
  private var unsaved: Set<AlertKey> = []
  /// Those that are being written or deleted.
  private var busy: Set<AlertKey> = []
  /// Those that somebody is being told of; one delivery of each at a time.
  private var telling: Set<AlertKey> = []

  /// How many are kept.
  var count: Int { alerts.count }

  /// How many are to be told yet.
  var pendingCount: Int { alerts.values.count { $0.state == .pending } }

  subscript(key: AlertKey) -> AlertRecord? { alerts[key] }

  // MARK: Taking over

  /// A run was to be looked at too early.
  mutating func postpone(_ run: RunKey) { postponed.insert(run) }

  /// Takes in what earlier leaders wrote.
  /// - Returns: The runs that were to be looked at meanwhile, in an order.
  mutating func load(_ records: [AlertRecord], retention: Int64) -> [RunKey] {
    isLoaded = true
    for record in records {
      keep(record)
      schedule(record.key, retention: retention)
    }
    defer { postponed = [] }
    return postponed.sorted()
  }

  // MARK: Alerts

  /// The latest instant that was told for a rule of a job.
  func latest(of rule: AlertRule, _ job: JobKey) -> Timestamp? { latest[Stream(job: job, rule: rule)] }

  /// Takes a new alert. Returns false where no more are kept.
  mutating func raise(_ record: AlertRecord) -> Bool {
    if alerts.count >= LeaderMachine.AlertLimits.kept { makeRoom() }
    guard alerts.count < LeaderMachine.AlertLimits.kept else { return false }
    keep(record)
    unborn.insert(record.key)
    unsaved.insert(record.key)
    due.set(record.key, at: .earliest)
    return true
  }

  private mutating func keep(_ record: AlertRecord) {
    alerts[record.key] = record
    let stream = Stream(job: record.key.job, rule: record.rule)
    latest[stream] = max(latest[stream] ?? .earliest, record.at)
  }

  /// Has the oldest that are told removed before their time.
  private mutating func makeRoom() {
    let ended = alerts.values.compactMap { alert in alert.endedAt.map { (at: $0, key: alert.key) } }
    let oldest = ended.sorted { ($0.at, $0.key) < ($1.at, $1.key) }.prefix(LeaderMachine.AlertLimits.evicted)
    for entry in oldest where doomed.insert(entry.key).inserted && !busy.contains(entry.key) {
      due.set(entry.key, at: .earliest)
    }
  }

  /// What goes without regard to its time.
  private var doomed: Set<AlertKey> = []

  // MARK: Doing

  /// What is to be done with an alert.
  enum Step {
    case write(AlertRecord, isNew: Bool)
    case tell(AlertRecord, delivery: Int)
    case delete(AlertKey)
  }

  /// When there is something to do; nil for never, and while as many are being told of as may be.
  var nextDeadline: Timestamp? {
    telling.count < LeaderMachine.AlertLimits.deliveries ? due.nextDeadline : nil
  }

  /// What is to be done now.
  mutating func steps(now: Timestamp, retention: Int64) -> [Step] {
    guard isLoaded else { return [] }
    var steps: [Step] = []
    while steps.count < LeaderMachine.AlertLimits.stepsPerTurn, let next = nextDeadline, next <= now,
      let key = due.popDue(now: now, limit: 1).first
    {
      if let step = step(key, now: now, retention: retention) { steps.append(step) }
    }
    return steps
  }

  private mutating func step(_ key: AlertKey, now: Timestamp, retention: Int64) -> Step? {
    guard let alert = alerts[key], !busy.contains(key), !telling.contains(key) else { return nil }
    if unsaved.remove(key) != nil {
      busy.insert(key)
      return .write(alert, isNew: unborn.contains(key))
    }
    let delivery = alert.deliveries.firstIndex {
      $0.state == .pending && ($0.nextTryAt ?? .earliest) <= now
    }
    if let delivery {
      telling.insert(key)
      return .tell(alert, delivery: delivery)
    }
    if let end = alert.endedAt, doomed.contains(key) || end.adding(milliseconds: retention) <= now {
      busy.insert(key)
      return .delete(key)
    }
    schedule(key, retention: retention)
    return nil
  }

  /// Sets when the alert is to be looked at again.
  private mutating func schedule(_ key: AlertKey, retention: Int64) {
    guard let alert = alerts[key] else { return }
    if let end = alert.endedAt {
      due.set(key, at: doomed.contains(key) ? .earliest : end.adding(milliseconds: retention))
    } else {
      let pending = alert.deliveries.filter { $0.state == .pending }
      due.set(key, at: pending.map { $0.nextTryAt ?? .earliest }.min() ?? .earliest)
    }
  }

  /// It is in etcd as it is here, or as it was when it was written.
  mutating func written(_ key: AlertKey, retention: Int64) {
    busy.remove(key)
    unborn.remove(key)
    schedule(key, retention: retention)
  }

  /// It could not be written or deleted.
  mutating func refused(_ key: AlertKey, isDeletion: Bool, again: Timestamp) {
    busy.remove(key)
    if !isDeletion { unsaved.insert(key) }
    due.set(key, at: again)
  }

  /// It is there no more.
  mutating func deleted(_ key: AlertKey) {
    busy.remove(key)
    due.remove(key)
    doomed.remove(key)
    guard let alert = alerts.removeValue(forKey: key) else { return }
    let stream = Stream(job: key.job, rule: alert.rule)
    if latest[stream] == alert.at { latest[stream] = nil }
  }

  /// Somebody was told, or not.
  mutating func told(_ key: AlertKey, delivery: Int, _ change: (inout AlertRecord.Delivery) -> Void) {
    telling.remove(key)
    guard var alert = alerts[key], alert.deliveries.indices.contains(delivery) else { return }
    change(&alert.deliveries[delivery])
    alerts[key] = alert
    unsaved.insert(key)
    due.set(key, at: .earliest)
  }

  /// What is told is kept for another time.
  mutating func reschedule(retention: Int64) {
    for key in alerts.keys where !busy.contains(key) && !unsaved.contains(key) && !telling.contains(key) {
      schedule(key, retention: retention)
    }
  }
}
