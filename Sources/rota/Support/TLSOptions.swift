import ArgumentParser
import Certificates
import Logging
import SchedulerCore

/// How agents and users reach servers that speak TLS.
struct ClientTLSOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Certificates that those of servers are checked against; turns TLS on. (env: ROTA_TLS_CA)",
      valueName: "file"))
  var tlsCa: String?

  @Option(
    help: ArgumentHelp(
      "Our certificate, which says who we are; turns TLS on. (env: ROTA_TLS_CERT)", valueName: "file"))
  var tlsCert: String?

  @Option(help: ArgumentHelp("The key of our certificate. (env: ROTA_TLS_KEY)", valueName: "file"))
  var tlsKey: String?

  static let environmentFlags: [EnvironmentFlag] = ["tls-ca", "tls-cert", "tls-key"]

  func validate() throws {
    guard (tlsCert == nil) == (tlsKey == nil) else {
      throw ValidationError("--tls-cert and --tls-key go together")
    }
  }

  /// Whether servers are spoken to over TLS.
  var isOn: Bool { tlsCa != nil || tlsCert != nil }

  /// The files, read.
  func credentials(logger: Logger) throws -> TLSCredentials {
    try TLSCredentials.reading(
      TLSFiles(certificate: tlsCert, key: tlsKey, serverAuthority: tlsCa), logger: logger)
  }
}

/// TLS of a server.
struct ServerTLSOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The server's certificate, for gRPC and REST; turns TLS on. (env: ROTA_TLS_CERT)", valueName: "file"))
  var tlsCert: String?

  @Option(help: ArgumentHelp("The key of the server's certificate. (env: ROTA_TLS_KEY)", valueName: "file"))
  var tlsKey: String?

  @Option(
    help: ArgumentHelp(
      """
      Certificates that those of agents, users and other servers are checked against; without it nobody is asked who \
      they are. (env: ROTA_TLS_CLIENT_CA)
      """, valueName: "file"))
  var tlsClientCa: String?

  @Option(
    help: ArgumentHelp(
      """
      Certificates that those of other servers are checked against; --tls-client-ca, or the system's, when not given. \
      (env: ROTA_TLS_CA)
      """, valueName: "file"))
  var tlsCa: String?

  @Flag(help: "Listen without TLS on addresses that others can reach. (env: ROTA_INSECURE)")
  var insecure = false

  static let environmentFlags: [EnvironmentFlag] = [
    "tls-cert", "tls-key", "tls-client-ca", "tls-ca", EnvironmentFlag("insecure", .flag),
  ]

  func validate() throws {
    guard (tlsCert == nil) == (tlsKey == nil) else {
      throw ValidationError("--tls-cert and --tls-key go together")
    }
    guard tlsCert != nil || (tlsClientCa == nil && tlsCa == nil) else {
      throw ValidationError("--tls-client-ca and --tls-ca need --tls-cert and --tls-key")
    }
  }

  /// The files, read; nil without TLS.
  func credentials(logger: Logger) throws -> TLSCredentials? {
    guard tlsCert != nil else { return nil }
    return try TLSCredentials.reading(
      TLSFiles(
        certificate: tlsCert, key: tlsKey, serverAuthority: tlsCa ?? tlsClientCa, clientAuthority: tlsClientCa
      ), logger: logger)
  }

  /// Refuses addresses that others can reach where nothing protects them.
  func check(_ addresses: [(flag: String, address: AddressArgument)]) throws {
    if tlsCert == nil { try Exposure.check(addresses, isAllowed: insecure, remedy: Self.remedy) }
  }

  private static let remedy =
    "give --tls-cert, --tls-key and --tls-client-ca ('rota certs' makes the files)"
}

/// Whoever reaches a server without TLS can run programs on every agent.
enum Exposure {
  /// - Throws: `ValidationError` for an address that other machines can reach, unless that is allowed.
  static func check(
    _ addresses: [(flag: String, address: AddressArgument)], isAllowed: Bool, remedy: String
  ) throws {
    guard !isAllowed, let open = addresses.first(where: { !isLoopback($0.address.host) }) else { return }
    throw ValidationError(
      """
      \(open.flag) \(open.address) can be reached from other machines, and without TLS whoever reaches it can run \
      programs on every agent: \(remedy), or listen on 127.0.0.1, or say --insecure where the network is trusted
      """)
  }

  /// Whether only this machine reaches a host: 127.0.0.0/8, ::1 (RFC 6890) or `localhost`.
  static func isLoopback(_ host: String) -> Bool {
    if host.lowercased() == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.first == "127" && parts.allSatisfy { UInt8($0) != nil }
  }
}

extension TLSCredentials {
  /// Reads the files; an error is one of the command.
  fileprivate static func reading(_ files: TLSFiles, logger: Logger) throws -> TLSCredentials {
    do throws(CertificateError) {
      return try TLSCredentials(files, logger: logger)
    } catch {
      throw CommandFailure(error.message)
    }
  }
}
