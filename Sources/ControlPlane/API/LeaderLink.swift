import Certificates
import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Calls to the leading server, for what only it can answer. All share one connection, which is made by the first
/// of them and made again when it is lost.
actor LeaderLink {
  /// Marks a forwarded call, which is not forwarded again.
  static let forwardedHeader = "rota-forwarded"

  private let group: any EventLoopGroup
  private let tls: TLSCredentials?
  private let logger: Logger
  private var current: (address: String, channel: GRPCChannel)?

  /// - Parameter tls: nil where servers speak without TLS.
  init(group: any EventLoopGroup, tls: TLSCredentials?, logger: Logger) {
    self.group = group
    self.tls = tls
    self.logger = logger
  }

  /// What a server is called with. One that leads no more is let go: its connection closes with the last call on it.
  ///
  /// - Throws: `ServiceError` UNAVAILABLE for an address that is none. A server that cannot be reached within
  ///   `ServerLimits.leaderConnectTimeout` fails the call.
  func channel(to record: ServerRecord) throws(ServiceError) -> GRPCChannel {
    let address = record.grpcAddress
    if let current, current.address == address { return current.channel }
    guard let target = HostPort(address) else {
      throw .unavailable("the leader's address '\(address)' is not host:port")
    }
    var configuration = GRPCClientConfiguration(host: target.host, port: target.port)
    configuration.connectTimeout = ServerLimits.leaderConnectTimeout
    if let tls {
      configuration.scheme = "https"
      configuration.prepareChannel = { try tls.secureClient($0, host: target.host) }
    }
    let channel = GRPCChannel(configuration, group: group, logger: logger)
    current = (address, channel)
    return channel
  }

  /// Closes the connection.
  func close() async {
    let old = current
    current = nil
    await old?.channel.close()
  }
}
