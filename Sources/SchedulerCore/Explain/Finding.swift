/// One reason why a job or a run is not further than it is, or what it is at.
public struct Finding: Hashable, Sendable {
  /// What a finding means for whoever waits.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// It stays so until somebody does something.
    case blocks
    /// It passes by itself.
    case waits
    /// It holds nothing back, and is worth knowing.
    case tells
  }

  /// Names the reason, for programs: the raw value of a `FindingCode`, or of one that a newer server knows.
  public var code: String
  /// What it means for whoever waits.
  public var kind: Kind
  /// The run that it is about; nil where it is about the job.
  public var runID: String?
  /// A sentence, with the numbers.
  public var message: String
  /// The same for programs: `worker_id`, `until`, `agents_matching`; names are snake case.
  public var facts: [String: String]
  /// What to do about it; empty where there is nothing to do.
  public var fix: String
  /// When it will have passed, where that is known.
  public var until: Timestamp?

  /// Makes a finding of a code that this program knows.
  public init(
    _ code: FindingCode, _ message: String, facts: [String: String] = [:], fix: String = "",
    until: Timestamp? = nil
  ) {
    self.init(code: code.rawValue, kind: code.kind, message: message, facts: facts, fix: fix, until: until)
  }

  /// Makes a finding of any code.
  public init(
    code: String, kind: Kind, runID: String? = nil, message: String, facts: [String: String] = [:],
    fix: String = "", until: Timestamp? = nil
  ) {
    self.code = code
    self.kind = kind
    self.runID = runID
    self.message = message
    self.facts = facts
    self.fix = fix
    self.until = until
  }

  /// The same about a run.
  func about(_ run: RunKey) -> Finding {
    var finding = self
    finding.runID = run.runID
    return finding
  }
}

/// The reasons that this program knows, in the order of what to fix first: each holds back what comes after it, or is
/// easier to change.
public enum FindingCode: String, Hashable, Sendable, CaseIterable {
  // What holds everything back.
  /// What etcd holds cannot be seen: it does not answer, or the server is behind it.
  case etcdUnavailable = "etcd_unavailable"
  /// etcd has no space left and takes no writes.
  case etcdNoSpace = "etcd_no_space"
  /// No server leads: nothing is given to agents.
  case noLeader = "no_leader"

  // What keeps a job from being due.
  /// Somebody asked for it to be deleted.
  case deleted
  /// Somebody asked for it to be cancelled.
  case cancelled
  /// Somebody has paused it.
  case paused
  /// It is due, and no server owns its segment.
  case segmentUnowned = "segment_unowned"
  /// It is due, and its namespace has as many waiting runs as its quota allows.
  case quotaQueuedRuns = "quota_queued_runs"
  /// It is due, and its run is being created.
  case beingFired = "being_fired"
  /// An occurrence is left out since a calendar excludes it.
  case excludedByCalendar = "excluded_by_calendar"
  /// It is due so long after the end of its run.
  case waitsForEnd = "waits_for_end"
  /// It is due later.
  case notDue = "not_due"

  // What keeps a run from an agent.
  /// A run of the same job goes first: they may not be beside each other.
  case serialOverlap = "serial_overlap"
  /// Its namespace has as many runs with agents as its quota allows.
  case quotaRunningRuns = "quota_running_runs"
  /// An attempt failed: the next one waits.
  case backoff
  /// It waits for the one agent that had its last attempt.
  case awaitingAgent = "awaiting_agent"
  /// Somebody has paused its queue.
  case queuePaused = "queue_paused"
  /// As many runs of its queue have an agent as may.
  case queueFull = "queue_full"
  /// Its queue has given out as many runs as it may for now.
  case queueRateLimited = "queue_rate_limited"
  /// Its concurrency group has no free slot.
  case groupFull = "group_full"
  /// As many runs of its job as may be are with agents.
  case jobLimit = "job_limit"
  /// It is skipped unless it begins by then.
  case startDeadline = "start_deadline"
  /// No agent holds a lease.
  case noAgents = "no_agents"
  /// No agent would do.
  case noMatchingAgent = "no_matching_agent"
  /// Agents would do, and none of them serves its queue.
  case queueAgents = "queue_agents"
  /// Agents that would do are drained, or leave.
  case agentsDraining = "agents_draining"
  /// Agents that would do are short of something.
  case agentsUnhealthy = "agents_unhealthy"
  /// Agents that would do hold their lease and have no session with the leader.
  case agentsDisconnected = "agents_disconnected"
  /// What was given to agents that would do failed, time after time.
  case agentsAvoided = "agents_avoided"
  /// Agents that would do have no free slot.
  case agentsBusy = "agents_busy"
  /// Agents that would do have promised too much of what it asks for, or others use it.
  case resourcesInUse = "resources_in_use"
  /// Agents that would do have a run of the job, and its runs stay apart.
  case runsApart = "runs_apart"
  /// Agents that would do are kept for larger runs.
  case agentsKept = "agents_kept"
  /// Too many agents were lost at once: their runs wait before they are given to others.
  case lossBrake = "loss_brake"
  /// Its agent is gone: it is about to be given back.
  case agentLost = "agent_lost"
  /// Its agent holds its lease and has no session with the leader.
  case agentDisconnected = "agent_disconnected"
  /// The leader has decided, and etcd has not taken it yet.
  case beingWritten = "being_written"
  /// Nothing holds it back.
  case starting

