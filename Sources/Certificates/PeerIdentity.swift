/// Whom a certificate stands for: `spiffe://<cluster>/<role>/<name>`, a URI among its subject alternative
/// names, as in the SPIFFE ID standard, section 2.
public struct PeerIdentity: Hashable, Sendable, CustomStringConvertible {
  /// What its owner may do.
  public enum Role: String, Hashable, Sendable, CaseIterable {
    /// A server of the control plane: may do everything.
    case server
    /// An agent: may hold the session of the agent with its name, and nothing else.
    case agent
    /// A user of the API.
    case client
  }

  /// The cluster, which is the trust domain.
  public let cluster: String
  /// What it may do.
  public let role: Role
  /// Which server, agent or user.
  public let name: String

  /// Makes an identity.
  /// - Returns: nil when a part is empty or has characters other than `a-z`, `0-9`, `.`, `_` and `-`.
  public init?(cluster: String, role: Role, name: String) {
    guard Self.isPart(cluster), Self.isPart(name) else { return nil }
    self.cluster = cluster
    self.role = role
    self.name = name
  }

  /// Reads a URI.
  /// - Returns: nil for anything else than an identity as it is written by `description`.
  public init?(uri: String) {
    let scheme = "spiffe://"
    guard uri.hasPrefix(scheme) else { return nil }
    let parts = uri.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, let role = Role(rawValue: String(parts[1])) else { return nil }
    self.init(cluster: String(parts[0]), role: role, name: String(parts[2]))
  }

  /// The URI.
  public var description: String { "spiffe://\(cluster)/\(role.rawValue)/\(name)" }

  /// The longest part, bytes.
  static let partBytes = 128

  static func isPart(_ text: String) -> Bool {
    let bytes = text.utf8
    guard (1...partBytes).contains(bytes.count), text != ".", text != ".." else { return false }
    return bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
      default: false
      }
    }
  }
}
