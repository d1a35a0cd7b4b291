import Glibc
import JSON
import SchedulerCore

/// A task under its shim, as the journal holds it: what it takes to find it again after a restart of the agent, to be sure that
/// it is the same one, and to go on with it.
struct RunningTask: Hashable, Sendable {
  var ref: AttemptRef
  var shimPID: pid_t
  /// What the shim says of the task whenever an agent connects, a `ShimReport.started`.
  var taskPID: pid_t
  var startTicks: UInt64
  var startedBoot: Int64
  var startedAt: Timestamp
  var timeoutMillis: Int64?

  /// Whether a shim's first words are of this task. No two tasks of a boot have the same pid and start time.
  func isMeant(by report: ShimReport) -> Bool {
    report == .started(pid: taskPID, startTicks: startTicks, boot: startedBoot)
  }
}

extension TaskSpec {
  /// Whether it becomes a process under a shim.
  var hasProcess: Bool {
    switch self {
    case .exec, .shell: true
    case .http, .noop, .task: false
    }
  }
}

extension RunningTask {
  /// As one JSON object; numbers of 64 bits as text.
  var json: [UInt8] {
    var json = JSONWriter(reserving: 256)
    json.object { json in
      json.member("namespace", ref.run.job.namespace)
      json.member("job_id", ref.run.job.jobID)
      json.member("run_id", ref.run.runID)
      json.member("attempt", ref.attempt)
      json.member("fence", String(ref.fence))
      json.member("incarnation", String(ref.incarnation))
      json.member("shim", Int(shimPID))
      json.member("task", Int(taskPID))
      json.member("start_ticks", String(startTicks))
      json.member("started_boot", String(startedBoot))
      json.member("started_at", String(startedAt.microseconds))
      if let timeoutMillis { json.member("timeout_ms", String(timeoutMillis)) }
    }
    return json.bytes
  }

  /// Nil when something is missing or makes no sense: such a task is not taken over.
  init?(json bytes: [UInt8]) {
    guard let json = try? JSONValue(parsing: bytes) else { return nil }
    func text(_ name: String) -> String? {
      if case .string(let text)? = json[name] { text } else { nil }
    }
    func number(_ name: String) -> Int? {
      if case .int(let number)? = json[name] { Int(number) } else { nil }
    }
    guard let namespace = text("namespace"), let job = text("job_id"), let run = text("run_id"),
      let attempt = number("attempt"), let fence = text("fence").flatMap({ Int64($0) }),
      let incarnation = text("incarnation").flatMap({ Int64($0) }),
      let shim = number("shim").flatMap({ pid_t(exactly: $0) }),
      let task = number("task").flatMap({ pid_t(exactly: $0) }),
      let ticks = text("start_ticks").flatMap({ UInt64($0) }),
      let boot = text("started_boot").flatMap({ Int64($0) }),
      let started = text("started_at").flatMap({ Int64($0) })
    else { return nil }
    self.init(
      ref: AttemptRef(
        run: RunKey(job: JobKey(namespace: namespace, jobID: job), runID: run), attempt: attempt,
        fence: fence, incarnation: incarnation),
      shimPID: shim, taskPID: task, startTicks: ticks, startedBoot: boot,
      startedAt: Timestamp(microseconds: started), timeoutMillis: text("timeout_ms").flatMap { Int64($0) })
  }
}
