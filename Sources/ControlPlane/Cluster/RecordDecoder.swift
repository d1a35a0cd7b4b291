import EtcdClient
import Logging
import SchedulerCore

/// Turns pairs from etcd into changes of the cache.
struct RecordDecoder: Sendable {
  let keyspace: Keyspace
  let metrics: ServerMetrics
  let logger: Logger

  /// The change that a pair means; nil for a key that is no state, and for a value that cannot be
  /// read, which is logged and counted: one broken record must not stop the others.
  func change(for pair: KeyValue) -> CacheChange? { change(for: pair, keyspace.parse(pair.key)) }

  /// As `change(for:)`, of a key that has been parsed.
  func change(for pair: KeyValue, _ key: ParsedKey) -> CacheChange? {
    read(pair) {
      switch key {
      case .job(let key): .job(key, pair.versioned(try JobRecord(decoding: pair.value, key: key)))
      case .run(let key): .run(key, pair.versioned(try RunRecord(decoding: pair.value, key: key)))
      case .agent(let id): .agent(id, pair.versioned(try AgentRecord(decoding: pair.value, key: id)))
      case .server(let id): .server(id, pair.versioned(try ServerRecord(decoding: pair.value, key: id)))
      case .leader(let lease): .leader(lease: lease, pair.versioned(try ServerRecord(decoding: pair.value)))
      case .segment(let number): .segment(number, pair.versioned(try SegmentRecord(decoding: pair.value)))
      case .group(let key):
        .group(key, pair.versioned(try GroupRecord(decoding: pair.value, key: key)))
      case .calendar(let key):
        .calendar(key, pair.versioned(try CalendarRecord(decoding: pair.value, key: key)))
      case .backfill(let key):
        .backfill(key, pair.versioned(try BackfillRecord(decoding: pair.value, key: key)))
      case .queue(let name):
        .queue(name, pair.versioned(try QueueRecord(decoding: pair.value, name: name)))
      case .drain(let id): .drain(id, pair.versioned(try DrainRecord(decoding: pair.value)))
      case .quota(let namespace):
        .quota(namespace, pair.versioned(try QuotaRecord(decoding: pair.value, namespace: namespace)))
      case .meta, .other: nil
      }
    }
  }

  /// As `change(for:)`, of a pair of a listing: jobs come packed.
  func listed(_ pair: KeyValue) -> CacheChange? {
    let key = keyspace.parse(pair.key)
    guard case .job(let job) = key else { return change(for: pair, key) }
    return read(pair) {
      .listedJob(job, pair.versioned(try PackedJob(decoding: pair.value, key: job)))
    }
  }

  private func read(_ pair: KeyValue, _ decode: () throws -> CacheChange?) -> CacheChange? {
    do {
      return try decode()
    } catch {
      metrics.unreadableRecords.add(1)
      logger.error(
        "a record in etcd cannot be read and is passed over",
        metadata: ["key": "\(pair.key)", "error": "\(error)", "mod_revision": "\(pair.modRevision)"])
      return nil
    }
  }

  /// The change that the deletion of a key means; nil for a key that is no state.
  func deletion(of key: String) -> CacheChange? { keyspace.parse(key).deletion }
}

extension ParsedKey {
  /// The deletion of what the key names; nil where that is no state.
  var deletion: CacheChange? {
    switch self {
    case .job(let key): .job(key, nil)
    case .run(let key): .run(key, nil)
    case .agent(let id): .agent(id, nil)
    case .server(let id): .server(id, nil)
    case .leader(let lease): .leader(lease: lease, nil)
    case .segment(let number): .segment(number, nil)
    case .calendar(let key): .calendar(key, nil)
    case .group(let key): .group(key, nil)
    case .backfill(let key): .backfill(key, nil)
    case .queue(let name): .queue(name, nil)
    case .drain(let id): .drain(id, nil)
    case .quota(let namespace): .quota(namespace, nil)
    case .meta, .other: nil
    }
  }
}

extension KeyValue {
  fileprivate func versioned<Record>(_ record: Record) -> Versioned<Record> {
    Versioned(record, createRevision: createRevision, modRevision: modRevision)
  }
}
