@testable import SchedulerCore

// What jobs say of failures and losses, users who run runs again, and what must never come of either.

extension LeaderSimulation {
  /// What a submitted job says of failures, of its time and of lost agents.
  mutating func randomFailurePolicy(of spec: inout JobSpec) {
    spec.maxRetries = Int.random(in: 0...2, using: &random)
    spec.backoff = Backoff(curve: .list([20, 200]), jitter: 0)
    if chance(25) { spec.retryOn = randomFilter() }
    if chance(15) { spec.noRetryOn = randomFilter() }
    if chance(15) { spec.totalTimeoutMillis = Int64.random(in: 200...3_000, using: &random) }
    switch Int.random(in: 0..<10, using: &random) {
    case 0...2: spec.onAgentLoss = .fail
    case 3, 4:
      spec.onAgentLoss = .wait
      spec.agentLossWaitMillis = Int64.random(in: 100...3_000, using: &random)
    default: break
    }
  }

  private mutating func randomFilter() -> FailureFilter {
    var filter = FailureFilter()
    if chance(70) { filter.exitCodes = [CodeRange(Int.random(in: 1...2, using: &random))] }
    if chance(20) { filter.exitCodes.append(CodeRange(3...9)) }
    for reason in FailureFilter.Reason.allCases where chance(15) { filter.reasons.append(reason) }
    return filter.isEmpty ? FailureFilter(reasons: [.exited]) : filter
  }

  /// A user has a run run again that has ended.
  mutating func retryByHand() {
    let ended = etcd.runs.values.filter {
      $0.record.state.isTerminal && $0.record.key.job.jobID.hasPrefix("j")
    }
    guard let old = ended.map(\.record.key).sorted().randomElement(using: &random),
      let run = etcd.runs[old], let job = etcd.jobs[old.job], job.record.cancelRequestedAt == nil
    else { return }
    if mutation == .endsReopened {
      var reopened = run.record
      reopened.state = .queued
      _ = etcd.commit(Proposal(guards: [], writes: [.run(reopened)]))
      return checker.review(etcd)
    }
    let outcome = JobPlan(job.record, JobPlan.Rules()).retried(run.record, at: time, JobActivity()) { id in
      etcd.runs[RunKey(job: old.job, runID: id)] != nil
    }
    guard case .run(let new, let record)? = outcome else {
      return checker.fail("\(old.runID) is not retried")
    }
    checker.retriedByHand += 1
    let guards: [Proposal.Guard] = [
      .jobUnchanged(old.job, modRevision: job.modRevision), .runAbsent(new.key),
    ]
    _ = etcd.commit(Proposal(guards: guards, writes: [.job(record), .run(new)]))
    checker.review(etcd)
  }
}

extension LeaderSimulation.Mutation {
  /// A change of a job as a server sees it that has forgotten something of what jobs say of failures.
  func distorted(_ change: CacheChange) -> CacheChange {
    guard case .job(let key, var job?) = change else { return change }
    switch self {
    case .filtersForgotten:
      job.record.spec.retryOn = nil
      job.record.spec.noRetryOn = nil
    case .limitsForgotten:
      job.record.spec.concurrency = nil
      job.record.spec.maxRunning = 0
    case .totalTimeoutsForgotten: job.record.spec.totalTimeoutMillis = nil
    case .waitsForgotten: if job.record.spec.onAgentLoss == .wait { job.record.spec.onAgentLoss = .restart }
    case .atMostOnceForgotten:
      if job.record.spec.onAgentLoss == .fail { job.record.spec.onAgentLoss = .restart }
    default: return change
    }
    return .job(key, job)
  }
}

/// What may become of a run by what its job says of failures and losses. It reads the specification by itself.
struct RetryRules {
  let spec: JobSpec

