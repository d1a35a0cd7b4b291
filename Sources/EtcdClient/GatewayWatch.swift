import Curl
import Logging
import Synchronization

/// A watch on a real cluster: the stream that carries it comes and goes, the revisions go on.
final class GatewayWatch: EtcdWatch {
  private let reader: WatchReader
  private let control: WatchControl

  init(request: WatchRequest, gateway: Gateway) {
    control = WatchControl()
    reader = WatchReader(request: request, gateway: gateway, control: control)
  }

  deinit { control.cancel() }

  func next() async throws(EtcdError) -> WatchBatch? {
    let result = await withTaskCancellationHandler {
      await reader.next()
    } onCancel: {
      control.cancel()
    }
    return try result.get()
  }

  func cancel() { control.cancel() }
}

/// What `cancel()`, which may be called from anywhere, shares with the reader.
private final class WatchControl: Sendable {
  private struct State {
    var cancelled = false
    var stream: HTTPStream?
    var pause: Task<Void, Never>?
  }
  private let state = Mutex(State())

  var isCancelled: Bool { state.withLock { $0.cancelled } }

  func cancel() {
    let (stream, pause) = state.withLock { state in
      state.cancelled = true
      defer { (state.stream, state.pause) = (nil, nil) }
      return (state.stream, state.pause)
    }
    stream?.cancel()
    pause?.cancel()
  }

  /// False when the watch was cancelled meanwhile; the stream is cancelled then.
  func adopt(_ stream: HTTPStream) -> Bool {
    let adopted = state.withLock { state in
      guard !state.cancelled else { return false }
      state.stream = stream
      return true
    }
    if !adopted { stream.cancel() }
    return adopted
  }

  /// Waits, but not longer than until the watch is cancelled.
  func pause(_ duration: Duration) async {
    let task = Task<Void, Never> { try? await Task.sleep(for: duration) }
    let waits = state.withLock { state in
      guard !state.cancelled else { return false }
      state.pause = task
      return true
    }
    if !waits { task.cancel() }
    await task.value
  }
}

/// The reading side: one call of `next()` at a time.
private actor WatchReader {
  private let request: WatchRequest
  private let gateway: Gateway
  private let control: WatchControl
  private var progress: WatchProgress
  private var stream: HTTPStream?
  private var decoder: WatchStreamDecoder
  private var endpoint: Gateway.Endpoint?
  private var token: String?
  private var backoff = Backoff(EtcdLimits.watchPause)
  private var mustPause = false
  private var isReading = false

  init(request: WatchRequest, gateway: Gateway, control: WatchControl) {
    self.request = request
    self.gateway = gateway
    self.control = control
    progress = WatchProgress(request: request)
    decoder = WatchStreamDecoder(filter: progress.filter)
  }

  func next() async -> Result<WatchBatch?, EtcdError> {
    guard !isReading else {
      return .failure(
        EtcdError(code: .invalid, message: "two readers wait on one watch", outcome: .notApplied))
    }
    isReading = true
    defer { isReading = false }
    while true {
      if control.isCancelled { return .success(nil) }
      if let batch = progress.takeBatch() { return .success(batch) }
      if let failure = progress.failure {
        closeStream()
        return .failure(failure)
      }
      if let error = await advance() { progress.failure = error }
    }
  }

  /// One step: a pause, a connection, or a chunk. An error is final.
  private func advance() async -> EtcdError? {
    do {
      guard let stream else { return try await connect() }
      guard let chunk = try await stream.next() else {
        disconnect("the stream ended")
        return nil
      }
      try read(chunk)
    } catch let error as CurlError {
      if error.code == .shutdown {
        return EtcdError(code: .cancelled, message: "the etcd client was shut down", outcome: .notApplied)
      }
      disconnect(error.message)
    } catch let error as WireError {
      disconnect("a message cannot be understood: \(error.reason) at byte \(error.offset)")
    } catch let error as EtcdError {
      let isFinal = [.permissionDenied, .invalid, .unauthenticated].contains(error.code)
      if isFinal { return error }
      disconnect(error.message)
    } catch {
      disconnect("\(error)")
    }
    return nil
  }

  // MARK: Stream

  private func connect() async throws -> EtcdError? {
    guard !progress.watchers.isEmpty else {
      return EtcdError(code: .invalid, message: "a watch needs at least one range", outcome: .notApplied)
    }
    if mustPause { await control.pause(backoff.next()) }
    mustPause = true
    let endpoint = gateway.currentEndpoint
    self.endpoint = endpoint
    let timeout = gateway.configuration.requestTimeout
    token = try await gateway.token(deadline: .now.advanced(by: timeout))
    let body = RequestEncoding.watch(progress.resume(), progress: request.progressNotify)
    var http = gateway.request(endpoint, path: "watch", body: body, token: token)
    // A member without a leader would keep the stream and stay silent; with this it ends the stream instead.
    http.headers.append(("Grpc-Metadata-hasleader", "true"))
    var options = HTTPStream.Options()
    options.bufferBytes = EtcdLimits.watchBufferBytes
    options.idleTimeout = request.idleReconnect
    options.responseTimeout = timeout
    let stream = gateway.engine.stream(http, options: options)
    guard control.adopt(stream) else { return nil }
    decoder = WatchStreamDecoder(filter: progress.filter)
    let head = try await stream.head()
    guard head.status == 200 else {
      let error = try await refusal(stream, status: head.status, endpoint)
      stream.cancel()
      try recover(error)
      return nil
    }
    self.stream = stream
    return nil
  }

  private func refusal(
    _ stream: HTTPStream, status: Int, _ endpoint: Gateway.Endpoint
  ) async throws(CurlError) -> EtcdError {
    var body: [UInt8] = []
    while body.count < EtcdLimits.maxErrorBodyBytes, let chunk = try await stream.next() { body += chunk }
    let failure = Gateway.serverFailure(status: status, body: body)
    return Gateway.error("watch", endpoint, isWrite: false, failure)
  }

  private func read(_ chunk: [UInt8]) throws {
    var failure: ServerFailure?
    try decoder.feed(chunk) { message in
      if let error = message.failure { failure = error } else { progress.receive(message) }
    }
    if progress.isHealthy {
      backoff.reset()
      renewals = 0
    }
    if let failure, let endpoint {
      try recover(Gateway.error("watch", endpoint, isWrite: false, failure))
    } else if let reason = progress.takeCancellation(), let endpoint {
      let code = reason.contains("permission denied") ? 7 : reason.contains("auth token") ? 16 : 14
      try recover(
        Gateway.error("watch", endpoint, isWrite: false, ServerFailure(code: code, message: reason)))
    }
  }

  private var renewals = 0

  /// Decides between a reconnection (returns) and the end (throws a final error).
  private func recover(_ error: EtcdError) throws(EtcdError) {
    if error.code == .unauthenticated, gateway.configuration.user != nil, renewals == 0 {
      renewals += 1
      gateway.invalidate(token)
      closeStream()
      mustPause = false
      return
    }
    throw error
  }

  private func disconnect(_ reason: String) {
    closeStream()
    guard !control.isCancelled else { return }
    gateway.logger.info(
      "etcd watch interrupted, resuming",
      metadata: [
        "endpoint": "\(endpoint?.url ?? "")", "reason": "\(reason)",
        "next_revision": "\(progress.nextRevision)",
      ])
    if let endpoint { gateway.leave(endpoint, because: reason) }
  }

  private func closeStream() {
    stream?.cancel()
    stream = nil
  }
}
