import NIOCore

/// Where and how a server listens.
public struct GRPCServerConfiguration: Sendable {
  /// The address or name to bind to.
  public var host: String
  /// The TCP port; 0 picks a free one.
  public var port: Int
  /// Bounds per connection.
  public var limits = TransportLimits()
  /// When to suspect that a client is dead.
  public var keepalive = KeepaliveConfiguration()
  /// How many connections may be open; more are closed at once.
  public var maxConnections = 20_000
  /// How long a client may take for its TLS handshake and HTTP/2 preface.
  public var prefaceTimeout = Duration.seconds(10)
  /// How long a connection may be without calls before it is closed in order.
  public var maxConnectionIdle = Duration.seconds(300)
  /// Length of the kernel's queue of connections that wait to be accepted.
  public var backlog = 1_024
  /// Called for each new channel, on its event loop, before the HTTP/2 handler is added: the place for TLS.
  public var prepareChannel: (@Sendable (any Channel) throws -> Void)?
  /// Called once for each connection, on its event loop, when its first call comes, which is after a TLS handshake: who
  /// the peer is. The calls of the connection find the answer in `ServerCallContext.peerIdentity`.
  public var identifyPeer: (@Sendable (any Channel) -> any Sendable)?
  /// Called for each call of a known method, on the event loop, before its handler is started; must not block. Throwing
  /// refuses the call with that status.
  public var authorize: (@Sendable (ServerCallContext) throws(RPCError) -> Void)?

  /// A configuration with default limits.
  public init(host: String = "127.0.0.1", port: Int = 0) {
    self.host = host
    self.port = port
  }
}
