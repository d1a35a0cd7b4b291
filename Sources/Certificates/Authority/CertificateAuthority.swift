import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// A cluster's own certificate authority: signs the certificates of servers, agents, users and etcd's members.
///
/// Its certificate carries the cluster's name as `spiffe://<cluster>` (SPIFFE X.509-SVID, section 4.1 allows a signing
/// certificate's URI to have no path), so that whoever issues need not repeat it. Times are seconds since 1970.
public struct CertificateAuthority: Sendable {
  /// A certificate and its private key, as PEM.
  public struct Pair: Hashable, Sendable {
    /// The certificate.
    public let certificate: String
    /// The key, PKCS #8, not encrypted.
    public let key: String

    /// Makes a pair of two texts.
    public init(certificate: String, key: String) {
      self.certificate = certificate
      self.key = key
    }
  }

  /// The cluster whose certificates it signs.
  public let cluster: String
  private let certificate: Certificate
  private let key: Certificate.PrivateKey

  /// Makes a new authority, valid for ten years, with a P-256 key.
  /// - Throws: `CertificateError` with code `invalidRequest` for a name that is no cluster's.
  public init(cluster: String, now: Int64) throws(CertificateError) {
    guard PeerIdentity.isPart(cluster) else {
      throw CertificateError(
        .invalidRequest,
        "the cluster's name '\(cluster)' must have 1 to \(PeerIdentity.partBytes) characters: a-z, 0-9, '.', '_', '-'"
      )
    }
    let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
    self.cluster = cluster
    self.key = key
    certificate = try Self.building {
      let name = try DistinguishedName { CommonName("Rota CA of \(cluster)") }
      let identifier = SubjectKeyIdentifier(hash: key.publicKey)
      return try Certificate(
        version: .v3, serialNumber: .init(), publicKey: key.publicKey,
        notValidBefore: Self.date(now - CertificateLimits.clockSkewSeconds),
        notValidAfter: Self.date(now + Int64(CertificateLimits.authorityDays) * 86_400), issuer: name,
        subject: name,
        extensions: Certificate.Extensions {
          Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
          Critical(KeyUsage(keyCertSign: true, cRLSign: true))
          identifier
          AuthorityKeyIdentifier(keyIdentifier: identifier.keyIdentifier)
          SubjectAlternativeNames([.uniformResourceIdentifier("spiffe://\(cluster)")])
        }, issuerPrivateKey: key)
    }
  }

  /// Takes up an authority that was made before.
  /// - Throws: `CertificateError` with code `malformed`.
  public init(_ pair: Pair) throws(CertificateError) {
    do {
      certificate = try Certificate(pemEncoded: pair.certificate)
    } catch {
      throw CertificateError(.malformed, "the authority's certificate cannot be read: \(error)")
    }
    do {
      key = try Certificate.PrivateKey(pemEncoded: pair.key)
    } catch {
      throw CertificateError(.malformed, "the authority's key cannot be read: \(error)")
    }
    guard key.publicKey == certificate.publicKey else {
      throw CertificateError(.malformed, "the authority's key does not belong to its certificate")
    }
    let prefix = "spiffe://"
    let clusters = certificate.alternativeNames.compactMap { name -> String? in
      guard case .uniformResourceIdentifier(let uri) = name, uri.hasPrefix(prefix) else { return nil }
      let cluster = String(uri.dropFirst(prefix.count))
      return PeerIdentity.isPart(cluster) ? cluster : nil
    }
    guard clusters.count == 1, let cluster = clusters.first else {
      throw CertificateError(
        .malformed,
        "the authority's certificate names no cluster (URI spiffe://<cluster>); make one with 'rota certs init'"
      )
    }
    self.cluster = cluster
  }

  /// Its certificate and key.
  public var pair: Pair {
    get throws(CertificateError) { try Self.pem(certificate, key) }
  }

  // MARK: Issuing

  /// Signs a certificate for a new P-256 key.
  /// - Throws: `CertificateError` with code `invalidRequest` that says what is wrong.
  public func issue(_ request: CertificateRequest, now: Int64) throws(CertificateError) -> Pair {
    try request.validate()
    let end = now + Int64(request.days) * 86_400
    let authorityEnd = Int64(certificate.notValidAfter.timeIntervalSince1970)
    guard end <= authorityEnd else {
      let left = max(0, authorityEnd - now) / 86_400
      throw CertificateError(
        .invalidRequest, "\(request.days) days are more than the authority has left, which is \(left)")
    }
    let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
    let issued = try Self.building {
      try Certificate(
        version: .v3, serialNumber: .init(), publicKey: key.publicKey,
        notValidBefore: Self.date(now - CertificateLimits.clockSkewSeconds), notValidAfter: Self.date(end),
        issuer: certificate.subject,
        subject: subject(of: request), extensions: extensions(request, key.publicKey),
        issuerPrivateKey: self.key)
    }
    return try Self.pem(issued, key)
  }

  /// etcd takes a common name for a user's, and complains with each request of its own gateway if its has one.
  private func subject(of request: CertificateRequest) throws -> DistinguishedName {
    guard request.owner.role != nil else {
      return try DistinguishedName {
        OrganizationName(cluster)
        OrganizationalUnitName("\(request.owner.rawValue) \(request.name)")
      }
    }
    return try DistinguishedName {
      OrganizationName(cluster)
      CommonName(request.name)
    }
  }

  private func extensions(
    _ request: CertificateRequest, _ key: Certificate.PublicKey
  ) throws -> Certificate.Extensions {
    let usages: [ExtendedKeyUsage.Usage] =
      request.owner.isServer ? [.serverAuth, .clientAuth] : [.clientAuth]
    let names = try names(request)
    let issuer = try certificate.extensions.subjectKeyIdentifier?.keyIdentifier
    return try Certificate.Extensions {
      Critical(BasicConstraints.notCertificateAuthority)
      Critical(KeyUsage(digitalSignature: true))
      try ExtendedKeyUsage(usages)
      SubjectKeyIdentifier(hash: key)
      AuthorityKeyIdentifier(keyIdentifier: issuer)
      SubjectAlternativeNames(names)
    }
  }

  private func names(_ request: CertificateRequest) throws -> [GeneralName] {
    var names: [GeneralName] = []
    if let role = request.owner.role,
      let identity = PeerIdentity(cluster: cluster, role: role, name: request.name)
    {
      names.append(.uniformResourceIdentifier("\(identity)"))
    }
    names += request.hosts.map { .dnsName($0) }
    names += request.addresses.compactMap { address in
      CertificateRequest.bytes(ofAddress: address).map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
    }
    return names
  }

  // MARK: Parts

  private static func date(_ seconds: Int64) -> Date { Date(timeIntervalSince1970: TimeInterval(seconds)) }

  private static func building(
    _ body: () throws -> Certificate
  ) throws(CertificateError) -> Certificate {
    do {
      return try body()
    } catch {
      throw CertificateError(.invalidRequest, "the certificate cannot be made: \(error)")
    }
  }

  private static func pem(
    _ certificate: Certificate, _ key: Certificate.PrivateKey
  ) throws(CertificateError) -> Pair {
    do {
      return Pair(
        certificate: try certificate.serializeAsPEM().pemString + "\n",
        key: try key.serializeAsPEM().pemString + "\n")
    } catch {
      throw CertificateError(.malformed, "the certificate cannot be written as PEM: \(error)")
    }
  }
}
