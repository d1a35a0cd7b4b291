@testable import SchedulerCore

/// Watches everything that is committed and everything that agents do, and knows what must never be.
/// It relies on no part of what it checks.
struct SimulationChecker {
  private(set) var violations: [String] = []
  /// The last state of every run ever created, also after its removal.
  private var seen: [RunKey: RunRecord] = [:]
  /// The generations of their jobs when they were created, and which of them were removed.
  private var generations: [RunKey: Int] = [:]
  private var gone: Set<RunKey> = []
  /// The attempts whose tasks are alive now, and on whom.
  private(set) var executing: [AttemptRef: String] = [:]
  private var started: Set<AttemptRef> = []
  private var startsOfRun: [RunKey: Int] = [:]
  private var succeeded: Set<AttemptRef> = []
  private var checkedEvents = 0
  private(set) var accepted: Set<JobKey> = []
  /// How many runs of queues may be with agents, from the beginning on.
  var queueLimits: [String: Int] = [:]
  private var ownedInQueue: [String: Set<RunKey>] = [:]
  private(set) var ended: [RunKey: RunState] = [:]

  /// What agents were told is durable, and what attempts were given to start from.
  private var saved: [RunKey: [Saved]] = [:]
  private var resumed: [RunKey: [(attempt: Int, from: Saved?)]] = [:]
  private(set) var resumptions = 0

  /// The specifications of jobs that users never change.
  private var specs: [JobKey: JobSpec] = [:]
  /// The attempts whose tasks said that they must not be retried.
  private var saidNever: Set<AttemptRef> = []
  /// How many at once, and how late.
  private(set) var limits = LimitRules()
  /// Runs that users had run again, and what became of attempts, to tell whether the stories are worth telling.
  var retriedByHand = 0
  private(set) var retries = 0
  private(set) var waits = 0
  private(set) var adoptions = 0
  private(set) var promises = 0
  /// What tasks do, for other checkers; nil where nobody wants it.
  var diary: SimulationDiary?

  mutating func fail(_ text: String) { violations.append(text) }

  // MARK: What etcd holds

  /// Looks at what was committed since the last time.
  mutating func review(_ etcd: SimulatedEtcd) {
    while checkedEvents < etcd.history.count {
      let event = etcd.history[checkedEvents]
      checkedEvents += 1
      switch event.change {
      case .run(let key, let run?):
        if run.createRevision == event.revision { born(key, etcd) }
        written(key, run.record, etcd)
      case .run(let key, nil):
        gone.insert(key)
        for queue in queueLimits.keys { ownedInQueue[queue]?.remove(key) }
        removed(key)
      case .job(let key, let job?):
        accepted.insert(key)
        if key.jobID.hasPrefix("j") { specs[key] = job.record.spec }
        if job.createRevision == job.modRevision, job.createRevision != event.revision {
          fail("\(key.jobID): wrong revisions")
        }
      case .job(let key, nil):
        if !ended.keys.contains(where: { $0.job == key }), seen.keys.contains(where: { $0.job == key }) {
          fail("\(key.jobID) was removed before it ended")
        }
      case .agent, .server, .leader, .segment, .calendar, .group, .backfill, .drain, .queue, .quota,
        .listedJob:
        break
      }
    }
  }

  /// A removed run's instant may be named by another schedule, which a user has given the job since: then it is another run.
  private mutating func born(_ key: RunKey, _ etcd: SimulatedEtcd) {
    let generation = etcd.jobs[key.job]?.record.generation ?? 0
    let earlier = generations.updateValue(generation, forKey: key)
    guard gone.remove(key) != nil, let earlier, earlier < generation else { return }
    seen[key] = nil
    ended[key] = nil
    saved[key] = nil
    resumed[key] = nil
    startsOfRun[key] = nil
    started = started.filter { $0.run != key }
    succeeded = succeeded.filter { $0.run != key }
    saidNever = saidNever.filter { $0.run != key }
  }

  /// No more runs of a queue are with agents than may be.
  private mutating func countInQueue(_ key: RunKey, _ run: RunRecord) {
    guard let queue = specs[key.job]?.queue, let limit = queueLimits[queue] else { return }
    if run.state.isOwned {
      ownedInQueue[queue, default: []].insert(key)
    } else {
      ownedInQueue[queue]?.remove(key)
    }
    if let count = ownedInQueue[queue]?.count, count > limit {
      fail("\(key.job.jobID): \(count) runs of queue '\(queue)' have an agent; at most \(limit) may")
    }
  }

