import EtcdClient
import Testing

@testable import ControlPlane

private func change(_ key: String, guarding guards: [String] = [], bytes: Int = 10) -> Change {
  Change(
    compares: [.absent(key)] + guards.map { .present($0) },
    operations: [.put(key: key, value: [UInt8](repeating: 1, count: bytes))], writes: [])
}

extension Packer {
  /// `accepts`, for `#expect`, which cannot call mutating methods.
  fileprivate static func offer(_ packer: inout Packer, _ change: Change) -> Bool { packer.accepts(change) }
}

@Suite struct PackerTests {
  @Test func `independent changes share a transaction up to the limit of operations`() {
    var packer = Packer()
    for number in 0..<ServerLimits.operationsPerTransaction {
      #expect(Packer.offer(&packer, change("/k/\(number)")))
    }
    #expect(!Packer.offer(&packer, change("/k/more")))
    #expect(packer.isFull)
  }

  @Test func `a compare that many share counts once`() {
    var packer = Packer()
    for number in 0..<(ServerLimits.operationsPerTransaction - 1) {
      #expect(Packer.offer(&packer, change("/k/\(number)", guarding: ["/leader"])))
    }
  }

  @Test func `changes that touch each other's keys are kept apart`() {
    var packer = Packer()
    #expect(Packer.offer(&packer, change("/a", guarding: ["/shared"])))
    #expect(!Packer.offer(&packer, change("/a")), "two writes of one key")
    #expect(!Packer.offer(&packer, change("/b", guarding: ["/a"])), "a guard on what another writes")
    #expect(!Packer.offer(&packer, change("/shared")), "a write of what another guards")
    #expect(Packer.offer(&packer, change("/c", guarding: ["/shared"])), "two guards on one key")
    #expect(!packer.isFull)
  }

  @Test func `bytes are bounded, but one large change goes alone`() {
    var packer = Packer()
    #expect(Packer.offer(&packer, change("/large", bytes: ServerLimits.bytesPerTransaction * 2)))
    #expect(!Packer.offer(&packer, change("/small")))
    #expect(packer.isFull)
  }
}
