import NIOCore
import Synchronization
import Testing

@testable import Transport

/// Who calls is asked once for each connection, and whether it may before each handler.
@Suite(.timeLimit(.minutes(1))) struct AuthorizationTests {
  private static let whoAmI = RPCMethod.unary("/test.Test/WhoAmI") { _, context in
    ByteBuffer(string: context.peerIdentity as? String ?? "nobody")
  }

  @Test func handlersKnowWhoCalls() async throws {
    let asked = Mutex(0)
    try await withServer(
      { configuration in
        configuration.identifyPeer = { channel in
          let count = asked.withLock { asked in
            asked += 1
            return asked
          }
          return "peer \(count), active: \(channel.isActive)"
        }
      }, methods: [Self.whoAmI]
    ) { server in
      for connection in 1...2 {
        try await withClient(server.port) { client in
          for _ in 1...3 {
            let answer = try await client.unary("/test.Test/WhoAmI", ByteBuffer())
            #expect(String(buffer: answer) == "peer \(connection), active: true")
          }
        }
      }
    }
    #expect(asked.withLock { $0 } == 2)
  }

  @Test func nobodyIsAskedForByDefault() async throws {
    try await withServerAndClient(methods: [Self.whoAmI]) { _, client in
      let answer = try await client.unary("/test.Test/WhoAmI", ByteBuffer())
      #expect(String(buffer: answer) == "nobody")
    }
  }

  @Test func whatIsRefusedReachesNoHandler() async throws {
    let handled = Mutex(0)
    let count: @Sendable () -> Void = { handled.withLock { $0 += 1 } }
    let methods: [RPCMethod] = [
      .unary("/test.Test/Closed") { _, _ in
        count()
        return ByteBuffer()
      },
      .bidirectional("/test.Test/ClosedStream") { _, _, _ in count() },
      Self.whoAmI,
    ]
    try await withServerAndClient(
      methods: methods,
      server: { configuration in
        configuration.identifyPeer = { _ in "me" }
        configuration.authorize = { context throws(RPCError) in
          guard context.path.contains("Closed") else { return }
          throw RPCError(
            .permissionDenied, "not for \(context.peerIdentity as? String ?? "")", metadata: ["why": "test"])
        }
      }
    ) { _, client in
      await #expect {
        // A body larger than any window: the refusal does not wait for it.
        _ = try await client.unary("/test.Test/Closed", ByteBuffer(repeating: 1, count: 3_000_000))
      } throws: { error in
        let error = error as? RPCError
        return error?.code == .permissionDenied && error?.message == "not for me"
          && error?.metadata.first("why") == "test"
      }
      let code = await status {
        try await client.bidirectional("/test.Test/ClosedStream") { inbound, writer in
          try await writer.send(ByteBuffer(string: "x"))
          while try await inbound.nextBatch() != nil {}
        }
      }
      #expect(code == .permissionDenied)
      // The connection goes on.
      let answer = try await client.unary("/test.Test/WhoAmI", ByteBuffer())
      #expect(String(buffer: answer) == "me")
    }
    #expect(handled.withLock { $0 } == 0)
  }
}
