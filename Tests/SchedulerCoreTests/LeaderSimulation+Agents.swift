@testable import SchedulerCore

/// An agent: the real `AgentMachine`, with a disk, shims and tasks around it.
struct SimulatedAgent {
  /// A task that is alive.
  struct Task {
    var assignment: Assignment
    /// When it ends by itself, or by its timeout.
    var ends: Int64
    /// How it ends then; the time is put in.
    var end: AttemptEnd
    var hasReportedStart = false
    /// When a task that was asked to end does so.
    var dies: Int64?
    /// How many checkpoints it has saved.
    var saves: UInt64 = 0
  }

  enum ExecutorEvent {
    case started(AttemptRef, Int64)
    case ended(AttemptRef, AttemptEnd)
  }

  let index: Int
  let id: String
  let labels: [String: String]
  let slots: Int
  var machine: AgentMachine
  /// The incarnation that is saved on disk.
  var saved: Int64?
  /// When etcd lets the key lapse.
  var leaseEnds: Int64 = 0
  /// What the shims were told.
  var trustedUntil: Int64 = .min
  var renewedAt: Int64 = 0
  var frozenUntil: Int64 = 0
  var cutFromEtcdUntil: Int64 = 0
  var tasks: [Task] = []
  var events: [ExecutorEvent] = []
  /// The disk: attempts begun, and ends.
  var begun: [AttemptRef] = []
  var journal: [AttemptUpdate] = []
  /// Checkpoints that nobody has answered: sent again on each session.
  var unanswered: [CheckpointReport] = []
  /// Attempts that have ended here: a thread that was left behind may speak in their name.
  var past: [AttemptRef] = []
  /// The process is gone, its tasks go on: the next one has yet to adopt them.
  var isReplaced = false
  /// The mutation "no self-fencing".
  var neverFences = false

  init(index: Int, slots: Int) {
    self.index = index
    self.slots = slots
    id = "a\(index)"
    labels = ["zone": index.isMultiple(of: 2) ? "even" : "odd"]
    machine = AgentMachine(limits: AgentMachine.Limits(slots: slots))
  }

  var record: AgentRecord {
    var record = AgentRecord(
      agentID: id, host: id, labels: labels, slots: slots, version: "1",
      startedAt: Timestamp(milliseconds: 0))
    // The first agent has all that jobs ask for; their tasks are not many enough to fill their slots.
    record.resources = Resources(
      cpus: max(1, Double(slots) / 2), memoryBytes: 1 << 30,
      custom: index.isMultiple(of: 2) ? ["gpu": 1] : [:])
    return record
  }

  var hello: AgentHello? {
    guard let incarnation = machine.incarnation else { return nil }
    return AgentHello(
      agentID: id, incarnation: incarnation, version: "1",
      attempts: machine.known.sorted { $0.sortKey < $1.sortKey }, draining: machine.isDraining)
  }

  static func moment(_ now: Int64) -> AgentTime {
    AgentTime(wall: Timestamp(milliseconds: now), boot: now)
  }

  // MARK: Lease

  mutating func trust(until end: Int64, now: Int64) {
    let end = neverFences ? Int64.max : end
    // The shims end what they watch over when they hear too late.
    fence(now: now)
    trustedUntil = max(trustedUntil, end)
    machine.leaseTrusted(until: end, at: Self.moment(now))
  }

  mutating func loseIncarnation(now: Int64) {
    trustedUntil = .min
    machine.incarnationLost(at: Self.moment(now))
  }

  /// What the shims do by themselves, even while the agent is stopped.
  mutating func fence(now: Int64) {
    guard now >= trustedUntil else { return }
    for task in tasks where task.dies == nil || task.dies ?? 0 > now { kill(task.assignment.ref, at: now) }
  }

  mutating func kill(_ ref: AttemptRef, at time: Int64) {
    guard let place = tasks.firstIndex(where: { $0.assignment.ref == ref }) else { return }
    tasks[place].dies = min(tasks[place].dies ?? .max, time)
  }

  // MARK: Tasks

  /// Ends the tasks whose time has come. Tasks end also while the agent is stopped.
  mutating func reap(now: Int64, _ checker: inout SimulationChecker) {
    for task in tasks where task.ends <= now || (task.dies ?? .max) <= now {
      let ref = task.assignment.ref
      unanswered.removeAll { $0.ref == ref }
      past = past.suffix(5) + [ref]
      // A start is never said after the end, nor left out.
      if !task.hasReportedStart { events.append(.started(ref, now)) }
      if let dies = task.dies, dies <= now {
        checker.end(ref, succeeded: false)
        events.append(
          .ended(ref, AttemptEnd(endedAt: Timestamp(milliseconds: dies), reason: .cancelled, signal: 9)))
      } else {
        checker.end(ref, succeeded: task.end.succeeded, saysNever: task.end.noRetry)
        var end = task.end
        end.endedAt = Timestamp(milliseconds: task.ends)
        events.append(.ended(ref, end))
      }
    }
    tasks.removeAll { $0.ends <= now || ($0.dies ?? .max) <= now }
  }

  /// Tells the machine what the executors have seen.
  mutating func deliverEvents() {
    for event in events {
      switch event {
      case .started(let ref, let time): machine.taskStarted(ref, at: Timestamp(milliseconds: time))
      case .ended(let ref, let end): machine.taskEnded(ref, end)
      }
    }
    events = []
  }

