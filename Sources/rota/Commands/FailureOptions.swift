import ArgumentParser
import SchedulerCore

/// The flags that say what becomes of failures.
struct FailureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How often a failed attempt is followed by another; 0 when not given.", valueName: "count"))
  var maxRetries: Int?

  @Option(
    help: ArgumentHelp(
      """
      The waits before retries: as 1m,5m, the last one for more; or as 10s..1h, each twice as long as the one before.
      """, valueName: "times"))
  var backoff: String?

  @Option(
    help: ArgumentHelp(
      """
      The only failures that are retried: exit codes as 75,100-119, of an HTTP request statuses as 429,5xx, or \
      reasons (exited, signal, timeout, start_failed, out_of_memory, agent_stopped); 'any' for all, as when not given.
      """, valueName: "failures"))
  var retryOn: String?

  @Option(help: ArgumentHelp("Failures that are never retried; 'none' for none.", valueName: "failures"))
  var noRetryOn: String?

  @Option(
    help: ArgumentHelp(
      "How long a run may take from its creation, with all attempts and waits; unlimited when not given.",
      valueName: "time"))
  var totalTimeout: DurationArgument?

  @Option(
    help: ArgumentHelp(
      """
      What happens when the agent is lost: restart (elsewhere; when not given), fail (never twice), or wait for it \
      (5m, or as wait=10m).
      """, valueName: "policy"))
  var onAgentLoss: LossArgument?

  /// Changes what is given. The task has to be there: numbers are statuses for a request, exit codes for the others.
  func apply(to spec: inout JobSpec) throws {
    if let maxRetries { spec.maxRetries = maxRetries }
    if let backoff { spec.backoff = try Self.waits(backoff) }
    if let retryOn { spec.retryOn = try Self.filter("--retry-on", retryOn, nothing: "any", spec.task.kind) }
    if let noRetryOn {
      spec.noRetryOn = try Self.filter("--no-retry-on", noRetryOn, nothing: "none", spec.task.kind)
    }
    if let totalTimeout { spec.totalTimeoutMillis = totalTimeout.millis }
    if let onAgentLoss {
      spec.onAgentLoss = onAgentLoss.policy
      spec.agentLossWaitMillis = onAgentLoss.waitMillis
    }
  }

  private static func waits(_ text: String) throws -> Backoff {
    func millis(_ wait: some StringProtocol) throws -> Int64 {
      try SpecOptions.reading("--backoff") { try DurationText.parse(String(wait)) }
    }
    guard let dots = text.firstRange(of: "..") else {
      return Backoff(curve: .list(try text.split(separator: ",").map(millis)))
    }
    return Backoff(
      curve: .exponential(
        initialMillis: try millis(text[..<dots.lowerBound]),
        multiplier: Backoff.ExponentialDefaults.multiplier, maxMillis: try millis(text[dots.upperBound...])))
  }

  private static func filter(
    _ flag: String, _ text: String, nothing: String, _ kind: TaskKind
  ) throws -> FailureFilter? {
    if text == nothing { return nil }
    var filter = FailureFilter()
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      if let reason = FailureFilter.Reason(rawValue: String(word)) {
        filter.reasons.append(reason)
        continue
      }
      let codes = try SpecOptions.reading("\(flag) '\(word)'") { try CodeRange(text: String(word)) }
      if kind == .http { filter.httpStatuses.append(codes) } else { filter.exitCodes.append(codes) }
    }
    return filter
  }
}

/// `--on-agent-loss`.
struct LossArgument: ExpressibleByArgument {
  let policy: AgentLossPolicy
  /// Of `wait`; nil for the default.
  let waitMillis: Int64?

  static let allValueStrings = AgentLossPolicy.allCases.map(\.rawValue)

  init?(argument: String) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard let policy = AgentLossPolicy(rawValue: String(parts[0])) else { return nil }
    self.policy = policy
    guard parts.count == 2 else {
      waitMillis = nil
      return
    }
    guard policy == .wait, let wait = DurationArgument(argument: String(parts[1])) else { return nil }
    waitMillis = wait.millis
  }
}
