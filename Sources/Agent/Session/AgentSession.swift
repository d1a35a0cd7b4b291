import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// One connection to the leader: the session and the log stream on it, until either ends or the leader changes.
struct AgentSession: Sendable {
  let core: AgentCore
  let agentID: String
  let finder: LeaderFinder
  let logger: Logger

  private static let connectPath = "/rota.v1.AgentSession/Connect"
  private static let logsPath = "/rota.v1.AgentSession/Logs"

  /// Connects to the leader and stays until something ends the session.
  ///
  /// - Returns: why it ended. Throws only when the task is cancelled.
  func run(with leader: LeaderFinder.Leader, group: any EventLoopGroup) async throws -> String {
    var configuration = GRPCClientConfiguration(host: leader.host, port: leader.port)
    configuration.connectTimeout = .seconds(2)
    configuration.keepalive = KeepaliveConfiguration(interval: .seconds(5), timeout: .seconds(4))
    do {
      let client = try await GRPCClient.connect(configuration, group: group, logger: logger)
      do {
        try await converse(over: client, with: leader)
      } catch {
        await client.close(graceful: .zero)
        throw error
      }
      await client.close(graceful: .zero)
      return "the session was closed"
    } catch {
      try Task.checkCancellation()
      return "\(error)"
    }
  }

  private func converse(over client: GRPCClient, with leader: LeaderFinder.Leader) async throws {
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
        group.addTask { try await watch(leader) }
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
        for await status in beginning.outbound {
          try await writer.send(ByteBuffer(bytes: AgentMessage.status(status).wire()))
          await core.statusWritten(beginning.id)
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
          try await writer.send(ByteBuffer(bytes: await core.answer(query).wire()))
        }
      }
    }
  }

  /// Returns when another server leads. Keepalive pings notice a dead connection; this notices a live one to a
  /// server that leads no more.
  private func watch(_ leader: LeaderFinder.Leader) async throws {
    while true {
      try await Task.sleep(for: AgentLimits.leaderCheck)
      // When etcd does not answer, the present leader is as good as any.
      guard let now = try? await finder.find() else { continue }
      if now != leader { throw AgentError(.session, "another server leads now") }
    }
  }
}

/// Always has, or looks for, a session with the leader.
struct SessionLoop: Sendable {
  let session: AgentSession
  let group: any EventLoopGroup
  let logger: Logger

  /// Runs until the task is cancelled.
  func run() async throws {
    var last: LeaderFinder.Leader?
    var wait = AgentLimits.reconnectMinMillis
    while true {
      try Task.checkCancellation()
      guard await session.core.incarnation != nil, let leader = await find() else {
        try await Task.sleep(for: jittered(AgentLimits.leaderPollMillis))
        continue
      }
      // A new leader is tried at once, the same one again with growing waits.
      if leader != last { wait = AgentLimits.reconnectMinMillis }
      last = leader
      let started = ContinuousClock.now
      let why = try await session.run(with: leader, group: group)
      logger.warning(
        "no session with the leader", metadata: ["why": "\(why)", "leader": "\(leader.host):\(leader.port)"])
      if ContinuousClock.now - started > .seconds(5) { wait = AgentLimits.reconnectMinMillis }
      try await pause(wait, unlessReplaced: leader)
      wait = min(2 * wait, AgentLimits.reconnectMaxMillis)
    }
  }

  /// Waits, but not on when another server leads.
  private func pause(_ millis: Int64, unlessReplaced leader: LeaderFinder.Leader) async throws {
    let until = ContinuousClock.now + jittered(millis)
    while ContinuousClock.now < until {
      try await Task.sleep(for: min(until - ContinuousClock.now, jittered(AgentLimits.leaderPollMillis)))
      if ContinuousClock.now < until, let now = await find(), now != leader { return }
    }
  }

  private func find() async -> LeaderFinder.Leader? {
    do { return try await session.finder.find() } catch {
      logger.debug("the leader cannot be looked up", metadata: ["error": "\(error)"])
      return nil
    }
  }
}
