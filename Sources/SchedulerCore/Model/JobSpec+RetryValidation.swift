extension JobSpec {
  /// Checks what is said of failures, of the time that a run may take, and of agents that are lost.
  func validateRetries() throws(FieldError) {
    try Self.check(maxRetries, in: 0...SpecLimits.retries, field: "max_retries")
    for (name, filter) in [("retry_on", retryOn), ("no_retry_on", noRetryOn)] {
      guard let filter else { continue }
      do throws(FieldError) { try filter.validate(for: task.kind) } catch { throw error.inside(name) }
    }
    if let totalTimeoutMillis {
      try Self.check(millis: totalTimeoutMillis, in: 1...SpecLimits.timeoutMillis, field: "total_timeout")
    }
    guard let agentLossWaitMillis else { return }
    guard onAgentLoss == .wait else {
      throw FieldError(field: "agent_loss_wait", message: "goes with on_agent_loss: wait")
    }
    try Self.check(
      millis: agentLossWaitMillis, in: SpecLimits.agentLossWaitMillis, field: "agent_loss_wait")
  }
}

extension FailureFilter {
  fileprivate func validate(for kind: TaskKind) throws(FieldError) {
    guard !isEmpty else {
      throw FieldError(field: "", message: "names no failure; give exit_codes, http_statuses or reasons")
    }
    guard exitCodes.isEmpty || kind != .http else {
      throw FieldError(field: "exit_codes", message: "a request has none; give http_statuses or reasons")
    }
    guard httpStatuses.isEmpty || kind == .http else {
      throw FieldError(
        field: "http_statuses", message: "only http jobs have them; give exit_codes or reasons")
    }
    try Self.validate(exitCodes, in: SpecLimits.exitCodes, field: "exit_codes")
    try Self.validate(httpStatuses, in: SpecLimits.httpStatuses, field: "http_statuses")
    guard reasons.count <= Reason.allCases.count else {
      throw FieldError(field: "reasons", message: "there are \(reasons.count); each of them counts once")
    }
  }

  private static func validate(
    _ codes: [CodeRange], in bounds: ClosedRange<Int>, field: String
  ) throws(FieldError) {
    guard codes.count <= SpecLimits.filterEntries else {
      throw FieldError(
        field: field, message: "there are \(codes.count); at most \(SpecLimits.filterEntries) are allowed")
    }
    for (index, code) in codes.enumerated()
    where !bounds.contains(code.range.lowerBound) || !bounds.contains(code.range.upperBound) {
      throw FieldError(
        field: "\(field)[\(index)]",
        message: "numbers from \(bounds.lowerBound) to \(bounds.upperBound) were expected")
    }
  }
}
