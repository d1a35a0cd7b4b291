import Certificates

/// Who may call what, where clients are asked for certificates. The one place that says so.
enum AccessPolicy {
  /// For whom something is there.
  enum Audience: Hashable, Sendable {
    /// Everybody, without a certificate too.
    case anybody
    /// Users and servers.
    case users
    /// Agents.
    case agents
    /// Servers.
    case servers
  }

  /// For whom a gRPC method is there. What is not named is for users.
  /// - Parameter path: `/package.Service/Method`.
  static func audience(ofMethod path: String) -> Audience {
    switch path.dropFirst().prefix(while: { $0 != "/" }) {
    case "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection":
      .anybody
    case "rota.v1.AgentSession": .agents
    case "rota.v1.Peers": .servers
    default: .users
    }
  }

  /// For whom a path of REST is there. What is not named is for users.
  static func audience(ofPath path: String) -> Audience {
    let short = path.hasPrefix("/v1/") ? path.dropFirst("/v1".count) : path[...]
    return short == "/healthz" || short == "/readyz" ? .anybody : .users
  }

  /// Lets a caller in or not.
  /// - Throws: `ServiceError` of the kind `unauthenticated` without a certificate, `permissionDenied` with the wrong one.
  static func check(_ caller: Caller, for audience: Audience) throws(ServiceError) {
    if audience == .anybody { return }
    switch caller {
    case .anonymous:
      throw ServiceError(
        kind: .unauthenticated,
        message: "this needs a client certificate of the cluster, and the caller has shown none")
    case .stranger(let reason):
      throw ServiceError(kind: .permissionDenied, message: reason)
    case .known(let identity):
      guard isMember(identity.role, of: audience) else {
        let wanted =
          switch audience {
          case .agents: "an agent"
          case .servers: "a server"
          case .users, .anybody: "a client or a server"
          }
        throw ServiceError(
          kind: .permissionDenied, message: "this is for \(wanted), and the certificate is for \(identity)")
      }
    }
  }

  private static func isMember(_ role: PeerIdentity.Role, of audience: Audience) -> Bool {
    switch audience {
    case .anybody: true
    case .users: role == .client || role == .server
    case .agents: role == .agent
    case .servers: role == .server
    }
  }
}
