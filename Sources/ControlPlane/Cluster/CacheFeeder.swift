import EtcdClient
import Logging
import SchedulerCore

/// Keeps a replica's cache warm: lists everything, then watches from there; lists again when history
/// that it needs was compacted. Now and then, while the watch goes on, it compares the cache with a listing of keys and
/// revisions: a watch that has dropped something is replaced.
struct CacheFeeder: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let barrier: ReadBarrier
  let decoder: RecordDecoder
  let relistInterval: Duration
  let metrics: ServerMetrics
  let logger: Logger

  /// Runs until the task is cancelled.
  func run() async {
    var pause = ServerLimits.retryPause.lowerBound
    var pageSize = ServerLimits.listingPage
    while !Task.isCancelled {
      do throws(EtcdError) {
        let revision = try await list(pageSize: pageSize)
        pause = ServerLimits.retryPause.lowerBound
        try await watch(from: revision + 1)
      } catch  where error.code == .compacted {
        logger.notice("the watch fell behind a compaction; listing again", metadata: ["error": "\(error)"])
      } catch {
        if Task.isCancelled { return }
        // It may be that so many of these records, with large payloads, are more than one answer may hold.
        if error.code == .malformedResponse { pageSize = max(pageSize / 4, 16) }
        logger.warning("etcd cannot be listed or watched; trying again", metadata: ["error": "\(error)"])
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, ServerLimits.retryPause.upperBound)
      }
    }
  }

  /// Lists everything at one revision, and returns it.
  private func list(pageSize: Int64) async throws(EtcdError) -> Int64 {
    // The revision is fixed by a first small read, so that pages can be applied as they come.
    let revision = try await store.range(RangeRequest(.key(decoder.keyspace.meta))).revision
    let wasWarm = await replica.isWarm
    await replica.beginListing()
    let listing = Listing(
      store: store, replica: replica, decoder: decoder, revision: revision, pageSize: pageSize,
      purpose: wasWarm ? .heal : .fill)
    let missed = try await listing.run()
    var removed = 0
    var position = ClusterCache.SweepPosition()
    while let count = await replica.sweep(&position, at: revision) { removed += count }
    await replica.finishListing(at: revision)
    if wasWarm && missed > 0 {
      metrics.healedRecords.add(missed)
      logger.error(
        "a listing found records that the watch had not brought",
        metadata: ["missed": "\(missed)", "removed": "\(removed)"])
    }
    return revision
  }

  /// Applies events until the watch ends, or is found to have dropped some.
  private func watch(from start: Int64) async throws(EtcdError) {
    // One watcher for all, since what is written together has to be seen together; what lies between its
    // prefixes, checkpoints and idempotency records, is dropped undecoded.
    let prefixes = decoder.keyspace.state + [decoder.keyspace.syncs]
    let watch = store.watch(WatchRequest(prefixes: prefixes, startRevision: start))
    let comparisons = Task {
      while await isFaithful() {}
      watch.cancel()
    }
    let end = await follow(watch)
    watch.cancel()
    // A comparison that went on would mark records as brought by the listing that may follow.
    comparisons.cancel()
    await comparisons.value
    try end.get()
  }

  private func follow(_ watch: any EtcdWatch) async -> Result<Void, EtcdError> {
    do throws(EtcdError) {
      while let batch = try await watch.next() {
        metrics.watchEvents.add(batch.events.count)
        await replica.apply(batch.events, upTo: batch.revision)
      }
      return .success(())
    } catch {
      return .failure(error)
    }
  }

  /// After a while, whether the cache holds what etcd does. True where that cannot be told.
  private func isFaithful() async -> Bool {
    do {
      try await Task.sleep(for: relistInterval * Double.random(in: 0.8...1.2))
      return try await differences() == 0
    } catch let error as ServiceError {
      logger.warning("the watch stands still and is begun anew", metadata: ["error": "\(error)"])
      return false
    } catch {
      if Task.isCancelled { return false }
      logger.warning(
        "the copy of the cluster's state could not be compared with etcd; trying again later",
        metadata: ["error": "\(error)"])
      return true
    }
  }

  /// How many records the cache holds that etcd does not, or the other way round, as of one revision.
  /// - Throws: `ServiceError` when the watch does not come as far as etcd is; `EtcdError` when etcd cannot be listed.
  func differences() async throws -> Int {
    // From here on deletions are remembered: what the listing has and the cache has not may be gone since.
    await replica.beginComparison()
    var found = 0
    do {
      let revision = try await barrier.pass()
      let listing = Listing(
        store: store, replica: replica, decoder: decoder, revision: revision,
        pageSize: ServerLimits.listingPage,
        purpose: .compare)
      found = try await listing.run()
      var position = ClusterCache.SweepPosition()
      while let count = await replica.countUnlisted(&position, at: revision) { found += count }
    } catch {
      _ = await replica.endComparison()
      throw error
    }
    guard await replica.endComparison(), found > 0 else { return 0 }
    logger.error(
      "the watch has not brought everything and is begun anew", metadata: ["differences": "\(found)"])
    return found
  }
}
