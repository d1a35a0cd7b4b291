import Logging
import NIOCore
import NIOPosix
import Synchronization

/// One gRPC connection to one address. When it is lost, it stays lost: who needs another connection makes another client.
///
/// The connection lives as long as this object: keep it while calls are in flight.
public final class GRPCClient: GRPCCaller {
  private let channel: any Channel
  private let mailbox: Mailbox
  private let status: ClientConnectionStatus
  private let configuration: GRPCClientConfiguration

  private init(
    channel: any Channel, mailbox: Mailbox, status: ClientConnectionStatus,
    configuration: GRPCClientConfiguration
  ) {
    self.channel = channel
    self.mailbox = mailbox
    self.status = status
    self.configuration = configuration
  }

  deinit {
    // Closing twice is fine, and nobody is left to hear of a failure. Later: the last call may let go of this while its
    // connection is busy with it.
    let channel = channel
    channel.eventLoop.execute { channel.close(promise: nil) }
  }

  /// Connects, and waits for the server's HTTP/2 SETTINGS, so that something that is no gRPC server is found out here.
  ///
  /// - Throws: `RPCError` UNAVAILABLE, safe to retry, when that takes longer than the connect timeout or fails.
  public static func connect(
    _ configuration: GRPCClientConfiguration, group: any EventLoopGroup, logger: Logger
  ) async throws -> GRPCClient {
    let eventLoop = group.next()
    let mailbox = Mailbox(eventLoop: eventLoop)
    let status = ClientConnectionStatus()
    let deadline = NIODeadline.now() + TimeAmount(configuration.connectTimeout)
    let bootstrap = ClientBootstrap(group: eventLoop)
      .connectTimeout(TimeAmount(configuration.connectTimeout))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(
        .writeBufferWaterMark,
        value: .init(low: configuration.limits.flushBytes / 4, high: configuration.limits.flushBytes)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try configuration.prepareChannel?(channel)
          let connection = try ClientConnection(
            configuration: configuration, status: status, mailbox: mailbox, logger: logger)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      }
    do {
      let channel = try await bootstrap.connect(host: configuration.host, port: configuration.port).get()
      let client = GRPCClient(
        channel: channel, mailbox: mailbox, status: status, configuration: configuration)
      let timeout = eventLoop.scheduleTask(deadline: deadline) { channel.close(promise: nil) }
      defer { timeout.cancel() }
      try await withTaskCancellationHandler {
        try await status.waitUntilReady()
      } onCancel: {
        channel.close(promise: nil)
      }
      return client
    } catch {
      throw RPCError.refused("cannot connect to \(configuration.host):\(configuration.port): \(error)")
    }
  }

  // MARK: Calls

  /// Bounds of the connection.
  public var limits: TransportLimits { configuration.limits }

  /// Makes a call on this connection.
  public func start(_ call: PreparedCall) {
    call.call.adopt(by: mailbox, keeping: nil)
  }

  /// Makes a call that keeps this connection open until it has ended.
  func adopt(_ call: Call) {
    call.adopt(by: mailbox, keeping: self)
  }

  func isReached(through mailbox: Mailbox) -> Bool { self.mailbox === mailbox }

  // MARK: The connection

  /// Whether new calls have a chance: connected, and neither side has begun to close.
  public var isConnected: Bool { status.isConnected }

  /// Returns when the connection has closed: why, or nil when `close` did it (or when the waiting task was cancelled).
  public func waitUntilClosed() async -> RPCError? {
    await status.waitUntilClosed()
  }

  /// Takes no new calls, lets those in flight finish for up to `deadline`, then closes. Returns when closed.
  public func close(graceful deadline: Duration = .seconds(5)) async {
    mailbox.post(.shutdown(.now() + TimeAmount(deadline)))
    _ = await status.waitUntilClosed()
  }
}
