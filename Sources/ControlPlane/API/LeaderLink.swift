import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// A connection to the leading server, for what only it can answer.
actor LeaderLink {
  /// Marks a forwarded call, which is not forwarded again.
  static let forwardedHeader = "rota-forwarded"

  private let group: any EventLoopGroup
  private let logger: Logger
  private var current: (address: String, client: GRPCClient)?

  init(group: any EventLoopGroup, logger: Logger) {
    self.group = group
    self.logger = logger
  }

  /// A connection to a server.
  func client(to record: ServerRecord) async throws -> GRPCClient {
    if let current, current.address == record.grpcAddress, current.client.isConnected {
      return current.client
    }
    guard let address = HostPort(record.grpcAddress) else {
      throw ServiceError.unavailable("the leader's address '\(record.grpcAddress)' is not host:port")
    }
    let client: GRPCClient
    do {
      client = try await GRPCClient.connect(
        GRPCClientConfiguration(host: address.host, port: address.port), group: group, logger: logger)
    } catch {
      throw ServiceError.unavailable("the leader at \(record.grpcAddress) cannot be reached: \(error)")
    }
    let old = current
    current = (record.grpcAddress, client)
    await old?.client.close()
    return client
  }

  /// Closes the connection.
  func close() async {
    let old = current
    current = nil
    await old?.client.close()
  }
}
