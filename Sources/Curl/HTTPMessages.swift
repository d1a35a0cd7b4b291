/// One HTTP request, complete in memory.
///
/// Headers and URL are checked by ``validate()`` before anything is sent: a CR, LF or NUL in them could smuggle
/// a second request or header (RFC 9112 section 11.1), so they are refused with an error that names the field.
public struct HTTPRequest: Sendable {
  /// Method token, such as `GET`; RFC 9110 section 9.
  public var method: String
  /// Absolute `http://` or `https://` URL.
  public var url: String
  /// Header names and values in the order to be sent.
  public var headers: [(String, String)]
  /// Request body; an empty one is sent as `Content-Length: 0` with methods that carry a body.
  public var body: [UInt8]
  /// Time for everything from submission (waiting for a connection included) to the last byte.
  /// Ignored by ``CurlEngine/stream(_:options:)``.
  public var timeout: Duration
  /// Time for resolving, connecting and the TLS handshake.
  public var connectTimeout: Duration
  /// Longest accepted response body (of ``CurlEngine/perform(_:)``), in bytes.
  public var maxResponseBytes: Int
  /// Certificates and verification for `https`; nil means the system's trust store.
  public var tls: TLSOptions?
  /// User and password for HTTP Basic authentication.
  public var userPassword: UserPassword?
  /// Whether 3xx answers are followed (at most ``CurlLimits/maxRedirects`` of them).
  public var followRedirects: Bool
  /// Goes to the front of the per-host queue and may use the connections reserved for urgent requests.
  public var urgent: Bool

  /// Makes a request with safe defaults: 30 s in total, 10 s to connect, 16 MiB of response.
  public init(
    method: String = "GET", url: String, headers: [(String, String)] = [], body: [UInt8] = [],
    timeout: Duration = .seconds(30), connectTimeout: Duration = .seconds(10),
    maxResponseBytes: Int = 16 << 20, tls: TLSOptions? = nil, userPassword: UserPassword? = nil,
    followRedirects: Bool = false, urgent: Bool = false
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    self.timeout = timeout
    self.connectTimeout = connectTimeout
    self.maxResponseBytes = maxResponseBytes
    self.tls = tls
    self.userPassword = userPassword
    self.followRedirects = followRedirects
    self.urgent = urgent
  }

  /// A user name and password that never print themselves.
  public struct UserPassword: Sendable, CustomStringConvertible {
    /// User name; no colon (RFC 7617 section 2).
    public var user: String
    /// Password.
    public var password: String

    /// Makes a pair.
    public init(user: String, password: String) {
      self.user = user
      self.password = password
    }

    /// Hides both.
    public var description: String { "<redacted>" }
  }
}

/// Certificates for an `https` request, as paths of PEM files.
public struct TLSOptions: Sendable, Hashable {
  /// CA bundle that replaces the system's trust store.
  public var caFile: String?
  /// Client certificate chain.
  public var certificateFile: String?
  /// Private key of the client certificate.
  public var privateKeyFile: String?
  /// Name that the server's certificate must carry and that SNI sends, when it differs from the URL's host.
  /// Implemented with libcurl's connect-to, so the URL's host is only used as the address.
  public var serverName: String?
  /// Whether the server's certificate is verified. Leave it on.
  public var verifyPeer: Bool

  /// Makes options; verification is on.
  public init(
    caFile: String? = nil, certificateFile: String? = nil, privateKeyFile: String? = nil,
    serverName: String? = nil, verifyPeer: Bool = true
  ) {
    self.caFile = caFile
    self.certificateFile = certificateFile
    self.privateKeyFile = privateKeyFile
    self.serverName = serverName
    self.verifyPeer = verifyPeer
  }
}

/// One HTTP response; any status that the server sent, 4xx and 5xx included.
public struct HTTPResponse: Sendable {
  /// Status code of the final response.
  public var status: Int
  /// Header names as received, values trimmed, in order; trailers come last.
  public var headers: [(String, String)]
  /// Response body.
  public var body: [UInt8]

