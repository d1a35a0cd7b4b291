import Certificates
import NIOCore
import NIOPosix

/// Answers what it is told with who has told it, behind TLS.
final class EchoServer: Sendable {
  let port: Int
  private let listener: any Channel

  init(_ credentials: TLSCredentials, timeout: Duration = .seconds(10)) async throws {
    listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try credentials.secureServer(channel, .grpc, timeout: timeout)
          try channel.pipeline.syncOperations.addHandler(Echo())
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port = listener.localAddress?.port ?? 0
  }

  func stop() async { try? await listener.close() }

  /// An open connection.
  struct Connection: Sendable {
    let channel: any Channel
    let answers: AsyncThrowingStream<String, any Error>

    func ask(_ text: String) async throws -> String {
      channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
      for try await answer in answers { return answer }
      throw ChannelError.eof
    }

    func close() async { try? await channel.close() }
  }

  func connect(as credentials: TLSCredentials, host: String = "127.0.0.1") async throws -> Connection {
    let (answers, continuation) = AsyncThrowingStream.makeStream(of: String.self)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try credentials.secureClient(channel, host: host)
          try channel.pipeline.syncOperations.addHandler(Collector(continuation: continuation))
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
    return Connection(channel: channel, answers: answers)
  }

  /// One question on a connection of its own.
  func ask(
    _ text: String, as credentials: TLSCredentials, host: String = "127.0.0.1"
  ) async throws -> String {
    let connection = try await connect(as: credentials, host: host)
    do {
      let answer = try await connection.ask(text)
      await connection.close()
      return answer
    } catch {
      await connection.close()
      throw error
    }
  }
}

private final class Echo: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var answer = unwrapInboundIn(data)
    do {
      let certificate = try TLSCredentials.peerCertificate(of: context.channel)
      let name = try certificate.map { "\(try PeerIdentity(certificate: $0))" } ?? "nobody"
      answer.writeString(" from \(name)")
    } catch {
      answer.writeString(" from \(error)")
    }
    context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

private final class Collector: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let continuation: AsyncThrowingStream<String, any Error>.Continuation

  init(continuation: AsyncThrowingStream<String, any Error>.Continuation) { self.continuation = continuation }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    continuation.yield(String(buffer: unwrapInboundIn(data)))
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    continuation.finish(throwing: error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) { continuation.finish(throwing: ChannelError.eof) }
}
