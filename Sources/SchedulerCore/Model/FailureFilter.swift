/// Says which failures of attempts are meant, for `JobSpec.retryOn` and `JobSpec.noRetryOn`. A failure is meant when it
/// is named in any of the three ways.
public struct FailureFilter: Hashable, Sendable {
  /// What an attempt may end by, for a filter.
  public enum Reason: String, Hashable, Sendable, CaseIterable {
    /// The task ended by itself, with an exit code other than 0 or, of a request, without an answer of 2xx.
    case exited
    /// A signal that nobody of Rota sent ended it.
    case signal
    /// It ran longer than its timeout.
    case timeout
    /// It could not be started.
    case startFailed = "start_failed"
    /// The kernel killed processes of it at its limit on memory, and it failed.
    case outOfMemory = "out_of_memory"
    /// Its agent ended it and says so; a failure only of jobs with `on_agent_loss: fail`.
    case agentStopped = "agent_stopped"
  }

  /// Exit codes of processes and named tasks.
  public var exitCodes: [CodeRange]
  /// Statuses of the answers to requests.
  public var httpStatuses: [CodeRange]
  /// Reasons.
  public var reasons: [Reason]

  /// Makes a filter.
  public init(exitCodes: [CodeRange] = [], httpStatuses: [CodeRange] = [], reasons: [Reason] = []) {
    self.exitCodes = exitCodes
    self.httpStatuses = httpStatuses
    self.reasons = reasons
  }

  /// Whether it names nothing.
  var isEmpty: Bool { exitCodes.isEmpty && httpStatuses.isEmpty && reasons.isEmpty }

  /// Whether it means this end of an attempt.
  public func matches(_ end: AttemptEnd) -> Bool {
    if let reason = end.filterReason, reasons.contains(reason) { return true }
    guard end.reason == .exited || end.reason == .outOfMemory, end.signal == nil else { return false }
    // The exit code of a request is made up by its agent.
    if let status = end.httpStatus { return httpStatuses.contains { $0.contains(status) } }
    return end.exitCode.map { code in exitCodes.contains { $0.contains(code) } } ?? false
  }
}

/// Exit codes or HTTP statuses: one, or all from one to another.
public struct CodeRange: Hashable, Sendable {
  /// The first and the last.
  public let range: ClosedRange<Int>

  /// Makes a range.
  public init(_ range: ClosedRange<Int>) { self.range = range }

  /// Makes a range of one.
  public init(_ code: Int) { self.init(code...code) }

  /// Whether a code is in it.
  public func contains(_ code: Int) -> Bool { range.contains(code) }

  /// Reads `75`, `100-119` or `5xx`, which is short for `500-599`. Bounds are checked by `JobSpec.validate`.
  public init(text: String) throws(TextError) {
    if text.utf8.count == 3, text.hasSuffix("xx"), let hundreds = Self.number(text.prefix(1)) {
      self.init((100 * hundreds)...(100 * hundreds + 99))
      return
    }
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first.flatMap(Self.number), let last = parts.last.flatMap(Self.number) else {
      throw TextError("a number, a range such as 100-119 or a class such as 5xx was expected")
    }
    guard first <= last else { throw TextError("the range ends before it begins") }
    self.init(first...last)
  }

  /// At most three digits, so that nothing overflows.
  private static func number(_ text: Substring) -> Int? {
    guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return Int(text)
  }

  /// The shortest text that reads as this.
  public var text: String {
    let (first, last) = (range.lowerBound, range.upperBound)
    if first == last { return "\(first)" }
    return first.isMultiple(of: 100) && last == first + 99 && (1...9).contains(first / 100)
      ? "\(first / 100)xx" : "\(first)-\(last)"
  }
}

extension FailureFilter.Reason {
  /// All of them, for error messages.
  static let list = allCases.map(\.rawValue).joined(separator: ", ")
}

extension AttemptEnd {
  /// What a filter calls the reason of this end; nil for what is no failure of the task.
  var filterReason: FailureFilter.Reason? {
    switch reason {
    case .exited: signal == nil ? .exited : .signal
    case .timeout: .timeout
    case .startFailed: .startFailed
    case .outOfMemory: .outOfMemory
    case .fenced, .agentStopped: .agentStopped
    case .cancelled, .agentLost: nil
    }
  }

  /// The failure in few words, for the messages of runs.
  var failureText: String {
    switch reason {
    case .exited:
      if let httpStatus { return "HTTP status \(httpStatus)" }
      if let signal { return "signal \(signal)" }
      return exitCode.map { "exit code \($0)" } ?? "an end without an exit code"
    case .timeout: return "a timeout"
    case .startFailed: return "a failed start"
    case .outOfMemory: return "running out of memory"
    case .fenced, .agentStopped: return "an end by its agent (\(reason.rawValue))"
    case .cancelled: return "a cancellation"
    case .agentLost: return "the loss of its agent"
    }
  }
}
