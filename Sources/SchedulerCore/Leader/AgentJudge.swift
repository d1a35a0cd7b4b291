/// Judges agents by what becomes of the attempts that they are given: one on which everything fails while others succeed
/// gets no new work for a while, then one run to show that it is well again.
///
/// What it knows is the leader's alone and not kept: a new leader begins anew, and is as wise after a few failures.
public struct AgentJudge: Sendable {
  /// When an agent is avoided, and for how long.
  public struct Rules: Hashable, Sendable {
    /// Failed attempts in a row.
    public var failures = 5
    /// Different jobs that they have to be of: one job that fails everywhere is no agent's fault.
    public var jobs = 3
    /// How long an agent is avoided at first, each time that it fails its trial twice as long; and how long a run that is
    /// its trial has to last for the agent to be well, whatever comes of it.
    public var firstWaitMillis: Int64 = 60_000
    /// How long it is avoided at most.
    public var longestWaitMillis: Int64 = 15 * 60_000

    /// Makes the defaults.
    public init() {}
  }

  private enum Phase {
    case trusted
    case avoided(until: Timestamp)
    /// It gets one run, or has it.
    case onTrial(RunKey?)
  }

  private struct Standing {
    var phase = Phase.trusted
    /// Failed attempts since the last success.
    var failures = 0
    /// The jobs that they were of; never more than the rules ask for.
    var jobs: Set<JobKey> = []
    /// When the first of them ended.
    var failingSince: Timestamp
    /// How long it will be avoided the next time.
    var waitMillis: Int64
  }

  private let rules: Rules
  /// Those that have failed since they succeeded last.
  private var standings: [String: Standing] = [:]
  /// The agent that has succeeded last, and the last success of any other.
  private var lastSuccess: (agent: String, at: Timestamp)?
  private var successElsewhere: (agent: String, at: Timestamp)?
  /// How many agents are avoided or on trial.
  private(set) var avoidedCount = 0

  init(rules: Rules) { self.rules = rules }

  // MARK: Inputs

  /// An attempt on the agent has succeeded: it is well.
  /// - Returns: Whether it was avoided or on trial.
  mutating func succeeded(on id: String, at now: Timestamp) -> Bool {
    if lastSuccess?.agent != id { successElsewhere = lastSuccess }
    lastSuccess = (id, now)
    return forget(id)
  }

  /// An attempt on the agent has failed, by the task's fault or the machine's.
  /// - Parameter agents: How many agents there are: half of them at most are avoided, since what fails on most of them is
  ///   hardly theirs.
  /// - Returns: Until when the agent is avoided from now on; nil when nothing has changed.
  mutating func failed(_ run: RunKey, on id: String, agents: Int, at now: Timestamp) -> Timestamp? {
    var standing = standings[id] ?? Standing(failingSince: now, waitMillis: rules.firstWaitMillis)
    defer { standings[id] = standing }
    standing.failures += 1
    if standing.jobs.count < rules.jobs { standing.jobs.insert(run.job) }
    switch standing.phase {
    case .trusted:
      guard standing.failures >= rules.failures, standing.jobs.count >= rules.jobs,
        hasSucceeded(otherThan: id, since: standing.failingSince), (avoidedCount + 1) * 2 <= agents
      else { return nil }
      avoidedCount += 1
    case .onTrial(run): break
    // What it still has from before says nothing new.
    case .avoided, .onTrial: return nil
    }
    let until = now.adding(milliseconds: standing.waitMillis)
    standing.phase = .avoided(until: until)
    standing.waitMillis = min(2 * standing.waitMillis, rules.longestWaitMillis)
    return until
  }

  /// The agent's trial has ended in a way that says nothing about the agent: it gets another.
  /// - Returns: Whether it was its trial.
  mutating func ended(_ run: RunKey, on id: String) -> Bool {
    guard case .onTrial(run)? = standings[id]?.phase else { return false }
    standings[id]?.phase = .onTrial(nil)
    return true
  }

  /// The agent has been given a run.
  /// - Returns: When the run is its trial, how long that lasts at most; until it is over the agent is given no more.
  mutating func given(_ run: RunKey, to id: String, at now: Timestamp) -> Timestamp? {
    guard !standings.isEmpty, case .onTrial(nil)? = standings[id]?.phase else { return nil }
    standings[id]?.phase = .onTrial(run)
    return now.adding(milliseconds: rules.firstWaitMillis)
  }

  /// The time that `failed` or `given` has named has come: the agent gets its trial, or it has stood it, for what a
  /// machine does to its tasks it does soon.
  mutating func timePassed(for id: String) {
    switch standings[id]?.phase {
    case .avoided?: standings[id]?.phase = .onTrial(nil)
    case .onTrial(.some)?: forget(id)
    case .onTrial(nil)?, .trusted?, nil: break
    }
  }

  /// The agent is well, or another incarnation of it has come, which may be.
  /// - Returns: Whether it was avoided or on trial.
  @discardableResult
  mutating func forget(_ id: String) -> Bool {
    guard !standings.isEmpty, let standing = standings.removeValue(forKey: id) else { return false }
    if case .trusted = standing.phase { return false }
    avoidedCount -= 1
    return true
  }

  private func hasSucceeded(otherThan id: String, since time: Timestamp) -> Bool {
    let success = lastSuccess?.agent == id ? successElsewhere : lastSuccess
    return success.map { $0.at >= time } ?? false
  }

  // MARK: Facts

  /// Whether the agent gets no new work.
  func isAvoided(_ id: String) -> Bool {
    switch standings.isEmpty ? nil : standings[id]?.phase {
    case .avoided?, .onTrial(.some)?: true
    case .onTrial(nil)?, .trusted?, nil: false
    }
  }

  /// Why the agent gets no new work, or one run only; nil when it is as good as any.
  func reason(_ id: String) -> String? {
    guard let standing = standings[id] else { return nil }
    let failures = "the last \(standing.failures) attempts on it failed, while others succeeded elsewhere"
    switch standing.phase {
    case .trusted: return nil
    case .avoided(let until): return "\(failures); it is tried again at \(until.rfc3339)"
    case .onTrial(nil): return "\(failures); it gets one run to show that it is well"
    case .onTrial(let run?): return "\(failures); it is tried with run \(run.job.jobID)/\(run.runID)"
    }
  }
}
