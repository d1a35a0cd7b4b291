import EtcdClient
import SchedulerCore

/// Brings everything that etcd holds at one revision to a replica, or compares.
///
/// Large prefixes are listed in pieces of whole segments, some at a time: etcd 3.4 counts all keys from a page's
/// first to the end of its range, so paging through a million keys in one range would cost the square of their
/// number. A replica that is warm gets the keys and revisions alone; values only of the pages where it lacks one.
struct Listing: Sendable {
  /// What it is for.
  enum Purpose {
    /// To fill a copy that is empty.
    case fill
    /// To bring a copy up to date that no watch does at the time.
    case heal
    /// To see whether a watch, which goes on meanwhile, has brought everything: nothing is applied.
    case compare
  }

  let store: any EtcdStore
  let replica: Replica
  let decoder: RecordDecoder
  let revision: Int64
  let pageSize: Int64
  let purpose: Purpose

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
        range, pageSize: pageSize, revision: revision, keysOnly: purpose != .fill
      ) { page throws(EtcdError) in
        missed += try await take(page)
      }
    } catch {
      return .failure(error)
    }
    return .success(missed)
  }

  /// Returns how many of a page's records the replica should have had and had not.
  private func take(_ page: [KeyValue]) async throws(EtcdError) -> Int {
    guard purpose != .fill, let first = page.first, let last = page.last else {
      return await replica.apply(listed: page.compactMap(decoder.listed), at: revision)
    }
    let keys = page.map { (key: decoder.keyspace.parse($0.key), modRevision: $0.modRevision) }
    let lacking = await replica.confirm(listed: keys)
    if lacking.isEmpty { return 0 }
    if purpose == .compare {
      return try await isReadable(any: lacking.map { page[$0].key }) ? lacking.count : 0
    }
    let range = KeyRange(start: Array(first.key.utf8), end: Array(last.key.utf8) + [0])
    let values = try await store.range(RangeRequest(range, revision: revision)).kvs
    return await replica.apply(listed: values.compactMap(decoder.listed), at: revision)
  }

  /// Whether one of the keys has a record that can be read; what cannot be, no watch could bring.
  private func isReadable(any keys: [String]) async throws(EtcdError) -> Bool {
    for key in keys {
      let values = try await store.range(RangeRequest(.key(key), revision: revision)).kvs
      if values.contains(where: { decoder.listed($0) != nil }) { return true }
    }
    return false
  }
}
