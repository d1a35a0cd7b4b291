/// What follows a failed attempt.
public enum RetryDecision: Hashable, Sendable {
  /// Another attempt, at this time, for this reason.
  case retry(at: Timestamp, why: String)
  /// Nothing: the run has failed, for this reason.
  case giveUp(String)
}

/// Decides about failed attempts.
public enum RetryPolicy {
  /// Decides what follows a failed attempt. The first of these that applies counts: the run's total timeout is over;
  /// the task says that another attempt is of no use; `no_retry_on`; `retry_on`; `max_retries`. The wait is the
  /// task's own wish, or else the backoff's.
  /// - Parameters:
  ///   - end: How the attempt ended.
  ///   - spec: The job's specification.
  ///   - retryCount: How many failed attempts of the run have been followed by another so far.
  ///   - createdAt: When the run was created: the total timeout counts from then.
  ///   - now: When the attempt failed.
  ///   - randomUnit: A random number in 0..<1, for the jitter.
  public static func decide(
    _ end: AttemptEnd, spec: JobSpec, retryCount: Int, createdAt: Timestamp, now: Timestamp,
    randomUnit: Double
  ) -> RetryDecision {
    let failure = end.failureText
    if let deadline = spec.totalDeadline(from: createdAt), now >= deadline {
      return .giveUp(spec.totalTimeoutText)
    }
    if end.noRetry { return .giveUp("\(failure), and the task says that it must not be retried") }
    if let filter = spec.noRetryOn, filter.matches(end) {
      return .giveUp("\(failure) is in no_retry_on, so it is not retried")
    }
    if let filter = spec.retryOn, !filter.matches(end) {
      return .giveUp("\(failure) is not in retry_on, so it is not retried")
    }
    guard spec.maxRetries > 0 else { return .giveUp("the attempt failed and the job allows no retries") }
    guard retryCount < spec.maxRetries else {
      let used = spec.maxRetries == 1 ? "its only retry was used" : "all \(spec.maxRetries) retries were used"
      return .giveUp("the attempt failed and \(used)")
    }
    let wished = end.retryAfterMillis.map { min(max($0, 0), SpecLimits.retryAfterMillis) }
    let wait = wished ?? spec.backoff.waitMillis(beforeRetry: retryCount + 1, randomUnit: randomUnit)
    let time = now.adding(milliseconds: wait)
    if let deadline = spec.totalDeadline(from: createdAt), time >= deadline {
      return .giveUp("the attempt failed, and before the next one \(spec.totalTimeoutText)")
    }
    let wish = wished == nil ? "" : ", when the task wished it"
    return .retry(at: time, why: "retry \(retryCount + 1) of \(spec.maxRetries) after \(failure)\(wish)")
  }
}

extension JobSpec {
  /// When a run that was created then must have ended; nil where there is no total timeout.
  public func totalDeadline(from createdAt: Timestamp) -> Timestamp? {
    totalTimeoutMillis.map { createdAt.adding(milliseconds: $0) }
  }

  /// Says that it is over.
  var totalTimeoutText: String {
    "the total timeout of \(DurationText.format(milliseconds: totalTimeoutMillis ?? 0)) is over"
  }
}

extension Backoff {
  /// The wait before retry `number`, from 1, in milliseconds: the curve's value, varied evenly by up to
  /// `jitter` of itself to either side. Never negative, and never longer than what fits a schedule.
  public func waitMillis(beforeRetry number: Int, randomUnit: Double) -> Int64 {
    let base: Double
    switch curve {
    case .list(let waits):
      // Validation allows no empty list; at once is what one would mean.
      base = waits.isEmpty ? 0 : Double(waits[min(max(number, 1), waits.count) - 1])
    case .exponential(let initialMillis, let multiplier, let maxMillis):
      var wait = Double(initialMillis)
      var step = 1
      while step < number, wait < Double(maxMillis), wait > 0, multiplier > 1 {
        wait *= multiplier
        step += 1
      }
      base = min(wait, Double(maxMillis))
    }
    let varied = base * (1 + jitter * (2 * randomUnit - 1))
    guard varied > 0 else { return 0 }
    return Int64(min(varied, Double(DurationText.maxMillis)).rounded())
  }
}
