import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// The agents: what REST and gRPC call. What only the leader knows of them it is asked for.
struct FleetService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let leaderLink: LeaderLink
  let logger: Logger

  // MARK: Read

  /// A page of the agents that hold a lease, with what the leader knows of them if it can be reached.
  func list(_ request: ListAgentsRequest, isForwarded: Bool) async throws -> ListAgentsResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    // A token is the id of the last agent of the page before.
    if let token = request.pageToken, !Identifier.isValid(token) { throw JobService.badPageToken }
    try await barrier.pass()
    guard !isForwarded, let leader = try? await replica.otherLeader() else {
      return await replica.listAgents(after: request.pageToken, limit: size)
    }
    do {
      let answer = try await leaderLink.channel(to: leader).unary(
        "/rota.v1.Agents/List", ByteBuffer(bytes: request.wire()),
        metadata: [LeaderLink.forwardedHeader: "1"], timeout: .seconds(2))
      return try decode(ListAgentsResponse.self, answer)
    } catch {
      // The leader is changing: what etcd holds is still worth showing.
      return await replica.listAgents(after: request.pageToken, limit: size)
    }
  }

  // MARK: Drains

  /// Drains an agent that holds a lease, or changes the terms of its drain. Any server can: the leader sees it in etcd.
  func drain(_ request: DrainAgentRequest) async throws -> AgentView {
    try check(request.agentID)
    let now = Timestamp.now()
    let deadline = try deadline(of: request, now: now)
    if let note = request.note, note.utf8.count > DrainLimits.noteBytes {
      throw ServiceError.invalid(
        "note", "has \(note.utf8.count) bytes; at most \(DrainLimits.noteBytes) are kept")
    }
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      let present = await replica.drain(of: request.agentID)
      guard await replica.holdsLease(request.agentID) || present != nil else {
        throw Self.noAgent(request.agentID)
      }
      if present == nil, await replica.drainCount >= DrainLimits.drains {
        throw ServiceError.overloaded(
          "\(DrainLimits.drains) agents are drained, and no more are kept; undrain those that are gone for good"
        )
      }
      let record = DrainRecord(
        requestedAt: present?.record.requestedAt ?? now, deadline: deadline, note: request.note)
      if record != present?.record {
        guard try await write(.drain(request.agentID, record), of: request.agentID, over: present) else {
          continue
        }
      }
      logger.notice(
        "an agent is drained",
        metadata: ["agent": "\(request.agentID)", "deadline": "\(deadline?.rfc3339 ?? "none")"])
      return try await view(of: request.agentID, drain: record)
    }
    throw Self.keepsChanging(request.agentID)
  }

  /// Takes an agent's drain back, whether the agent holds a lease or not.
  func undrain(_ request: UndrainAgentRequest) async throws -> UndrainAgentResponse {
    try check(request.agentID)
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      guard let present = await replica.drain(of: request.agentID) else {
        guard await replica.holdsLease(request.agentID) else { throw Self.noAgent(request.agentID) }
        return UndrainAgentResponse(wasDrained: false)
      }
      guard try await write(.deleteDrain(request.agentID), of: request.agentID, over: present) else {
        continue
      }
      logger.notice("an agent is not drained any more", metadata: ["agent": "\(request.agentID)"])
      return UndrainAgentResponse(wasDrained: true)
    }
    throw Self.keepsChanging(request.agentID)
  }

  /// - Returns: False when somebody else was faster.
  private func write(
    _ write: Proposal.Write, of id: String, over present: Versioned<DrainRecord>?
  ) async throws -> Bool {
    let proposal = Proposal(
      guards: [.drainUnchanged(id, modRevision: present?.modRevision ?? 0)], writes: [write])
    switch await pipeline.commit(keyspace.change(for: proposal)) {
    case .committed: return true
    case .conflict: return false
    case .failed(let error): throw ServiceError(error)
    }
  }

  private func deadline(of request: DrainAgentRequest, now: Timestamp) throws -> Timestamp? {
    guard let millis = request.timeoutMillis else { return request.deadline }
    guard request.deadline == nil else {
      throw ServiceError.invalid("timeout", "and deadline cannot both be given")
    }
    guard (0...DurationText.maxMillis).contains(millis) else {
      throw ServiceError.invalid("timeout", "has to be from 0 to \(DurationText.maxMillis / 86_400_000) days")
    }
    return now.adding(milliseconds: millis)
  }

  private func view(of id: String, drain: DrainRecord) async throws -> AgentView {
    // The watch may have yet to bring the drain here.
    guard var view = await replica.agentView(id) else { throw Self.noAgent(id) }
    view.drain = drain
    view.draining = true
    view.record.draining = true
    return view
  }

  // MARK: Parts

  private func check(_ id: String) throws {
    guard Identifier.isValid(id) else {
      throw ServiceError.invalid("worker_id", "an identifier has \(Identifier.rule)")
    }
  }

  private static func noAgent(_ id: String) -> ServiceError {
    .notFound("no agent '\(id)' holds a lease")
  }

  private static func keepsChanging(_ id: String) -> ServiceError {
    .aborted("the drain of agent '\(id)' keeps changing; try again")
  }
}
