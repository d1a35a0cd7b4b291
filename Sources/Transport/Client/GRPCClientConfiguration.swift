import NIOCore

/// Where and how a client connects.
public struct GRPCClientConfiguration: Sendable {
  /// The server's address or name.
  public var host: String
  /// The server's TCP port.
  public var port: Int
  /// How long TCP, TLS and the server's HTTP/2 SETTINGS may take together.
  public var connectTimeout = Duration.seconds(5)
  /// Bounds of the connection.
  public var limits = TransportLimits()
  /// When to suspect that the server is dead. A server that finds this too often is asked more seldom.
  public var keepalive = KeepaliveConfiguration()
  /// The `:scheme` of requests: `https` when `prepareChannel` installs TLS.
  public var scheme = "http"
  /// The `:authority` of requests; `host:port` when nil.
  public var authority: String?
  /// The `user-agent` of requests.
  public var userAgent = "grpc-swift-nghttp2/1.0"
  /// Called for the new channel, on its event loop, before the HTTP/2 handler is added: the place for TLS.
  public var prepareChannel: (@Sendable (any Channel) throws -> Void)?
  /// What this server has said of our PINGs.
  let pace = KeepalivePace()

  /// A configuration with default limits.
  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }
}
