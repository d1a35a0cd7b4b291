import Testing

@testable import Certificates

@Suite struct ServerNamesTests {
  private let names = ServerNames(names: ["rota.example", "*.rota.svc", "*"])

  @Test(arguments: ["rota.example", "ROTA.Example", "rota.example.", "s1.rota.svc"])
  func covers(_ name: String) { #expect(names.cover(name)) }

  @Test(arguments: [
    "", "example", "x.rota.example", "rota.svc", "a.b.rota.svc", ".rota.svc.x", "rota.example.evil",
  ])
  func doesNotCover(_ name: String) { #expect(!names.cover(name)) }
}