  /// What is wrong with a change of a run.
  /// - Parameter saidNever: Whether the last attempt's task said that it must not be retried.
  func violations(from old: RunRecord, to run: RunRecord, saidNever: Bool) -> [String] {
    guard run.state != old.state else { return [] }
    var wrong: [String] = []
    let deadline = spec.totalTimeoutMillis.map { run.createdAt.adding(milliseconds: $0) }
    switch (old.state, run.state) {
    case (_, .assigned):
      let at = run.attempts.last?.assignedAt ?? run.createdAt
      if let deadline, at >= deadline { wrong.append("assigned past its total timeout") }
      if let agent = old.waitsForWorker, let until = old.waitsUntil, at < until, run.owner?.agentID != agent {
        wrong.append("given to another agent than the one that it waits for")
      }
    case (.queued, .failed), (.retrying, .failed):
      if deadline.map({ run.finishedAt ?? run.createdAt < $0 }) ?? true {
        wrong.append("failed while it waited, in time")
      }
    case (_, .retrying): wrong += violationsOfRetry(old, run, deadline, saidNever)
    case (.assigned, .queued), (.running, .queued): wrong += violationsOfGivingBack(old, run)
    case (.assigned, .failed), (.running, .failed):
      if deadline == nil, !saidNever, let last = run.attempts.last, isRetryable(last),
        run.retryCount < spec.maxRetries
      {
        wrong.append("failed although it could be retried")
      }
    default: break
    }
    return wrong
  }

  private func violationsOfRetry(
    _ old: RunRecord, _ run: RunRecord, _ deadline: Timestamp?, _ saidNever: Bool
  ) -> [String] {
    var wrong: [String] = []
    if run.retryCount != old.retryCount + 1 || run.retryCount > spec.maxRetries {
      wrong.append("retry \(run.retryCount) of \(spec.maxRetries)")
    }
    if let last = run.attempts.last, !isRetryable(last) { wrong.append("retried what its filters exclude") }
    if saidNever { wrong.append("retried although its task said never") }
    guard let next = run.nextAttemptAt else { return wrong + ["waits for no time"] }
    if let deadline, next >= deadline { wrong.append("to be retried past its total timeout") }
    return wrong
  }

  private func violationsOfGivingBack(_ old: RunRecord, _ run: RunRecord) -> [String] {
    let last = run.attempts.last
    let isSurelyUnstarted =
      old.state == .assigned && last?.startedAt == nil && last?.endReason != .agentLost
    if spec.onAgentLoss == .fail && !isSurelyUnstarted { return ["to run again, which its job forbids"] }
    guard spec.onAgentLoss == .wait else { return [] }
    return run.waitsForWorker == last?.agent.agentID && run.waitsUntil != nil ? [] : ["waits for nobody"]
  }

  private func isRetryable(_ attempt: AttemptRecord) -> Bool {
    guard let reason = attempt.endReason, reason != .agentLost, reason != .cancelled else { return false }
    if let filter = spec.noRetryOn, names(filter, attempt, reason) { return false }
    return spec.retryOn.map { names($0, attempt, reason) } ?? true
  }

  private func names(_ filter: FailureFilter, _ attempt: AttemptRecord, _ reason: EndReason) -> Bool {
    let word =
      switch reason {
      case .exited where attempt.signal != nil: "signal"
      case .fenced: "agent_stopped"
      default: reason.rawValue
      }
    if filter.reasons.contains(where: { $0.rawValue == word }) { return true }
    return word == "exited" && filter.exitCodes.contains { $0.range ~= attempt.exitCode ?? 0 }
  }

  /// What is wrong with a new run that runs another again.
  static func violations(of run: RunRecord, after old: RunRecord?) -> [String] {
    guard let old else { return ["runs again what there never was"] }
    var wrong: [String] = []
    if !old.state.isTerminal { wrong.append("runs again what has not ended") }
    if run.scheduledTime != old.scheduledTime || run.params != old.params {
      wrong.append("is another one than the run that it runs again")
    }
    if run.fence < old.fence { wrong.append("begins with an older fence") }
    return wrong
  }
}