  private mutating func written(_ key: RunKey, _ run: RunRecord, _ etcd: SimulatedEtcd) {
    defer { seen[key] = run }
    let name = key.job.jobID
    countInQueue(key, run)
    for text in limits.written(run, after: seen[key], specs[key.job]) { fail("\(name): \(text)") }
    guard let old = seen[key] else {
      var unborn = run
      unborn.attempt = 0
      unborn.fence = 0
      if let other = run.retryOf {
        let old = seen[RunKey(job: key.job, runID: other)]
        for text in RetryRules.violations(of: run, after: old) { fail("\(name): \(text)") }
        unborn.fence = run.fence
      }
      switch run.state {
      case .queued:
        if run.attempt != 0 || run.fence != unborn.fence { fail("\(name): a run begins with attempts") }
      case .assigned: assigned(run, unborn, etcd)
      default: fail("\(name): a run begins as \(run.state)")
      }
      return
    }
    // A run that an agent owns may be written for what its task says of itself.
    let isReport =
      run.state == old.state && run.current == old.current && run.current != nil
      && (run.checkpoint != old.checkpoint || run.progress != old.progress)
    if !isReport && !run.onlyNotesWhyItWaits(old) && !old.state.successors.contains(run.state) {
      fail("\(name): \(old.state) became \(run.state)")
    }
    checkFailurePolicy(run, old)
    if run.fence < old.fence || run.attempt < old.attempt { fail("\(name): fence or attempt went back") }
    if run.attempts.count > RunLimits.attemptsKept { fail("\(name): attempts are not bounded") }
    if run.state.isTerminal {
      if ended.updateValue(run.state, forKey: key) != nil { fail("\(name): ended twice") }
      if run.finishedAt == nil { fail("\(name): ended without a time") }
    }
    if run.state == .assigned && !isReport { assigned(run, old, etcd) }
    checkCheckpoint(run, old, etcd)
    if run.attempt == old.attempt, (run.progress?.fraction ?? 0) < (old.progress?.fraction ?? 0) {
      fail("\(name): progress went back")
    }
    // Who had the attempt has it no more: then its task must be dead.
    if let ref = old.current, run.current != ref, let agent = executing[ref] {
      fail("\(name): attempt \(ref.attempt) was taken away while it ran on \(agent)")
    }
    if run.state == .completed {
      guard let ref = old.current, succeeded.contains(ref) else {
        fail("\(name): completed, but its attempt did not succeed")
        return
      }
    }
  }

  private mutating func checkFailurePolicy(_ run: RunRecord, _ old: RunRecord) {
    guard let spec = specs[run.key.job] else { return }
    if run.state == .retrying { retries += 1 }
    if run.waitsForWorker != nil { waits += 1 }
    let saidNever = old.current.map(saidNever.contains) ?? false
    for text in RetryRules(spec: spec).violations(from: old, to: run, saidNever: saidNever) {
      fail("\(run.key.job.jobID): \(text)")
    }
  }

  private mutating func assigned(_ run: RunRecord, _ old: RunRecord, _ etcd: SimulatedEtcd) {
    let name = run.key.job.jobID
    if run.fence != old.fence + 1 || run.attempt != old.attempt + 1 { fail("\(name): no next attempt") }
    guard let owner = run.owner else { return fail("\(name): assigned to nobody") }
    // Checked at the commit, before anything else can happen.
    if etcd.agents[owner.agentID]?.createRevision != owner.createRevision {
      fail("\(name): assigned to \(owner.agentID), which holds no lease")
    }
  }

  /// The record says what the key holds; only the current attempt replaces it, with something newer.
  private mutating func checkCheckpoint(_ run: RunRecord, _ old: RunRecord, _ etcd: SimulatedEtcd) {
    let name = run.key.job.jobID
    if run.checkpoint != etcd.checkpoints[run.key]?.note {
      fail("\(name): the record and the key of its checkpoint do not agree")
    }
    if run.state.isTerminal, run.checkpoint != nil { fail("\(name): ended with a checkpoint") }
    guard let new = run.checkpoint, new != old.checkpoint else { return }
    if new.attempt != old.current?.attempt { fail("\(name): a stale attempt has written a checkpoint") }
    if let before = old.checkpoint,
      (new.attempt, new.sequence) <= (before.attempt, before.sequence)
    {
      fail("\(name): a checkpoint was replaced by an older one")
    }
  }

  mutating func adopted() { adoptions += 1 }

  private mutating func removed(_ key: RunKey) {
    if seen[key]?.state.isTerminal != true {
      fail("\(key.job.jobID): removed while \(seen[key]?.state as Any)")
    }
  }

  // MARK: What agents do

  /// What runs on an agent was promised no more than it has.
  private mutating func checkPromises(of agent: String, _ etcd: SimulatedEtcd) {
    guard let capacity = etcd.agents[agent]?.record.resources else { return }
    var promised = ResourceAmounts()
    for (ref, place) in executing where place == agent {
      let attempts = etcd.runs[ref.run]?.record.attempts ?? []
      if let attempt = attempts.first(where: { $0.attempt == ref.attempt }) {
        promised += ResourceAmounts(attempt.resources)
      }
    }
    if !promised.isEmpty { promises += 1 }
    if !ResourceAmounts().leaves(promised, of: ResourceAmounts(capacity)) {
      fail("\(agent) runs what was promised \(promised.resources.text) of \(capacity.text)")
    }
  }

