import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Says why jobs and runs are where they are: what REST and gRPC call. The leader answers, since it alone knows what it
/// decides from; where there is none, or it cannot be reached, the server that was asked does, and says so.
struct ExplainService: Sendable {
  let replica: Replica
  let barrier: ReadBarrier
  let leaderLink: LeaderLink
  let storage: StorageBoard
  let zones: TimeZones
  let logger: Logger

  /// Explains a run, or a job and those of its runs that have not ended.
  func explain(_ request: ExplainRequest, isForwarded: Bool) async throws -> ExplanationView {
    try request.job.check()
    if !isForwarded, let leader = try? await replica.otherLeader() {
      if let answer = try await ask(leader, request) { return answer }
    }
    return try await explain(request)
  }

  /// Nil where the leader gives no answer.
  private func ask(_ leader: ServerRecord, _ request: ExplainRequest) async throws -> ExplanationView? {
    do {
      let answer = try await leaderLink.channel(to: leader).unary(
        "/rota.v1.Runs/Explain", ByteBuffer(bytes: request.wire()),
        metadata: [LeaderLink.forwardedHeader: "1"], timeout: ServerLimits.explainPatience)
      return try decode(ExplanationView.self, answer)
    } catch let error as RPCError where error.code == .notFound {
      throw ServiceError.notFound(error.message)
    } catch {
      try Task.checkCancellation()
      // What this server knows itself is better than nothing.
      logger.info(
        "the leader has not explained", metadata: ["leader": "\(leader.serverID)", "error": "\(error)"])
      return nil
    }
  }

  /// Explains from what this server knows.
  private func explain(_ request: ExplainRequest) async throws -> ExplanationView {
    var etcd = EtcdCondition()
    var obstacle: ServiceError?
    do { try await barrier.pass() } catch { obstacle = error }
    if let status = storage.status, status.noSpace, await replica.knowsSpace {
      etcd.noSpace = status.message ?? "its quota is \(status.quotaBytes) bytes"
      // Without space a server cannot see how far it is behind others' writes: that is no trouble of its own.
      if obstacle == ReadBarrier.behind { obstacle = nil }
    }
    etcd.error = obstacle?.message
    guard var found = await replica.explain(request, etcd) else {
      guard etcd.error == nil else {
        throw ServiceError.unavailable(
          "etcd cannot be read now, and this server knows of no such job or run; try again")
      }
      throw await missing(request)
    }
    if request.runID == nil, let job = found.job {
      let calendars = try found.calendars.compiled(zones)
      found.view.explanation.findings += JobFindings.excluded(
        of: job, now: .now(), zones: zones, calendars: { calendars[$0] })
      found.view.explanation.findings = found.view.explanation.findings.inOrderOfFixing
    }
    return found.view
  }

  private func missing(_ request: ExplainRequest) async -> ServiceError {
    let (jobID, namespace) = (request.job.jobID, request.job.namespace)
    if let runID = request.runID, await replica.job(request.job) != nil {
      return .notFound("job '\(jobID)' has no run '\(runID)'")
    }
    return .notFound("there is no job '\(jobID)' in namespace '\(namespace)'")
  }
}
