import Testing

@testable import ControlPlane

/// Whom webhooks may go to.
struct AlertPolicyTests {
  private func policy(_ hosts: String...) -> AlertPolicy {
    var policy = AlertPolicy()
    policy.webhookHosts = Set(hosts)
    return policy
  }

  @Test(arguments: [
    "http://hooks.example.org/a", "https://HOOKS.example.org:8443/", "https://hooks.example.org?x=@evil",
    "https://hooks.example.org#/", "https://hooks.example.org",
  ])
  func aHostIsAllowedWithAnyPort(url: String) {
    #expect(policy("hooks.example.org").refusal(of: url) == nil)
  }

  @Test(arguments: [
    "http://example.org/", "http://hooks.example.org.evil/", "http://hooks.example.org@evil/",
    "http://evil\\@hooks.example.org/", "http://hooks.example.org:80:80/", "http:///x",
    "http://%68ooks.example.org/",
    "ftp://hooks.example.org/", "http://[::1/", "http://[::1]x/", "http://:80/",
  ])
  func othersAreNot(url: String) {
    #expect(policy("hooks.example.org").refusal(of: url) != nil)
    if !url.contains("://example") && !url.contains(".evil/") { #expect(policy("*").refusal(of: url) != nil) }
  }

  @Test func aPortCanBeMeant() {
    let policy = policy("hooks.example.org:8443", "[::1]")
    #expect(policy.refusal(of: "https://hooks.example.org:8443/x") == nil)
    #expect(policy.refusal(of: "https://hooks.example.org/x") != nil)
    #expect(policy.refusal(of: "http://[::1]:9/x") == nil)
    #expect(AlertPolicy().refusal(of: "http://[::1]:9/x") != nil)
  }
}
