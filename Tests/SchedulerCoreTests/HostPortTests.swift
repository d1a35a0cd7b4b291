import SchedulerCore
import Testing

@Suite struct HostPortTests {
  @Test(arguments: ["host:1", "127.0.0.1:0", "[::1]:7000", "a.b-c:65535"])
  func `addresses are read and written alike`(text: String) {
    #expect(HostPort(text)?.description == text)
  }

  @Test func `brackets are not part of the host`() {
    #expect(HostPort("[::1]:7000") == HostPort(host: "::1", port: 7_000))
  }

  @Test(arguments: [
    "", "host", "host:", ":1", "host:70000", "host:-1", "::1:80", "http://a:1", "a b:1", "[]:1",
  ])
  func `what is no address is refused`(text: String) {
    #expect(HostPort(text) == nil)
  }
}
