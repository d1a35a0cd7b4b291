import NIOSSL

/// Errors of the TLS library in words.
enum TLSFailure {
  /// What went wrong, for a log or a user.
  static func sentence(_ error: any Error) -> String {
    switch error {
    case let error as CertificateError: error.message
    case NIOSSLError.handshakeFailed(.sslError(let stack)), BoringSSLError.sslError(let stack):
      stack.first.map { reason("\($0)") } ?? "the handshake failed"
    case NIOSSLError.handshakeFailed(let error): "the handshake failed: \(error)"
    case NIOSSLError.uncleanShutdown: "the peer ended the connection without a word"
    case NIOSSLError.unableToValidateCertificate: "the peer's certificate does not match its address"
    case let error as NIOSSLExtraError where error == .failedToValidateHostname:
      "the server's certificate is not for this host: \(error)"
    default: "\(error)"
    }
  }

  /// `Error: 268 error:100000f0:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL at …` in fewer words.
  private static func reason(_ text: String) -> String {
    let parts = text.split(separator: ":")
    guard let marker = parts.firstIndex(of: "OPENSSL_internal"), marker + 1 < parts.count else { return text }
    let name = parts[marker + 1].prefix { $0 != " " }
    switch name {
    case "CERTIFICATE_VERIFY_FAILED":
      return "the peer's certificate is not trusted: of another authority, out of date, or for another use"
    case "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST": return "the peer does not speak TLS"
    case "UNSUPPORTED_PROTOCOL": return "the peer offers no version of TLS from 1.2 on"
    default: return String(name.lowercased().map { $0 == "_" ? " " : $0 })
    }
  }
}
