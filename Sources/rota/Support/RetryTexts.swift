import SchedulerCore

/// How retries and losses look to people.
enum RetryTexts {
  /// Adds what a job says of failures.
  static func add(_ spec: JobSpec, to facts: inout Table) {
    if spec.maxRetries > 0 {
      var parts = ["at most \(spec.maxRetries)", waits(spec.backoff)]
      if let filter = spec.retryOn { parts.append("only after \(text(filter))") }
      if let filter = spec.noRetryOn { parts.append("never after \(text(filter))") }
      facts.add(["Retries:", parts.joined(separator: ", ")])
    }
    if let total = spec.totalTimeoutMillis {
      facts.add(["Total timeout:", DurationText.format(milliseconds: total)])
    }
    switch spec.onAgentLoss {
    case .restart: break
    case .fail: facts.add(["Agent loss:", "fail"])
    case .wait:
      let wait = spec.agentLossWaitMillis ?? JobSpec.Defaults.agentLossWaitMillis
      facts.add(["Agent loss:", "wait \(DurationText.format(milliseconds: wait))"])
    }
  }

  private static func waits(_ backoff: Backoff) -> String {
    switch backoff.curve {
    case .list(let waits):
      return "after " + waits.map { DurationText.format(milliseconds: $0) }.joined(separator: ", then ")
    case .exponential(let initial, let multiplier, let most):
      return "after \(DurationText.format(milliseconds: initial)), each wait \(multiplier) times the last, "
        + "at most \(DurationText.format(milliseconds: most))"
    }
  }

  private static func text(_ filter: FailureFilter) -> String {
    let codes = filter.exitCodes.map { "exit code \($0.text)" }
    let statuses = filter.httpStatuses.map { "HTTP \($0.text)" }
    return (codes + statuses + filter.reasons.map(\.rawValue)).joined(separator: " or ")
  }
}
