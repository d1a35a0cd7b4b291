import SchedulerCore

/// One line that a shim says to its agent; the last one is in the result file, too.
enum ShimReport: Hashable, Sendable {
  /// `S <pid> <starttime> <boottime_ns>`: the task runs.
  case started(pid: Int32, startTicks: UInt64, boot: Int64)
  /// `F <errno> <stage> <message>`: the task could not be started. Nothing follows.
  case failed(stage: String, message: String)
  /// `E …`: the task and its whole tree are dead. Nothing follows.
  case ended(Ending)

  /// How a task ended.
  struct Ending: Hashable, Sendable {
    var reason: String
    var exitCode: Int
    /// 0 for none.
    var signal: Int
    var usage: ResourceUsage
    var boot: Int64
    var stdoutBytes: Int64
    var stderrBytes: Int64
  }

  /// Nil when the line is not one of these.
  init?(line: some Collection<UInt8>) {
    let text = String(decoding: line, as: UTF8.self)
    let words = text.split(separator: " ")
    switch words.first {
    case "S":
      guard words.count == 4, let pid = Int32(words[1]), let ticks = UInt64(words[2]),
        let boot = Int64(words[3])
      else { return nil }
      self = .started(pid: pid, startTicks: ticks, boot: boot)
    case "F":
      let parts = text.split(separator: " ", maxSplits: 3)
      guard parts.count >= 3 else { return nil }
      self = .failed(stage: String(parts[2]), message: parts.count > 3 ? String(parts[3]) : "")
    case "E":
      let numbers = words.dropFirst(2).compactMap { Int64($0) }
      guard words.count == 10, numbers.count == 8 else { return nil }
      self = .ended(
        Ending(
          reason: String(words[1]), exitCode: Int(numbers[0]), signal: Int(numbers[1]),
          usage: ResourceUsage(
            userCPUMicros: numbers[2], systemCPUMicros: numbers[3], maxRSSKiB: numbers[4],
            stdoutBytes: numbers[6], stderrBytes: numbers[7]),
          boot: numbers[5], stdoutBytes: numbers[6], stderrBytes: numbers[7]))
    default: return nil
    }
  }

  /// What is in an attempt's result file; nil when there is none, or nothing sensible in it.
  static func result(in folder: AttemptFolder) -> ShimReport? {
    // A file that cannot be read is as good as none: the attempt's end is then not known.
    guard let bytes = try? Files.read(folder.result, limit: AgentLimits.shimLineBytes) else { return nil }
    return ShimReport(line: bytes.prefix { $0 != UInt8(ascii: "\n") })
  }

  /// The end that this means; nil for a start.
  ///
  /// A task killed on request has the reason `cancelled`: the machine knows why it was.
  func end(folder: AttemptFolder, timeoutMillis: Int64?) -> AttemptEnd? {
    switch self {
    case .started: return nil
    case .failed(let stage, let message):
      let reason: EndReason =
        switch stage {
        case "agent-gone": .agentStopped
        case "fenced": .fenced
        default: .startFailed
        }
      return AttemptEnd(endedAt: Clocks.wall(), reason: reason, error: "\(stage): \(message)")
    case .ended(let ending):
      var end = AttemptEnd(endedAt: Clocks.wall(atBoot: ending.boot), reason: .exited)
      if ending.signal != 0 { end.signal = ending.signal } else { end.exitCode = ending.exitCode }
      end.usage = ending.usage
      end.outputTail = OutputTail.read(folder, stdout: ending.stdoutBytes, stderr: ending.stderrBytes)
      switch ending.reason {
      case "exited": break
      case "timeout":
        end.reason = .timeout
        end.error = timeoutMillis.map { "it ran longer than its timeout of \($0) ms" } ?? "timeout"
      case "terminated", "killed": end.reason = .cancelled
      case "agent-gone":
        end.reason = .agentStopped
        end.error = "the agent's process ended"
      case "fenced":
        end.reason = .fenced
        end.error = "the agent's lease could not be trusted"
      default: end.error = "the shim gave the unknown reason \"\(ending.reason)\""
      }
      return end
    }
  }
}
