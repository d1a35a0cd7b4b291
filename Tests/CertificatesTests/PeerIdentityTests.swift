import Certificates
import Testing

@Suite struct PeerIdentityTests {
  @Test func writesWhatItReads() {
    let uri = "spiffe://prod.eu/agent/node-7"
    let identity = PeerIdentity(uri: uri)
    #expect(identity == PeerIdentity(cluster: "prod.eu", role: .agent, name: "node-7"))
    #expect(identity?.description == uri)
  }

  @Test(arguments: [
    "", "spiffe://", "https://c/agent/a", "spiffe://c/agent", "spiffe://c/agent/", "spiffe:///agent/a",
    "spiffe://c/agent/a/b", "spiffe://c/root/a", "spiffe://c/agent/A", "spiffe://c/agent/..",
    "spiffe://c/agent/a%2fb", "spiffe://c/agent/a?x", "spiffe://c/agent/а",
  ])
  func refusesEverythingElse(_ uri: String) {
    #expect(PeerIdentity(uri: uri) == nil)
  }
}
