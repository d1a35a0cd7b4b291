/// Why a certificate, a key or a TLS connection cannot be used.
public struct CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of failure.
  public enum Code: Hashable, Sendable {
    /// A file cannot be read.
    case unreadable
    /// A file or a message is not what it should be.
    case malformed
    /// What was asked for cannot be: a name, a number of days.
    case invalidRequest
    /// A certificate whose time has not come or is over.
    case outOfDate
    /// A TLS handshake failed.
    case handshake
  }

  /// What kind of failure.
  public let code: Code
  /// A sentence that names the file or the value, and says what was expected.
  public let message: String

  /// Makes an error.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
