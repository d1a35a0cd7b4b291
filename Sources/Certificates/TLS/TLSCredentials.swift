import Glibc
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// A program's TLS: secures connections with what its files say, and notices when they change.
///
/// A change counts for new connections; those that are open stay as they are. Files that cannot be used leave the old
/// ones in force.
public final class TLSCredentials: Sendable {
  /// What a server speaks behind TLS.
  public enum ServerProtocol: Sendable {
    /// gRPC: ALPN has to agree on `h2`.
    case grpc
    /// HTTP/1.1, with ALPN or without.
    case rest
  }

  private struct State {
    var material: TLSMaterial
    /// How the files looked when they were tried last.
    var tried: [FileStamp?]
    /// How they looked at the last look.
    var seen: [FileStamp?]
  }

  /// The files.
  public let files: TLSFiles
  private let logger: Logger
  private let state: Mutex<State>

  /// Reads the files.
  /// - Throws: `CertificateError` that names the file.
  public init(_ files: TLSFiles, logger: Logger) throws(CertificateError) {
    let stamps = FileStamp.of(files.paths)
    let material = try TLSMaterial(files, now: Self.now)
    self.files = files
    self.logger = logger
    state = Mutex(State(material: material, tried: stamps, seen: stamps))
    warnOfEnd(material)
  }

  /// Whom the own certificate stands for at present; nil without one, or for one that does not say.
  public var identity: PeerIdentity? { material.identity }
  /// When the own certificate ends, seconds since 1970; nil without one.
  public var notAfter: Int64? { material.notAfter }
  /// Whether clients are asked for a certificate.
  public var asksClients: Bool { files.clientAuthority != nil }

  private var material: TLSMaterial { state.withLock { $0.material } }
  private static var now: Int64 { Int64(time(nil)) }

  // MARK: Connections

  /// Puts TLS before whatever is added to a channel afterwards. On the channel's event loop.
  ///
  /// - Parameters:
  ///   - host: The server's name or address, which its certificate has to list.
  public func secureClient(_ channel: any Channel, host: String) throws {
    // An address is compared with the connection's; only names are announced (RFC 6066, section 3).
    let name = CertificateRequest.bytes(ofAddress: host) == nil ? host : nil
    try channel.pipeline.syncOperations.addHandlers([
      NIOSSLClientHandler(context: material.client, serverHostname: name),
      // Who connects says why it failed; it has its own timeout as well.
      HandshakeGuard(requiredProtocol: "h2", serverName: name, timeout: nil, logger: Self.silent),
    ])
  }

  /// Puts TLS before whatever is added to a channel afterwards. On the channel's event loop.
  ///
  /// - Parameter timeout: How long the handshake may take.
  /// - Throws: `CertificateError` when there is no certificate.
  public func secureServer(
    _ channel: any Channel, _ speaking: ServerProtocol, timeout: Duration
  ) throws {
    let material = material
    guard let context = speaking == .grpc ? material.grpc : material.rest else {
      throw CertificateError(.unreadable, "a server needs a certificate and its key")
    }
    try channel.pipeline.syncOperations.addHandlers([
      NIOSSLServerHandler(context: context),
      HandshakeGuard(
        requiredProtocol: speaking == .grpc ? "h2" : nil, serverName: nil, timeout: TimeAmount(timeout),
        logger: logger),
    ])
  }

  /// The certificate that the client of a channel has shown and proved to own, DER; nil where it has shown none.
  /// On the channel's event loop, after the handshake.
  public static func peerCertificate(of channel: any Channel) throws -> [UInt8]? {
    try channel.pipeline.syncOperations.nioSSL_peerCertificate()?.toDERBytes()
  }

  private static let silent = Logger(label: "rota", factory: { _ in SwiftLogNoOpLogHandler() })

  // MARK: Changes

  /// Looks after the files until the task is cancelled.
  public func run() async {
    while (try? await Task.sleep(for: CertificateLimits.reloadInterval)) != nil { look() }
  }

  /// Looks at the files. They are read when they have changed, and not since the last look: a certificate and its key
  /// are two files, and whoever replaces them does so one after the other.
  func look() {
    let stamps = FileStamp.of(files.paths)
    let isDue = state.withLock { state in
      defer { state.seen = stamps }
      guard stamps != state.tried, stamps == state.seen else { return false }
      state.tried = stamps
      return true
    }
    guard isDue else { return }
    do {
      let material = try TLSMaterial(files, now: Self.now)
      state.withLock { $0.material = material }
      logger.notice(
        "certificates were read again; new connections use them",
        metadata: ["identity": "\(material.identity?.description ?? "none")"])
      warnOfEnd(material)
    } catch {
      logger.error(
        "changed certificates cannot be used; the old ones stay in force", metadata: ["error": "\(error)"])
    }
  }

  private func warnOfEnd(_ material: TLSMaterial) {
    guard let end = material.notAfter, end - Self.now < CertificateLimits.expiryWarningSeconds else { return }
    logger.warning(
      "the certificate ends soon; replace its files, no restart is needed",
      metadata: ["days": "\((end - Self.now) / 86_400)", "file": "\(files.certificate ?? "")"])
  }
}
