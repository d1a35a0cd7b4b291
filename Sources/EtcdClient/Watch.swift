/// What to watch.
public struct WatchRequest: Sendable, Hashable {
  /// How several ranges share a watch.
  public enum Grouping: Sendable, Hashable {
    /// One etcd watcher over the smallest range that covers all of them; keys in between are dropped here,
    /// undecoded. All events of one revision arrive in one batch, over all ranges.
    case covering
    /// One etcd watcher per range. For ranges that lie far apart or that the user has separate permissions for:
    /// the events of one revision are whole per range, but those of different ranges may come in several batches,
    /// in either order.
    case separate
  }

  /// Which keys.
  public var ranges: [KeyRange]
  /// First revision wanted; 0 begins with the next change.
  public var startRevision: Int64
  /// Asks etcd for a sign of progress when nothing changes (every 10 minutes by default).
  public var progressNotify: Bool
  /// How several ranges are watched.
  public var grouping: Grouping
  /// When nothing at all was received for this long the watch reconnects, from the next revision: a stream may
  /// hang without an error. Nil never does. Harmless on quiet ranges, so below a few seconds only costs work.
  public var idleReconnect: Duration?

  /// Makes a watch of ranges.
  public init(
    ranges: [KeyRange], startRevision: Int64 = 0, progressNotify: Bool = true, grouping: Grouping = .covering,
    idleReconnect: Duration? = .seconds(60)
  ) {
    self.ranges = ranges
    self.startRevision = startRevision
    self.progressNotify = progressNotify
    self.grouping = grouping
    self.idleReconnect = idleReconnect
  }

  /// Makes a watch of prefixes.
  public init(prefixes: [String], startRevision: Int64 = 0, progressNotify: Bool = true) {
    self.init(
      ranges: prefixes.map { .prefix($0) }, startRevision: startRevision, progressNotify: progressNotify)
  }
}

/// One change of one key.
public struct WatchEvent: Sendable, Hashable {
  /// What happened.
  public enum Kind: Sendable { case put, delete }
  /// What happened.
  public var kind: Kind
  /// The pair after a put; after a delete, key and `modRevision` (of the deletion) only.
  public var kv: KeyValue
  /// Makes an event.
  public init(kind: Kind, kv: KeyValue) {
    self.kind = kind
    self.kv = kv
  }
}

/// Events in the order of revisions, never half a revision (see ``WatchRequest/Grouping``).
public struct WatchBatch: Sendable, Hashable {
  /// Everything up to and including this revision has been delivered, with this batch.
  public var revision: Int64
  /// The events; empty in a progress batch.
  public var events: [WatchEvent]
  /// Nothing happened; the revision alone has moved (or the watch has just been established).
  public var isProgress: Bool
  /// Makes a batch.
  public init(revision: Int64, events: [WatchEvent] = [], isProgress: Bool = false) {
    self.revision = revision
    self.events = events
    self.isProgress = isProgress
  }
}

/// A running watch, which resumes by itself, by revision, on any endpoint. One reader at a time.
public protocol EtcdWatch: AnyObject, Sendable {
  /// Waits for the next batch; nil after ``cancel()``.
  ///
  /// Cancelling the calling task ends the watch.
  ///
  /// - Throws: ``EtcdError``, after which the watch is over. With code `compacted` the next revision no longer
  ///   exists: list again and start a new watch from the list's revision + 1.
  func next() async throws(EtcdError) -> WatchBatch?

  /// Ends the watch.
  func cancel()
}
