import Certificates
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization

/// HTTP/1.1 behind TLS. Unlike Hummingbird's own, each new connection uses the certificates as they are by then, and
/// requests can be told from whom they come.
struct SecureHTTPChannel: ServerChildChannel {
  let base: HTTP1Channel
  let credentials: TLSCredentials

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
    channel.eventLoop.makeCompletedFuture {
      try credentials.secureServer(channel, .rest, timeout: ServerLimits.handshakeTimeout)
    }.flatMap { base.setup(channel: channel, logger: logger) }
  }

  func handle(value: HTTP1Channel.Value, logger: Logger) async {
    await RESTPeer.$current.withValue(RESTPeer(value.channel)) {
      await base.handle(value: value, logger: logger)
    }
  }
}

/// The other end of a REST connection. Each connection is served by a task of its own, which carries it.
final class RESTPeer: Sendable {
  @TaskLocal static var current: RESTPeer?

  private let channel: any Channel
  private let known = Mutex<Caller?>(nil)

  init(_ channel: any Channel) { self.channel = channel }

  /// Who it is, once a request has come.
  func caller(cluster: String) async throws -> Caller {
    if let caller = known.withLock({ $0 }) { return caller }
    let channel = channel
    let caller = try await channel.eventLoop.submit { Caller(of: channel, cluster: cluster) }.get()
    known.withLock { $0 = caller }
    return caller
  }
}

/// Lets only those in who may call a path.
struct RESTAccess<Context: RequestContext>: RouterMiddleware {
  let credentials: TLSCredentials
  let logger: Logger

  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    let path = request.uri.path
    let audience = AccessPolicy.audience(ofPath: path)
    if audience != .anybody {
      let cluster = credentials.identity?.cluster ?? ""
      let caller = try await RESTPeer.current?.caller(cluster: cluster) ?? .anonymous
      do throws(ServiceError) {
        try AccessPolicy.check(caller, for: audience)
      } catch {
        logger.info("a request was refused", metadata: ["path": "\(path)", "reason": "\(error)"])
        throw error
      }
    }
    return try await next(request, context)
  }
}

/// Notes who asks, for the record: see `Requester`.
struct RESTRequester<Context: RequestContext>: RouterMiddleware {
  /// Nil where the server speaks without TLS.
  let credentials: TLSCredentials?

  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    try await Requester.$current.withValue(try await requester(of: request)) {
      try await next(request, context)
    }
  }

  private func requester(of request: Request) async throws -> String? {
    guard let credentials, credentials.asksClients else {
      return HTTPField.Name(Requester.header).flatMap { Requester.named(request.headers[$0]) }
    }
    return try await RESTPeer.current?.caller(cluster: credentials.identity?.cluster ?? "").name
  }
}
