import NIOCore
import Proto
import Transport

/// `grpc.health.v1.Health` (gRPC's health checking protocol). It answers from a board, so that no caller can make the
/// server work: probes come from anybody.
struct HealthService: Sendable {
  static let name = "grpc.health.v1.Health"

  let board: HealthBoard

  var methods: [RPCMethod] {
    [
      unary("/grpc.health.v1.Health/Check") { (request: HealthCheckRequest, _) in
        guard let status = board.status(of: request.service) else {
          throw ServiceError.notFound("there is no service of that name here; List tells the names")
        }
        return HealthCheckResponse(status: status)
      },
      unary("/grpc.health.v1.Health/List") { (_: HealthListRequest, _) in
        HealthListResponse(statuses: board.statuses)
      },
      .serverStreaming("/grpc.health.v1.Health/Watch") { buffer, _, writer in
        try await answering { try await watch(decode(HealthCheckRequest.self, buffer).service, writer) }
      },
    ]
  }

  /// Sends the status, then each change, until the caller or the server leaves.
  private func watch(_ service: String, _ writer: ResponseWriter) async throws {
    guard let news = board.watch(service) else {
      throw ServiceError.overloaded(
        "\(ServerLimits.healthWatchers) callers watch already; ask by Check instead")
    }
    var last: ServingStatus?
    for await status in news where status != last {
      last = status
      try await writer.send(ByteBuffer(bytes: HealthCheckResponse(status: status).wire()))
    }
    try Task.checkCancellation()
    throw ServiceError.unavailable("the server stops; watch another one")
  }
}
