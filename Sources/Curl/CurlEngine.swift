/// HTTP/1.1 transfers with libcurl on one thread of its own.
///
/// The thread owns libcurl's multi handle; requests go in through a locked queue and their results come back
/// through continuations, each resumed exactly once. Connections are kept alive and reused.
///
/// libcurl would silently send a request a second time when a reused connection dies before the first byte of
/// the answer. The engine forbids that: such a request fails with `connectionLost` and `.maybeSent`, so that the
/// caller, who knows whether the request may be repeated, decides.
public final class CurlEngine: Sendable {
  /// Bounds of one engine.
  public struct Configuration: Sendable {
    /// Requests in progress per scheme, host and port; more wait in the queue. Streams do not count.
    public var maxConnectionsPerHost = 32
    /// Further requests in progress per host that only urgent ones may use.
    public var urgentConnectionsPerHost = 8
    /// Idle connections kept open for reuse, all hosts together.
    public var maxIdleConnections = 256
    /// Requests waiting for a connection, all hosts together; past it `queueFull`.
    public var maxQueuedRequests = 8192
    /// Streams open at once; past it `queueFull`.
    public var maxStreams = 1024

    /// The defaults.
    public init() {}
  }

  private let core: EngineCore

  /// Starts the engine's thread.
  ///
  /// - Throws: ``CurlError`` with code `other` when libcurl or the thread cannot be set up.
  public init(configuration: Configuration = Configuration()) throws(CurlError) {
    core = try EngineCore(configuration: configuration)
    try core.start()
  }

  deinit { core.requestStop() }

  /// Sends a request and waits for its whole response.
  ///
  /// Cancelling the calling task aborts the transfer.
  public func perform(_ request: HTTPRequest) async throws(CurlError) -> HTTPResponse {
    try request.validate()
    let transfer = Transfer(request: request, stream: nil)
    let core = core
    let result: Result<HTTPResponse, CurlError> = await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        transfer.continuation = continuation
        core.submit(transfer)
      }
    } onCancel: {
      core.send(.cancel(transfer))
    }
    return try result.get()
  }

  /// Sends a request and hands out its response body chunk by chunk.
  ///
  /// Never throws itself: a refused request fails the stream's first call.
  public func stream(
    _ request: HTTPRequest, options: HTTPStream.Options = HTTPStream.Options()
  ) -> HTTPStream {
    let buffer = StreamBuffer(options: options)
    let transfer = Transfer(request: request, stream: buffer)
    do {
      try request.validate()
      core.submit(transfer)
    } catch {
      buffer.finish(.failure(error))
    }
    return HTTPStream(buffer: buffer, transfer: transfer, core: core)
  }

  /// Fails whatever is queued or in progress with code `shutdown`, and returns when the thread has ended.
  public func shutdown() async {
    await core.stopAndWait()
  }
}
