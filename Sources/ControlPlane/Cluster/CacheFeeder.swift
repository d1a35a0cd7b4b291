import EtcdClient
import Logging
import SchedulerCore

/// Keeps a replica's cache warm: lists everything, then watches from there; lists again when history
/// that it needs was compacted, and now and then anyway, to heal what a watch may have dropped.
struct CacheFeeder: Sendable {
  let store: any EtcdStore
  let replica: Replica
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
      isWarm: wasWarm)
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

  /// Applies events until the watch ends. A clock beside it calls for a fresh listing now and then:
  /// the watch is then left where it is and another one starts from the listing.
  private func watch(from start: Int64) async throws(EtcdError) {
    // One watcher for all, since what is written together has to be seen together; what lies between its
    // prefixes, checkpoints and idempotency records, is dropped undecoded.
    let prefixes = decoder.keyspace.state + [decoder.keyspace.syncs]
    let watch = store.watch(WatchRequest(prefixes: prefixes, startRevision: start))
    let interval = relistInterval * Double.random(in: 0.8...1.2)
    let relist = Task {
      try await Task.sleep(for: interval)
      watch.cancel()
    }
    defer { relist.cancel() }
    defer { watch.cancel() }
    while let batch = try await watch.next() {
      metrics.watchEvents.add(batch.events.count)
      await replica.apply(batch.events, upTo: batch.revision)
    }
  }
}
