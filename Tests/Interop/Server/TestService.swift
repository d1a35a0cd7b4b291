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
    try end(with: request.responseStatus)
    return SimpleResponse(payload: try zeros(request.responseSize)).wire()
  }

  private static let streamingOutputCall = RPCMethod.serverStreaming(path("StreamingOutputCall")) {
    bytes, context, responses in
    echoMetadata(context)
    try await answer(decode(StreamingOutputRequest.self, bytes), responses)
  }

  private static let streamingInputCall = RPCMethod.clientStreaming(path("StreamingInputCall")) {
    requests, context in
    echoMetadata(context)
    var total = 0
    for try await bytes in requests {
      total += try decode(StreamingInputRequest.self, bytes).payload?.count ?? 0
    }
    return StreamingInputResponse(aggregatedPayloadSize: total).wire()
  }

  private static let fullDuplexCall = RPCMethod.bidirectional(path("FullDuplexCall")) {
    requests, context, responses in
    echoMetadata(context)
    for try await bytes in requests {
      try await answer(decode(StreamingOutputRequest.self, bytes), responses)
    }
  }

  /// Answers once all requests are here.
  private static let halfDuplexCall = RPCMethod.bidirectional(path("HalfDuplexCall")) {
    requests, context, responses in
    echoMetadata(context)
    var all: [StreamingOutputRequest] = []
    for try await bytes in requests { all.append(try decode(StreamingOutputRequest.self, bytes)) }
    for request in all { try await answer(request, responses) }
  }

  private static func path(_ method: String) -> String { "/grpc.testing.TestService/\(method)" }

  private static func answer(_ request: StreamingOutputRequest, _ responses: ResponseWriter) async throws {
    try end(with: request.responseStatus)
    for parameters in request.parameters {
      if parameters.intervalMicroseconds > 0 {
        try await Task.sleep(for: .microseconds(parameters.intervalMicroseconds))
      }
      try await responses.send(StreamingOutputResponse(payload: zeros(parameters.size)).wire())
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
