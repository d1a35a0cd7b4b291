import InteropMessages
import NIOCore
import Transport

/// The cases, by the names of grpc/doc/interop-test-descriptions.md and http2-interop-test-descriptions.md.
enum Cases {
  typealias Case = @Sendable (TestService) async throws -> Void

  static let all: [String: Case] = [
    "empty_unary": { try await $0.emptyCall() },
    "large_unary": { try await $0.largeUnaryCall() },
    "client_streaming": clientStreaming, "server_streaming": serverStreaming, "ping_pong": pingPong,
    "empty_stream": emptyStream, "custom_metadata": customMetadata,
    "status_code_and_message": statusCodeAndMessage, "special_status_message": specialStatusMessage,
    "unimplemented_method": unimplementedMethod, "unimplemented_service": unimplementedService,
    "cancel_after_begin": cancelAfterBegin, "cancel_after_first_response": cancelAfterFirstResponse,
    "timeout_on_sleeping_server": timeoutOnSleepingServer, "concurrent_large_unary": concurrentLargeUnary,
    "client_compressed_unary": clientCompressedUnary, "server_compressed_unary": serverCompressedUnary,
    "client_compressed_streaming": clientCompressedStreaming,
    "server_compressed_streaming": serverCompressedStreaming, "gzip_bomb": gzipBomb,
    "goaway": goAway, "rst_after_header": isReset, "rst_during_data": isReset, "rst_after_data": isReset,
    "ping": { try await $0.largeUnaryCall() }, "max_streams": maxStreams,
    "data_frame_padding": { try await $0.largeUnaryCall() },
    "goaway_with_streams": goAwayWithStreams, "refused_stream": { try await $0.largeUnaryCall() },
    "refused_always": refusedAlways,
  ]

  private static let pingPongSizes = [(27_182, 31_415), (8, 9), (1_828, 2_653), (45_904, 58_979)]

  private static let clientStreaming: Case = { service in
    let sum = try await service.streamingInputCall { writer in
      for size in [27_182, 8, 1_828, 45_904] {
        try await writer.send(StreamingInputRequest(payload: zeros(size)).wire())
      }
    }
    try expect(sum == 74_922, "the sum is \(sum)")
  }

  private static let serverStreaming: Case = { service in
    let sizes = [31_415, 9, 2_653, 58_979]
    let request = StreamingOutputRequest(parameters: sizes.map { .init(size: $0) })
    var received: [Int] = []
    for try await message in try await service.streamingOutputCall(request) {
      let payload = try StreamingOutputResponse(wire: message).payload ?? []
      try expect(payload.allSatisfy { $0 == 0 }, "a payload is not all zeros")
      received.append(payload.count)
    }
    try expect(received == sizes, "got payloads of \(received) bytes")
  }

  private static let pingPong: Case = { service in
    try await service.fullDuplexCall { responses, writer in
      var iterator = responses.makeAsyncIterator()
      for (sent, wanted) in pingPongSizes {
        let request = StreamingOutputRequest(parameters: [.init(size: wanted)], payload: zeros(sent))
        try await writer.send(request.wire())
        guard let message = try await iterator.next() else {
          throw Unexpected(description: "the responses ended early")
        }
        let payload = try StreamingOutputResponse(wire: message).payload
        try expect(payload == zeros(wanted), "got \(payload?.count ?? -1) bytes, not \(wanted)")
      }
      writer.finish()
      let end = try await iterator.next()
      try expect(end == nil, "more responses than requests")
    }
  }

  private static let emptyStream: Case = { service in
    try await service.fullDuplexCall { responses, writer in
      writer.finish()
      let end = try await responses.nextBatch()
      try expect(end == nil, "a response without a request")
    }
  }

