import NIOCore
import Testing

@testable import Transport

/// Our client against our server, over TCP.
@Suite(.timeLimit(.minutes(1))) struct CallTests {
  @Test func unary() async throws {
    try await withServerAndClient { _, client in
      for size in [0, 1, 5_000, 1_000_000, 4 * 1_024 * 1_024] {
        let message = ByteBuffer(repeating: 7, count: size)
        let answer = try await client.unary("/test.Test/Echo", message)
        #expect(answer == message)
      }
    }
  }

  @Test func manyConcurrentUnaryCalls() async throws {
    try await withServerAndClient { _, client in
      try await withThrowingTaskGroup { group in
        for number in 0..<500 {
          group.addTask {
            let answer = try await client.unary("/test.Test/Echo", ByteBuffer(string: "\(number)"))
            #expect(String(buffer: answer) == "\(number)")
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func clientStreaming() async throws {
    try await withServerAndClient { _, client in
      let answer = try await client.clientStreaming("/test.Test/Sum") { writer in
        for size in 0..<100 { try await writer.send(ByteBuffer(repeating: 0, count: size)) }
      }
      #expect(String(buffer: answer) == "4950")
    }
  }

  @Test func serverStreaming() async throws {
    try await withServerAndClient { _, client in
      for total in [0, 1, 20_000] {
        var next = 0
        for try await message in try await client.serverStreaming(
          "/test.Test/Count", ByteBuffer(string: "\(total)"))
        {
          #expect(String(buffer: message) == "\(next)")
          next += 1
        }
        #expect(next == total)
      }
    }
  }

  @Test func bidirectional() async throws {
    try await withServerAndClient { _, client in
      let count = try await client.bidirectional("/test.Test/PingPong") { responses, writer in
        var iterator = responses.makeAsyncIterator()
        for number in 0..<1_000 {
          try await writer.send(ByteBuffer(string: "\(number)"))
          let answer = try await iterator.next()
          #expect(answer.map { String(buffer: $0) } == "\(number)")
        }
        writer.finish()
        let end = try await iterator.next()
        #expect(end == nil)
        return 1_000
      }
      #expect(count == 1_000)
    }
  }

  @Test func messagesLargerThanTheWindow() async throws {
    try await withServerAndClient(
      server: { $0.limits.streamWindowBytes = 65_536 }, client: { $0.limits.streamWindowBytes = 65_536 }
    ) { _, client in
      try await client.bidirectional("/test.Test/PingPong") { responses, writer in
        var iterator = responses.makeAsyncIterator()
        for size in [10, 1_000_000, 3, 200_000, 70_000] {
          try await writer.send(ByteBuffer(repeating: 1, count: size))
          let answer = try await iterator.next()
          #expect(answer?.readableBytes == size)
        }
      }
    }
  }

  @Test func statusMessageAndTrailers() async throws {
    try await withServerAndClient { _, client in
      let text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
      let error = await #expect(throws: RPCError.self) {
        _ = try await client.unary("/test.Test/Fail", ByteBuffer(string: "9 \(text)"))
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message == text)
      #expect(error?.metadata.first("reason") == "asked")
    }
  }

  @Test func metadataBothWays() async throws {
    let method = RPCMethod.serverStreaming("/test.Test/Meta") { _, context, responses in
      var trailers = Metadata()
      trailers.add("echo-bin", binary: context.metadata.firstBinary("echo-bin") ?? [])
      context.setTrailingMetadata(trailers)
      responses.sendHeaders(["echo": context.metadata.first("echo") ?? ""])
      #expect(context.peer.hasPrefix("127.0.0.1:"))
    }
    try await withServerAndClient(methods: [method]) { _, client in
      var metadata: Metadata = ["echo": "tést".contains("é") ? "text" : ""]
      metadata.add("echo-bin", binary: [0xab, 0xab, 0xab])
      let responses = try await client.serverStreaming("/test.Test/Meta", ByteBuffer(), metadata: metadata)
      #expect(try await responses.nextBatch() == nil)
      #expect(responses.initialMetadata?.first("echo") == "text")
      #expect(responses.trailingMetadata?.firstBinary("echo-bin") == [0xab, 0xab, 0xab])
    }
  }

  @Test func unknownMethodAndUnexpectedError() async throws {
    struct Secret: Error {}
    let method = RPCMethod.unary("/test.Test/Broken") { _, _ in throw Secret() }
    try await withServerAndClient(methods: [method]) { _, client in
      #expect(await status { _ = try await client.unary("/no.Such/Method", ByteBuffer()) } == .unimplemented)
      let error = await #expect(throws: RPCError.self) {
        _ = try await client.unary("/test.Test/Broken", ByteBuffer())
      }
      #expect(error?.code == .unknown)
      #expect(error?.message.contains("Secret") == false)
    }
  }

  @Test func deadlineIsEnforcedByBothSides() async throws {
    let started = Flag()
    let seen = Flag()
    let method = RPCMethod.unary("/test.Test/Slow") { _, context in
      #expect(context.deadline != nil)
      started.set()
      do {
        try await Task.sleep(for: .seconds(3_600))
      } catch {
        seen.set()
        throw error
      }
      return ByteBuffer()
    }
    try await withServerAndClient(methods: [method]) { _, client in
      let begin = ContinuousClock.now
      let code = await status {
        _ = try await client.unary("/test.Test/Slow", ByteBuffer(), timeout: .seconds(2))
      }
      #expect(code == .deadlineExceeded)
      #expect(ContinuousClock.now - begin < .seconds(20))
      await seen.wait()
    }
    #expect(started.isSet)
  }

  @Test func deadlineInThePast() async throws {
    try await withServerAndClient { _, client in
      #expect(
        await status { _ = try await client.unary("/test.Test/Echo", ByteBuffer(), timeout: .seconds(-1)) }
          == .deadlineExceeded)
    }
  }

  @Test func cancellingTheTaskCancelsTheHandler() async throws {
    let started = Flag()
    let cancelled = Flag()
    let method = RPCMethod.unary("/test.Test/Wait") { _, _ in
      started.set()
      try await withTaskCancellationHandler {
        try await Task.sleep(for: .seconds(3_600))
      } onCancel: {
        cancelled.set()
      }
      return ByteBuffer()
    }
    try await withServerAndClient(methods: [method]) { _, client in
      let task = Task { await status { _ = try await client.unary("/test.Test/Wait", ByteBuffer()) } }
      await started.wait()
      task.cancel()
      #expect(await task.value == .cancelled)
      await cancelled.wait()
    }
  }

  @Test func droppingAStreamCancelsTheHandler() async throws {
    let cancelled = Flag()
    let method = RPCMethod.serverStreaming("/test.Test/Endless") { _, _, responses in
      defer { cancelled.set() }
      while true { try await responses.send(ByteBuffer(string: "again")) }
    }
    try await withServerAndClient(methods: [method]) { _, client in
      do {
        let responses = try await client.serverStreaming("/test.Test/Endless", ByteBuffer())
        #expect(try await responses.nextBatch() != nil)
      }
      await cancelled.wait()
    }
  }

  @Test func leavingABidirectionalBodyCancelsTheHandler() async throws {
    let started = Flag()
    let cancelled = Flag()
    let method = RPCMethod.bidirectional("/test.Test/Chat") { requests, _, _ in
      defer { cancelled.set() }
      started.set()
      for try await _ in requests {}
    }
    try await withServerAndClient(methods: [method]) { _, client in
      try await client.bidirectional("/test.Test/Chat") { _, writer in
        try await writer.send(ByteBuffer(string: "x"))
        await started.wait()
      }
      await cancelled.wait()
    }
  }

  @Test func lostConnectionCancelsTheHandler() async throws {
    let started = Flag()
    let cancelled = Flag()
    let method = RPCMethod.bidirectional("/test.Test/Chat") { requests, _, _ in
      defer { cancelled.set() }
      started.set()
      for try await _ in requests {}
    }
    try await withServer(methods: [method]) { server in
      try await withClient(server.port) { client in
        let call = Task {
          await status {
            try await client.bidirectional("/test.Test/Chat") { responses, _ in
              _ = try await responses.nextBatch()
            }
          }
        }
        await started.wait()
        await client.close(graceful: .zero)
        #expect(await call.value == .cancelled)
        #expect(!client.isConnected)
        #expect(await status { _ = try await client.unary("/x", ByteBuffer()) } == .unavailable)
      }
      await cancelled.wait()
    }
  }

  @Test func serverMayEndAClientStreamEarly() async throws {
    let method = RPCMethod.clientStreaming("/test.Test/Early") { _, _ in ByteBuffer(string: "enough") }
    let refusing = RPCMethod.clientStreaming("/test.Test/Refuse") { _, _ in
      throw RPCError(.permissionDenied, "no")
    }
    try await withServerAndClient(methods: [method, refusing]) { _, client in
      let answer = try await client.clientStreaming("/test.Test/Early") { writer in
        while true { try await writer.send(ByteBuffer(repeating: 0, count: 10_000)) }
      }
      #expect(String(buffer: answer) == "enough")
      let code = await status {
        _ = try await client.clientStreaming("/test.Test/Refuse") { writer in
          while true { try await writer.send(ByteBuffer(repeating: 0, count: 10_000)) }
        }
      }
      #expect(code == .permissionDenied)
    }
  }

  @Test func oversizeMessagesAreRefusedOnEachSide() async throws {
    try await withServerAndClient(server: { $0.limits.maxReceiveMessageBytes = 1_000 }) { _, client in
      let code = await status {
        _ = try await client.unary("/test.Test/Echo", ByteBuffer(repeating: 0, count: 1_001))
      }
      #expect(code == .resourceExhausted)
      let answer = try await client.unary("/test.Test/Echo", ByteBuffer(repeating: 0, count: 1_000))
      #expect(answer.readableBytes == 1_000)
    }
    try await withServerAndClient(client: {
      $0.limits.maxSendMessageBytes = 1_000
      $0.limits.maxReceiveMessageBytes = 3
    }) { _, client in
      let sent = await status {
        _ = try await client.unary("/test.Test/Echo", ByteBuffer(repeating: 0, count: 1_001))
      }
      #expect(sent == .resourceExhausted)
      let received = await status {
        _ = try await client.unary("/test.Test/Echo", ByteBuffer(repeating: 0, count: 4))
      }
      #expect(received == .resourceExhausted)
    }
  }

  @Test func concurrencyLimitQueuesAndThenRefuses() async throws {
    try await withServerAndClient(
      server: { $0.limits.maxConcurrentStreams = 2 }, client: { $0.limits.maxConcurrentStreams = 50 }
    ) { _, client in
      try await withThrowingTaskGroup { group in
        for _ in 0..<50 { group.addTask { _ = try await client.unary("/test.Test/Echo", ByteBuffer()) } }
        try await group.waitForAll()
      }
      let hanging = (0..<50).map { _ in Task { try await client.unary("/test.Test/Hang", ByteBuffer()) } }
      defer { for task in hanging { task.cancel() } }
      var code = StatusCode.ok
      // Until all fifty have reached the connection, one more may still be let in.
      while code != .resourceExhausted {
        code = await status {
          _ = try await client.unary("/test.Test/Echo", ByteBuffer(), timeout: .milliseconds(50))
        }
      }
    }
  }

  @Test func oversizeHeadersAreRefused() async throws {
    try await withServerAndClient { _, client in
      let metadata: Metadata = ["big": String(repeating: "x", count: 20_000)]
      let code = await status {
        _ = try await client.unary("/test.Test/Echo", ByteBuffer(), metadata: metadata)
      }
      #expect(code == .resourceExhausted)
      #expect(await status { _ = try await client.unary("/test.Test/Echo", ByteBuffer()) } == .ok)
    }
  }

  @Test func unsendableMetadataFailsTheCallOnly() async throws {
    let method = RPCMethod.unary("/test.Test/Bad") { request, context in
      context.setTrailingMetadata(["bad name": "x"])
      return request
    }
    try await withServerAndClient(methods: [method]) { _, client in
      let server = await status { _ = try await client.unary("/test.Test/Bad", ByteBuffer()) }
      #expect(server == .internalError)
      let local = await status {
        _ = try await client.unary("/test.Test/Bad", ByteBuffer(), metadata: ["a b": "x"])
      }
      #expect(local == .internalError)
      #expect(client.isConnected)
    }
  }
}
