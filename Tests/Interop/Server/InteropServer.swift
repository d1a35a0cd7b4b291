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
      try configuration(CommandLine.arguments.dropFirst()), methods: TestService.methods,
      group: MultiThreadedEventLoopGroup.singleton,
      logger: logger)
    try FileHandle.standardOutput.write(contentsOf: Data("{\"port\": \(server.port)}\n".utf8))
    for await _ in signals { break }
    await server.shutdown(graceful: .seconds(2))
  }

  struct UnknownOption: Error, CustomStringConvertible {
    var option: String
    var description: String {
      "option '\(option)': expected --send-stall-milliseconds, --preface-milliseconds or --idle-milliseconds, and a number"
    }
  }

  /// The defaults, or shorter times, for tests that wait for them to pass.
  private static func configuration(_ arguments: ArraySlice<String>) throws -> GRPCServerConfiguration {
    var configuration = GRPCServerConfiguration()
    var arguments = arguments
    while let option = arguments.popFirst() {
      guard let value = arguments.popFirst().flatMap(Int.init) else { throw UnknownOption(option: option) }
      switch option {
      case "--send-stall-milliseconds":
        configuration.limits.sendStallTimeout = .milliseconds(value)
        configuration.limits.callStallTimeout = .milliseconds(value)
      case "--preface-milliseconds": configuration.prefaceTimeout = .milliseconds(value)
      case "--idle-milliseconds": configuration.maxConnectionIdle = .milliseconds(value)
      default: throw UnknownOption(option: option)
      }
    }
    return configuration
  }
}
