import InteropMessages
import NIOCore
import Transport

/// `grpc.testing.TestService` as gRPC's interoperability test descriptions define it.
enum TestService {
  static let methods = [
    emptyCall, unaryCall, streamingOutputCall, streamingInputCall, fullDuplexCall, halfDuplexCall,
  ]

  /// The largest payload that a caller may ask for, bytes.
  private static let maxPayloadBytes = 16 * 1_024 * 1_024

  private static let emptyCall = RPCMethod.unary(path("EmptyCall")) { _, context in
    echoMetadata(context)
    return ByteBuffer()
  }

  private static let unaryCall = RPCMethod.unary(path("UnaryCall")) { bytes, context in
    echoMetadata(context)
    let request = try decode(SimpleRequest.self, bytes)
    try check(context.isRequestCompressed, against: request.expectCompressed)
    try end(with: request.responseStatus)
    if request.responseCompressed == true { context.compressResponses() }
    return SimpleResponse(payload: try zeros(request.responseSize)).wire()
  }

  private static let streamingOutputCall = RPCMethod.serverStreaming(path("StreamingOutputCall")) {
    bytes, context, responses in
    echoMetadata(context)
    try await answer(decode(StreamingOutputRequest.self, bytes), context, responses)
  }

  private static let streamingInputCall = RPCMethod.clientStreaming(path("StreamingInputCall")) {
    requests, context in
    echoMetadata(context)
    var total = 0
    while let batch = try await requests.nextBatchWithCompression() {
      for (bytes, wasCompressed) in batch {
        let request = try decode(StreamingInputRequest.self, bytes)
        try check(wasCompressed, against: request.expectCompressed)
        total += request.payload?.count ?? 0
      }
    }
    return StreamingInputResponse(aggregatedPayloadSize: total).wire()
  }

  private static let fullDuplexCall = RPCMethod.bidirectional(path("FullDuplexCall")) {
    requests, context, responses in
    echoMetadata(context)
    for try await bytes in requests {
      try await answer(decode(StreamingOutputRequest.self, bytes), context, responses)
    }
  }

  /// Answers once all requests are here.
  private static let halfDuplexCall = RPCMethod.bidirectional(path("HalfDuplexCall")) {
    requests, context, responses in
    echoMetadata(context)
    var all: [StreamingOutputRequest] = []
    for try await bytes in requests { all.append(try decode(StreamingOutputRequest.self, bytes)) }
    for request in all { try await answer(request, context, responses) }
  }

  private static func path(_ method: String) -> String { "/grpc.testing.TestService/\(method)" }

  private static func answer(
    _ request: StreamingOutputRequest, _ context: ServerCallContext, _ responses: ResponseWriter
  ) async throws {
    try end(with: request.responseStatus)
    if request.parameters.contains(where: { $0.compressed == true }) { context.compressResponses() }
    for parameters in request.parameters {
      if parameters.intervalMicroseconds > 0 {
        try await Task.sleep(for: .microseconds(parameters.intervalMicroseconds))
      }
      let response = StreamingOutputResponse(payload: try zeros(parameters.size))
      try await responses.send(response.wire(), compressed: parameters.compressed == true)
    }
  }

  /// The metadata of the custom_metadata case comes back, before the messages and after them.
  private static func echoMetadata(_ context: ServerCallContext) {
    let initial = "x-grpc-test-echo-initial"
    let trailing = "x-grpc-test-echo-trailing-bin"
    if let text = context.metadata.first(initial) { context.setInitialMetadata([initial: text]) }
    if let bytes = context.metadata.firstBinary(trailing) {
      var metadata = Metadata()
      metadata.add(trailing, binary: bytes)
      context.setTrailingMetadata(metadata)
    }
  }

  /// Refuses a message that is compressed though the caller says that it is not, or the other way round.
  private static func check(_ isCompressed: Bool, against expected: Bool?) throws {
    guard let expected, expected != isCompressed else { return }
    throw RPCError(
      .invalidArgument, "expect_compressed is \(expected), but the message's flag is \(isCompressed)")
  }

  private static func end(with status: EchoStatus?) throws {
    guard let status, status.code != StatusCode.ok.rawValue else { return }
    throw RPCError(StatusCode(rawValue: status.code), status.message)
  }

  private static func zeros(_ count: Int) throws -> [UInt8] {
    guard (0...maxPayloadBytes).contains(count) else {
      throw RPCError(
        .invalidArgument, "a payload of \(count) bytes was asked for; expected 0 to \(maxPayloadBytes)")
    }
    return [UInt8](repeating: 0, count: count)
  }

  private static func decode<Message: InteropMessage>(
    _ type: Message.Type, _ bytes: ByteBuffer
  ) throws -> Message {
    do {
      return try Message(wire: bytes)
    } catch let error as MalformedMessage {
      throw RPCError(.invalidArgument, error.description)
    }
  }
}
