import InteropMessages
import NIOCore
import Transport

extension Cases {
  /// Two calls, between which the server has said GOAWAY: nobody notices.
  static let goAway: Case = { service in
    try await service.largeUnaryCall()
    try await Task.sleep(for: .seconds(1))
    try await service.largeUnaryCall()
  }

  /// Calls of all kinds at once when the server says GOAWAY: those that it has seen finish, the others are made again.
  static let goAwayWithStreams: Case = { service in
    try await withThrowingTaskGroup { group in
      for _ in 0..<4 {
        group.addTask { try await service.largeUnaryCall() }
        group.addTask { try await clientStream(service) }
        group.addTask { try await duplex(service) }
      }
      try await group.waitForAll()
    }
  }

  /// The server resets the stream of a call before its end.
  static let isReset: Case = { service in
    do {
      _ = try await service.unaryCall(.large)
    } catch let error as RPCError {
      try expect(error.code != .ok && error.code != .deadlineExceeded, "\(error)")
      return
    }
    throw Unexpected(description: "the call succeeded, though the server has reset its stream")
  }

  /// No server takes the call: its end says that it may safely be made again.
  static let refusedAlways: Case = { service in
    let error = try await expect(.unavailable) { _ = try await service.unaryCall(.large) }
    try expect(error.isRefusedBeforeProcessing, "\(error) does not say that the call was refused")
  }

  /// The first call tells the client how many streams it may open.
  static let maxStreams: Case = { service in
    try await service.largeUnaryCall()
    try await withThrowingTaskGroup { group in
      for _ in 0..<15 { group.addTask { try await service.largeUnaryCall() } }
      try await group.waitForAll()
    }
  }

  private static func clientStream(_ service: TestService) async throws {
    let sum = try await service.streamingInputCall { writer in
      for size in 1...20 {
        try await writer.send(StreamingInputRequest(payload: zeros(size)).wire())
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    try expect(sum == 210, "the sum is \(sum)")
  }

  private static func duplex(_ service: TestService) async throws {
    try await service.fullDuplexCall { responses, writer in
      for size in 1...20 {
        try await writer.send(StreamingOutputRequest(parameters: [.init(size: size)]).wire())
      }
      writer.finish()
      var sizes: [Int] = []
      for try await message in responses {
        sizes.append(try StreamingOutputResponse(wire: message).payload?.count ?? -1)
      }
      try expect(sizes == Array(1...20), "got \(sizes)")
    }
  }
}
