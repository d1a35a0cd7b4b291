import Logging
import NIOCore
import NIOPosix

/// A gRPC server on one address: HTTP/2 without TLS by prior knowledge, or whatever
/// `GRPCServerConfiguration.prepareChannel` puts before it.
public final class GRPCServer: Sendable {
  /// The address that the server listens on.
  public let localAddress: SocketAddress
  /// The port that the server listens on.
  public var port: Int { localAddress.port ?? 0 }
  /// How many connections are open.
  public var connectionCount: Int { shared.registry.count }

  private let listener: any Channel
  private let shared: ServerShared

  private init(listener: any Channel, localAddress: SocketAddress, shared: ServerShared) {
    self.listener = listener
    self.localAddress = localAddress
    self.shared = shared
  }

  /// Binds and serves; the server is listening when this returns.
  ///
  /// - Throws: `RPCError` INVALID_ARGUMENT when two methods have one path; UNAVAILABLE when the address cannot be bound.
  public static func bind(
    _ configuration: GRPCServerConfiguration, methods: [RPCMethod], group: any EventLoopGroup, logger: Logger
  ) async throws -> GRPCServer {
    var table: [String: RPCMethod] = [:]
    for method in methods {
      guard table.updateValue(method, forKey: method.path) == nil else {
        throw RPCError(.invalidArgument, "method '\(method.path)' is registered twice")
      }
    }
    let shared = ServerShared(
      methods: table, configuration: configuration, tasks: ActivityCounter(),
      registry: ConnectionRegistry(limit: configuration.maxConnections), logger: logger)
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: Int32(clamping: configuration.backlog))
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(
        .writeBufferWaterMark,
        value: .init(low: configuration.limits.flushBytes / 4, high: configuration.limits.flushBytes)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try GRPCServer.prepare(channel, shared) }
      }
    do {
      let listener = try await bootstrap.bind(host: configuration.host, port: configuration.port).get()
      guard let localAddress = listener.localAddress else { throw ChannelError.unknownLocalAddress }
      return GRPCServer(listener: listener, localAddress: localAddress, shared: shared)
    } catch {
      throw RPCError(.unavailable, "cannot listen on \(configuration.host):\(configuration.port): \(error)")
    }
  }

  /// Runs on the new channel's event loop. Throwing closes the channel.
  private static func prepare(_ channel: any Channel, _ shared: ServerShared) throws {
    let mailbox = Mailbox(eventLoop: channel.eventLoop)
    guard shared.registry.add(mailbox) else {
      shared.logger.warning(
        "connection refused: too many connections",
        metadata: ["limit": "\(shared.configuration.maxConnections)"])
      throw RPCError(.resourceExhausted, "too many connections")
    }
    do {
      try shared.configuration.prepareChannel?(channel)
      let connection = try ServerConnection(shared: shared, mailbox: mailbox)
      try channel.pipeline.syncOperations.addHandler(connection)
    } catch {
      shared.registry.remove(mailbox)
      shared.logger.error("connection cannot be set up", metadata: ["error": "\(error)"])
      throw error
    }
  }

  /// Returns when the server has been shut down. Cancelling the task shuts it down at once.
  public func run() async throws {
    try await withTaskCancellationHandler {
      try await listener.closeFuture.get()
    } onCancel: {
      listener.close(promise: nil)
    }
    if Task.isCancelled { shared.registry.shutdown(by: .now()) }
    await shared.registry.waitUntilEmpty()
  }

  /// Stops listening, tells clients by GOAWAY, lets calls in flight finish for up to `deadline`, then closes what is left and
  /// cancels its handlers. Returns when all is closed.
  public func shutdown(graceful deadline: Duration) async {
    do {
      try await listener.close().get()
    } catch ChannelError.alreadyClosed {
      // A second shutdown may shorten the first one's deadline.
    } catch {
      shared.logger.warning("closing the listener failed", metadata: ["error": "\(error)"])
    }
    shared.registry.shutdown(by: .now() + TimeAmount(deadline))
    await shared.registry.waitUntilEmpty()
    await waitForHandlers()
  }

  /// Handlers were cancelled with their calls; one that ignores that must not hang the shutdown.
  private func waitForHandlers() async {
    let tasks = shared.tasks
    await withTaskGroup { group in
      group.addTask { await tasks.waitUntilZero() }
      group.addTask { try? await Task.sleep(for: GRPCServer.handlerGrace) }
      await group.next()
      group.cancelAll()
    }
    let left = tasks.count
    if left > 0 {
      shared.logger.warning("handlers ignore their cancellation", metadata: ["count": "\(left)"])
    }
  }

  /// How long a handler may take to notice its cancellation before a shutdown goes on without it.
  private static let handlerGrace = Duration.seconds(2)
}
