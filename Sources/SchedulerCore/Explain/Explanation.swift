/// Why a job or a run is where it is: what holds it back now, in the order of what to fix first.
public struct Explanation: Hashable, Sendable {
  /// Which job.
  public var job: JobKey
  /// The one run that was asked about; nil for the job.
  public var runID: String?
  /// How the job stands.
  public var status: JobStatus
  /// The state of the run that was asked about, or of the job's newest; nil where there is none.
  public var state: RunState?
  /// The reasons.
  public var findings: [Finding] = []
  /// How many runs of the job have not ended; the first `ExplainLimits.runsOfJob` of them are explained.
  public var unendedRuns = 0

  /// Makes an explanation without reasons.
  public init(job: JobKey, runID: String? = nil, status: JobStatus, state: RunState? = nil) {
    self.job = job
    self.runID = runID
    self.status = status
    self.state = state
  }
}

/// A run that is to be explained, with its job, at a moment.
public struct RunSubject: Sendable {
  /// The run.
  public let run: Versioned<RunRecord>
  /// Its job.
  public let job: JobRecord
  /// When.
  public let now: Timestamp

  /// Makes a subject.
  public init(run: Versioned<RunRecord>, job: JobRecord, now: Timestamp) {
    self.run = run
    self.job = job
    self.now = now
  }

  /// Which run.
  public var key: RunKey { run.record.key }
  /// Whether it waits for an agent, and has nothing else to wait for first.
  var waitsForAgent: Bool {
    run.record.state == .queued
      || (run.record.state == .retrying && run.record.nextAttemptAt.map { $0 <= now } ?? true)
  }
}

/// How etcd stands, as the server that explains sees it.
public struct EtcdCondition: Hashable, Sendable {
  /// Why it does not answer; nil where it does.
  public var error: String?
  /// What is said of its space while it has none left; nil while it has.
  public var noSpace: String?

  /// Makes the condition of an etcd that is well.
  public init(error: String? = nil, noSpace: String? = nil) {
    self.error = error
    self.noSpace = noSpace
  }
}

/// Explains jobs and runs from what a server knows: from its copy of the cluster, and, where it leads, from the leader's
/// machine. Pure.
public struct Explainer {
  let cache: ClusterCache
  let leader: LeaderMachine?
  let keyspace: Keyspace
  let etcd: EtcdCondition
  let now: Timestamp

  /// - Parameter leader: The leader's machine; nil on a server that does not lead.
  public init(
    _ cache: ClusterCache, leader: LeaderMachine?, keyspace: Keyspace, etcd: EtcdCondition = EtcdCondition(),
    now: Timestamp
  ) {
    self.cache = cache
    self.leader = leader
    self.keyspace = keyspace
    self.etcd = etcd
    self.now = now
  }

  /// Explains a run; nil where there is no such run.
  public func run(_ key: RunKey) -> Explanation? {
    guard let entry = cache.jobs[key.job], let run = cache.runs[key] else { return nil }
    var explanation = Explanation(
      job: key.job, runID: key.runID, status: entry.status, state: run.record.state)
    let subject = RunSubject(run: run, job: entry.job.record, now: now)
    explanation.unendedRuns = run.record.state.isTerminal ? 0 : 1
    explanation.findings = findings(of: subject)
    if subject.isHeldByCluster { explanation.findings += clusterFindings() }
    explanation.findings = explanation.findings.inOrderOfFixing
    return explanation
  }

  /// Explains a job, and the runs of it that have not ended; nil where there is no such job. What its calendars exclude
  /// is not among it: see `JobFindings.excluded`.
  public func job(_ key: JobKey) -> Explanation? {
    guard let entry = cache.jobs[key] else { return nil }
    let job = entry.job.record
    var explanation = Explanation(job: key, status: entry.status)
    let runs = UnendedRuns(of: entry, cache)
    explanation.state = runs.newest?.record.state
    explanation.unendedRuns = runs.count
    let facts = JobFindings(
      job: job, status: entry.status, unendedRuns: runs.count, newestUnended: runs.newestUnended, now: now)
    explanation.findings = facts.all(
      segment: keyspace.segment(of: key), owner: cache.segments[keyspace.segment(of: key)]?.record.serverID,
      fullQuota: QuotaFindings.queuedRuns(key.namespace, cache))
    var isHeld = facts.isDue
    for run in runs.oldest {
      let subject = RunSubject(run: run, job: job, now: now)
      explanation.findings += findings(of: subject)
      isHeld = isHeld || subject.isHeldByCluster
    }
    if runs.count == 0, let last = runs.newest {
      explanation.findings += findings(of: RunSubject(run: last, job: job, now: now))
    }
    if isHeld { explanation.findings += clusterFindings() }
    explanation.findings = explanation.findings.inOrderOfFixing
    return explanation
  }

  private func findings(of subject: RunSubject) -> [Finding] {
    var findings = RunFindings.all(of: subject, cache)
    if let leader { findings += leader.findings(of: subject, cache) }
    let isHeld = findings.contains { $0.kind != .tells }
    if leader != nil, subject.waitsForAgent, !isHeld {
      findings.append(
        Finding(.starting, "nothing holds it back: it is about to be given to an agent"))
    }
    return findings.map { $0.about(subject.key) }
  }

  // MARK: The cluster

  /// What holds back all that waits.
  private func clusterFindings() -> [Finding] {
    var findings: [Finding] = []
    if let error = etcd.error {
      findings.append(
        Finding(
          .etcdUnavailable,
          "it cannot be seen what etcd holds now, so nothing is decided, and this may be old: \(error)",
          facts: ["error": error],
          fix: "see that most of etcd's members run and can be reached from the servers: rota cluster"))
    }
    if let text = etcd.noSpace {
      findings.append(
        Finding(
          .etcdNoSpace, "etcd has no space left and takes no writes: \(text)",
          fix: "wait until history has been removed; if that is not enough, raise etcd's quota "
            + "(--quota-backend-bytes)"))
    }
    if cache.leader == nil {
      findings.append(
        Finding(
          .noLeader, "no server leads, so nothing is given to agents until one is elected",
          fix: "this takes a few seconds; if it lasts, see that etcd takes writes and servers run: "
            + "rota cluster"))
    }
    return findings
  }
}

/// The runs of a job that have not ended: how many, and the oldest few, which are to run next.
private struct UnendedRuns {
  var count = 0
  var oldest: [Versioned<RunRecord>] = []
  var newestUnended: RunRecord?
  /// Of all runs, ended or not.
  var newest: Versioned<RunRecord>?

  init(of job: ClusterCache.Job, _ cache: ClusterCache) {
    for runID in job.runIDs {
      guard let run = cache.runs[RunKey(job: job.job.record.key, runID: runID)] else { continue }
      newest = run
      guard !run.record.state.isTerminal else { continue }
      count += 1
      newestUnended = run.record
      if oldest.count < ExplainLimits.runsOfJob { oldest.append(run) }
    }
  }
}

extension RunSubject {
  /// Whether it is held back by what holds all back: a task that runs, goes on.
  fileprivate var isHeldByCluster: Bool { waitsForAgent || run.record.state == .assigned }
}
