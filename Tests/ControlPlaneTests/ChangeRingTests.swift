import EtcdClient
import Testing

@testable import ControlPlane

@Suite struct ChangeRingTests {
  /// An event of a revision; several of one revision differ by their key.
  private func event(_ revision: Int64, _ key: String = "k", bytes: Int = 1) -> WatchEvent {
    WatchEvent(
      kind: .put, kv: KeyValue(key: key, value: Array(repeating: 0, count: bytes), modRevision: revision))
  }

  /// Reads from a position to the end in pieces of `count`.
  private func readAll(_ ring: ChangeRing, after start: Int64, count: Int) -> [WatchEvent] {
    var (position, found) = (start, [WatchEvent]())
    while case .events(let events, let upTo) = ring.read(after: position, count: count, bytes: .max) {
      #expect(upTo > position, "a piece moves the position")
      #expect(events.allSatisfy { $0.kv.modRevision > position && $0.kv.modRevision <= upTo })
      found += events
      position = upTo
    }
    #expect(position == max(start, ring.head))
    return found
  }

  @Test func `from every position and in every size of piece, all is read once and in order`() {
    // Revisions 11, 12 (three keys), 14, 15 (two keys), 20: others concern nobody.
    let all = [
      event(11), event(12, "a"), event(12, "b"), event(12, "c"), event(14), event(15, "a"), event(15, "b"),
      event(20),
    ]
    // However the batches are cut, between revisions.
    for cut in [[20], [11, 20], [12, 14, 20], [11, 12, 14, 15, 20], [13, 16, 20]] as [[Int64]] {
      var ring = ChangeRing(after: 10)
      for upTo in cut { ring.append(all.filter { $0.kv.modRevision <= upTo }, upTo: upTo) }
      for start in Int64(10)...21 {
        let wanted = all.filter { $0.kv.modRevision > start }
        for count in 1...9 { #expect(readAll(ring, after: start, count: count) == wanted) }
      }
    }
  }

  @Test func `a piece never ends within a revision`() {
    var ring = ChangeRing(after: 0)
    ring.append((0..<10).map { event(1, "k\($0)") } + [event(2)], upTo: 2)
    guard case .events(let events, 1) = ring.read(after: 0, count: 1, bytes: 1) else {
      Issue.record("no events up to 1")
      return
    }
    #expect(events.count == 10)
    #expect(ring.read(after: 1, count: 1, bytes: 1) == .events([event(2)], upTo: 2))
  }

  @Test func `a ring that is told the same again keeps it once`() {
    var ring = ChangeRing(after: 5)
    ring.append([event(5), event(6)], upTo: 7)
    ring.append([event(6), event(7), event(8)], upTo: 8)
    #expect(readAll(ring, after: 5, count: 1).map(\.kv.modRevision) == [6, 8])
  }

  @Test func `what no longer fits leaves by whole revisions, and older positions are told so`() {
    var ring = ChangeRing(after: 0, bounds: .init(count: 4, bytes: .max))
    ring.append([event(1, "a"), event(1, "b"), event(2), event(3)], upTo: 3)
    #expect(ring.floor == 0)
    ring.append([event(4)], upTo: 4)
    #expect(ring.floor == 1)
    #expect(ring.read(after: 0, count: 9, bytes: .max) == .tooOld(floor: 1))
    #expect(readAll(ring, after: 1, count: 9).map(\.kv.modRevision) == [2, 3, 4])
  }

  @Test func `it is bounded by bytes, and a revision that is larger than all of it is not kept`() {
    var ring = ChangeRing(after: 0, bounds: .init(count: .max, bytes: 1_000))
    ring.append([event(1, bytes: 500), event(2, bytes: 500)], upTo: 2)
    #expect(ring.floor == 1)
    ring.append([event(3, bytes: 5_000)], upTo: 3)
    #expect((ring.floor, ring.head) == (3, 3))
    #expect(ring.read(after: 2, count: 9, bytes: .max) == .tooOld(floor: 3))
    #expect(ring.read(after: 3, count: 9, bytes: .max) == .nothingNew(head: 3))
  }

  @Test func `a position ahead of the ring waits, and is not told what it has`() {
    var ring = ChangeRing(after: 0)
    ring.append([event(1)], upTo: 1)
    #expect(ring.read(after: 5, count: 9, bytes: .max) == .nothingNew(head: 1))
    ring.append([event(4), event(6)], upTo: 6)
    #expect(ring.read(after: 5, count: 9, bytes: .max) == .events([event(6)], upTo: 6))
  }
}

@Suite struct TurnQueueTests {
  @Test func `as many are let in as there are places, then in turn`() async throws {
    let turns = TurnQueue(places: 2)
    try await turns.take()
    try await turns.take()
    let third = Task { try await turns.take() }
    let fourth = Task { try await turns.take() }
    third.cancel()
    await #expect(throws: CancellationError.self) { try await third.value }
    turns.giveBack()
    try await fourth.value
    turns.giveBack()
    turns.giveBack()
    try await turns.take()
    try await turns.take()
  }
}
