import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Transport

/// GOAWAY, keepalive, limits of the connection.
@Suite(.timeLimit(.minutes(1))) struct ConnectionTests {
  @Test func gracefulShutdownFinishesCallsInFlight() async throws {
    let started = Flag()
    let go = Flag()
    let method = RPCMethod.unary("/test.Test/Work") { request, _ in
      started.set()
      await go.wait()
      return request
    }
    try await withServer(methods: [method]) { server in
      try await withClient(server.port) { client in
        let call = Task { try await client.unary("/test.Test/Work", ByteBuffer(string: "done")) }
        await started.wait()
        let shutdown = Task { await server.shutdown(graceful: .seconds(30)) }
        // The shutdown notice reaches the client while the call goes on.
        while client.isConnected { try await Task.sleep(for: .milliseconds(5)) }
        let error = await #expect(throws: RPCError.self) {
          _ = try await client.unary("/test.Test/Work", ByteBuffer())
        }
        #expect(error?.code == .unavailable)
        #expect(error?.isRefusedBeforeProcessing == true)
        go.set()
        #expect(try await String(buffer: call.value) == "done")
        let reason = await client.waitUntilClosed()
        #expect(reason?.code == .unavailable)
        await shutdown.value
      }
    }
  }

  @Test func shutdownDeadlineCancelsWhatIsLeft() async throws {
    try await withServer { server in
      try await withClient(server.port) { client in
        let call = Task { await status { _ = try await client.unary("/test.Test/Hang", ByteBuffer()) } }
        while server.connectionCount == 0 { try await Task.sleep(for: .milliseconds(5)) }
        try await Task.sleep(for: .milliseconds(100))
        let begin = ContinuousClock.now
        await server.shutdown(graceful: .milliseconds(200))
        #expect(ContinuousClock.now - begin < .seconds(2))
        #expect([.unavailable, .cancelled].contains(await call.value))
        #expect(await client.waitUntilClosed() != nil)
      }
      #expect(server.connectionCount == 0)
    }
  }

  @Test func runReturnsAfterShutdown() async throws {
    try await withServer { server in
      let run = Task { try await server.run() }
      try await withClient(server.port) { client in
        _ = try await client.unary("/test.Test/Echo", ByteBuffer())
      }
      await server.shutdown(graceful: .seconds(1))
      try await run.value
    }
  }

  @Test func cancellingRunShutsDown() async throws {
    try await withServer { server in
      try await withClient(server.port) { client in
        let run = Task { try await server.run() }
        run.cancel()
        try await run.value
        #expect(await client.waitUntilClosed() != nil)
      }
    }
  }

  @Test func clientNoticesAStalledServer() async throws {
    let stalled = try await StalledPeer.listen()
    try await withClient(
      stalled.port,
      { $0.keepalive = KeepaliveConfiguration(interval: .milliseconds(100), timeout: .milliseconds(100)) }
    ) { client in
      let error = await #expect(throws: RPCError.self) {
        _ = try await client.unary("/test.Test/Echo", ByteBuffer())
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("keepalive") == true)
      let reason = await client.waitUntilClosed()
      #expect(reason?.message.contains("keepalive") == true)
    }
    try await stalled.channel.close().get()
  }

  @Test func serverNoticesAStalledClient() async throws {
    let began = Flag()
    let ended = Flag()
    let method = RPCMethod.bidirectional("/test.Test/Chat") { requests, _, _ in
      began.set()
      defer { ended.set() }
      for try await _ in requests {}
    }
    try await withServer(
      { $0.keepalive = KeepaliveConfiguration(interval: .seconds(2), timeout: .seconds(4)) },
      methods: [method]
    ) { server in
      let peer = StalledPeer.Client()
      try await withClient(server.port, { $0.prepareChannel = { peer.channel = $0 } }) { client in
        let call = Task {
          _ = await status {
            try await client.bidirectional("/test.Test/Chat") { responses, _ in
              _ = try await responses.nextBatch()
            }
          }
          // Whatever ends the call early must not leave the test waiting.
          let wasServed = began.isSet
          began.set()
          ended.set()
          #expect(wasServed)
        }
        await began.wait()
        try await peer.stopReading()
        await ended.wait()
        call.cancel()
        _ = await call.value
      }
    }
  }

  @Test func idleClientIsLeftAlone() async throws {
    try await withServer({
      $0.keepalive = KeepaliveConfiguration(interval: .milliseconds(50), timeout: .seconds(10))
    }) { server in
      try await withClient(server.port) { client in
        try await Task.sleep(for: .milliseconds(600))
        #expect(client.isConnected)
        _ = try await client.unary("/test.Test/Echo", ByteBuffer())
      }
    }
  }

  @Test func idleConnectionsAreClosedInOrder() async throws {
    try await withServer({ $0.maxConnectionIdle = .seconds(5) }) { server in
      try await withClient(server.port) { client in
        _ = try await client.unary("/test.Test/Echo", ByteBuffer())
        #expect(await client.waitUntilClosed()?.code == .unavailable)
      }
    }
  }

  @Test func connectionLimit() async throws {
    try await withServer({ $0.maxConnections = 1 }) { server in
      try await withClient(server.port) { _ in
        let error = await #expect(throws: RPCError.self) { try await withClient(server.port) { _ in } }
        #expect(error?.isRefusedBeforeProcessing == true)
      }
    }
  }

  @Test func connectingToNobodyFailsClearly() async throws {
    let port = try await withServer { $0.port }
    let error = await #expect(throws: RPCError.self) { try await withClient(port) { _ in } }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("127.0.0.1:\(port)") == true)
  }

  @Test func connectingToASilentServerTimesOut() async throws {
    let silent = try await ServerBootstrap(group: testGroup).bind(host: "127.0.0.1", port: 0).get()
    let error = await #expect(throws: RPCError.self) {
      try await withClient(silent.localAddress?.port ?? 0, { $0.connectTimeout = .milliseconds(200) }) { _ in
      }
    }
    #expect(error?.code == .unavailable)
    try await silent.close().get()
  }

  @Test func twoMethodsWithOnePath() async throws {
    await #expect(throws: RPCError.self) {
      try await withServer(methods: [TestMethods.echo, TestMethods.echo]) { _ in }
    }
  }
}

/// Peers that speak HTTP/2 up to a point and then stop reading.
enum StalledPeer {
  struct Listener {
    var channel: any Channel
    var port: Int { channel.localAddress?.port ?? 0 }
  }

  /// Sends SETTINGS and nothing else, and reads everything without answering.
  static func listen() async throws -> Listener {
    let channel = try await ServerBootstrap(group: testGroup)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Greeter()) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return Listener(channel: channel)
  }

  private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
      let settings = ByteBuffer(bytes: [0, 0, 0, 4, 0, 0, 0, 0, 0])
      context.writeAndFlush(wrapOutboundOut(settings), promise: nil)
    }
  }

  /// A client's connection that can be made to stop reading.
  final class Client: Sendable {
    private let held = Mutex<(any Channel)?>(nil)

    var channel: (any Channel)? {
      get { held.withLock { $0 } }
      set { held.withLock { $0 = newValue } }
    }

    func stopReading() async throws { try await channel?.setOption(.autoRead, value: false).get() }
  }
}
