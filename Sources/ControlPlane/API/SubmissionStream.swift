import NIOCore
import Proto
import SchedulerCore
import Transport

/// Stores the submissions of one client stream as they come. While as much is being written as its bounds
/// allow, it reads no further, so that HTTP/2's flow control holds the caller back.
///
/// A failure that is about one submission (it is invalid, its id is taken, nobody may do that, its namespace is full) is
/// a refusal of that one, and the others go on. A failure of the cluster (etcd cannot be reached or is full, this server
/// stops) ends the call: what follows would meet the same, the answer could not tell more than 1,000 of them,
/// and the remedy is one for all, to send again. When too many changes wait in this server, or the caller submits
/// faster than it may, neither: whoever can be held back need not be turned away.
struct SubmissionStream: Sendable {
  let submit: @Sendable (SubmitRequest) async throws -> SubmitResponse

  /// Stores all; returning means that those accepted are durable.
  func run<Messages: AsyncSequence>(_ messages: Messages) async throws -> SubmitStreamResponse
  where Messages.Element == ByteBuffer {
    try await withThrowingTaskGroup(of: Concluded.self) { group in
      var tally = Tally()
      var index = 0
      for try await message in messages {
        let (number, size) = (index, message.readableBytes)
        while !tally.hasRoom(for: size), let concluded = try await group.next() { tally.add(concluded) }
        tally.began(size)
        // Decoded here, so that the bytes, which share memory with what came beside them, are not kept.
        let request = Result { try decode(SubmitRequest.self, message) }
        group.addTask {
          Concluded(index: number, size: size, result: try await conclude(request, number))
        }
        index += 1
      }
      while let concluded = try await group.next() { tally.add(concluded) }
      return tally.response
    }
  }

  private func conclude(
    _ request: Result<SubmitRequest, any Error>, _ index: Int
  ) async throws -> Result<Bool, SubmitRefusal> {
    do {
      return .success(try await patiently(try request.get()).created)
    } catch {
      let status = rpcError(for: error)
      guard Self.isRefusal(status.code) || (error as? ServiceError)?.isOfCaller ?? false else {
        throw rpcError(for: error, at: "request \(index) of the stream: ")
      }
      return .failure(
        SubmitRefusal(
          index: index, jobID: (try? request.get())?.jobID, code: status.code.rawValue,
          message: status.message))
    }
  }

  /// Submits, and again while this server has too much to write or the caller is too fast: then certainly nothing was
  /// written.
  private func patiently(_ request: SubmitRequest) async throws -> SubmitResponse {
    let deadline = ContinuousClock.now + ServerLimits.submitStreamPatience
    while true {
      do {
        return try await submit(request)
      } catch let error as ServiceError where error.canWait && .now < deadline {
        let pause = error.retryMillis.map { Duration.milliseconds($0) } ?? .zero
        try await Task.sleep(for: max(ServerLimits.submitStreamPause, min(pause, deadline - .now)))
      }
    }
  }

  /// Whether a failure is about the one submission.
  private static func isRefusal(_ code: StatusCode) -> Bool {
    let refusals: [StatusCode] = [
      .invalidArgument, .notFound, .alreadyExists, .failedPrecondition, .aborted, .permissionDenied,
    ]
    return refusals.contains(code)
  }
}

extension ServiceError {
  /// Whether it is about what the caller, or its namespace, may use.
  fileprivate var isOfCaller: Bool { kind == .limited || kind == .overQuota }

  /// Whether the same call can be expected to succeed soon.
  fileprivate var canWait: Bool { kind == .overloaded || kind == .limited && retryMillis != nil }
}

/// What became of one submission: whether it made a job, or why it was refused.
private struct Concluded: Sendable {
  var index: Int
  var size: Int
  var result: Result<Bool, SubmitRefusal>
}

extension SubmitRefusal: Error {}

/// What is under way, and what has become of the rest.
private struct Tally {
  private var counts = SubmitStreamResponse()
  private var inFlight = 0
  private var bytes = 0

  /// A message that is larger than the bound goes alone.
  func hasRoom(for size: Int) -> Bool {
    inFlight == 0
      || inFlight < ServerLimits.submitStreamInFlight && bytes + size <= ServerLimits.submitStreamBytes
  }

  mutating func began(_ size: Int) {
    inFlight += 1
    bytes += size
  }

  mutating func add(_ concluded: Concluded) {
    inFlight -= 1
    bytes -= concluded.size
    switch concluded.result {
    case .success(let created):
      counts.accepted += 1
      counts.created += created ? 1 : 0
    case .failure(let refusal):
      counts.refused += 1
      counts.refusals.append(refusal)
      // They come in the order of their ends: some more are kept than told, so that the first are among them.
      if counts.refusals.count >= 2 * SubmitStreamResponse.refusalsKept { counts.keepFirstRefusals() }
    }
  }

  var response: SubmitStreamResponse {
    var response = counts
    response.keepFirstRefusals()
    return response
  }
}

extension SubmitStreamResponse {
  fileprivate mutating func keepFirstRefusals() {
    refusals.sort { $0.index < $1.index }
    refusals = Array(refusals.prefix(Self.refusalsKept))
  }
}
