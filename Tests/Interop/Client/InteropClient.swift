import Foundation
import Logging
import NIOCore
import NIOPosix
import Transport

/// gRPC's interoperability cases as a client on `Transport` alone: `interop-client CASE HOST PORT`. Prints `ok CASE` and
/// exits with 0, or says what went wrong and exits with 1.
@main struct InteropClient {
  static func main() async {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let port = Int(arguments[3]), let run = Cases.all[arguments[1]] else {
      say(
        "usage: interop-client CASE HOST PORT, with a CASE of: \(Cases.all.keys.sorted().joined(separator: " "))"
      )
      exit(2)
    }
    var logger = Logger(label: "interop-client", factory: { StreamLogHandler.standardError(label: $0) })
    logger.logLevel = .debug
    let channel = GRPCChannel(
      GRPCClientConfiguration(host: arguments[2], port: port), group: MultiThreadedEventLoopGroup.singleton,
      logger: logger)
    do {
      try await run(TestService(channel: channel))
      await channel.close(graceful: .seconds(2))
      print("ok \(arguments[1])")
    } catch {
      say("FAILED \(arguments[1]): \(error)")
      exit(1)
    }
  }

  private static func say(_ text: String) {
    FileHandle.standardError.write(Data("\(text)\n".utf8))
  }
}

/// Something that a case expected and did not get.
struct Unexpected: Error, CustomStringConvertible {
  var description: String
}

func expect(_ isTrue: Bool, _ what: @autoclosure () -> String) throws {
  guard isTrue else { throw Unexpected(description: what()) }
}

/// Runs something that has to end with a status.
@discardableResult
func expect(_ code: StatusCode, _ body: () async throws -> Void) async throws -> RPCError {
  do {
    try await body()
  } catch let error as RPCError {
    try expect(error.code == code, "expected \(code), got \(error)")
    return error
  }
  throw Unexpected(description: "expected \(code), but the call succeeded")
}
