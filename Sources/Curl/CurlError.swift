/// Why a transfer failed, and whether its request may have reached the server.
public struct CurlError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure; extensible, so switch with a default.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    /// Stable name, usable as a metric label.
    public let description: String

    private init(_ name: String) { description = name }

    /// The request itself is not acceptable; nothing was sent.
    public static let invalidRequest = Code("invalid_request")
    /// The host name did not resolve.
    public static let resolve = Code("resolve")
    /// No connection could be made.
    public static let connect = Code("connect")
    /// TLS handshake or certificate failure.
    public static let tls = Code("tls")
    /// The total, connect or idle time ran out.
    public static let timeout = Code("timeout")
    /// The connection broke while sending or receiving.
    public static let connectionLost = Code("connection_lost")
    /// The peer's answer is not HTTP or breaks off before its end.
    public static let badResponse = Code("bad_response")
    /// The answer is larger than `maxResponseBytes` or the header limit.
    public static let responseTooLarge = Code("response_too_large")
    /// Too many requests are waiting for a connection.
    public static let queueFull = Code("queue_full")
    /// The task was cancelled, or `cancel()` was called.
    public static let cancelled = Code("cancelled")
    /// The engine has been shut down.
    public static let shutdown = Code("shutdown")
    /// Anything else that libcurl reports.
    public static let other = Code("other")
  }

  /// Whether the server may have seen (and acted on) the request.
  public enum Certainty: Sendable, Hashable {
    /// Not a byte of this request was sent.
    case notSent
    /// Some or all of it may have arrived.
    case maybeSent
  }

  /// What kind of failure.
  public let code: Code
  /// What failed and where; names the URL's host, never its query, user or password.
  public let message: String
  /// Whether the request may have reached the server.
  public let certainty: Certainty
  /// libcurl's `CURLcode`, 0 when the failure is not libcurl's.
  public let curlCode: Int32

  /// Makes an error.
  public init(code: Code, message: String, certainty: Certainty, curlCode: Int32 = 0) {
    self.code = code
    self.message = message
    self.certainty = certainty
    self.curlCode = curlCode
  }

  /// Code, message and certainty in one line.
  public var description: String {
    "\(code): \(message)\(certainty == .notSent ? " (request not sent)" : "")"
  }

  static func invalid(_ message: String) -> CurlError {
    CurlError(code: .invalidRequest, message: "HTTP request refused: " + message, certainty: .notSent)
  }
}
