import EtcdClient
import Foundation
import Testing

/// The store under test: everything here must hold for the fake and for a real etcd alike.
enum StoreKind: CaseIterable, Sendable {
  case fake, real

  func with(_ body: (any EtcdStore, _ prefix: String) async throws -> Void) async throws {
    let prefix = "/test-\(UUID().uuidString)/"
    switch self {
    case .fake: try await body(FakeEtcd(), prefix)
    case .real:
      let client = try await EtcdProcess.conformance.value.client()
      do { try await body(client, prefix) } catch {
        await client.shutdown()
        throw error
      }
      await client.shutdown()
    }
  }
}

func failure(_ body: () async throws -> Void) async -> EtcdError? {
  do {
    try await body()
    return nil
  } catch { return error as? EtcdError }
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite(.serialized) struct ConformanceTests {
  @Test(arguments: StoreKind.allCases) func putGetDelete(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let key = prefix + "a"
      let first = try await store.put(key, bytes("1"))
      let second = try await store.put(key, bytes(""))
      #expect(second == first + 1)
      let kv = try await store.get(key)
      #expect(
        kv == KeyValue(key: key, value: [], createRevision: first, modRevision: second, version: 2, lease: 0))
      let deleted = try await store.delete(.prefix(prefix))
      #expect(deleted == DeleteResponse(deleted: 1, revision: second + 1))
      #expect(try await store.get(key) == nil)
      let again = try await store.delete(.key(key))
      #expect(again == DeleteResponse(deleted: 0, revision: second + 1))
      let third = try await store.put(key, bytes("3"))
      #expect(try await store.get(key)?.createRevision == third)
      #expect(try await store.get(key)?.version == 1)
    }
  }

  @Test(arguments: StoreKind.allCases) func everyByteSurvives(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      for count in [0, 1, 2, 3, 255, 256, 100_000] {
        let value = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await store.put(prefix + "v", value)
        #expect(try await store.get(prefix + "v")?.value == value)
      }
      // Canonically equivalent strings are different keys.
      let keys = ["e\u{301}", "\u{e9}", "日本", "\u{1F680}", "\"\\<>&", "\u{0}\n"]
      for key in keys { try await store.put(prefix + key, bytes(key)) }
      for key in keys {
        #expect(try await store.get(prefix + key)?.value == bytes(key))
      }
    }
  }

  @Test(arguments: StoreKind.allCases) func rangeOptions(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      for key in ["c", "a", "b", "ab"] { try await store.put(prefix + key, bytes(key)) }
      let revision = try await store.put(prefix + "a", bytes("zz"))
      try await store.put(prefix + "d", bytes("d"))
      func keys(_ request: RangeRequest) async throws -> [String] {
        try await store.range(request).kvs.map { String($0.key.dropFirst(prefix.count)) }
      }
      #expect(try await keys(RangeRequest(.prefix(prefix))) == ["a", "ab", "b", "c", "d"])
      #expect(try await keys(RangeRequest(.prefix(prefix), revision: revision)) == ["a", "ab", "b", "c"])
      #expect(try await keys(RangeRequest(.range(prefix + "ab", prefix + "c"))) == ["ab", "b"])
      #expect(try await keys(RangeRequest(.key(prefix + "ab"))) == ["ab"])
      #expect(try await keys(RangeRequest(.from(prefix + "c"), limit: 2)) == ["c", "d"])
      let limited = try await store.range(RangeRequest(.prefix(prefix), limit: 2))
      #expect(limited.kvs.count == 2 && limited.more && limited.count == 5)
      let exact = try await store.range(RangeRequest(.prefix(prefix), limit: 5))
      #expect(exact.kvs.count == 5 && !exact.more)
      let counted = try await store.range(RangeRequest(.prefix(prefix), countOnly: true))
      #expect(counted.kvs.isEmpty && counted.count == 5)
      let bare = try await store.range(RangeRequest(.prefix(prefix), keysOnly: true))
      #expect(bare.kvs.allSatisfy { $0.value.isEmpty && $0.modRevision > 0 })
      let byMod = RangeRequest(.prefix(prefix), sort: .init(by: .modRevision, descending: true))
      #expect(try await keys(byMod) == ["d", "a", "ab", "b", "c"])
      let byCreate = RangeRequest(.prefix(prefix), limit: 1, sort: .init(by: .createRevision))
      #expect(try await keys(byCreate) == ["c"])
      let byValue = RangeRequest(.prefix(prefix), serializable: true, sort: .init(by: .value))
      #expect(try await keys(byValue) == ["ab", "b", "c", "d", "a"])
    }
  }

  @Test(arguments: StoreKind.allCases) func listsAtOneRevision(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      for index in 0..<25 { try await store.put(prefix + String(index + 100), bytes("x")) }
      let before = try await store.range(RangeRequest(.key(prefix))).revision
      var seen: [String] = []
      var pages = 0
      let revision = try await store.list(prefix: prefix, pageSize: 10) { page throws(EtcdError) in
        pages += 1
        seen += page.map(\.key)
        // A key that did not exist when the listing began, past its position.
        try await store.put(prefix + "9\(pages)", bytes("late"))
      }
      #expect(revision == before)
      #expect(seen == (0..<25).map { prefix + String($0 + 100) })
      #expect(pages == 3)
    }
  }

  @Test(arguments: StoreKind.allCases) func compares(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let lease = try await store.leaseGrant(ttlSeconds: 100)
      let key = prefix + "k"
      let created = try await store.put(key, bytes("b"), lease: lease.id)
      let modified = try await store.put(key, bytes("b"), lease: lease.id)
      func holds(_ compare: Compare) async throws -> Bool {
        try await store.txn(TxnRequest(compares: [compare])).succeeded
      }
      let cases: [(Compare.Target, Compare.Target, Compare.Target)] = [
        (.createRevision(created - 1), .createRevision(created), .createRevision(created + 1)),
        (.modRevision(modified - 1), .modRevision(modified), .modRevision(modified + 1)),
        (.version(1), .version(2), .version(3)),
        (.value(bytes("a")), .value(bytes("b")), .value(bytes("ba"))),
        (.lease(lease.id - 1), .lease(lease.id), .lease(lease.id + 1)),
      ]
      for (low, same, high) in cases {
        #expect(try await holds(Compare(key, .greater, low)))
        #expect(try await !holds(Compare(key, .less, low)))
        #expect(try await holds(Compare(key, .equal, same)))
        #expect(try await !holds(Compare(key, .notEqual, same)))
        #expect(try await holds(Compare(key, .less, high)))
        #expect(try await holds(Compare(key, .notEqual, high)))
      }
      let missing = prefix + "missing"
      #expect(try await holds(.absent(missing)))
      #expect(try await !holds(.present(missing)))
      #expect(try await !holds(Compare(missing, .notEqual, .value(bytes("x")))))
      #expect(try await holds(.present(key)))
      #expect(try await holds(.unchanged(key, since: modified)))
      try await store.leaseRevoke(lease.id)
    }
  }

  @Test(arguments: StoreKind.allCases) func transactionsAreAtomic(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      try await store.put(prefix + "old", bytes("1"))
      let done = try await store.txn(
        TxnRequest(
          compares: [.absent(prefix + "new")],
          success: [
            .put(key: prefix + "new", value: bytes("2")), .delete(.key(prefix + "old")),
            .range(RangeRequest(.prefix(prefix))),
          ], failure: [.range(RangeRequest(.key(prefix + "new")))]))
      #expect(done.succeeded)
      let kv = KeyValue(
        key: prefix + "new", value: bytes("2"), createRevision: done.revision, modRevision: done.revision,
        version: 1)
      let seen = RangeResponse(kvs: [kv], count: 1, revision: done.revision)
      #expect(done.responses == [.put, .delete(deleted: 1), .range(seen)])
      let refused = try await store.txn(
        TxnRequest(
          compares: [.absent(prefix + "new")], success: [.put(key: prefix + "x", value: [])],
          failure: [.range(RangeRequest(.key(prefix + "new")))]))
      #expect(!refused.succeeded)
      #expect(refused.revision == done.revision)
      #expect(refused.responses == [.range(seen)])
    }
  }

  @Test(arguments: StoreKind.allCases) func refusalsNameTheirCodeAndApplyNothing(kind: StoreKind) async throws
  {
    try await kind.with { (store, prefix) async throws in
      func put(_ index: Int) -> TxnOperation { .put(key: prefix + String(index), value: [1]) }
      let cases: [(EtcdError.Code, TxnRequest)] = [
        (.tooManyOperations, TxnRequest(success: (0..<129).map(put))),
        (.invalid, TxnRequest(success: [put(1), put(1)])),
        (.invalid, TxnRequest(success: [put(1), .delete(.prefix(prefix))])),
        (.invalid, TxnRequest(success: [.put(key: "", value: [])])),
        (.leaseNotFound, TxnRequest(success: [put(1), .put(key: prefix + "l", value: [], lease: 77)])),
        (.futureRevision, TxnRequest(success: [put(1), .range(RangeRequest(.key("x"), revision: 1 << 40))])),
      ]
      for (code, request) in cases {
        let error = await failure { try await store.txn(request) }
        #expect(error?.code == code, "\(String(describing: error))")
        #expect(error?.outcome == .notApplied)
      }
      #expect(try await store.range(RangeRequest(.prefix(prefix))).count == 0)
      #expect(try await store.txn(TxnRequest(success: (0..<128).map(put))).responses.count == 128)
      let future = await failure { _ = try await store.range(RangeRequest(.key("x"), revision: 1 << 40)) }
      #expect(future?.code == .futureRevision)
    }
  }

  @Test(arguments: StoreKind.allCases) func leases(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let lease = try await store.leaseGrant(ttlSeconds: 60)
      #expect(lease.id != 0 && lease.ttlSeconds == 60)
      let own = try await store.leaseGrant(ttlSeconds: 30, id: lease.id + 1)
      #expect(own.id == lease.id + 1)
      let twice = await failure { _ = try await store.leaseGrant(ttlSeconds: 30, id: lease.id) }
      #expect(twice?.code == .leaseExists)
      try await store.put(prefix + "b", [], lease: lease.id)
      try await store.put(prefix + "a", [], lease: lease.id)
      try await store.put(prefix + "moved", [], lease: lease.id)
      try await store.put(prefix + "moved", [], lease: own.id)
      #expect(try await store.leaseKeepAlive(lease.id) == 60)
      let status = try await store.leaseTimeToLive(lease.id, keys: true)
      #expect(status.grantedTTLSeconds == 60 && (58...60).contains(status.ttlSeconds))
      #expect(status.keys.sorted() == [prefix + "a", prefix + "b"])
      let before = try await store.range(RangeRequest(.key(prefix))).revision
      try await store.leaseRevoke(lease.id)
      let left = try await store.range(RangeRequest(.prefix(prefix)))
      #expect(left.kvs.map(\.key) == [prefix + "moved"])
      #expect(left.revision == before + 1)
      #expect(try await store.leaseKeepAlive(lease.id) == 0)
      #expect(try await store.leaseTimeToLive(lease.id).ttlSeconds == -1)
      let gone = await failure { try await store.leaseRevoke(lease.id) }
      #expect(gone?.code == .leaseNotFound)
      try await store.leaseRevoke(own.id)
    }
  }

  @Test(arguments: StoreKind.allCases) func expiredLeaseDeletesItsKeys(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let lease = try await store.leaseGrant(ttlSeconds: 1)
      let revision = try await store.put(prefix + "k", [1], lease: lease.id)
      let watch = store.watch(WatchRequest(prefixes: [prefix], startRevision: revision + 1))
      (store as? FakeEtcd)?.advance(by: .seconds(lease.ttlSeconds))
      let events = try await watch.events(1)
      #expect(events.map(\.kind) == [.delete])
      #expect(events.map(\.kv.key) == [prefix + "k"])
      #expect(try await store.leaseKeepAlive(lease.id) == 0)
    }
  }

  @Test(arguments: StoreKind.allCases) func watchesHistoryAndNews(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let first = try await store.put(prefix + "a", bytes("1"))
      try await store.put(prefix + "a", bytes("2"))
      try await store.delete(.key(prefix + "a"))
      let watch = store.watch(WatchRequest(prefixes: [prefix], startRevision: first + 1))
      let start = try await watch.next()
      #expect(start == WatchBatch(revision: first, isProgress: true))
      let events = try await watch.events(2)
      #expect(events.map(\.kind) == [.put, .delete])
      #expect(events[0].kv.value == bytes("2") && events[0].kv.version == 2)
      #expect(events[1].kv.modRevision == first + 2 && events[1].kv.value.isEmpty)
      let put = try await store.put(prefix + "b", bytes("3"))
      let batch = try await watch.next()
      #expect(batch?.revision == put)
      #expect(batch?.events.map(\.kv.key) == [prefix + "b"])
      watch.cancel()
      #expect(try await watch.next() == nil)
    }
  }

  @Test(arguments: StoreKind.allCases) func watchFromNowMissesNothing(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      try await store.put(prefix + "before", [])
      let watch = store.watch(WatchRequest(prefixes: [prefix]))
      let start = try await watch.next()
      #expect(start?.isProgress == true)
      let revision = try await store.put(prefix + "after", [])
      #expect(start?.revision == revision - 1)
      #expect(try await watch.next()?.events.map(\.kv.key) == [prefix + "after"])
    }
  }

  @Test(arguments: StoreKind.allCases) func oneRevisionIsOneBatchOverAllRanges(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let request = WatchRequest(prefixes: [prefix + "x/", prefix + "a/"])
      let watch = store.watch(request)
      _ = try await watch.next()
      for round in 0..<50 {
        try await store.put(prefix + "m/\(round)", bytes("between"))
        let done = try await store.txn(
          TxnRequest(success: [
            .put(key: prefix + "x/\(round)", value: [1]), .put(key: prefix + "m/other", value: [2]),
            .put(key: prefix + "a/\(round)", value: [3]),
          ]))
        let batch = try await watch.next()
        #expect(batch?.revision == done.revision)
        #expect(batch?.events.map(\.kv.key).sorted() == [prefix + "a/\(round)", prefix + "x/\(round)"])
      }
    }
  }

  @Test(arguments: StoreKind.allCases) func separateRanges(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let watch = store.watch(
        WatchRequest(ranges: [.prefix(prefix + "a/"), .key(prefix + "z")], grouping: .separate))
      _ = try await watch.next()
      try await store.put(prefix + "m", [])
      try await store.put(prefix + "a/1", [])
      try await store.put(prefix + "z", [])
      try await store.put(prefix + "zz", [])
      try await store.put(prefix + "a/2", [])
      #expect(
        try await watch.events(3).map(\.kv.key).sorted() == [prefix + "a/1", prefix + "a/2", prefix + "z"])
    }
  }

  @Test(arguments: StoreKind.allCases) func cancellingTheTaskEndsTheWatch(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let watch = store.watch(WatchRequest(prefixes: [prefix]))
      _ = try await watch.next()
      let task = Task { try await watch.next() }
      task.cancel()
      #expect(try await task.value == nil)
    }
  }

  @Test(arguments: StoreKind.allCases) func compaction(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let first = try await store.put(prefix + "a", bytes("1"))
      try await store.put(prefix + "gone", bytes("1"))
      try await store.delete(.key(prefix + "gone"))
      let last = try await store.put(prefix + "a", bytes("2"))
      try await store.compact(revision: last, physical: true)
      let old = await failure { _ = try await store.range(RangeRequest(.key(prefix + "a"), revision: first)) }
      #expect(old?.code == .compacted)
      #expect(try await store.range(RangeRequest(.key(prefix + "a"), revision: last)).kvs.count == 1)
      let again = await failure { try await store.compact(revision: first, physical: false) }
      #expect(again?.code == .compacted)
      let future = await failure { try await store.compact(revision: last + 100, physical: false) }
      #expect(future?.code == .futureRevision)
      let watch = store.watch(WatchRequest(prefixes: [prefix], startRevision: first))
      let error = await failure { while try await watch.next() != nil {} }
      #expect(error?.code == .compacted)
      #expect(error?.compactRevision == last)
      let repeated = await failure { _ = try await watch.next() }
      #expect(repeated?.code == .compacted)
    }
  }

  @Test(arguments: StoreKind.allCases) func election(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let leases = [try await store.leaseGrant(ttlSeconds: 60), try await store.leaseGrant(ttlSeconds: 60)]
      let a = Election(store: store, prefix: prefix + "leader", leaseID: leases[0].id)
      let b = Election(store: store, prefix: prefix + "leader", leaseID: leases[1].id)
      #expect(try await a.leader() == nil)
      let first = try await a.campaign(bytes("a"))
      let second = try await b.campaign(bytes("b"))
      #expect(first.createRevision < second.createRevision)
      #expect(first.key == prefix + "leader/" + String(leases[0].id, radix: 16))
      #expect(try await a.isLeader(first))
      #expect(try await !b.isLeader(second))
      #expect(try await a.campaign(bytes("a2")) == first)
      #expect(try await a.leader()?.value == bytes("a2"))
      try await a.resign(first)
      #expect(try await b.isLeader(second))
      try await b.proclaim(bytes("b2"), as: second)
      #expect(try await a.leader()?.value == bytes("b2"))
      let over = await failure { try await a.proclaim(bytes("x"), as: first) }
      #expect(over?.code == .notFound)
      for lease in leases { try await store.leaseRevoke(lease.id) }
      #expect(try await a.leader() == nil)
    }
  }

  @Test(arguments: StoreKind.allCases) func maintenance(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      let revision = try await store.put(prefix + "k", [])
      let status = try await store.status()
      #expect(status.version.hasPrefix("3."))
      #expect(status.revision == revision)
      #expect(status.leader == status.memberID && status.leader != 0)
      let members = try await store.members()
      #expect(members.map(\.id) == [status.memberID])
      let member = try #require(members.first)
      #expect(!member.name.isEmpty && !member.isLearner)
      let url = try #require(member.clientURLs.first)
      let own = try await store.status(at: url + "/")
      #expect(own.memberID == member.id && own.leader == status.leader && own.version == status.version)
      #expect(try await store.alarms().isEmpty)
      try await store.defragment(at: url)
    }
  }
}

