import Foundation
import Logging
import NIOCore
import NIOPosix
import Transport
import UnixSignals

/// A server of `grpc.testing.TestService` on `Transport` alone, for clients of other implementations and for scripted
/// peers. Prints `{"port": N}` and serves until SIGTERM.
@main struct InteropServer {
  static func main() async throws {
    var logger = Logger(label: "interop-server", factory: { StreamLogHandler.standardError(label: $0) })
    logger.logLevel = .notice
    // Before the port is known nobody can send a signal that would be missed.
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    let server = try await GRPCServer.bind(
      GRPCServerConfiguration(), methods: TestService.methods, group: MultiThreadedEventLoopGroup.singleton,
      logger: logger)
    try FileHandle.standardOutput.write(contentsOf: Data("{\"port\": \(server.port)}\n".utf8))
    for await _ in signals { break }
    await server.shutdown(graceful: .seconds(2))
  }
}
