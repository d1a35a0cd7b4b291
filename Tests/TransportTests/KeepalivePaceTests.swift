import NIOCore
import NIOPosix
import Testing

@testable import Transport

@Suite(.timeLimit(.minutes(1))) struct KeepalivePaceTests {
  @Test func isBounded() {
    let pace = KeepalivePace()
    for _ in 0..<100 { pace.slowDown() }
    let slowest = pace.slowed(KeepaliveConfiguration(interval: .seconds(1)))
    #expect(slowest.interval == .seconds(KeepalivePace.maximumFactor))
  }

  /// Says SETTINGS, then GOAWAY with ENHANCE_YOUR_CALM and a reason (RFC 9113, sections 6.5 and 6.8), and closes.
  private func complainingServer(_ reason: String) async throws -> any Channel {
    let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
    let length = UInt8(8 + reason.utf8.count)
    let goAway: [UInt8] = [0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0B] + Array(reason.utf8)
    return try await ServerBootstrap(group: testGroup)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Speaker(bytes: settings + goAway))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  /// Says something to whoever connects.
  private final class Speaker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    func channelActive(context: ChannelHandlerContext) {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }
  }

  private func interval(after connections: Int, to reason: String) async throws -> Duration {
    let server = try await complainingServer(reason)
    var configuration = GRPCClientConfiguration(host: "127.0.0.1", port: server.localAddress?.port ?? 0)
    configuration.connectTimeout = patience
    configuration.keepalive.interval = .seconds(5)
    for _ in 0..<connections {
      do {
        let client = try await GRPCClient.connect(configuration, group: testGroup, logger: testLogger)
        _ = await client.waitUntilClosed()
      } catch let error as RPCError {
        // It has been closed before it was ready: the complaint was heard all the same.
        #expect(error.code == .unavailable)
      }
    }
    try await server.close().get()
    return configuration.pace.slowed(configuration.keepalive).interval
  }

  @Test func everyComplaintDoublesTheIntervalOfLaterConnections() async throws {
    #expect(try await interval(after: 1, to: "too_many_pings") == .seconds(10))
    #expect(try await interval(after: 3, to: "too_many_pings") == .seconds(40))
  }

  @Test func otherReasonsDoNot() async throws {
    #expect(try await interval(after: 2, to: "too_many_resets") == .seconds(5))
  }
}