  /// Does what the machine wants done.
  mutating func settle(
    now: Int64, _ random: inout SplitMix, _ checker: inout SimulationChecker, _ etcd: SimulatedEtcd
  ) {
    machine.tick(at: Self.moment(now))
    let effects = machine.takeEffects(at: Self.moment(now))
    begun += effects.start.map(\.ref)
    for update in effects.journal.sorted(by: { $0.ref.sortKey < $1.ref.sortKey }) {
      begun.removeAll { $0 == update.ref }
      journal.append(update)
    }
    for ref in effects.unjournal {
      begun.removeAll { $0 == ref }
      journal.removeAll { $0.ref == ref }
    }
    for assignment in effects.start { start(assignment, now: now, &random, &checker, etcd) }
    for kill in effects.kill.sorted(by: { $0.ref.sortKey < $1.ref.sortKey }) {
      self.kill(kill.ref, at: kill.mode == .now ? now : now + Int64.random(in: 0...200, using: &random))
    }
  }

  private mutating func start(
    _ assignment: Assignment, now: Int64, _ random: inout SplitMix, _ checker: inout SimulationChecker,
    _ etcd: SimulatedEtcd
  ) {
    checker.start(assignment, on: id, etcd)
    guard assignment.spec.task != .noop else {
      // It is over at once; nothing can come between.
      checker.end(assignment.ref, succeeded: true)
      let end = AttemptEnd(endedAt: Timestamp(milliseconds: now), reason: .exited, exitCode: 0)
      return events.append(.ended(assignment.ref, end))
    }
    var length = Int64.random(in: 1...400, using: &random)
    var end = Self.randomEnd(&random)
    if let timeout = assignment.spec.timeoutMillis, timeout < length {
      length = timeout
      end = AttemptEnd(endedAt: end.endedAt, reason: .timeout)
    }
    tasks.append(Task(assignment: assignment, ends: now + length, end: end))
  }

  private static func randomEnd(_ random: inout SplitMix) -> AttemptEnd {
    var end = AttemptEnd(endedAt: Timestamp(milliseconds: 0), reason: .exited, exitCode: 0)
    switch Int.random(in: 0..<12, using: &random) {
    case 0: end.exitCode = 1
    case 1: end.exitCode = 2
    case 2:
      end.exitCode = 3
      end.noRetry = Bool.random(using: &random)
      end.retryAfterMillis = Int64.random(in: 0...300, using: &random)
    case 3:
      end.exitCode = nil
      end.signal = 11
    default: break
    }
    return end
  }

  // MARK: Restarts

  /// The process goes and leaves its tasks to their shims, which end them when the lease is not trusted any more.
  mutating func leaveTasks() {
    isReplaced = true
    unanswered = []
  }

  /// The next process takes over from the disk and from the shims, of which some cannot be reached: what they had is killed,
  /// and seen dead. How tasks have ended meanwhile the shims say. It has yet to see whether its incarnation is still there.
  mutating func adopt(now: Int64, _ random: inout SplitMix, _ checker: inout SimulationChecker) {
    isReplaced = false
    let epoch = machine.leaderEpoch
    machine = AgentMachine(limits: AgentMachine.Limits(slots: slots))
    machine.leaseTrusted(until: trustedUntil, at: Self.moment(now))
    var ends: [ExecutorEvent] = []
    for ref in begun {
      let end = events.first { if case .ended(ref, _) = $0 { true } else { false } }
      let place = tasks.firstIndex { $0.assignment.ref == ref }
      if end != nil || place != nil, Int.random(in: 0..<6, using: &random) != 0 {
        machine.adopted(ref, startedAt: Timestamp(milliseconds: now))
        if let end { ends.append(end) }
        if let place { tasks[place].hasReportedStart = true }
        checker.adopted()
        continue
      }
      if let place {
        checker.end(ref, succeeded: false)
        tasks.remove(at: place)
      }
      // Its shim would have said how it ended.
      checker.unheard(ref)
      let lost = AttemptEnd(endedAt: Timestamp(milliseconds: now), reason: .agentStopped, error: "restarted")
      journal.append(AttemptUpdate(ref: ref, end: lost))
    }
    begun.removeAll { ref in journal.contains { $0.ref == ref } }
    events = ends
    machine.recovered(journal, leaderEpoch: epoch)
  }

  /// The process is killed, and its tasks with it, as in a container: the machine is lost, the disk stays.
  mutating func crash(now: Int64, _ checker: inout SimulationChecker) {
    for task in tasks { checker.end(task.assignment.ref, succeeded: false) }
    // What the process has not taken in is on no disk.
    for case .ended(let ref, _) in events { checker.unheard(ref) }
    tasks = []
    unanswered = []
    events = []
    isReplaced = false
    trustedUntil = .min
    let epoch = machine.leaderEpoch
    machine = AgentMachine(limits: AgentMachine.Limits(slots: slots))
    let found = begun.map { ref in
      AttemptUpdate(
        ref: ref,
        end: AttemptEnd(endedAt: Timestamp(milliseconds: now), reason: .agentStopped, error: "restarted"))
    }
    journal += found
    begun = []
    machine.recovered(journal, leaderEpoch: epoch)
  }
}
