import NIOCore
import Proto
import SchedulerCore
import Transport

/// Reading runs: what REST and gRPC call. What only the leader knows is forwarded to it.
struct RunService: Sendable {
  let replica: Replica
  let barrier: ReadBarrier
  let logs: LogRelay
  let leaderLink: LeaderLink
  let explains: ExplainService

  // MARK: Runs

  /// A run; without an id, the job's newest.
  func get(_ job: JobKey, runID: String?) async throws -> RunView {
    try await barrier.pass()
    return try await require(job, runID: runID)
  }

  private func require(_ job: JobKey, runID: String?) async throws -> RunView {
    if let view = await replica.runView(job, runID: runID) { return view }
    guard await replica.job(job) != nil else {
      throw ServiceError.notFound("there is no job '\(job.jobID)' in namespace '\(job.namespace)'")
    }
    throw ServiceError.notFound(
      runID.map { "job '\(job.jobID)' has no run '\($0)'" } ?? "job '\(job.jobID)' has no run yet")
  }

  /// A page of runs, newest first.
  func list(_ request: ListRunsRequest) async throws -> ListRunsResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    try await barrier.pass()
    let filter = RunFilter(
      namespace: request.namespace, jobID: request.jobID, workerID: request.workerID, state: request.state,
      status: request.status)
    do {
      return try await replica.listRuns(filter, after: request.pageToken, limit: size)
    } catch is InvalidPageToken {
      throw JobService.badPageToken
    }
  }

  /// The attempts of a page of runs, newest first; with `workerID`, only that agent's.
  func listExecutions(_ request: ListRunsRequest) async throws -> ListExecutionsResponse {
    let page = try await list(request)
    let executions = page.runs.flatMap(\.executions).filter {
      request.workerID == nil || $0.attempt.agent.agentID == request.workerID
    }
    return ListExecutionsResponse(executions: executions, nextPageToken: page.nextPageToken)
  }

  // MARK: Logs

  /// Sends what a run's attempts wrote, in pieces; with `follow`, until the run has ended.
  func streamLogs(
    _ request: LogsRequest, isForwarded: Bool, _ send: @escaping (LogChunk) async throws -> Void
  ) async throws {
    try await barrier.pass()
    let run = try await require(request.job, runID: request.runID)
    guard let leader = try await replica.otherLeader() else {
      try await LogStreamer(replica: replica, logs: logs, request: request, run: run.record.key, send: send)
        .run()
      return
    }
    if isForwarded { throw ServiceError.unavailable("the leader is changing; try again") }
    do {
      let chunks = try await leaderLink.channel(to: leader).serverStreaming(
        "/rota.v1.Runs/Logs", ByteBuffer(bytes: request.wire()), metadata: [LeaderLink.forwardedHeader: "1"])
      for try await chunk in chunks { try await send(decode(LogChunk.self, chunk)) }
    } catch let error as RPCError where error.code == .unavailable {
      throw ServiceError.unavailable(
        "the leader at \(leader.grpcAddress) cannot give the log now; try again in a few seconds: \(error.message)"
      )
    }
  }
}
