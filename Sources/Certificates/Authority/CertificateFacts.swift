import FoundationEssentials
import Glibc
import SwiftASN1
import X509

/// What a person wants to know of a certificate.
public struct CertificateFacts: Hashable, Sendable {
  /// `spiffe://<cluster>/<role>/<name>`, or what else stands there; empty without a URI.
  public let uris: [String]
  /// The owner's distinguished name (RFC 4514).
  public let subject: String
  /// The distinguished name of who signed it.
  public let issuer: String
  /// When it begins to be valid, seconds since 1970.
  public let notBefore: Int64
  /// When it ends, seconds since 1970.
  public let notAfter: Int64
  /// The names and addresses under which its owner is reached.
  public let hosts: [String]
  /// What it may be used for: `server`, `client`, `authority`.
  public let uses: [String]
  /// The serial number, hexadecimal.
  public let serial: String

  /// Reads all certificates of a file in PEM, in their order.
  /// - Throws: `CertificateError` when there is none, or one cannot be read.
  public static func read(pem: String) throws(CertificateError) -> [CertificateFacts] {
    let certificates = try PEM.certificates(in: pem)
    return certificates.map(CertificateFacts.init)
  }

  init(_ certificate: Certificate) {
    let names = certificate.alternativeNames
    uris = names.compactMap { if case .uniformResourceIdentifier(let uri) = $0 { uri } else { nil } }
    hosts = names.compactMap { name in
      switch name {
      case .dnsName(let host): host
      case .ipAddress(let octets): Self.address(Array(octets.bytes))
      default: nil
      }
    }
    subject = "\(certificate.subject)"
    issuer = "\(certificate.issuer)"
    notBefore = Int64(certificate.notValidBefore.timeIntervalSince1970)
    notAfter = Int64(certificate.notValidAfter.timeIntervalSince1970)
    uses = Self.uses(certificate.extensions)
    serial = certificate.serialNumber.bytes.map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined(separator: ":")
  }

  private static func uses(_ extensions: Certificate.Extensions) -> [String] {
    var uses: [String] = []
    if case .isCertificateAuthority? = try? extensions.basicConstraints { uses.append("authority") }
    if let usages = try? extensions.extendedKeyUsage {
      if usages.contains(.serverAuth) { uses.append("server") }
      if usages.contains(.clientAuth) { uses.append("client") }
    }
    return uses
  }

  private static func address(_ bytes: [UInt8]) -> String? {
    let family = bytes.count == 4 ? AF_INET : AF_INET6
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
