import EtcdClient
import Testing

/// What only the fake can do: faults and time on demand.
@Suite struct FakeTests {
  @Test func lostResponseWasApplied() async throws {
    let store = FakeEtcd()
    store.inject(.loseResponse, on: [.put])
    let error = await failure { try await store.put("k", [1]) }
    #expect(error?.outcome == .unknown)
    let kv = try await store.get("k")
    #expect(kv?.value == [1])
  }

  @Test func lostRequestAndRefusalWereNot() async throws {
    let store = FakeEtcd()
    store.inject(.loseRequest, on: [.txn])
    store.inject(.failBefore(.noSpace), on: [.txn])
    let request = TxnRequest(success: [.put(key: "k", value: [])])
    let lost = await failure { try await store.txn(request) }
    #expect(lost?.outcome == .unknown)
    let refused = await failure { try await store.txn(request) }
    #expect(refused?.outcome == .notApplied)
    #expect(refused?.code == .noSpace)
    let kv = try await store.get("k")
    #expect(kv == nil)
    #expect(store.count(of: .txn) == 2)
  }

  @Test func leasesEndWhenTimePasses() async throws {
    let store = FakeEtcd()
    let lease = try await store.leaseGrant(ttlSeconds: 6)
    try await store.put("k", [], lease: lease.id)
    store.advance(by: .seconds(5))
    let renewed = try await store.leaseKeepAlive(lease.id)
    #expect(renewed == 6)
    store.advance(by: .seconds(5))
    let alive = try await store.get("k")
    #expect(alive != nil)
    store.advance(by: .seconds(1))
    let dead = try await store.get("k")
    #expect(dead == nil)
  }

  @Test func watchesStallLoseAndCompact() async throws {
    let store = FakeEtcd()
    let watch = store.watch(WatchRequest(prefixes: ["k"]))
    _ = try await watch.next()
    store.loseWatchRevisions(1)
    try await store.put("k1", [])
    let revision = try await store.put("k2", [])
    let seen = try await watch.next()
    #expect(seen?.events.map(\.kv.key) == ["k2"])
    #expect(seen?.revision == revision)
    store.sendProgress()
    let progress = try await watch.next()
    #expect(progress == WatchBatch(revision: revision, isProgress: true))
    store.stallWatches(true)
    try await store.put("k3", [])
    let last = try await store.put("k4", [])
    try await store.compact(revision: last, physical: false)
    store.stallWatches(false)
    let error = await failure { _ = try await watch.next() }
    #expect(error?.code == .compacted)
    #expect(error?.compactRevision == last)
  }

  @Test func unavailable() async throws {
    let store = FakeEtcd()
    store.setUnavailable(true)
    let error = await failure { _ = try await store.get("k") }
    #expect(error?.code == .unavailable)
    store.setUnavailable(false)
    let kv = try await store.get("k")
    #expect(kv == nil)
  }
}
