import NIOCore
import Proto
import SchedulerCore
import Transport

/// `rota.v1.Jobs`, `Runs`, `Agents` and the other services for users on top of the services.
struct GRPCServices: Sendable {
  let jobs: JobService
  let runs: RunService
  let fleet: FleetService
  let events: EventService
  let calendars: CalendarService
  let queues: QueueService
  let groups: GroupService
  let cluster: ClusterService
  let lookahead: LookaheadService
  let backfills: BackfillService
  let gate: SubmitGate
  let quotas: QuotaService
  let replica: Replica

  var methods: [RPCMethod] {
    jobMethods + controlMethods + versionMethods + calendarMethods + queueMethods + groupMethods
      + quotaMethods
      + lookaheadMethods + [
        watchEvents,
        leaseTokens,
        unary("/rota.v1.Cluster/Get") { (_: GetClusterRequest, context) in
          await cluster.get(isForwarded: context.isForwarded)
        },
        unary("/rota.v1.Runs/Get") { (request: GetRunRequest, _) in
          try await runs.get(request.job, runID: request.runID)
        },
        unary("/rota.v1.Runs/List") { (request: ListRunsRequest, _) in try await runs.list(request) },
        unary("/rota.v1.Runs/ListExecutions") { (request: ListRunsRequest, _) in
          try await runs.listExecutions(request)
        },
        unary("/rota.v1.Runs/Explain") { (request: ExplainRequest, context) in
          try await runs.explains.explain(request, isForwarded: context.isForwarded)
        },
        .serverStreaming("/rota.v1.Runs/Logs") { buffer, context, writer in
          try await answering {
            let request = try decode(LogsRequest.self, buffer)
            try await runs.streamLogs(request, isForwarded: context.isForwarded) { chunk in
              try await writer.send(ByteBuffer(bytes: chunk.wire()))
            }
          }
        },
        unary("/rota.v1.Agents/List") { (request: ListAgentsRequest, context) in
          try await fleet.list(request, isForwarded: context.isForwarded)
        },
        unary("/rota.v1.Agents/Drain") { (request: DrainAgentRequest, _) in try await fleet.drain(request) },
        unary("/rota.v1.Agents/Undrain") { (request: UndrainAgentRequest, _) in
          try await fleet.undrain(request)
        },
      ]
  }

  private var jobMethods: [RPCMethod] {
    [
      unary("/rota.v1.Jobs/Submit") { (request: SubmitRequest, context) in
        try await submit(request, from: context.caller)
      },
      unary("/rota.v1.Jobs/SubmitBatch") { (request: SubmitBatchRequest, context) in
        try await submit(batch: request, from: context.caller)
      },
      .clientStreaming("/rota.v1.Jobs/SubmitStream") { messages, context in
        try await answering {
          let caller = context.caller
          let response = try await Requester.$current.withValue(context.requester) {
            try await SubmissionStream { try await submit($0, from: caller) }.run(messages)
          }
          return ByteBuffer(bytes: response.wire())
        }
      },
      unary("/rota.v1.Jobs/Get") { (request: GetJobRequest, _) in try await jobs.get(request.key) },
      unary("/rota.v1.Jobs/List") { (request: ListJobsRequest, _) in try await jobs.list(request) },
      .serverStreaming("/rota.v1.Jobs/Watch") { buffer, _, writer in
        try await answering { try await watch(decode(WatchJobRequest.self, buffer), writer) }
      },
    ]
  }

  /// Sends the job after each change until it has ended.
  private func watch(_ request: WatchJobRequest, _ writer: ResponseWriter) async throws {
    var last = try await jobs.get(request.key)
    try await writer.send(ByteBuffer(bytes: last.wire()))
    if last.status.isTerminal { return }
    for await _ in await replica.changes(of: request.key) {
      guard let view = await replica.jobView(request.key) else {
        throw ServiceError.notFound("job '\(request.key.jobID)' was removed")
      }
      guard view != last else { continue }
      last = view
      try await writer.send(ByteBuffer(bytes: view.wire()))
      if view.status.isTerminal { return }
    }
  }

  private func submit(_ request: SubmitRequest, from caller: Caller?) async throws -> SubmitResponse {
    do {
      return try await jobs.submit(request, from: caller)
    } catch let error as ServiceError {
      throw error.ofSpecMessage
    }
  }

  /// Submits each request by itself; together they share transactions.
  private func submit(
    batch: SubmitBatchRequest, from caller: Caller?
  ) async throws -> SubmitBatchResponse {
    guard batch.requests.count <= SubmitBatchRequest.maximumCount else {
      throw ServiceError.invalid("requests", "at most \(SubmitBatchRequest.maximumCount) in one batch")
    }
    let results = await withTaskGroup(of: (Int, SubmitResult).self) { group in
      for (index, request) in batch.requests.enumerated() {
        group.addTask { (index, await result(of: request, from: caller)) }
      }
      var results = [SubmitResult?](repeating: nil, count: batch.requests.count)
      for await (index, result) in group { results[index] = result }
      return results.compactMap { $0 }
    }
    return SubmitBatchResponse(results: results)
  }

  private func result(
    of request: Result<SubmitRequest, ProtoError>, from caller: Caller?
  ) async -> SubmitResult {
    do {
      let response = try await submit(try request.get(), from: caller)
      return SubmitResult(jobID: response.job.key.jobID, created: response.created)
    } catch {
      let status = rpcError(for: error)
      return SubmitResult(jobID: nil, created: false, code: status.code.rawValue, message: status.message)
    }
  }
}
