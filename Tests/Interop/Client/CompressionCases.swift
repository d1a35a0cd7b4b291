import InteropMessages
import NIOCore
import Transport

extension Cases {
  static let clientCompressedUnary: Case = { service in
    var request = SimpleRequest.large
    for isCompressed in [true, false] {
      request.expectCompressed = isCompressed
      let response = try await service.unaryCall(request, encoding: isCompressed ? .gzip : .identity)
      try expect(response.payload == zeros(314_159), "got \(response.payload?.count ?? -1) bytes")
    }
  }

  static let serverCompressedUnary: Case = { service in
    var request = SimpleRequest.large
    for isCompressed in [true, false] {
      request.responseCompressed = isCompressed
      let (response, wasCompressed, _) = try await service.observedUnaryCall(request)
      try expect(response.payload == zeros(314_159), "got \(response.payload?.count ?? -1) bytes")
      try expect(wasCompressed == isCompressed, "asked for \(isCompressed), got \(wasCompressed)")
    }
  }

  static let clientCompressedStreaming: Case = { service in
    let sum = try await service.streamingInputCall(encoding: .gzip) { writer in
      let first = StreamingInputRequest(payload: zeros(27_182), expectCompressed: true)
      try await writer.send(first.wire())
      let second = StreamingInputRequest(payload: zeros(45_904), expectCompressed: false)
      try await writer.send(second.wire(), compressed: false)
    }
    try expect(sum == 73_086, "the sum is \(sum)")
  }

  static let serverCompressedStreaming: Case = { service in
    let request = StreamingOutputRequest(parameters: [
      .init(size: 31_415, compressed: true), .init(size: 92_653, compressed: false),
    ])
    let stream = try await service.streamingOutputCall(request)
    var received: [String] = []
    while let batch = try await stream.nextBatchWithCompression() {
      for (message, wasCompressed) in batch {
        let count = try StreamingOutputResponse(wire: message).payload?.count ?? -1
        received.append("\(count) \(wasCompressed)")
      }
    }
    try expect(received == ["31415 true", "92653 false"], "got \(received)")
  }

  /// The server answers with more than the limit, compressed to almost nothing.
  static let gzipBomb: Case = { service in
    var request = SimpleRequest()
    request.responseSize = 64 * 1_024 * 1_024
    request.responseCompressed = true
    let error = try await expect(.resourceExhausted) { _ = try await service.unaryCall(request) }
    let limit = service.channel.limits.maxReceiveMessageBytes
    try expect(error.message.contains("\(limit)"), "the limit is not named: \(error)")
    let stream = try await service.streamingOutputCall(
      StreamingOutputRequest(parameters: [.init(size: 64 * 1_024 * 1_024, compressed: true)]))
    try await expect(.resourceExhausted) { while try await stream.nextBatch() != nil {} }
    try await service.emptyCall()
  }
}
