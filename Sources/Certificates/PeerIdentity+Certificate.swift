import SwiftASN1
import X509

extension PeerIdentity {
  /// Reads the identity of a certificate, which must have exactly one URI (SPIFFE X.509-SVID, section 2).
  ///
  /// Says nothing about who signed it: the TLS handshake does that.
  /// - Parameter der: The certificate, DER.
  /// - Throws: `CertificateError` with code `malformed` that says what is there instead.
  public init(certificate der: [UInt8]) throws(CertificateError) {
    let certificate: Certificate
    do {
      certificate = try Certificate(derEncoded: der)
    } catch {
      throw CertificateError(.malformed, "the certificate cannot be read: \(error)")
    }
    try self.init(certificate)
  }

  init(_ certificate: Certificate) throws(CertificateError) {
    let uris = certificate.alternativeNames.compactMap { name in
      if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
    }
    guard uris.count == 1, let uri = uris.first, let identity = PeerIdentity(uri: uri) else {
      let found = uris.isEmpty ? "none" : uris.map { "'\($0.prefix(256))'" }.joined(separator: ", ")
      throw CertificateError(
        .malformed,
        "the certificate needs exactly one URI, spiffe://<cluster>/<role>/<name>, where the role is one of "
          + "\(Role.allCases.map(\.rawValue).joined(separator: ", ")); it has \(found)")
    }
    self = identity
  }
}

extension Certificate {
  /// The subject's alternative names; none where the extension is absent or cannot be read.
  var alternativeNames: [GeneralName] {
    (try? extensions.subjectAlternativeNames).map { $0.map(Array.init) ?? [] } ?? []
  }
}