  mutating func start(_ assignment: Assignment, on agent: String, _ etcd: SimulatedEtcd) {
    let ref = assignment.ref
    let name = ref.run.job.jobID
    if !started.insert(ref).inserted { fail("\(name): attempt \(ref.attempt) started twice") }
    if let other = executing.keys.first(where: { $0.run == ref.run }) {
      fail("\(name): attempt \(ref.attempt) started on \(agent) while attempt \(other.attempt) runs")
    }
    if etcd.runs[ref.run]?.record.current != ref {
      fail("\(name): attempt \(ref.attempt) started on \(agent) but is not the current one")
    }
    if assignment.spec.overlap.isSerial,
      let other = executing.keys.first(where: { $0.run.job == ref.run.job && $0.run != ref.run })
    {
      fail("\(name): run \(ref.run.runID) started beside run \(other.run.runID), which its job forbids")
    }
    if let total = specs[ref.run.job]?.totalTimeoutMillis, assignment.spec.timeoutMillis ?? .max > total {
      fail("\(name): attempt \(ref.attempt) may run past its total timeout")
    }
    if let run = etcd.runs[ref.run]?.record {
      for text in limits.started(run, specs[ref.run.job]) { fail("\(name): \(text)") }
    }
    startsOfRun[ref.run, default: 0] += 1
    if assignment.spec.onAgentLoss == .fail, startsOfRun[ref.run, default: 0] > 1 + assignment.retryCount {
      fail("\(name): started again after a loss, although the job forbids that")
    }
    executing[ref] = agent
    checkPromises(of: agent, etcd)
    let from = Saved(assignment)
    if let from {
      resumptions += 1
      if from.ref.attempt >= ref.attempt {
        fail("\(name): attempt \(ref.attempt) starts from its own future")
      }
    }
    resumed[ref.run, default: []].append((ref.attempt, from))
    diary?.started(ref, on: agent, from: from)
    for saved in saved[ref.run] ?? [] { compare(saved, ref.attempt, from) }
  }

  /// An agent was told that a checkpoint is durable.
  mutating func acknowledged(_ mark: Saved) {
    saved[mark.ref.run, default: []].append(mark)
    // The task may be gone by now, and says nothing any more.
    if executing[mark.ref] != nil { diary?.saved(mark) }
    for (attempt, from) in resumed[mark.ref.run] ?? [] { compare(mark, attempt, from) }
  }

  /// What was acknowledged to an attempt is what those after it start from, unless there is something newer.
  private mutating func compare(_ saved: Saved, _ attempt: Int, _ from: Saved?) {
    guard saved.ref.attempt < attempt else { return }
    guard let from, (from.ref.attempt, from.sequence) >= (saved.ref.attempt, saved.sequence) else {
      return fail(
        "\(saved.ref.run.job.jobID): attempt \(attempt) was not given the checkpoint that was acknowledged")
    }
  }

  mutating func end(_ ref: AttemptRef, succeeded: Bool, saysNever: Bool = false) {
    limits.stopped(ref.run)
    if let agent = executing.removeValue(forKey: ref) { diary?.ended(ref, on: agent, succeeded: succeeded) }
    if saysNever { saidNever.insert(ref) }
    if succeeded { self.succeeded.insert(ref) }
  }

  /// What a task said at its end was lost with its agent.
  mutating func unheard(_ ref: AttemptRef) { saidNever.remove(ref) }
}

/// A checkpoint as simulated tasks write it: which one it is.
struct Saved {
  var ref: AttemptRef
  var sequence: UInt64

  init(attempt ref: AttemptRef, sequence: UInt64) {
    self.ref = ref
    self.sequence = sequence
  }

  /// What an assignment brings; nil for nothing.
  init?(_ assignment: Assignment) {
    let parts = String(decoding: assignment.checkpoint, as: UTF8.self).split(separator: " ")
    guard parts.count == 2, let attempt = Int(parts[0]), let sequence = UInt64(parts[1]) else { return nil }
    ref = AttemptRef(run: assignment.ref.run, attempt: attempt, fence: 0, incarnation: 0)
    self.sequence = sequence
  }

  var report: CheckpointReport {
    CheckpointReport(ref: ref, sequence: sequence, data: Array("\(ref.attempt) \(sequence)".utf8))
  }
}

extension RunRecord {
  /// Whether the run waits as before, and says why.
  fileprivate func onlyNotesWhyItWaits(_ old: RunRecord) -> Bool {
    guard state == .queued, history.events.last?.kind == .blocked else { return false }
    return withoutHistory == old.withoutHistory
  }

  private var withoutHistory: RunRecord {
    var run = self
    run.history = RunHistory()
    for index in run.attempts.indices { run.attempts[index].history = AttemptHistory() }
    return run
  }
}