  /// Makes a response.
  public init(status: Int, headers: [(String, String)] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// First value of a header, found regardless of ASCII case.
  public func header(_ name: String) -> String? { firstHeader(name, in: headers) }
}

func firstHeader(_ name: String, in headers: [(String, String)]) -> String? {
  let wanted = name.lowercased()
  return headers.first { $0.0.lowercased() == wanted }?.1
}

extension HTTPRequest {
  /// Checks everything that would be copied into the request head.
  ///
  /// - Throws: ``CurlError`` with code `invalidRequest` that names the field.
  public func validate() throws(CurlError) {
    try Self.checkToken(method, field: "method")
    try Self.checkURL(url)
    for (name, value) in headers {
      try Self.checkToken(name, field: "header name \"\(Self.printable(name))\"")
      try Self.checkText(value, field: "header \"\(name)\"")
    }
    if let userPassword {
      try Self.checkText(userPassword.user, field: "user name")
      try Self.checkText(userPassword.password, field: "password")
      guard !userPassword.user.utf8.contains(UInt8(ascii: ":")) else {
        throw .invalid("user name contains a colon, which HTTP Basic cannot carry")
      }
    }
    if let name = tls?.serverName { try Self.checkToken(name, field: "TLS server name") }
    guard timeout > .zero else { throw .invalid("timeout must be positive, is \(timeout)") }
    guard connectTimeout > .zero else {
      throw .invalid("connect timeout must be positive, is \(connectTimeout)")
    }
    guard maxResponseBytes >= 0 else { throw .invalid("maxResponseBytes must not be negative") }
  }

  private static func checkURL(_ url: String) throws(CurlError) {
    guard url.utf8.count <= CurlLimits.maxURLBytes else {
      throw .invalid("url is \(url.utf8.count) bytes long; at most \(CurlLimits.maxURLBytes) are accepted")
    }
    for byte in url.utf8 where byte <= 0x20 || byte == 0x7F {
      throw .invalid("url contains \(describe(byte)), which is not allowed; percent-encode it")
    }
    let scheme = url.prefix(8).lowercased()
    guard scheme.hasPrefix("http://") || scheme.hasPrefix("https://") else {
      throw .invalid("url must start with http:// or https://")
    }
    guard !URLHost.of(url).isEmpty else { throw .invalid("url has no host") }
  }

  /// RFC 9110 section 5.6.2: token characters only.
  private static func checkToken(_ text: String, field: String) throws(CurlError) {
    guard !text.isEmpty else { throw .invalid("\(field) is empty") }
    for byte in text.utf8 {
      let isTokenCharacter =
        byte > 0x20 && byte < 0x7F && !#""(),/:;<=>?@[\]{}"#.utf8.contains(byte)
      guard isTokenCharacter else {
        throw .invalid("\(field) contains \(describe(byte)), which is not allowed there")
      }
    }
  }

  private static func checkText(_ text: String, field: String) throws(CurlError) {
    for byte in text.utf8 where byte == 0 || byte == 0x0A || byte == 0x0D {
      throw .invalid("\(field) contains \(describe(byte)), which is not allowed there")
    }
  }

  private static func describe(_ byte: UInt8) -> String {
    switch byte {
    case 0x00: "NUL"
    case 0x0A: "LF"
    case 0x0D: "CR"
    case 0x20: "a space"
    case 0x21...0x7E: "\"\(Character(UnicodeScalar(byte)))\""
    default: "byte 0x\(String(byte, radix: 16))"
    }
  }

  private static func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(64).map { $0.value < 0x20 ? "?" : $0 }))
  }
}

/// The part of a URL that names connections: scheme and authority, without user information.
enum URLHost {
  /// `http://host:port` in lower case, the key of the per-host limit.
  static func key(of url: String) -> String {
    let scheme = url.prefix { $0 != ":" }.lowercased()
    return scheme + "://" + of(url).lowercased()
  }

  /// `host:port` as written, without user information: safe to print.
  static func of(_ url: String) -> String {
    guard let slashes = url.firstRange(of: "://") else { return "" }
    let rest = url[slashes.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard let at = authority.lastIndex(of: "@") else { return String(authority) }
    return String(authority[authority.index(after: at)...])
  }
}
