/// What follows a failed attempt.
public enum RetryDecision: Hashable, Sendable {
  /// Another attempt, at this time.
  case retry(at: Timestamp)
  /// Nothing: the run has failed, for this reason.
  case giveUp(String)
}

/// Decides about failed attempts.
public enum RetryPolicy {
  /// Decides what follows a failed attempt.
  /// - Parameters:
  ///   - spec: The job's specification.
  ///   - retryCount: How many failed attempts of the run have been followed by another so far.
  ///   - now: When the attempt failed.
  ///   - randomUnit: A random number in 0..<1, for the jitter.
  public static func decide(
    spec: JobSpec, retryCount: Int, now: Timestamp, randomUnit: Double
  ) -> RetryDecision {
    guard spec.maxRetries > 0 else { return .giveUp("the attempt failed and the job allows no retries") }
    guard retryCount < spec.maxRetries else {
      let used = spec.maxRetries == 1 ? "its only retry was used" : "all \(spec.maxRetries) retries were used"
      return .giveUp("the attempt failed and \(used)")
    }
    let wait = spec.backoff.waitMillis(beforeRetry: retryCount + 1, randomUnit: randomUnit)
    return .retry(at: now.adding(milliseconds: wait))
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
