import Synchronization

/// How far a server has slowed down the PINGs of its client. A server that gets more than it wants closes the connection with
/// GOAWAY ENHANCE_YOUR_CALM and the debug data "too_many_pings"; the client then doubles its interval, for later
/// connections too (gRFC A8, "Client-side Keepalive"). All connections that are made with one configuration share this.
final class KeepalivePace: Sendable {
  /// The debug data by which a server says so.
  static let complaint = "too_many_pings"
  /// The slowest: 5 s become an hour and a half.
  static let maximumFactor = 1_024

  private let factor = Mutex(1)

  /// The configuration as this server puts up with it.
  func slowed(_ configuration: KeepaliveConfiguration) -> KeepaliveConfiguration {
    var slowed = configuration
    slowed.interval *= factor.withLock { $0 }
    return slowed
  }

  /// The server has complained.
  func slowDown() {
    factor.withLock { $0 = min($0 * 2, KeepalivePace.maximumFactor) }
  }
}
