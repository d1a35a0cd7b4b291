import FoundationEssentials
import NIOCore
import NIOSSL
import X509

/// What was in the files at one time, ready for handshakes. Never changes: a change of the files makes another one.
struct TLSMaterial: Sendable {
  /// Whom the own certificate stands for; nil without a certificate, or for one that says nothing of it.
  let identity: PeerIdentity?
  /// When the own certificate ends, seconds since 1970.
  let notAfter: Int64?
  /// For connections to servers.
  let client: NIOSSLContext
  /// For connections of gRPC's clients; nil without a certificate.
  let grpc: NIOSSLContext?
  /// For connections of REST's clients; nil without a certificate.
  let rest: NIOSSLContext?

  /// Reads the files.
  /// - Throws: `CertificateError` that names the file.
  init(_ files: TLSFiles, now: Int64) throws(CertificateError) {
    let own = try Own(files, now: now)
    identity = own?.identity
    notAfter = own?.notAfter

    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    configuration.shutdownTimeout = .seconds(CertificateLimits.shutdownSeconds)
    configuration.applicationProtocols = ["h2"]
    if let path = files.serverAuthority {
      configuration.trustRoots = .certificates(try Self.certificates(path))
    }
    if let own {
      configuration.certificateChain = own.chain.map { .certificate($0) }
      configuration.privateKey = .privateKey(own.key)
    }
    client = try Self.context(configuration, files)

    guard let own else {
      (grpc, rest) = (nil, nil)
      return
    }
    var server = TLSConfiguration.makeServerConfiguration(
      certificateChain: own.chain.map { .certificate($0) }, privateKey: .privateKey(own.key))
    server.minimumTLSVersion = .tlsv12
    server.shutdownTimeout = .seconds(CertificateLimits.shutdownSeconds)
    if let path = files.clientAuthority {
      guard identity?.role == .server else {
        throw CertificateError(
          .malformed,
          "to check the certificates of clients, the server's own has to say of which cluster it is, by the URI "
            + "spiffe://<cluster>/server/<name>; \(files.certificate ?? "it") has "
            + (identity.map { "\($0)" } ?? "none"))
      }
      server.trustRoots = .certificates(try Self.certificates(path))
      // Asked for, not insisted on: probes of health have none. What may be called without is another question.
      server.certificateVerification = .optionalVerification
    }
    server.applicationProtocols = ["h2"]
    grpc = try Self.context(server, files)
    server.applicationProtocols = ["http/1.1"]
    rest = try Self.context(server, files)
  }

  /// The own certificate and its key.
  private struct Own {
    let chain: [NIOSSLCertificate]
    let key: NIOSSLPrivateKey
    let identity: PeerIdentity?
    let notAfter: Int64

    init?(_ files: TLSFiles, now: Int64) throws(CertificateError) {
      guard let path = files.certificate, let keyPath = files.key else { return nil }
      let text = try PEM.read(path)
      chain = try TLSMaterial.certificates(path)
      let keyText = try PEM.read(keyPath)
      do {
        key = try NIOSSLPrivateKey(bytes: Array(keyText.utf8), format: .pem)
      } catch {
        throw CertificateError(.malformed, "\(keyPath) is no private key in PEM")
      }
      let certificate: Certificate
      do throws(CertificateError) {
        guard let first = try PEM.certificates(in: text).first else { return nil }
        certificate = first
      } catch {
        throw CertificateError(error.code, "\(path): \(error)")
      }
      // A certificate of another authority may say nothing of Rota; who needs an identity asks for it.
      identity = try? PeerIdentity(certificate)
      let notBefore = Int64(certificate.notValidBefore.timeIntervalSince1970)
      notAfter = Int64(certificate.notValidAfter.timeIntervalSince1970)
      guard now < notAfter else {
        throw CertificateError(
          .outOfDate, "the certificate in \(path) ended \((now - notAfter) / 86_400) days ago")
      }
      guard now >= notBefore else {
        throw CertificateError(
          .outOfDate,
          "the certificate in \(path) is not valid for another \(notBefore - now) s; is the clock right?")
      }
    }
  }

  private static func certificates(_ path: String) throws(CertificateError) -> [NIOSSLCertificate] {
    let text = try PEM.read(path)
    do {
      let found = try NIOSSLCertificate.fromPEMBytes(Array(text.utf8))
      if !found.isEmpty { return found }
    } catch {
      throw CertificateError(.malformed, "\(path) has no certificate in PEM that can be read")
    }
    throw CertificateError(.malformed, "\(path) has no certificate in PEM")
  }

  private static func context(
    _ configuration: TLSConfiguration, _ files: TLSFiles
  ) throws(CertificateError) -> NIOSSLContext {
    do {
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw CertificateError(
        .malformed,
        "\(files.paths.joined(separator: ", ")) cannot be used together: \(TLSFailure.sentence(error))")
    }
  }
}
