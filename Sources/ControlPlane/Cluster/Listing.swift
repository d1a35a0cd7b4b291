import EtcdClient
import SchedulerCore

/// Brings everything that etcd holds at one revision to a replica.
///
/// Large prefixes are listed in pieces of whole segments, some at a time: etcd 3.4 counts all keys from a page's
/// first to the end of its range, so paging through a million keys in one range would cost the square of their
/// number. A replica that is warm gets the keys and revisions alone; values only of the pages where it lacks one.
struct Listing: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let decoder: RecordDecoder
  let revision: Int64
  let pageSize: Int64
  let isWarm: Bool

  /// Returns how many records the watch should have brought before and had not.
  func run() async throws(EtcdError) -> Int {
    var missed = 0
    for prefix in decoder.keyspace.state { missed += try await list(pieces(of: prefix)) }
    return missed
  }

  /// The ranges that make up a prefix, each of about a page.
  private func pieces(of prefix: String) async throws(EtcdError) -> [KeyRange] {
    let whole = KeyRange.prefix(prefix)
    guard decoder.keyspace.bySegment.contains(prefix) else { return [whole] }
    let count = try await store.range(RangeRequest(whole, revision: revision, countOnly: true)).count
    guard count > 0 else { return [] }
    let cuts = decoder.keyspace.cuts(of: prefix, pieces: Int(clamping: count / max(1, pageSize)) + 1)
    let starts = [whole.start] + cuts.map { Array($0.utf8) }
    return zip(starts, starts.dropFirst() + [whole.end]).map { KeyRange(start: $0, end: $1) }
  }

  /// Lists some ranges, a few at a time.
  private func list(_ ranges: [KeyRange]) async throws(EtcdError) -> Int {
    try await withTaskGroup(of: Result<Int, EtcdError>.self) { group in
      var waiting = ranges[...]
      for range in waiting.prefix(ServerLimits.listingPagesInFlight) { group.addTask { await list(range) } }
      waiting = waiting.dropFirst(ServerLimits.listingPagesInFlight)
      var missed = 0
      for await result in group {
        switch result {
        case .success(let count): missed += count
        case .failure:
          group.cancelAll()
          return result
        }
        if let range = waiting.popFirst() { group.addTask { await list(range) } }
      }
      return .success(missed)
    }.get()
  }

  private func list(_ range: KeyRange) async -> Result<Int, EtcdError> {
    var missed = 0
    do throws(EtcdError) {
      try await store.list(
        range, pageSize: pageSize, revision: revision, keysOnly: isWarm
      ) { page throws(EtcdError) in
        if let values = try await self.values(of: page) {
          missed += await replica.apply(listed: values.compactMap(decoder.listed), at: revision)
        }
      }
    } catch {
      return .failure(error)
    }
    return .success(missed)
  }

  /// The page with its values; nil where the replica has all of them.
  private func values(of page: [KeyValue]) async throws(EtcdError) -> [KeyValue]? {
    guard isWarm, let first = page.first, let last = page.last else { return page }
    let keys = page.map { (key: decoder.keyspace.parse($0.key), modRevision: $0.modRevision) }
    if await replica.confirm(listed: keys) { return nil }
    let range = KeyRange(start: Array(first.key.utf8), end: Array(last.key.utf8) + [0])
    return try await store.range(RangeRequest(range, revision: revision)).kvs
  }
}
