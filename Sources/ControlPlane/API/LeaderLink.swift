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

/// `host:port`, or `[v6 address]:port`.
public struct HostPort: Hashable, Sendable, CustomStringConvertible {
  /// A name or address, without brackets.
  public var host: String
  /// 0 to 65535.
  public var port: Int

  /// Makes an address from its parts.
  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads a text; nil where it is not `host:port`.
  public init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65_535).contains(port)
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("[") && host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty else { return nil }
    self.init(host: String(host), port: port)
  }

  /// The text that `init` reads.
  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
