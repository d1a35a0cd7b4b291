import Certificates
import NIOCore
import Transport

/// Who is at the other end of a connection on which clients are asked for a certificate.
enum Caller: Hashable, Sendable {
  /// It has shown no certificate.
  case anonymous
  /// Its certificate, which our authority has signed, says so.
  case known(PeerIdentity)
  /// It has shown a certificate that our authority has signed but that is of no use here; why.
  case stranger(String)

  /// The name on its certificate; nil without one that is of use here.
  var name: String? { if case .known(let identity) = self { identity.name } else { nil } }

  /// Looks at a channel's certificate; on its event loop, after the handshake.
  /// - Parameter cluster: ours.
  init(of channel: any Channel, cluster: String) {
    do {
      guard let certificate = try TLSCredentials.peerCertificate(of: channel) else {
        self = .anonymous
        return
      }
      let identity = try PeerIdentity(certificate: certificate)
      self =
        identity.cluster == cluster
        ? .known(identity)
        : .stranger("the certificate is of the cluster '\(identity.cluster)', this is '\(cluster)'")
    } catch {
      self = .stranger("\(error)")
    }
  }
}

extension ServerCallContext {
  /// Who calls; nil where clients are not asked for certificates, so that everybody may do everything.
  var caller: Caller? { peerIdentity as? Caller }

  /// The name on the caller's certificate; nil where there is none.
  var callerName: String? { caller?.name }

  /// Whether another server has sent this call on, so that it must not be sent on again. Nobody else can say so.
  var isForwarded: Bool {
    guard metadata.first(LeaderLink.forwardedHeader) != nil else { return false }
    guard let caller else { return true }
    guard case .known(let identity) = caller else { return false }
    return identity.role == .server
  }

  /// Makes sure that the caller is this agent and no other.
  /// - Throws: `ServiceError` of the kind `permissionDenied`.
  func mustBe(agent id: String, field: String) throws {
    guard let caller else { return }
    guard case .known(let identity) = caller, identity.role == .agent, identity.name == id else {
      let whose = if case .known(let identity) = caller { "is for \(identity)" } else { "says nothing of it" }
      throw ServiceError(
        kind: .permissionDenied, field: field,
        message: "the caller says that it is the agent '\(id)', but its certificate \(whose)")
    }
  }
}
