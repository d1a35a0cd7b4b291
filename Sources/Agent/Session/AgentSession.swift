import Certificates
import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// One connection to the leader: the session and the log stream on it, until either ends or the leader changes.
struct AgentSession: Sendable {
  let core: AgentCore
  let logs: LogService
  let agentID: String
  let ttlMillis: Int64
  let finder: LeaderFinder
  let tls: TLSCredentials?
  let logger: Logger

  private static let connectPath = "/rota.v1.AgentSession/Connect"
  private static let logsPath = "/rota.v1.AgentSession/Logs"

  /// Connects to the leader and stays until something ends the session.
  ///
  /// - Returns: how it ended. Throws only when the task is cancelled.
  func run(with leader: LeaderFinder.Leader, group: any EventLoopGroup) async throws -> Ending {
    var configuration = GRPCClientConfiguration(host: leader.host, port: leader.port)
    configuration.connectTimeout = .seconds(2)
    configuration.keepalive = KeepaliveConfiguration(interval: .seconds(5), timeout: .seconds(4))
    if let tls {
      configuration.scheme = "https"
      configuration.prepareChannel = { try tls.secureClient($0, host: leader.host) }
    }
    let connecting = configuration
    do {
      // Beside the attempt to connect, too: a leader whose machine is gone may not even refuse.
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await watch(leader) }
        tasks.addTask {
          let client = try await GRPCClient.connect(connecting, group: group, logger: logger)
          do {
            try await converse(over: client)
          } catch {
            await client.close(graceful: .zero)
            throw error
          }
          await client.close(graceful: .zero)
        }
        defer { tasks.cancelAll() }
        try await tasks.next()
      }
      return Ending(why: "the session was closed")
    } catch {
      try Task.checkCancellation()
      return Ending(why: "\(error)", retryMillis: (error as? RPCError)?.retryMillis)
    }
  }

  /// How a session ended.
  struct Ending: Sendable {
    /// In words.
    var why: String
    /// When the leader wants the agent to come back, milliseconds; nil where it has not said.
    var retryMillis: Int64?
  }

  private func converse(over client: GRPCClient) async throws {
    guard let beginning = await core.beginSession() else { return }
    do {
      // Whatever ends first ends all.
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          try await client.bidirectional(Self.connectPath) { inbound, writer in
            try await exchange(beginning, inbound, writer)
          }
        }
        group.addTask { try await answerLogQueries(over: client) }
        group.addTask {
          if let error = await client.waitUntilClosed() { throw error }
        }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch {
      await core.endSession(beginning.id)
      throw error
    }
    await core.endSession(beginning.id)
  }

  // MARK: The session

  private func exchange(
    _ beginning: AgentCore.Beginning, _ inbound: MessageStream, _ writer: ClientStreamWriter
  ) async throws {
    try await writer.send(ByteBuffer(bytes: AgentMessage.hello(beginning.hello).wire()))
    var first = try await welcome(inbound, beginning.id)
    logger.info("session with the leader", metadata: ["attempts": "\(beginning.hello.attempts.count)"])
    await core.received(beginning.id, first)
    first = []
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while let batch = try await inbound.nextBatch() {
          await core.received(beginning.id, try batch.map(Self.decode))
        }
      }
      group.addTask {
        let checkpoints = CheckpointSender(core: core, session: beginning.id)
        for await outgoing in beginning.outbound {
          switch outgoing {
          case .status(let status):
            try await writer.send(ByteBuffer(bytes: AgentMessage.status(status).wire()))
            await core.statusWritten(beginning.id)
          case .checkpoint(let request): try await checkpoints.send(request, over: writer)
          }
        }
        writer.finish()
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Waits for the welcome.
  ///
  /// - Returns: what came with it.
  private func welcome(_ inbound: MessageStream, _ id: UInt64) async throws -> [ServerMessage] {
    let batch = try await withThrowingTaskGroup(of: [ByteBuffer]?.self) { group in
      group.addTask { try await inbound.nextBatch() }
      group.addTask {
        try await Task.sleep(for: AgentLimits.welcomeWait)
        throw AgentError(.session, "the leader did not say welcome within \(AgentLimits.welcomeWait)")
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
    guard let messages = try batch?.map(Self.decode), case .welcome(_, let epoch)? = messages.first else {
      throw AgentError(.session, "the leader's first message is no welcome")
    }
    guard await core.sessionOpened(id, leaderEpoch: epoch) else {
      throw AgentError(
        .session, "the leader's epoch \(epoch) is older than one that was seen: it leads no more")
    }
    return Array(messages.dropFirst())
  }

  private static func decode(_ message: ByteBuffer) throws -> ServerMessage {
    try message.withUnsafeReadableBytes { try ServerMessage(wire: $0) }
  }

  // MARK: Beside it

  private func answerLogQueries(over client: GRPCClient) async throws {
    try await client.bidirectional(Self.logsPath) { inbound, writer in
      try await writer.send(ByteBuffer(bytes: LogReply(request: 0, error: agentID).wire()))
      while let batch = try await inbound.nextBatch() {
        for message in batch {
          let query = try message.withUnsafeReadableBytes { try LogQuery(wire: $0) }
          try await writer.send(ByteBuffer(bytes: await logs.answer(query).wire()))
        }
      }
    }
  }

  /// Throws when another server leads. Keepalive pings notice a dead connection; this notices a live one to a
  /// server that leads no more.
  private func watch(_ leader: LeaderFinder.Leader) async throws {
    while true {
      let checks =
        await core.hasOpenSession ? AgentLimits.leaderChecksPerTTL : AgentLimits.leaderPollsPerTTL
      try await Task.sleep(for: jittered(ttlMillis / checks))
      // When etcd does not answer, the present leader is as good as any.
      guard let now = try? await finder.find() else { continue }
      if now != leader { throw AgentError(.session, "another server leads now") }
    }
  }
}

extension RPCError {
  /// When to try again, as the server says by `google.rpc.RetryInfo`, milliseconds; not beyond reason.
  fileprivate var retryMillis: Int64? {
    guard let bytes = metadata.firstBinary("grpc-status-details-bin"),
      let details = try? StatusDetails(wire: bytes), let millis = details.retryMillis, millis > 0
    else { return nil }
    return min(millis, AgentLimits.longestRetryMillis)
  }
}
