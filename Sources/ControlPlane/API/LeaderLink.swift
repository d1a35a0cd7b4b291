import Certificates
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
  private let tls: TLSCredentials?
  private let logger: Logger
  private var current: (address: String, client: GRPCClient)?
  private var connecting: (address: String, task: Task<GRPCClient, any Error>)?

  /// - Parameter tls: nil where servers speak without TLS.
  init(group: any EventLoopGroup, tls: TLSCredentials?, logger: Logger) {
    self.group = group
    self.tls = tls
    self.logger = logger
  }

  /// A connection to a server. Callers that come while it is being made share it. A connection that is lost, or to a
  /// server that leads no more, is let go: it closes with the last call on it.
  ///
  /// - Throws: `ServiceError` UNAVAILABLE within `ServerLimits.leaderConnectTimeout`.
  func client(to record: ServerRecord) async throws -> GRPCClient {
    let address = record.grpcAddress
    if let current, current.address == address, current.client.isConnected { return current.client }
    if let connecting, connecting.address == address { return try await connecting.task.value }
    let task = Task { try await connect(to: address) }
    connecting = (address, task)
    let result = await task.result
    if connecting?.task == task { connecting = nil }
    let client = try result.get()
    current = (address, client)
    return client
  }

  private nonisolated func connect(to address: String) async throws -> GRPCClient {
    guard let target = HostPort(address) else {
      throw ServiceError.unavailable("the leader's address '\(address)' is not host:port")
    }
    var configuration = GRPCClientConfiguration(host: target.host, port: target.port)
    configuration.connectTimeout = ServerLimits.leaderConnectTimeout
    if let tls {
      configuration.scheme = "https"
      configuration.prepareChannel = { try tls.secureClient($0, host: target.host) }
    }
    do {
      return try await GRPCClient.connect(configuration, group: group, logger: logger)
    } catch {
      throw ServiceError.unavailable(
        "the leader at \(address) cannot be reached; try again in a few seconds, when another one may lead "
          + "(\(error))")
    }
  }

  /// Closes the connection.
  func close() async {
    let old = current
    current = nil
    await old?.client.close()
  }
}
