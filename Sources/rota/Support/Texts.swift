import SchedulerCore

/// How things are said in tables.
enum Texts {
  /// A time to the second, or a dash.
  static func time(_ time: Timestamp?) -> String {
    guard let time else { return "-" }
    return Timestamp(microseconds: time.milliseconds / 1_000 * 1_000_000).rfc3339
  }

  /// A length of time with two figures that matter, as `1.2s` or `3m20s`.
  static func length(from start: Timestamp, to end: Timestamp) -> String {
    let millis = max(0, end.milliseconds - start.milliseconds)
    switch millis {
    case 0: return "<1ms"
    case ..<1_000: return DurationText.format(milliseconds: millis)
    case ..<60_000: return DurationText.format(milliseconds: millis / 100 * 100)
    default: return DurationText.format(milliseconds: millis / 1_000 * 1_000)
    }
  }

  /// How a run's last attempt ended, or why the run is as it is.
  static func outcome(of run: RunRecord) -> String {
    guard let last = run.attempts.last, last.endReason != nil else {
      return run.message ?? run.progress.map(text) ?? "-"
    }
    let outcome = outcome(of: last)
    switch run.state {
    case .retrying: return "\(outcome); again at \(time(run.nextAttemptAt))"
    case .queued: return run.waitsForWorker.map { "\(outcome); waits for agent '\($0)'" } ?? outcome
    case .assigned, .running, .completed, .failed, .cancelled, .skipped: return outcome
    }
  }

  /// Progress as `40%: pages`.
  static func text(_ progress: Progress) -> String {
    "\(Int(progress.fraction * 100))%" + (progress.message.isEmpty ? "" : ": \(progress.message)")
  }

  /// How an attempt ended; a dash for one that has not.
  static func outcome(of attempt: AttemptRecord) -> String {
    guard let reason = attempt.endReason else { return "-" }
    let detail = attempt.error.map { ": \($0)" } ?? ""
    switch reason {
    case .exited:
      if let signal = attempt.signal { return "ended by signal \(signal)" + detail }
      return attempt.exitCode.map { "exit code \($0)" + detail } ?? (attempt.error ?? "ended")
    case .timeout: return attempt.error ?? "took longer than its timeout"
    case .cancelled: return "cancelled" + detail
    case .fenced: return "killed since agent '\(attempt.agent.agentID)' could not trust its lease" + detail
    case .agentStopped: return "agent '\(attempt.agent.agentID)' was stopped" + detail
    case .agentLost: return "agent '\(attempt.agent.agentID)' was lost" + detail
    case .startFailed: return "could not be started" + detail
    case .outOfMemory: return attempt.error ?? "ran out of memory"
    }
  }

  /// Bytes as MiB with one digit.
  static func mebibytes(_ bytes: Int64) -> String {
    let tenths = (Double(bytes) / 1_048_576 * 10).rounded()
    return "\(tenths / 10) MiB"
  }

  /// Bytes as GiB with one digit.
  static func gibibytes(_ bytes: Int64) -> String {
    let tenths = (Double(bytes) / 1_073_741_824 * 10).rounded()
    return "\(tenths / 10) GiB"
  }
}
