import EtcdClient
import Testing

@testable import ControlPlane

private func change(_ key: String, guarding guards: [String] = [], bytes: Int = 10) -> Change {
  Change(
    compares: [.absent(key)] + guards.map { .present($0) },
    operations: [.put(key: key, value: [UInt8](repeating: 1, count: bytes))], writes: [])
}

@Suite struct PackerTests {
  @Test func `independent changes share a transaction up to the limit of operations`() {
    var packer = Packer()
    for number in 0..<ServerLimits.operationsPerTransaction {
      #expect(packer.accepts(change("/k/\(number)")))
    }
    #expect(!packer.accepts(change("/k/more")))
    #expect(packer.isFull)
  }

  @Test func `a compare that many share counts once`() {
    var packer = Packer()
    for number in 0..<(ServerLimits.operationsPerTransaction - 1) {
      #expect(packer.accepts(change("/k/\(number)", guarding: ["/leader"])))
    }
  }

  @Test func `changes that touch each other's keys are kept apart`() {
    var packer = Packer()
    #expect(packer.accepts(change("/a", guarding: ["/shared"])))
    #expect(!packer.accepts(change("/a")), "two writes of one key")
    #expect(!packer.accepts(change("/b", guarding: ["/a"])), "a guard on what another writes")
    #expect(!packer.accepts(change("/shared")), "a write of what another guards")
    #expect(packer.accepts(change("/c", guarding: ["/shared"])), "two guards on one key")
    #expect(!packer.isFull)
  }

  @Test func `bytes are bounded, but one large change goes alone`() {
    var packer = Packer()
    #expect(packer.accepts(change("/large", bytes: ServerLimits.bytesPerTransaction * 2)))
    #expect(!packer.accepts(change("/small")))
    #expect(packer.isFull)
  }
}
