import NIOCore
import Proto
import Transport

/// `rota.v1.Events` on top of the service.
extension GRPCServices {
  var watchEvents: RPCMethod {
    .serverStreaming("/rota.v1.Events/Watch") { buffer, _, writer in
      try await answering {
        let request = try decode(WatchEventsRequest.self, buffer)
        var reached = request.startRevision
        try await events.open(request).run { step in
          try await send(step, after: reached, writer)
          reached = step.revision
        }
      }
    }
  }

  /// Sends a step, in several messages where one would be too large.
  private func send(
    _ step: WatchEventsResponse, after before: Int64, _ writer: ResponseWriter
  ) async throws {
    let bytes = step.wire()
    if bytes.count > ServerLimits.eventStepBytes, let (first, second) = step.halves(after: before) {
      try await send(first, after: before, writer)
      try await send(second, after: first.revision, writer)
    } else {
      try await writer.send(ByteBuffer(bytes: bytes))
    }
  }
}
