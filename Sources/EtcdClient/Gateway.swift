import Curl
import Logging
import Synchronization

/// Requests to a cluster: endpoints, failover, retries, deadlines, tokens.
final class Gateway: Sendable {
  /// How a request may be treated.
  struct Kind: Sendable {
    var isWrite: Bool
    var urgent = false
    static let read = Kind(isWrite: false)
    static let write = Kind(isWrite: true)
    /// Ahead of others in the queue: a lease must not lapse because of bulk writes.
    var urgently: Kind { Kind(isWrite: isWrite, urgent: true) }
  }

  struct Endpoint: Sendable {
    let index: Int
    let url: String
  }

  let configuration: EtcdClient.Configuration
  let logger: Logger
  let engine: CurlEngine
  private let endpoints: [Endpoint]
  private let current = Atomic<Int>(0)
  private let tokens: TokenSource

  init(configuration: EtcdClient.Configuration, logger: Logger) throws(EtcdError) {
    self.configuration = configuration
    self.logger = logger
    var endpoints: [Endpoint] = []
    for url in configuration.endpoints {
      var base = Substring(url)
      while base.hasSuffix("/") { base.removeLast() }
      do {
        try HTTPRequest(url: String(base)).validate()
      } catch {
        throw EtcdError(code: .invalid, message: "etcd endpoint: \(error.message)", outcome: .notApplied)
      }
      endpoints.append(Endpoint(index: endpoints.count, url: String(base)))
    }
    guard !endpoints.isEmpty else {
      throw EtcdError(code: .invalid, message: "no etcd endpoint is configured", outcome: .notApplied)
    }
    self.endpoints = endpoints
    var engine = CurlEngine.Configuration()
    engine.maxConnectionsPerHost = configuration.maxConcurrentRequests
    engine.maxQueuedRequests = configuration.maxQueuedRequests
    do {
      self.engine = try CurlEngine(configuration: engine)
    } catch {
      throw EtcdError(code: .other, message: error.message, outcome: .notApplied)
    }
    tokens = TokenSource(isNeeded: configuration.user != nil)
  }

  func shutdown() async { await engine.shutdown() }

  // MARK: Endpoints

  var currentEndpoint: Endpoint { endpoints[current.load(ordering: .relaxed)] }

  /// Moves on to the next endpoint, unless somebody has done so already.
  func leave(_ endpoint: Endpoint, because reason: String) {
    guard endpoints.count > 1 else { return }
    let next = (endpoint.index + 1) % endpoints.count
    let moved = current.compareExchange(
      expected: endpoint.index, desired: next, ordering: .relaxed
    ).exchanged
    guard moved else { return }
    logger.warning(
      "leaving etcd endpoint",
      metadata: [
        "endpoint": "\(endpoint.url)", "next": "\(endpoints[next].url)", "reason": "\(reason)",
      ])
  }

  // MARK: Requests

  /// Sends a request until it is answered, refused, uncertain or late.
  func call(
    _ operation: String, path: String, body: [UInt8], kind: Kind, timeout: Duration
  ) async throws(EtcdError) -> [UInt8] {
    let deadline = ContinuousClock.now.advanced(by: timeout)
    var backoff = Backoff(EtcdLimits.retryPause)
    var failures = 0
    var renewed = false
    var last: EtcdError?
    while true {
      let endpoint = currentEndpoint
      // Why earlier attempts failed says more than that time ran out before another one.
      if let last, deadline <= .now { throw last }
      let token = try await token(deadline: deadline)
      let result = await attempt(
        operation, endpoint: endpoint, path: path, body: body, kind: kind, token: token, deadline: deadline)
      switch result {
      case .success(let answer): return answer
      case .failure(let failure):
        if failure.error.code == .unauthenticated, token != nil || configuration.user != nil, !renewed {
          tokens.invalidate(token)
          renewed = true
          continue
        }
        if failure.leavesEndpoint { leave(endpoint, because: failure.error.message) }
        guard failure.mayRetry else { throw failure.error }
        if failure.error.code != .timeout || last == nil { last = failure.error }
        failures += 1
        // The other endpoints are tried at once; then it is time to wait.
        if failures % endpoints.count == 0 {
          try await pause(backoff.next(), until: deadline, otherwise: last ?? failure.error)
        }
      }
    }
  }

