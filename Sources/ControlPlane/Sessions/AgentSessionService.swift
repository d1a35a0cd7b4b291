import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// The server's side of `rota.v1.AgentSession`.
struct AgentSessionService: Sendable {
  let replica: Replica
  let sessions: SessionRegistry
  let logs: LogRelay
  let checkpoints: CheckpointReader
  let gate: SessionGate
  let metrics: ServerMetrics
  let logger: Logger

  var methods: [RPCMethod] {
    [
      .bidirectional("/rota.v1.AgentSession/Connect") { requests, context, writer in
        try await connect(requests, context, writer)
      },
      .bidirectional("/rota.v1.AgentSession/Logs") { requests, context, writer in
        try await serveLogs(requests, context, writer)
      },
    ]
  }

  // MARK: Session

  private func connect(
    _ requests: MessageStream, _ context: ServerCallContext, _ writer: ResponseWriter
  ) async throws {
    var iterator = requests.makeAsyncIterator()
    guard let first = try await iterator.next(), case .hello(let hello) = try decode(AgentMessage.self, first)
    else {
      throw rpcError(for: ServiceError.invalid("message", "the first message of a session must be a Hello"))
    }
    guard Identifier.isValid(hello.agentID) else {
      throw rpcError(for: ServiceError.invalid("hello.worker_id", "an identifier has \(Identifier.rule)"))
    }
    try admit(hello.agentID, "hello.worker_id", context)
    try checkTurn()
    await waitUntilKnown(hello)
    let (id, outbox) = sessions.add()
    defer { sessions.remove(id) }
    do throws(NotTheLeader) {
      try await replica.open(id, hello)
    } catch {
      throw error.rpcError
    }
    logger.info("an agent has connected", metadata: ["agent": "\(hello.agentID)", "peer": "\(context.peer)"])
    do {
      try await pump(id, requests, outbox, writer)
    } catch {
      await ended(id, hello, outbox, error)
      throw error
    }
    await ended(id, hello, outbox, nil)
    if let reason = outbox.closeReason { throw RPCError(.unavailable, reason) }
  }

  /// Of very many agents that come at once some are told to come back.
  private func checkTurn() throws {
    guard let wait = gate.enter(at: .now) else { return }
    metrics.sessionsRefused.add(1)
    var error = ServiceError.overloaded("too many agents connect at once; this one is asked to come back")
    error.retryMillis = max(1, Int64(wait / Duration.milliseconds(1)))
    throw rpcError(for: error)
  }

  /// An agent can be nobody else: its certificate has to name it.
  private func admit(_ agentID: String, _ field: String, _ context: ServerCallContext) throws {
    do {
      try context.mustBe(agent: agentID, field: field)
    } catch {
      logger.warning(
        "an agent was refused",
        metadata: ["agent": "\(agentID)", "peer": "\(context.peer)", "reason": "\(error)"])
      throw rpcError(for: error)
    }
  }

  private func ended(
    _ id: LeaderMachine.SessionID, _ hello: AgentHello, _ outbox: Outbox<Outgoing>, _ error: (any Error)?
  ) async {
    await replica.closed(id)
    let reason = outbox.closeReason ?? error.map { "\($0)" } ?? "the agent ended it"
    logger.info(
      "an agent's session has ended", metadata: ["agent": "\(hello.agentID)", "reason": "\(reason)"])
  }

  /// The agent has written its key a moment ago; the watch brings it here.
  private func waitUntilKnown(_ hello: AgentHello) async {
    let incarnation = Incarnation(agentID: hello.agentID, createRevision: hello.incarnation)
    if await replica.knows(incarnation) { return }
    _ = await replica.reached(hello.incarnation, within: ServerLimits.helloPatience)
  }

  /// Moves messages both ways until either side ends.
  private func pump(
    _ id: LeaderMachine.SessionID, _ requests: MessageStream, _ outbox: Outbox<Outgoing>,
    _ writer: ResponseWriter
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while let batch = try await requests.nextBatch() {
          let news = try batch.map { try decodeNews($0) }
          await replica.received(news, on: id)
        }
      }
      group.addTask {
        while let messages = await outbox.next() { try await send(messages, id, writer) }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Sends messages in their order. For a checkpoint this session alone waits; once etcd fails, the others of
  /// the batch are not tried.
  private func send(
    _ messages: [Outgoing], _ id: LeaderMachine.SessionID, _ writer: ResponseWriter
  ) async throws {
    var ready: [ByteBuffer] = []
    ready.reserveCapacity(messages.count)
    var canRead = true
    for outgoing in messages {
      switch outgoing {
      case .message(let message): ready.append(ByteBuffer(bytes: message.wire()))
      case .resumption(var assignment):
        if !ready.isEmpty { try await writer.send(contentsOf: ready) }
        ready = []
        switch canRead ? await checkpoints.read(assignment.ref.run) : .etcdFails {
        case .data(let data): assignment.checkpoint = data
        case .missing:
          await replica.untold(assignment.ref, on: id)
          continue
        case .etcdFails:
          canRead = false
          await replica.untold(assignment.ref, on: id)
          continue
        }
        ready.append(ByteBuffer(bytes: ServerMessage.assign([assignment]).wire()))
      }
    }
    if !ready.isEmpty { try await writer.send(contentsOf: ready) }
  }

  private func decodeNews(_ buffer: ByteBuffer) throws -> AgentNews {
    switch try decode(AgentMessage.self, buffer) {
    case .status(let status): return .status(status)
    case .checkpoint(let report): return .checkpoint(report)
    case .hello:
      throw rpcError(
        for: ServiceError.invalid("message", "only the first message of a session may be a Hello"))
    }
  }

  // MARK: Logs

  private func serveLogs(
    _ requests: MessageStream, _ context: ServerCallContext, _ writer: ResponseWriter
  ) async throws {
    var iterator = requests.makeAsyncIterator()
    guard let first = try await iterator.next() else { return }
    let introduction = try decode(LogReply.self, first)
    guard introduction.request == 0, let agentID = introduction.error, Identifier.isValid(agentID) else {
      throw rpcError(
        for: ServiceError.invalid("request", "the first message must have request 0 and name the agent"))
    }
    try admit(agentID, "error", context)
    let channel = logs.open(agentID)
    defer { logs.close(channel) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while let batch = try await requests.nextBatch() {
          for buffer in batch { channel.received(try decode(LogReply.self, buffer)) }
        }
      }
      group.addTask {
        while let queries = await channel.outbox.next() {
          try await writer.send(contentsOf: queries.map { ByteBuffer(bytes: $0.wire()) })
        }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}

/// What an agent sends after its hello.
enum AgentNews: Sendable {
  case status(AgentStatus)
  case checkpoint(CheckpointReport)
}

extension NotTheLeader {
  var rpcError: RPCError {
    guard let leader else { return ControlPlane.rpcError(for: ServiceError.noLeader) }
    return RPCError(
      .failedPrecondition, "this server does not lead; '\(leader.serverID)' at \(leader.grpcAddress) does",
      metadata: ["rota-leader": leader.grpcAddress])
  }
}
