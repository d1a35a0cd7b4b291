import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Certificates

/// Connections with real handshakes, and files that change under them.
@Suite struct TLSCredentialsTests {
  private let folder: Folder
  private let authority: CertificateAuthority

  init() throws {
    folder = try Folder()
    authority = try CertificateAuthority(cluster: "demo", now: Self.now)
    try folder.write(try authority.pair.certificate, "ca.crt")
    try issue(.server, "s1")
    try issue(.agent, "a1")
  }

  private static var now: Int64 { Int64(Date().timeIntervalSince1970) }
  private static let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

  /// Writes `NAME.crt` and `NAME.key`.
  private func issue(
    _ owner: CertificateRequest.Owner, _ name: String, by other: CertificateAuthority? = nil,
    age days: Int64 = 0
  ) throws {
    let pair = try (other ?? authority).issue(
      CertificateRequest(owner: owner, name: name, days: 30), now: Self.now - days * 86_400)
    try folder.write(pair.key, "\(name).key")
    try folder.write(pair.certificate, "\(name).crt")
  }

  private func files(_ name: String?, clientAuthority: Bool = false) -> TLSFiles {
    TLSFiles(
      certificate: name.map { folder.file("\($0).crt") }, key: name.map { folder.file("\($0).key") },
      serverAuthority: folder.file("ca.crt"), clientAuthority: clientAuthority ? folder.file("ca.crt") : nil)
  }

  private func credentials(_ name: String?, clientAuthority: Bool = false) throws -> TLSCredentials {
    try TLSCredentials(files(name, clientAuthority: clientAuthority), logger: Self.logger)
  }

  // MARK: Handshakes

  @Test func aServerLearnsWhoItsClientIs() async throws {
    let server = try await EchoServer(try credentials("s1", clientAuthority: true))
    for host in ["127.0.0.1", "localhost"] {
      let answer = try await server.ask("hi", as: try credentials("a1"), host: host)
      #expect(answer == "hi from spiffe://demo/agent/a1")
    }
    #expect(try await server.ask("hi", as: try credentials(nil)) == "hi from nobody")
    await server.stop()
  }

  @Test func certificatesOfOthersAreRefused() async throws {
    let server = try await EchoServer(try credentials("s1", clientAuthority: true))
    let other = try CertificateAuthority(cluster: "demo", now: Self.now)
    try issue(.agent, "foreign", by: other)
    await #expect { try await server.ask("hi", as: try credentials("foreign")) } throws: {
      "\($0)".contains("unknown ca")
    }
    // An agent's certificate is of no use to a server.
    let impostor = try await EchoServer(try credentials("a1"))
    await #expect { try await impostor.ask("hi", as: try credentials(nil)) } throws: {
      "\($0)".contains("not trusted")
    }
    // Nor is a server's for another host.
    await #expect { try await server.ask("hi", as: try credentials("a1"), host: "other.example") } throws: {
      "\($0)".contains("not for 'other.example' but for localhost")
    }
    await server.stop()
    await impostor.stop()
  }

  @Test func filesThatCannotWorkAreRefused() throws {
    func refusal(_ files: TLSFiles) -> String {
      do throws(CertificateError) {
        _ = try TLSCredentials(files, logger: Self.logger)
        return "accepted"
      } catch {
        return error.message
      }
    }
    try issue(.agent, "old", age: 31)
    #expect(refusal(files("old")).contains("ended 1 days ago"))
    #expect(refusal(files("missing")).contains("missing.crt cannot be read"))
    var mixed = files("s1")
    mixed.key = folder.file("a1.key")
    #expect(refusal(mixed).contains("cannot be used together"))
    mixed.key = folder.file("s1.crt")
    #expect(refusal(mixed).contains("no private key"))
    mixed = files("s1")
    mixed.serverAuthority = folder.file("s1.key")
    #expect(refusal(mixed).contains("no certificate in PEM"))
    #expect(refusal(files("a1", clientAuthority: true)).contains("spiffe://<cluster>/server/<name>"))
  }

  // MARK: Changes

  @Test func aChangeCountsForNewConnections() async throws {
    let credentials = try credentials("s1")
    let server = try await EchoServer(credentials)
    let client = try self.credentials(nil)
    let before = try await server.connect(as: client)
    let first = try #require(credentials.notAfter)

    try issue(.server, "s1", age: 3)
    credentials.look()
    #expect(credentials.notAfter == first, "the first look that sees a change waits for the next")
    credentials.look()
    let second = try #require(credentials.notAfter)
    #expect(abs(first - second - 3 * 86_400) < 60)
    #expect(try await before.ask("still here") == "still here from nobody")
    #expect(try await server.ask("new", as: client) == "new from nobody")

    // A key without its certificate, then rubbish: the old ones stay.
    for (text, name) in [(try authority.pair.key, "s1.key"), ("rubbish", "s1.crt")] {
      try folder.write(text, name)
      credentials.look()
      credentials.look()
      #expect(credentials.notAfter == second)
    }
    #expect(try await server.ask("old", as: client) == "old from nobody")
    await before.close()
    await server.stop()
  }

  @Test func anotherAuthorityIsNoticedToo() async throws {
    let server = try credentials("s1", clientAuthority: true)
    let echo = try await EchoServer(server)
    let other = try CertificateAuthority(cluster: "demo", now: Self.now)
    try issue(.agent, "new", by: other)
    let client = try credentials("new")
    await #expect(throws: (any Error).self) { try await echo.ask("hi", as: client) }
    // While an authority is replaced, both are in the file.
    try folder.write(try authority.pair.certificate + other.pair.certificate, "ca.crt")
    server.look()
    server.look()
    #expect(try await echo.ask("hi", as: client) == "hi from spiffe://demo/agent/new")
    #expect(try await echo.ask("hi", as: try credentials("a1")) == "hi from spiffe://demo/agent/a1")
    await echo.stop()
  }

  @Test func aPeerThatNeverShakesHandsIsCutOff() async throws {
    let server = try await EchoServer(try credentials("s1"), timeout: .milliseconds(500))
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: server.port).get()
    try await channel.closeFuture.get()
    await server.stop()
  }
}