  // What is worth knowing.
  /// An agent is told to stop it.
  case stopping
  /// An agent has it, and has not said yet that it started.
  case assigned
  /// An agent runs it.
  case running
  /// It has ended.
  case ended
  /// Occurrences were left out since the last run.
  case occurrencesSkipped = "occurrences_skipped"
  /// The leader could not be asked: what only it knows is missing here.
  case leaderUnreachable = "leader_unreachable"

  /// What it means for whoever waits.
  public var kind: Finding.Kind {
    switch self {
    case .etcdUnavailable, .etcdNoSpace, .paused, .segmentUnowned, .noAgents, .noMatchingAgent,
      .agentsDraining, .agentsUnhealthy, .queuePaused, .queueAgents:
      .blocks
    case .noLeader, .deleted, .quotaQueuedRuns, .quotaRunningRuns, .beingFired, .excludedByCalendar,
      .waitsForEnd, .notDue, .serialOverlap, .backoff, .awaitingAgent, .queueFull, .queueRateLimited,
      .groupFull, .jobLimit, .agentsDisconnected, .agentsAvoided, .agentsBusy, .resourcesInUse, .runsApart,
      .agentsKept, .lossBrake, .agentLost,
      .agentDisconnected, .beingWritten, .starting, .stopping:
      .waits
    case .cancelled, .startDeadline, .assigned, .running, .ended, .occurrencesSkipped, .leaderUnreachable:
      .tells
    }
  }

  /// Its place in the order of what to fix first.
  fileprivate static let places = Dictionary(
    uniqueKeysWithValues: allCases.enumerated().map { ($1.rawValue, $0) })
}

extension [Finding] {
  /// In the order of what to fix first; of one code, as they are.
  public var inOrderOfFixing: [Finding] {
    let last = FindingCode.allCases.count
    return enumerated().sorted { left, right in
      let (first, second) = (
        FindingCode.places[left.element.code] ?? last, FindingCode.places[right.element.code] ?? last
      )
      return first != second ? first < second : left.offset < right.offset
    }.map(\.element)
  }
}

/// The bounds of an explanation.
public enum ExplainLimits {
  /// Runs of a job that are explained with it.
  public static let runsOfJob = 5
  /// Names of agents or runs in one sentence.
  public static let names = 5
  /// Constraints that are told apart in one finding.
  public static let constraints = 32
}

/// How sentences name things.
enum ExplainTexts {
  /// `a, b, c and 4 more`
  static func names(_ names: [String], of total: Int? = nil) -> String {
    let shown = names.prefix(ExplainLimits.names)
    let left = (total ?? names.count) - shown.count
    return shown.joined(separator: ", ") + (left > 0 ? " and \(left) more" : "")
  }

  /// `1 agent`, `2 agents`
  static func count(_ number: Int, _ what: String) -> String { "\(number) \(what)\(number == 1 ? "" : "s")" }

  /// How long until a time, or since: `in 3m20s`.
  static func length(from start: Timestamp, to end: Timestamp) -> String {
    let millis = max(0, end.milliseconds - start.milliseconds)
    return DurationText.format(milliseconds: millis >= 10_000 ? millis / 1_000 * 1_000 : millis)
  }

  /// A command line about a job or one of its runs: `rota resume nightly -n reports`.
  static func command(_ words: String, _ job: JobKey, run: String? = nil) -> String {
    let name = run.map { "\(job.jobID)/\($0)" } ?? job.jobID
    let namespace = job.namespace == JobSpec.Defaults.namespace ? "" : " -n \(job.namespace)"
    return "rota \(words) \(name)\(namespace)"
  }
}
