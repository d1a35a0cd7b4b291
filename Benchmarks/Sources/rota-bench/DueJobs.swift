import Foundation
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Many one-off no-op jobs that are due later: submitted before, looked at after.
struct DueJobs {
  /// How many, and how fast they can be stored.
  struct Count {
    let jobs: Int
    /// They are due so much later that this rate, jobs per second, stores all of them before.
    let submitRate: Double
  }

  let cluster: BenchCluster
  /// Holds these jobs and no others.
  let namespace: String
  /// When the first one is due.
  let start: Date
  /// When each is due.
  private let dueTimes: [Timestamp]
  /// When the last one is due.
  private let end: Date

  private static let lanes = 8
  private static let batchSize = 100
  /// How long all of them may take after the last is due, seconds.
  private static let patience = 300.0

  /// - Parameter spread: Over how many seconds their times are spread evenly; 0 for one and the same.
  init(_ count: Count, spread: Double, cluster: BenchCluster) {
    self.cluster = cluster
    namespace = "due-\(UInt64.random(in: 0 ... .max))"
    // In milliseconds, as runs' ids are; and not in the order in which they are submitted.
    let first = Int64((Date().timeIntervalSince1970 + 5 + Double(count.jobs) / count.submitRate) * 1_000)
    dueTimes = (0..<count.jobs).map { number in
      let offset = Int64(Double(number) * spread * 1_000 / Double(count.jobs))
      return Timestamp(microseconds: (first + offset) * 1_000)
    }.shuffled()
    start = Date(timeIntervalSince1970: Double(first) / 1_000)
    end = start.addingTimeInterval(spread)
  }

  // MARK: Submitting

  /// Submits all of them. Returns when each job is due.
  /// - Throws: `BenchError` when one was refused, or not all were stored before the first was due.
  func submit() async throws -> [String: Timestamp] {
    let client = try await cluster.connect()
    let namespace = namespace
    let batches = stride(from: 0, to: dueTimes.count, by: Self.batchSize).map {
      Array(dueTimes[$0..<min($0 + Self.batchSize, dueTimes.count)])
    }
    let due = try await withThrowingTaskGroup(of: [(String, Timestamp)].self) { group in
      for lane in 0..<Self.lanes {
        group.addTask {
          var jobs: [(String, Timestamp)] = []
          for number in stride(from: lane, to: batches.count, by: Self.lanes) {
            jobs += try await Self.submit(batches[number], namespace, client)
          }
          return jobs
        }
      }
      var due: [String: Timestamp] = [:]
      for try await jobs in group { due.merge(jobs) { $1 } }
      return due
    }
    await client.close()
    guard Date() < start else {
      throw BenchError(
        "the jobs were stored \(Date().timeIntervalSince(start)) s too late; lower --submit-rate")
    }
    return due
  }

  private static func submit(
    _ times: [Timestamp], _ namespace: String, _ client: GRPCClient
  ) async throws -> [(String, Timestamp)] {
    let requests = times.map { time in
      var spec = JobSpec(task: .noop)
      spec.executionTime = time
      return SubmitRequest(namespace: namespace, spec: spec)
    }
    let answer = try await client.unary(
      "/rota.v1.Jobs/SubmitBatch", ByteBuffer(bytes: SubmitBatchRequest(requests).wire()),
      timeout: .seconds(30))
    let results = try SubmitBatchResponse(wire: Array(answer.readableBytesView)).results
    return try zip(results, times).map { result, time in
      guard let id = result.jobID else { throw BenchError("a job was refused: \(result.message)") }
      return (id, time)
    }
  }

  // MARK: Looking

  /// What became of them; waits until all have ended.
  /// - Throws: `BenchError` when one was lost, ran twice, ran at another time, or did not complete.
  func outcome(of due: [String: Timestamp]) async throws -> DueOutcome {
    try await cluster.sleep(until: end)
    let client = try await cluster.connect()
    try await waitUntilEnded(client)
    let runs = try await allRuns(client)
    await client.close()
    var seen = Set<String>()
    for run in runs {
      let id = run.key.job.jobID
      guard seen.insert(id).inserted else { throw BenchError("job '\(id)' has run twice") }
      guard let wanted = due[id], wanted == run.scheduledTime else {
        throw BenchError("run \(run.key.runID) of job '\(id)' is of a time that nobody asked for")
      }
      guard run.state.status == .completed, run.attempts.count == 1 else {
        throw BenchError("job '\(id)': \(run.attempts.count) attempts, \(run.state.rawValue)")
      }
    }
    guard seen.count == due.count else { throw BenchError("\(due.count - seen.count) jobs were lost") }
    return DueOutcome(runs: runs)
  }

  /// Waits until no job is pending or running.
  private func waitUntilEnded(_ client: GRPCClient) async throws {
    let deadline = Date(timeIntervalSinceNow: Self.patience)
    while try await hasActiveJobs(client) {
      guard Date() < deadline else {
        throw BenchError("not all jobs have ended \(Self.patience) s after the last was due")
      }
      try await cluster.sleep(until: Date(timeIntervalSinceNow: 0.25))
    }
  }

  private func hasActiveJobs(_ client: GRPCClient) async throws -> Bool {
    for status in [JobStatus.pending, .running] {
      let request = ListJobsRequest(namespace: namespace, status: status, pageSize: 1)
      let answer = try await client.unary(
        "/rota.v1.Jobs/List", ByteBuffer(bytes: request.wire()), timeout: .seconds(30))
      if try !ListJobsResponse(wire: Array(answer.readableBytesView)).jobs.isEmpty { return true }
    }
    return false
  }

  private func allRuns(_ client: GRPCClient) async throws -> [RunRecord] {
    var runs: [RunRecord] = []
    var token: String?
    repeat {
      let request = ListRunsRequest(namespace: namespace, pageSize: 1_000, pageToken: token)
      let answer = try await client.unary(
        "/rota.v1.Runs/List", ByteBuffer(bytes: request.wire()), timeout: .seconds(30))
      let page = try ListRunsResponse(wire: Array(answer.readableBytesView))
      runs += page.runs.map(\.record)
      token = page.nextPageToken
    } while token != nil
    return runs
  }
}

/// What became of jobs that were due: each has run once.
struct DueOutcome {
  let runs: [RunRecord]

  /// How much later than due each run was created, milliseconds, by the clock of the server that created it.
  var creation: Percentiles { lateness(\.createdAt) }
  /// How much later than due an agent had done each, milliseconds, by the agent's clock. A no-op has no start.
  var execution: Percentiles { lateness { $0.attempts[0].endedAt } }

  /// How long after the first due time the last run had ended, seconds.
  var secondsToEnd: Double { seconds(to: \.finishedAt) }
  /// How long after the first due time the last run was created, seconds.
  var secondsToCreate: Double { seconds(to: \.createdAt) }

  /// How many were created more than a second late.
  var overASecondLate: Int {
    runs.count { $0.createdAt.microseconds - $0.scheduledTime.microseconds > 1_000_000 }
  }

  private func lateness(_ moment: (RunRecord) -> Timestamp?) -> Percentiles {
    Percentiles(
      runs.compactMap { run in
        moment(run).map { Double($0.microseconds - run.scheduledTime.microseconds) / 1_000 }
      })
  }

  private func seconds(to moment: (RunRecord) -> Timestamp?) -> Double {
    guard let first = runs.map(\.scheduledTime).min(), let last = runs.compactMap(moment).max() else {
      return 0
    }
    return Double(last.microseconds - first.microseconds) / 1e6
  }
}
