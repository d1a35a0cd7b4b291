import InteropMessages
import NIOCore
import Transport

/// A client of `grpc.testing.TestService`.
struct TestService {
  let channel: GRPCChannel

  /// How long a call may take before its case has failed.
  static let timeout = Duration.seconds(30)

  func path(_ method: String) -> String { "/grpc.testing.TestService/\(method)" }

  func emptyCall() async throws {
    let response = try await channel.unary(path("EmptyCall"), ByteBuffer(), timeout: TestService.timeout)
    try expect(response.readableBytes == 0, "an Empty has \(response.readableBytes) bytes")
  }

  func unaryCall(
    _ request: SimpleRequest, encoding: MessageEncoding = .identity
  ) async throws -> SimpleResponse {
    try SimpleResponse(
      wire: await channel.unary(
        path("UnaryCall"), request.wire(), timeout: TestService.timeout, encoding: encoding))
  }

  /// The call whose sizes most cases share.
  func largeUnaryCall() async throws {
    let response = try await unaryCall(.large)
    try expect(
      response.payload == zeros(314_159), "got \(response.payload?.count ?? -1) bytes, not 314159 zeros")
  }

  /// A unary call, with what its response looked like on the wire.
  func observedUnaryCall(
    _ request: SimpleRequest, metadata: Metadata = [:]
  ) async throws -> (response: SimpleResponse, wasCompressed: Bool, stream: MessageStream) {
    let stream = try await channel.serverStreaming(
      path("UnaryCall"), request.wire(), metadata: metadata, timeout: TestService.timeout)
    guard let batch = try await stream.nextBatchWithCompression(), batch.count == 1 else {
      throw Unexpected(description: "expected one response")
    }
    let rest = try await stream.nextBatch()
    try expect(rest == nil, "a second response came")
    return (try SimpleResponse(wire: batch[0].message), batch[0].wasCompressed, stream)
  }

  func streamingInputCall(
    encoding: MessageEncoding = .identity, _ body: (ClientStreamWriter) async throws -> Void
  ) async throws -> Int {
    let response = try await channel.clientStreaming(
      path("StreamingInputCall"), timeout: TestService.timeout, encoding: encoding, body)
    return try StreamingInputResponse(wire: response).aggregatedPayloadSize
  }

  func streamingOutputCall(_ request: StreamingOutputRequest) async throws -> MessageStream {
    try await channel.serverStreaming(
      path("StreamingOutputCall"), request.wire(), timeout: TestService.timeout)
  }

  func fullDuplexCall<R: Sendable>(
    metadata: Metadata = [:], timeout: Duration = TestService.timeout,
    _ body: @Sendable (MessageStream, ClientStreamWriter) async throws -> R
  ) async throws -> R {
    try await channel.bidirectional(path("FullDuplexCall"), metadata: metadata, timeout: timeout, body)
  }
}

extension SimpleRequest {
  static var large: SimpleRequest {
    var request = SimpleRequest()
    request.responseSize = 314_159
    request.payload = zeros(271_828)
    return request
  }
}

func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
