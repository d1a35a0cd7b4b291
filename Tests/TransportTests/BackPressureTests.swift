import NIOCore
import Testing

@testable import Transport

@Suite(.timeLimit(.minutes(1))) struct BackPressureTests {
  private static let message = ByteBuffer(repeating: 3, count: 10_000)
  private static let total = 5_000  // 50 MB

  /// All that may be on its way between a writer and a reader that has stopped: windows, send buffer, sockets.
  private static func bound(_ limits: TransportLimits) -> Int {
    2 * limits.streamWindowBytes + limits.sendBufferBytes + 2 * limits.flushBytes + 8 * 1_024 * 1_024
  }

  @Test func slowClientSuspendsTheServer() async throws {
    let sent = Counter()
    let method = RPCMethod.serverStreaming("/test.Test/Push") { _, _, responses in
      for _ in 0..<Self.total {
        try await responses.send(Self.message)
        sent.add()
      }
    }
    try await withServerAndClient(methods: [method]) { _, client in
      let responses = try await client.serverStreaming("/test.Test/Push", ByteBuffer())
      try await waitUntilStable(sent)
      let ahead = sent.value * Self.message.readableBytes
      #expect(ahead < Self.bound(TransportLimits()), "\(ahead) bytes were sent to nobody")
      #expect(ahead >= TransportLimits().streamWindowBytes / 2)
      // Another call on the same connection is not held up.
      var received = 0
      while let batch = try await responses.nextBatch() { received += batch.count }
      #expect(received == Self.total)
    }
  }

  @Test func slowServerSuspendsTheClient() async throws {
    let sent = Counter()
    let go = Flag()
    let method = RPCMethod.clientStreaming("/test.Test/Pull") { requests, _ in
      await go.wait()
      var count = 0
      for try await _ in requests { count += 1 }
      return ByteBuffer(string: "\(count)")
    }
    try await withServerAndClient(methods: [method, TestMethods.echo]) { _, client in
      let call = Task {
        try await client.clientStreaming("/test.Test/Pull") { writer in
          for _ in 0..<Self.total {
            try await writer.send(Self.message)
            sent.add()
          }
        }
      }
      try await waitUntilStable(sent)
      #expect(sent.value * Self.message.readableBytes < Self.bound(TransportLimits()))
      // The stalled stream does not hold up the connection.
      #expect(try await client.unary("/test.Test/Echo", Self.message) == Self.message)
      go.set()
      #expect(try await String(buffer: call.value) == "\(Self.total)")
    }
  }

  /// More stalled streams than the connection may buffer: what is read still gets through.
  @Test func manyStalledStreamsFillTheConnectionAndRecover() async throws {
    let go = Flag()
    let method = RPCMethod.clientStreaming("/test.Test/Pull") { requests, _ in
      await go.wait()
      var count = 0
      while let batch = try await requests.nextBatch() { count += batch.count }
      return ByteBuffer(string: "\(count)")
    }
    let sent = Counter()
    try await withServerAndClient(
      methods: [method],
      server: {
        $0.limits.connectionBufferBytes = 1_024 * 1_024
        $0.limits.connectionWindowBytes = 256 * 1_024
        $0.limits.streamWindowBytes = 256 * 1_024
      }
    ) { _, client in
      try await withThrowingTaskGroup { group in
        for _ in 0..<20 {
          group.addTask {
            let answer = try await client.clientStreaming("/test.Test/Pull") { writer in
              for _ in 0..<200 {
                try await writer.send(Self.message)
                sent.add()
              }
            }
            #expect(String(buffer: answer) == "200")
          }
        }
        try await waitUntilStable(sent)
        go.set()
        try await group.waitForAll()
      }
    }
  }

  @Test func cancelledWriterIsReleased() async throws {
    let method = RPCMethod.clientStreaming("/test.Test/Never") { _, _ in
      try await Task.sleep(for: .seconds(3_600))
      return ByteBuffer()
    }
    let sent = Counter()
    try await withServerAndClient(methods: [method]) { _, client in
      let call = Task {
        await status {
          _ = try await client.clientStreaming("/test.Test/Never") { writer in
            while true {
              try await writer.send(Self.message)
              sent.add()
            }
          }
        }
      }
      try await waitUntilStable(sent)
      call.cancel()
      #expect(await call.value == .cancelled)
    }
  }

  /// Returns when the value is above zero and has not changed for a while.
  private func waitUntilStable(_ counter: Counter) async throws {
    var last = -1
    while true {
      try await Task.sleep(for: .seconds(1))
      let now = counter.value
      if now > 0, now == last { return }
      last = now
    }
  }
}