/// What Rota's leader relies on when it gives a segment to a server.
extension ConformanceTests {
  /// Attaching a key to a lease that is gone, inside a transaction, stops etcd 3.4 with a panic. A compare of the
  /// lease of a key that hangs on it keeps every such transaction from getting so far, whenever the lease goes.
  @Test(arguments: StoreKind.allCases) func aPutOnALeaseThatGoesMeanwhile(kind: StoreKind) async throws {
    try await kind.with { (store, prefix) async throws in
      for round in 0..<40 {
        let key = prefix + "server"
        let lease = try await store.leaseGrant(ttlSeconds: 60).id
        try await store.put(key, bytes("\(round)"), lease: lease)
        let outcomes = try await withThrowingTaskGroup(of: Bool?.self) { group in
          for number in 0..<8 {
            let request = TxnRequest(
              compares: [Compare(key, .equal, .lease(lease))],
              success: [.put(key: prefix + "segment\(number)", value: [], lease: lease)])
            group.addTask { try await store.txn(request).succeeded }
            if number == round % 8 {
              group.addTask {
                try await store.leaseRevoke(lease)
                return nil
              }
            }
          }
          return try await group.reduce(into: [Bool]()) { if let outcome = $1 { $0.append(outcome) } }
        }
        #expect(outcomes.count == 8)
        #expect(try await store.range(RangeRequest(.prefix(prefix))).kvs.isEmpty, "all went with the lease")
        // After the lease, and after the server has come back with another one, nothing of the old gets through.
        let late = TxnRequest(
          compares: [Compare(key, .equal, .lease(lease))],
          success: [.put(key: prefix + "late", value: [], lease: lease)])
        #expect(try await !store.txn(late).succeeded)
        let next = try await store.leaseGrant(ttlSeconds: 60).id
        try await store.put(key, bytes("again"), lease: next)
        #expect(try await !store.txn(late).succeeded)
        try await store.leaseRevoke(next)
      }
      #expect(try await store.status().leader != 0, "etcd is alive")
    }
  }
}

extension EtcdWatch {
  /// Reads until that many events have come.
  func events(_ count: Int) async throws -> [WatchEvent] {
    var events: [WatchEvent] = []
    while events.count < count, let batch = try await next() { events += batch.events }
    return events
  }
}
