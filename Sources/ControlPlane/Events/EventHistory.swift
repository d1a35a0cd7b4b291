import EtcdClient
import SchedulerCore

/// Changes that the ring holds no longer, from etcd itself: for a stream that resumes from before this server's
/// start, and for one whose reader has fallen behind.
///
/// It is read a piece at a time, each by a watch of its own that ends before the piece is sent: a slow reader
/// keeps nothing of etcd's or this server's busy. So many may read at a time; others wait for their turn.
struct EventHistory: Sendable {
  let store: any EtcdStore
  var hub: ChangeHub
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let metrics: ServerMetrics
  let turns = TurnQueue(places: ServerLimits.catchUps)

  /// A piece: every change after the position that was asked for, up to `upTo`.
  struct Piece: Sendable {
    var events: [WatchEvent] = []
    var upTo: Int64
  }

  /// Sees whether a stream can go on after `position`.
  /// - Throws: `ServiceError` OUT_OF_RANGE where changes after it are gone; INVALID_ARGUMENT where the cluster
  ///   has not come so far, asked of etcd itself: this server may lag behind the one that told the position.
  func check(_ position: Int64) async throws(ServiceError) {
    if let held = hub.held, held.contains(position) { return }
    let current: Int64
    do throws(EtcdError) {
      current = try await store.range(RangeRequest(.key(keyspace.meta), keysOnly: true)).revision
      if position < current { try await expectKept(after: position) }
    } catch {
      throw Self.failure(error, after: position)
    }
    guard position <= current else {
      throw .invalid(
        "start_revision", "is \(position), but the cluster has only come to \(current); take one that it told"
      )
    }
  }

  /// Throws `compacted` unless everything after a position is still there. A read at a revision before the
  /// compaction's is refused, while a watch from the compaction's own revision is not, though etcd may have
  /// dropped the deletion that was made at that revision.
  private func expectKept(after position: Int64) async throws(EtcdError) {
    _ = try await store.range(RangeRequest(.key(keyspace.meta), revision: position, keysOnly: true))
  }

  /// Reads the next piece after a position: until it is large, or has come to where the ring begins.
  func read(after position: Int64) async throws -> Piece {
    try await turns.take()
    defer { turns.giveBack() }
    metrics.eventCatchUps.add(1)
    // Where nothing happens, a watch tells nothing: a write of our own shows that it has come to the present.
    _ = await barrier.nudge()
    let watch = store.watch(WatchRequest(prefixes: [keyspace.root], startRevision: position + 1))
    let patience = Task {
      try await Task.sleep(for: ServerLimits.catchUpPatience)
      watch.cancel()
    }
    defer {
      patience.cancel()
      watch.cancel()
    }
    var piece = Piece(upTo: position)
    do throws(EtcdError) {
      try await fill(&piece, from: watch)
      // Asked after the watch has read: what is there now was there then.
      try await expectKept(after: position)
    } catch {
      throw Self.failure(error, after: position)
    }
    try Task.checkCancellation()
    guard piece.upTo > position else {
      throw ServiceError.unavailable("etcd does not tell past changes; try again")
    }
    return piece
  }

  private func fill(_ piece: inout Piece, from watch: any EtcdWatch) async throws(EtcdError) {
    let start = piece.upTo
    var bytes = 0
    while bytes < ServerLimits.eventPieceBytes, piece.events.count < ServerLimits.eventPieceCount {
      if piece.upTo > start, let held = hub.held, piece.upTo >= held.lowerBound { return }
      guard let batch = try await watch.next() else { return }
      let relevant = batch.events.filter(hub.isRelevant)
      piece.events += relevant
      bytes += relevant.reduce(0) { $0 + $1.cost }
      piece.upTo = max(piece.upTo, batch.revision)
    }
  }

  private static func failure(_ error: EtcdError, after position: Int64) -> ServiceError {
    guard error.code == .compacted else { return .unavailable("etcd cannot be read: \(error)") }
    return ServiceError(
      kind: .outOfRange, field: "start_revision",
      message:
        "changes after \(position) are no longer kept; list jobs and runs, and watch from the list's revision"
    )
  }
}
