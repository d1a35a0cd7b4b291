/// The files that a program's TLS is made of, all in PEM.
public struct TLSFiles: Hashable, Sendable {
  /// The program's own certificate, with intermediate ones behind it where there are any.
  public var certificate: String?
  /// The key of `certificate`.
  public var key: String?
  /// What the certificates of servers are checked against; the system's authorities when nil.
  public var serverAuthority: String?
  /// What the certificates of clients are checked against; clients are not asked for one when nil.
  public var clientAuthority: String?

  /// Names the files.
  public init(
    certificate: String? = nil, key: String? = nil, serverAuthority: String? = nil,
    clientAuthority: String? = nil
  ) {
    self.certificate = certificate
    self.key = key
    self.serverAuthority = serverAuthority
    self.clientAuthority = clientAuthority
  }

  /// All files that are named.
  var paths: [String] { [certificate, key, serverAuthority, clientAuthority].compactMap { $0 } }
}