  /// Sends a read to one place, once.
  func callOnce(
    _ operation: String, at url: String, path: String, body: [UInt8], timeout: Duration
  ) async throws(EtcdError) -> [UInt8] {
    let deadline = ContinuousClock.now.advanced(by: timeout)
    var base = Substring(url)
    while base.hasSuffix("/") { base.removeLast() }
    let token = try await token(deadline: deadline)
    let result = await attempt(
      operation, endpoint: Endpoint(index: 0, url: String(base)), path: path, body: body, kind: .read,
      token: token, deadline: deadline)
    switch result {
    case .success(let answer): return answer
    case .failure(let failure): throw failure.error
    }
  }

  private struct Failure: Error {
    var error: EtcdError
    var mayRetry: Bool
    var leavesEndpoint: Bool
  }

  private func attempt(
    _ operation: String, endpoint: Endpoint, path: String, body: [UInt8], kind: Kind, token: String?,
    deadline: ContinuousClock.Instant
  ) async -> Result<[UInt8], Failure> {
    let remaining = ContinuousClock.now.duration(to: deadline)
    guard remaining > .zero else {
      let error = EtcdError(
        code: .timeout, message: "\(operation): the deadline passed before it was sent", outcome: .notApplied)
      return .failure(Failure(error: error, mayRetry: false, leavesEndpoint: false))
    }
    var request = self.request(endpoint, path: path, body: body, token: token)
    request.urgent = kind.urgent
    request.timeout = remaining
    if !kind.isWrite && endpoints.count > 1 {
      // Leave time for another endpoint, should this one accept the request and then say nothing.
      request.timeout = min(remaining, max(EtcdLimits.minAttempt, remaining / 2))
    }
    do {
      let response = try await engine.perform(request)
      if response.status == 200 { return .success(response.body) }
      return .failure(Self.failure(operation, endpoint, kind, response.status, response.body))
    } catch {
      return .failure(Self.failure(operation, endpoint, kind, error))
    }
  }

  /// A request to one of the gateway's paths.
  func request(_ endpoint: Endpoint, path: String, body: [UInt8], token: String?) -> HTTPRequest {
    var headers = [("Content-Type", "application/json")]
    if let token { headers.append(("Authorization", token)) }
    return HTTPRequest(
      method: "POST", url: endpoint.url + "/v3/" + path, headers: headers, body: body,
      connectTimeout: configuration.connectTimeout, maxResponseBytes: EtcdLimits.maxResponseBytes,
      tls: configuration.tls)
  }

  func pause(
    _ pause: Duration, until deadline: ContinuousClock.Instant, otherwise error: EtcdError
  ) async throws(EtcdError) {
    guard ContinuousClock.now.advanced(by: pause) < deadline else { throw error }
    do {
      try await Task.sleep(for: pause)
    } catch {
      throw EtcdError(
        code: .cancelled, message: "cancelled while waiting to retry", outcome: .notApplied)
    }
  }

  // MARK: Failures

  private static func failure(
    _ operation: String, _ endpoint: Endpoint, _ kind: Kind, _ error: CurlError
  ) -> Failure {
    let code: EtcdError.Code =
      switch error.code {
      case .timeout: .timeout
      case .cancelled, .shutdown: .cancelled
      case .queueFull: .overloaded
      case .invalidRequest: .invalid
      case .responseTooLarge, .badResponse: .malformedResponse
      default: .unavailable
      }
    let certain = error.certainty == .notSent || !kind.isWrite
    let isOurs = [.cancelled, .shutdown, .queueFull, .invalidRequest].contains(error.code)
    let isTooLarge = error.code == .responseTooLarge
    return Failure(
      error: EtcdError(
        code: code, message: "\(operation) at \(endpoint.url): \(error.message)",
        outcome: certain ? .notApplied : .unknown),
      mayRetry: certain && !isOurs && !isTooLarge, leavesEndpoint: !isOurs && !isTooLarge)
  }

  static func error(
    _ operation: String, _ endpoint: Endpoint, isWrite: Bool, _ failure: ServerFailure
  ) -> EtcdError {
    let (code, refused) = EtcdError.codeForServer(grpcCode: failure.code, message: failure.message)
    return EtcdError(
      code: code, message: "\(operation) at \(endpoint.url): \(failure.message)",
      outcome: refused || !isWrite ? .notApplied : .unknown)
  }