  private static let customMetadata: Case = { service in
    let initial = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
    let trailing: (String, [UInt8]) = ("x-grpc-test-echo-trailing-bin", [0xab, 0xab, 0xab])
    var metadata = Metadata()
    metadata.add(initial.0, initial.1)
    metadata.add(trailing.0, binary: trailing.1)
    let check: @Sendable (MessageStream) throws -> Void = { stream in
      try expect(stream.initialMetadata?.first(initial.0) == initial.1, "no \(initial.0) came back")
      try expect(stream.trailingMetadata?.firstBinary(trailing.0) == trailing.1, "no \(trailing.0) came back")
    }
    try check(await service.observedUnaryCall(.large, metadata: metadata).stream)
    try await service.fullDuplexCall(metadata: metadata) { responses, writer in
      try await writer.send(
        StreamingOutputRequest(parameters: [.init(size: 314_159)], payload: zeros(271_828)).wire())
      writer.finish()
      while try await responses.nextBatch() != nil {}
      try check(responses)
    }
  }

  private static let statusCodeAndMessage: Case = { service in
    let status = EchoStatus(code: 2, message: "test status message")
    var request = SimpleRequest()
    request.responseStatus = status
    let unary = try await expect(.unknown) { _ = try await service.unaryCall(request) }
    let duplex = try await expect(.unknown) {
      try await service.fullDuplexCall { responses, writer in
        try await writer.send(StreamingOutputRequest(responseStatus: status).wire())
        writer.finish()
        while try await responses.nextBatch() != nil {}
      }
    }
    for error in [unary, duplex] {
      try expect(error.message == status.message, "the message is '\(error.message)'")
    }
  }

  private static let specialStatusMessage: Case = { service in
    let text = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n"
    var request = SimpleRequest()
    request.responseStatus = EchoStatus(code: 2, message: text)
    let error = try await expect(.unknown) { _ = try await service.unaryCall(request) }
    try expect(error.message == text, "the message is '\(error.message)'")
  }

  private static let unimplementedMethod: Case = { service in
    try await expect(.unimplemented) {
      _ = try await service.channel.unary(
        service.path("UnimplementedCall"), ByteBuffer(), timeout: .seconds(30))
    }
  }

  private static let unimplementedService: Case = { service in
    try await expect(.unimplemented) {
      _ = try await service.channel.unary(
        "/grpc.testing.UnimplementedService/UnimplementedCall", ByteBuffer(), timeout: .seconds(30))
    }
  }

  private static let cancelAfterBegin: Case = { service in
    let call = Task {
      try await expect(.cancelled) {
        _ = try await service.streamingInputCall { _ in try await Task.sleep(for: .seconds(30)) }
      }
    }
    try await Task.sleep(for: .milliseconds(100))
    call.cancel()
    // Cancelled while it says nothing: the body's error, or the call's.
    let result = await call.result
    if case .failure(let error) = result { try expect(error is CancellationError, "\(error)") }
    try await service.emptyCall()
  }

  private static let cancelAfterFirstResponse: Case = { service in
    try await expect(.cancelled) {
      try await service.fullDuplexCall { responses, writer in
        let request = StreamingOutputRequest(parameters: [.init(size: 31_415)], payload: zeros(27_182))
        try await writer.send(request.wire())
        let first = try await responses.nextBatch()
        try expect(first?.count == 1, "no first response")
        withUnsafeCurrentTask { $0?.cancel() }
        _ = try await responses.nextBatch()
      }
    }
  }

  private static let timeoutOnSleepingServer: Case = { service in
    try await expect(.deadlineExceeded) {
      try await service.fullDuplexCall(timeout: .milliseconds(50)) { responses, writer in
        try await writer.send(StreamingOutputRequest(payload: zeros(27_182)).wire())
        while try await responses.nextBatch() != nil {}
      }
    }
  }

  private static let concurrentLargeUnary: Case = { service in
    try await withThrowingTaskGroup { group in
      for _ in 0..<100 { group.addTask { try await service.largeUnaryCall() } }
      try await group.waitForAll()
    }
  }
}
