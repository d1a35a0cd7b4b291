import Certificates
import Foundation
import Testing

/// Certificates that are issued, as OpenSSL sees them.
@Suite struct CertificateAuthorityTests {
  private static let now: Int64 = 1_750_000_000

  @Test(arguments: CertificateRequest.Owner.allCases)
  func opensslAcceptsWhatIsIssued(_ owner: CertificateRequest.Owner) throws {
    let folder = try Folder()
    let authority = try CertificateAuthority(cluster: "demo", now: Self.now)
    try folder.write(try authority.pair.certificate, "ca.crt")
    let issued = try authority.issue(CertificateRequest(owner: owner, name: "n1"), now: Self.now)
    try folder.write(issued.certificate, "n1.crt")
    try folder.write(issued.key, "n1.key")

    let purposes = owner.isServer ? ["sslserver", "sslclient"] : ["sslclient"]
    for purpose in purposes {
      let verified = try folder.openssl(
        "verify", "-x509_strict", "-attime", "\(Self.now + 10)", "-purpose", purpose, "-CAfile", "ca.crt",
        "n1.crt")
      #expect(verified.status == 0, "\(verified.text)")
    }
    if !owner.isServer {
      let refused = try folder.openssl(
        "verify", "-attime", "\(Self.now + 10)", "-purpose", "sslserver", "-CAfile", "ca.crt", "n1.crt")
      #expect(refused.status != 0, "an \(owner)'s certificate must be of no use to a server")
    }
    let ended = try folder.openssl(
      "verify", "-attime", "\(Self.now + 366 * 86_400)", "-CAfile", "ca.crt", "n1.crt")
    #expect(ended.status != 0 && ended.text.contains("expired"), "\(ended.text)")
    // The key is the certificate's.
    let fromKey = try folder.openssl("pkey", "-in", "n1.key", "-pubout")
    let fromCertificate = try folder.openssl("x509", "-in", "n1.crt", "-noout", "-pubkey")
    #expect(fromKey.text == fromCertificate.text && fromKey.text.contains("PUBLIC KEY"))
  }

  @Test func issuedCertificatesSayWhoseTheyAre() throws {
    let authority = try CertificateAuthority(cluster: "demo", now: Self.now)
    let request = CertificateRequest(
      owner: .server, name: "s1", hosts: ["rota.example", "*.rota.svc"], addresses: ["10.0.0.1", "fd00::1"],
      days: 30
    )
    let facts = try #require(
      try CertificateFacts.read(pem: authority.issue(request, now: Self.now).certificate).first)
    #expect(facts.uris == ["spiffe://demo/server/s1"])
    #expect(facts.hosts == ["rota.example", "*.rota.svc", "10.0.0.1", "fd00::1"])
    #expect(facts.uses == ["server", "client"])
    #expect(facts.notAfter == Self.now + 30 * 86_400 && facts.notBefore < Self.now)
    let own = try #require(try CertificateFacts.read(pem: authority.pair.certificate).first)
    #expect(own.uses == ["authority"] && own.subject == facts.issuer)
  }

  @Test func anAuthorityIsTakenUpAgain() throws {
    let first = try CertificateAuthority(cluster: "demo", now: Self.now)
    let again = try CertificateAuthority(first.pair)
    #expect(again.cluster == "demo")
    let issued = try again.issue(CertificateRequest(owner: .agent, name: "a1"), now: Self.now)
    #expect(try identity(of: issued) == PeerIdentity(cluster: "demo", role: .agent, name: "a1"))
    #expect(throws: CertificateError.self) { try CertificateAuthority(issued) }
    let other = try CertificateAuthority(cluster: "other", now: Self.now)
    let mixed = CertificateAuthority.Pair(certificate: try first.pair.certificate, key: try other.pair.key)
    #expect { try CertificateAuthority(mixed) } throws: { "\($0)".contains("does not belong") }
  }

  @Test func etcdsCertificateIsNobodyInRota() throws {
    let authority = try CertificateAuthority(cluster: "demo", now: Self.now)
    let issued = try authority.issue(CertificateRequest(owner: .etcd, name: "e1"), now: Self.now)
    #expect { try identity(of: issued) } throws: { "\($0)".contains("exactly one URI") }
  }

  @Test(arguments: [
    (CertificateRequest(owner: .agent, name: "A1"), "a-z"),
    (CertificateRequest(owner: .agent, name: "a/b"), "a-z"),
    (CertificateRequest(owner: .agent, name: ""), "a-z"),
    (CertificateRequest(owner: .agent, name: "a1", hosts: ["h"]), "nobody connects"),
    (CertificateRequest(owner: .server, name: "s1", hosts: ["a b"]), "not the name of a host"),
    (CertificateRequest(owner: .server, name: "s1", hosts: ["10.0.0.1"]), "not the name of a host"),
    (CertificateRequest(owner: .server, name: "s1", hosts: ["a.*"]), "not the name of a host"),
    (CertificateRequest(owner: .server, name: "s1", addresses: ["10.0.0"]), "not an IP address"),
    (CertificateRequest(owner: .server, name: "s1", days: 0), "days must be"),
    (CertificateRequest(owner: .server, name: "s1", days: 4_000), "days must be"),
  ])
  func refusesWhatCannotBe(_ request: CertificateRequest, _ words: String) throws {
    let authority = try CertificateAuthority(cluster: "demo", now: Self.now)
    #expect { try authority.issue(request, now: Self.now) } throws: { "\($0)".contains(words) }
  }

  @Test func noCertificateOutlivesItsAuthority() throws {
    let authority = try CertificateAuthority(cluster: "demo", now: Self.now)
    let late = Self.now + 3_000 * 86_400
    let request = CertificateRequest(owner: .agent, name: "a1", days: 700)
    #expect { try authority.issue(request, now: late) } throws: { "\($0)".contains("which is 650") }
  }

  @Test(arguments: ["", "A", "a/b", "ä"])
  func refusesNamesThatAreNoClusters(_ name: String) {
    #expect(throws: CertificateError.self) { try CertificateAuthority(cluster: name, now: Self.now) }
  }

  /// The identity as a server sees it: from DER.
  private func identity(of pair: CertificateAuthority.Pair) throws -> PeerIdentity {
    let lines = pair.certificate.split(separator: "\n").filter { !$0.hasPrefix("-----") }
    let der = try #require(Data(base64Encoded: lines.joined()))
    return try PeerIdentity(certificate: Array(der))
  }

  @Test func whatIsNoCertificateIsRefused() {
    #expect(throws: CertificateError.self) { try PeerIdentity(certificate: [0x30, 0x03, 1, 2, 3]) }
    #expect(throws: CertificateError.self) { try CertificateFacts.read(pem: "nothing") }
  }
}
