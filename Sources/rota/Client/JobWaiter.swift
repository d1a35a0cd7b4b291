import Glibc
import Proto
import SchedulerCore
import Transport
import UnixSignals

/// Follows a job to its end: its output goes to standard output and standard error as it comes.
struct JobWaiter: Sendable {
  let client: APIClient
  let key: JobKey
  let servers: AddressList

  /// How long the rest of the output may take after the job's end is known.
  private static let outputPatience = Duration.seconds(5)

  private enum Event: Sendable {
    case job(JobView)
    case outputEnded
    case patienceEnded
    case interrupted
  }

  /// Waits; returns the exit code that says how the job ended.
  func run() async throws -> Int32 {
    try await withThrowingTaskGroup(of: Event.self) { group in
      group.addTask {
        for await _ in await UnixSignalsSequence(trapping: .sigint) { return .interrupted }
        try await Task.sleep(for: .seconds(Int64.max / 4))
        return .interrupted
      }
      group.addTask { .job(try await JobWatch(client: client, key: key).waitUntil { $0.status.isTerminal }) }
      group.addTask {
        try await showOutput()
        return .outputEnded
      }
      var ended: JobView?
      var outputEnded = false
      while let event = try await group.next() {
        switch event {
        case .job(let job):
          ended = job
          group.addTask {
            try await Task.sleep(for: Self.outputPatience)
            return .patienceEnded
          }
        case .outputEnded: outputEnded = true
        case .patienceEnded:
          Terminal.complain("the end of the output did not come; 'rota logs \(key.jobID)' may have it")
          outputEnded = true
        case .interrupted: leave()
        }
        if let ended, outputEnded {
          group.cancelAll()
          return conclude(ended)
        }
      }
      throw CancellationError()
    }
  }

  /// Shows the output of the job's run once there is one.
  private func showOutput() async throws {
    let job = try await JobWatch(client: client, key: key).waitUntil {
      !$0.runs.isEmpty || $0.status.isTerminal
    }
    guard let run = job.runs.first else { return }
    if case .noop = job.spec.task { return }
    let request = LogsRequest(job: key, runID: run.record.key.runID, follow: true)
    do {
      try await LogPrinter(client: client).show(request)
    } catch let failure as CommandFailure {
      Terminal.complain("the output cannot be shown: \(failure.message)")
    }
  }

  private func leave() -> Never {
    Terminal.note("")
    Terminal.complain(
      "the job goes on; cancel it with: rota cancel \(key.jobID) -n \(key.namespace) --server \(servers)")
    Glibc.exit(128 + SIGINT)
  }

  /// Says how the job ended.
  private func conclude(_ job: JobView) -> Int32 {
    guard let run = job.runs.first?.record else {
      Terminal.note("rota: job \(key.jobID) \(job.status.rawValue)")
      return job.status == .completed ? 0 : 1
    }
    return RunWaiter.conclude(run, job.status, of: "job \(key.jobID)")
  }
}

/// Follows one run of a job that may have many: its output goes to standard output and standard error as it comes.
struct RunWaiter: Sendable {
  let client: APIClient
  let key: RunKey

  /// Waits; returns the exit code that says how the run ended.
  func run() async throws -> Int32 {
    do {
      try await LogPrinter(client: client).show(LogsRequest(job: key.job, runID: key.runID, follow: true))
    } catch let failure as CommandFailure {
      Terminal.complain("the output cannot be shown: \(failure.message)")
    }
    func ended(in job: JobView) -> RunRecord? {
      job.runs.first { $0.record.key == key && $0.record.state.isTerminal }?.record
    }
    let job = try await JobWatch(client: client, key: key.job).waitUntil { ended(in: $0) != nil }
    guard let run = ended(in: job) else { throw CommandFailure("run \(key.runID) was removed") }
    return Self.conclude(run, run.state.status, of: "run \(key.job.jobID)/\(key.runID)")
  }

  /// Says how a run, or the job that it is the only one of, has ended; returns the exit code for that.
  static func conclude(_ run: RunRecord, _ status: JobStatus, of what: String) -> Int32 {
    let took = run.finishedAt.map { " after \(Texts.length(from: run.scheduledTime, to: $0))" } ?? ""
    if status == .completed {
      Terminal.note("rota: \(what) completed\(took)")
      return 0
    }
    let outcome = Terminal.sanitised(Texts.outcome(of: run))
    Terminal.note("rota: \(what) \(status.rawValue)\(took): \(outcome)")
    guard status == .failed, let last = run.attempts.last, last.endReason?.hasExitStatus == true else {
      return 1
    }
    if let signal = last.signal { return 128 + Int32(clamping: signal) }
    return last.exitCode.map { $0 == 0 ? 1 : Int32(clamping: $0) } ?? 1
  }
}

/// Follows a job's changes, on another server when one fails.
struct JobWatch: Sendable {
  let client: APIClient
  let key: JobKey

  /// Returns the job as soon as it is as wanted.
  func waitUntil(_ isWanted: (JobView) -> Bool) async throws -> JobView {
    while true {
      do {
        let stream = try await client.stream("/rota.v1.Jobs/Watch", WatchJobRequest(key: key))
        for try await message in stream {
          let job: JobView = try APIClient.decode(message)
          if isWanted(job) { return job }
        }
        // The stream ends with the job; what is not as wanted then never will be, unless the server left.
        let job: JobView = try await client.call("/rota.v1.Jobs/Get", GetJobRequest(key: key))
        if isWanted(job) || job.status.isTerminal { return job }
      } catch let error as RPCError where error.code == .unavailable {
        client.moveOn()
      } catch let error as RPCError {
        throw CommandFailure(APIClient.sentence(error))
      }
      try await Task.sleep(for: ClientLimits.pause.lowerBound)
    }
  }
}