  private static func failure(
    _ operation: String, _ endpoint: Endpoint, _ kind: Kind, _ status: Int, _ body: [UInt8]
  ) -> Failure {
    let server = serverFailure(status: status, body: body)
    let error = error(operation, endpoint, isWrite: kind.isWrite, server)
    let isDown = [.unavailable, .timeout].contains(error.code) || status == 502 || status == 503
    return Failure(
      error: error, mayRetry: isDown && error.outcome == .notApplied, leavesEndpoint: isDown)
  }

  /// What an answer other than 200 says. Proxies answer without etcd's JSON.
  static func serverFailure(status: Int, body: [UInt8]) -> ServerFailure {
    if let failure = try? ResponseDecoding.whole(body, ResponseDecoding.failure), !failure.message.isEmpty {
      return failure
    }
    let code =
      switch status {
      case 401: 16
      case 403: 7
      case 404, 405: 12
      case 413: 3
      case 429: 8
      case 502, 503, 504: 14
      default: 2
      }
    return ServerFailure(code: code, message: "HTTP status \(status)")
  }

  // MARK: Authentication

  /// The token to send; nil when none is needed.
  func token(deadline: ContinuousClock.Instant) async throws(EtcdError) -> String? {
    guard let user = configuration.user else { return nil }
    return try await tokens.token { [self] in
      do throws(EtcdError) {
        return .success(try await authenticate(user))
      } catch {
        return .failure(error)
      }
    }
  }

  /// Forgets a token that etcd no longer accepts.
  func invalidate(_ token: String?) { tokens.invalidate(token) }

  private func authenticate(_ user: HTTPRequest.UserPassword) async throws(EtcdError) -> String? {
    let deadline = ContinuousClock.now.advanced(by: configuration.requestTimeout)
    let body = RequestEncoding.authenticate(user: user.user, password: user.password)
    var backoff = Backoff(EtcdLimits.retryPause)
    while true {
      let endpoint = currentEndpoint
      let result = await attempt(
        "authenticate", endpoint: endpoint, path: "auth/authenticate", body: body, kind: .read, token: nil,
        deadline: deadline)
      switch result {
      case .success(let answer):
        guard let token = try? ResponseDecoding.whole(answer, ResponseDecoding.token), !token.isEmpty else {
          throw EtcdError(
            code: .malformedResponse, message: "authenticate at \(endpoint.url): no token in the answer",
            outcome: .notApplied)
        }
        return token
      case .failure(let failure):
        // As etcd's own client does: credentials are harmless while authentication is off.
        if failure.error.message.contains("authentication is not enabled") { return nil }
        if failure.leavesEndpoint { leave(endpoint, because: failure.error.message) }
        guard failure.mayRetry else { throw failure.error }
        try await pause(backoff.next(), until: deadline, otherwise: failure.error)
      }
    }
  }
}

/// The current token; many requests that need a new one cause one authentication, which costs etcd a bcrypt.
private final class TokenSource: Sendable {
  private enum State {
    case none
    case renewing(Task<Result<String?, EtcdError>, Never>, id: Int)
    case valid(String?)
  }

  private let state: Mutex<State>
  private let ids = Atomic<Int>(0)

  init(isNeeded: Bool) { state = Mutex(isNeeded ? .none : .valid(nil)) }

  func token(
    renew: @escaping @Sendable () async -> Result<String?, EtcdError>
  ) async throws(EtcdError) -> String? {
    let id = ids.wrappingAdd(1, ordering: .relaxed).newValue
    let task: Task<Result<String?, EtcdError>, Never>
    let step = state.withLock { state -> (Task<Result<String?, EtcdError>, Never>?, String?) in
      switch state {
      case .valid(let token): return (nil, token)
      case .renewing(let task, _): return (task, nil)
      case .none:
        // Shared by many callers, so it must not die with the first one; its own deadline bounds it.
        let task = Task { [self] in
          let result = await renew()
          finish(id, result)
          return result
        }
        state = .renewing(task, id: id)
        return (task, nil)
      }
    }
    guard let pending = step.0 else { return step.1 }
    task = pending
    return try await task.value.get()
  }

  private func finish(_ id: Int, _ result: Result<String?, EtcdError>) {
    state.withLock { state in
      guard case .renewing(_, id) = state else { return }
      if case .success(let token) = result { state = .valid(token) } else { state = .none }
    }
  }

  /// Only when it is still the current one: a late refusal of an old token must not discard a new one.
  func invalidate(_ token: String?) {
    state.withLock { state in
      if case .valid(token) = state { state = .none }
    }
  }
}
