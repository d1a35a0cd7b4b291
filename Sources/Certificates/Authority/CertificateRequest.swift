import Glibc

/// A certificate that is asked for.
public struct CertificateRequest: Hashable, Sendable {
  /// Whom it is for.
  public enum Owner: String, Hashable, Sendable, CaseIterable {
    /// A server of the control plane, which is a client of other servers too.
    case server
    /// An agent.
    case agent
    /// A user of the API.
    case client
    /// A member of etcd: for its clients, its peers, and itself as a client of both.
    case etcd

    /// Whether others connect to it, so that it needs names or addresses.
    public var isServer: Bool { self == .server || self == .etcd }
    /// Its role in Rota; nil for etcd, whose certificate is of no use there.
    var role: PeerIdentity.Role? { PeerIdentity.Role(rawValue: rawValue) }
  }

  /// Whom it is for.
  public var owner: Owner
  /// The owner's name: an agent's id, a server's id, a user.
  public var name: String
  /// The names under which it is reached.
  public var hosts: [String]
  /// The addresses under which it is reached.
  public var addresses: [String]
  /// How long the certificate is valid, days.
  public var days: Int

  /// Makes a request. Servers without any name or address are reached as this machine: `localhost`, `127.0.0.1`, `::1`.
  public init(owner: Owner, name: String, hosts: [String] = [], addresses: [String] = [], days: Int = 365) {
    self.owner = owner
    self.name = name
    self.hosts = hosts
    self.addresses = addresses
    self.days = days
    if owner.isServer, hosts.isEmpty, addresses.isEmpty {
      self.hosts = ["localhost"]
      self.addresses = ["127.0.0.1", "::1"]
    }
  }

  /// Checks all fields.
  /// - Throws: `CertificateError` with code `invalidRequest` that names what is wrong.
  func validate() throws(CertificateError) {
    func check(_ holds: Bool, _ message: @autoclosure () -> String) throws(CertificateError) {
      guard holds else { throw CertificateError(.invalidRequest, message()) }
    }
    try check(
      PeerIdentity.isPart(name),
      "the name '\(name)' must have 1 to \(PeerIdentity.partBytes) characters: a-z, 0-9, '.', '_', '-'")
    try check(
      CertificateLimits.days.contains(days),
      "days must be \(CertificateLimits.days.lowerBound) to \(CertificateLimits.days.upperBound), is \(days)")
    try check(
      owner.isServer || (hosts.isEmpty && addresses.isEmpty),
      "hosts and addresses are for servers and etcd; nobody connects to the \(owner.rawValue) '\(name)'")
    try check(
      hosts.count + addresses.count <= CertificateLimits.hosts,
      "at most \(CertificateLimits.hosts) hosts and addresses fit in a certificate")
    for host in hosts { try check(Self.isHost(host), "'\(host)' is not the name of a host") }
    for address in addresses {
      try check(Self.bytes(ofAddress: address) != nil, "'\(address)' is not an IP address")
    }
  }

  /// A DNS name (RFC 1123, section 2.1); its first label may be `*`. What looks like an IPv4 address is none: a
  /// certificate that lists an address as a name matches nothing.
  private static func isHost(_ text: String) -> Bool {
    guard (1...CertificateLimits.hostBytes).contains(text.utf8.count), bytes(ofAddress: text) == nil else {
      return false
    }
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    return labels.enumerated().allSatisfy { index, label in
      if index == 0, label == "*", labels.count > 2 { return true }
      return (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
        && label.utf8.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
          default: false
          }
        }
    }
  }

  /// The 4 or 16 bytes of an address; nil for anything else.
  static func bytes(ofAddress text: String) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
    return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
  }
}
