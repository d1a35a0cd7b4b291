import EtcdClient
import Foundation
import NIOCore
import Proto
import SchedulerCore
import Transport

/// What is measured on a running cluster.
struct Measurements {
  let cluster: BenchCluster

  // MARK: etcd alone

  /// Single puts through the gateway from many connections: the yardstick of the same run.
  func rawPuts(seconds: Double, connections: Int) async throws -> Row {
    let client = try cluster.etcdClient()
    let value = [UInt8](repeating: 0x61, count: 300)
    let end = Date(timeIntervalSinceNow: seconds)
    let start = Date()
    let total = try await withThrowingTaskGroup(of: Int.self) { group in
      for connection in 0..<connections {
        group.addTask {
          var done = 0
          while Date() < end {
            try await client.put("/bench/raw/\(connection)/\(done % 1_000)", value)
            done += 1
          }
          return done
        }
      }
      return try await group.reduce(0, +)
    }
    let elapsed = Date().timeIntervalSince(start)
    try await client.delete(.prefix("/bench/"))
    await client.shutdown()
    return Row(
      name: "etcd alone: single puts", figures: [("puts_per_second", Double(total) / elapsed)],
      usage: cluster.usage(since: [:]))
  }

  // MARK: Throughput

  /// Many short jobs at once, from the first submit to the last durably recorded result.
  func throughput(
    _ name: String, jobs: Int, task: TaskSpec, rawPuts: Double, target: String
  ) async throws -> Row {
    let before = cluster.usageByProcess()
    let finishedBefore = try await cluster.metric("rota_finished_total")
    let user = "bench-\(UInt64.random(in: 0 ... .max))"
    let start = Date()
    let submitSeconds = try await submit(jobs, task: task, user: user)
    try await cluster.wait(seconds: 600, for: "all jobs have ended") {
      try await cluster.metric("rota_finished_total") >= finishedBefore + Double(jobs)
    }
    let elapsed = Date().timeIntervalSince(start)
    try await check(jobs, user: user)
    let rate = Double(jobs) / elapsed
    return Row(
      name: name,
      figures: [
        ("jobs", Double(jobs)), ("jobs_per_second", rate),
        ("submits_per_second", Double(jobs) / submitSeconds), ("ratio_to_raw_puts", rate / rawPuts),
      ], usage: cluster.usage(since: before), target: target)
  }

  private func submit(_ jobs: Int, task: TaskSpec, user: String) async throws -> Double {
    let batchSize = 100
    let lanes = 8
    let client = try await cluster.connect()
    var spec = JobSpec(task: task)
    spec.userID = user
    let request = SubmitBatchRequest(Array(repeating: SubmitRequest(spec: spec), count: batchSize))
    let message = ByteBuffer(bytes: request.wire())
    let start = Date()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for lane in 0..<lanes {
        group.addTask {
          for _ in stride(from: lane * batchSize, to: jobs, by: lanes * batchSize) {
            let answer = try await client.unary("/rota.v1.Jobs/SubmitBatch", message, timeout: .seconds(30))
            let response = try SubmitBatchResponse(wire: Array(answer.readableBytesView))
            if let refused = response.results.first(where: { $0.code != 0 }) {
              throw BenchError("a submission was refused: \(refused.message)")
            }
          }
        }
      }
      try await group.waitForAll()
    }
    let elapsed = Date().timeIntervalSince(start)
    await client.close()
    return elapsed
  }

  /// Every job must have completed: a fast wrong answer is none.
  private func check(_ jobs: Int, user: String) async throws {
    let client = try await cluster.connect()
    var completed = 0
    var token: String?
    repeat {
      let request = ListJobsRequest(status: .completed, userID: user, pageSize: 1_000, pageToken: token)
      let answer = try await client.unary(
        "/rota.v1.Jobs/List", ByteBuffer(bytes: request.wire()), timeout: .seconds(30))
      let page = try ListJobsResponse(wire: Array(answer.readableBytesView))
      completed += page.jobs.count
      token = page.nextPageToken
    } while token != nil
    await client.close()
    guard completed == jobs else { throw BenchError("\(completed) of \(jobs) jobs have completed") }
  }

  // MARK: Latency

  /// One job at a time on an idle cluster: from before the submit call to the start of its task.
  func idleLatency(samples: Int) async throws -> Row {
    let before = cluster.usageByProcess()
    let client = try await cluster.connect()
    let message = ByteBuffer(bytes: SubmitRequest(spec: JobSpec(task: .exec(argv: ["/bin/true"]))).wire())
    var millis: [Double] = []
    for _ in 0..<samples {
      let start = Date().timeIntervalSince1970
      let answer = try await client.unary("/rota.v1.Jobs/Submit", message, timeout: .seconds(10))
      let key = try SubmitResponse(wire: Array(answer.readableBytesView)).job.key
      let started = try await startTime(of: key, client)
      millis.append((started - start) * 1_000)
      try await Task.sleep(for: .milliseconds(20))
    }
    await client.close()
    let latency = Percentiles(millis)
    return Row(
      name: "idle latency: submit to task started",
      figures: [
        ("samples", Double(samples)), ("p50_ms", latency.p50), ("p99_ms", latency.p99),
        ("max_ms", latency.maximum),
      ], usage: cluster.usage(since: before), target: "p50 under 10 ms")
  }

  private func startTime(of key: JobKey, _ client: GRPCClient) async throws -> Double {
    let jobs = try await client.serverStreaming(
      "/rota.v1.Jobs/Watch", ByteBuffer(bytes: WatchJobRequest(key: key).wire()))
    for try await buffer in jobs {
      let view = try JobView(wire: Array(buffer.readableBytesView))
      guard view.status.isTerminal else { continue }
      guard let started = view.runs.first?.record.attempts.last?.startedAt else { break }
      return Double(started.microseconds) / 1e6
    }
    throw BenchError("job \(key.jobID) ended without a start")
  }
}
