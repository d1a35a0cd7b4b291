import EtcdClient
import SchedulerCore

/// A proposal in etcd's terms: single-key operations under compares.
struct Change: Sendable {
  /// What must hold.
  var compares: [Compare]
  /// Puts and deletes of single keys.
  var operations: [TxnOperation]
  /// What the cache is told once it is committed.
  var writes: [Proposal.Write]

  /// The keys that it writes.
  var writtenKeys: [String] { operations.compactMap(\.writtenKey) }

  /// Whether it writes nothing but deletions.
  var onlyRemoves: Bool {
    operations.allSatisfy { if case .delete = $0 { true } else { false } }
  }

  /// About how many bytes it adds to a transaction.
  var size: Int {
    operations.reduce(0) { $0 + $1.size } + compares.reduce(0) { $0 + $1.key.utf8.count + 16 }
  }
}

extension Change {
  /// Whether it was refused since its writer leads no more, or owns the segment no more.
  /// - Parameter current: What the compared keys held; nil for one that does not exist.
  func isFenced(by current: [String: KeyValue?], _ keyspace: Keyspace) -> Bool {
    compares.contains { compare in
      guard compare.key.hasPrefix(keyspace.leaders) || compare.key.hasPrefix(keyspace.segments) else {
        return false
      }
      guard let pair = current[compare.key] else { return false }
      return compare.holds(of: pair) == false
    }
  }
}

extension TxnOperation {
  /// The one key that the operation writes; nil for a read.
  var writtenKey: String? {
    switch self {
    case .put(let key, _, _): key
    case .delete(let range): String(decoding: range.start, as: UTF8.self)
    case .range: nil
    }
  }

  fileprivate var size: Int {
    switch self {
    case .put(let key, let value, _): key.utf8.count + value.count
    case .delete(let range): range.start.count
    case .range: 0
    }
  }
}

extension Keyspace {
  /// Puts a proposal into etcd's terms.
  func change(for proposal: Proposal) -> Change {
    Change(
      compares: proposal.guards.map(compare), operations: proposal.writes.map(operation),
      writes: proposal.writes)
  }

  private func compare(_ condition: Proposal.Guard) -> Compare {
    switch condition {
    case .leads(let epoch): .incarnation(leader(lease: epoch.lease), created: epoch.createRevision)
    case .runUnchanged(let key, let revision): .unchanged(run(key), since: revision)
    case .runAbsent(let key): .absent(run(key))
    case .jobUnchanged(let key, let revision): .unchanged(job(key), since: revision)
    case .jobAbsent(let key): .absent(job(key))
    case .agentPresent(let agent): .incarnation(self.agent(agent.agentID), created: agent.createRevision)
    case .agentGone(let agent):
      Compare(self.agent(agent.agentID), .notEqual, .createRevision(agent.createRevision))
    case .segmentUnchanged(let number, let revision): .unchanged(segment(number), since: revision)
    case .serverPresent(let id, let lease): Compare(server(id), .equal, .lease(lease))
    case .calendarUnchanged(let key, let revision): .unchanged(calendar(key), since: revision)
    case .queueUnchanged(let name, let revision): .unchanged(queue(name), since: revision)
    case .groupUnchanged(let key, let revision): .unchanged(group(key), since: revision)
    case .backfillUnchanged(let key, let revision): .unchanged(backfill(key), since: revision)
    case .alertAbsent(let key): .absent(alert(key))
    case .drainUnchanged(let id, let revision): .unchanged(drain(id), since: revision)
    case .quotaUnchanged(let namespace, let revision): .unchanged(quota(namespace), since: revision)
    }
  }

  private func operation(_ write: Proposal.Write) -> TxnOperation {
    switch write {
    case .run(let record): .put(key: run(record.key), value: record.encoded())
    case .job(let record): .put(key: job(record.key), value: record.encoded())
    case .checkpoint(let key, let record): .put(key: checkpoint(key), value: record.encoded())
    case .deleteCheckpoint(let key): .delete(.key(checkpoint(key)))
    case .deleteRun(let key): .delete(.key(run(key)))
    case .deleteJob(let key): .delete(.key(job(key)))
    case .version(let record): .put(key: version(record.key), value: record.encoded())
    case .deleteVersion(let key): .delete(.key(version(key)))
    case .segment(let number, let record, let lease):
      .put(key: segment(number), value: record.encoded(), lease: lease)
    case .calendar(let record): .put(key: calendar(record.key), value: record.encoded())
    case .deleteCalendar(let key): .delete(.key(calendar(key)))
    case .queue(let record): .put(key: queue(record.name), value: record.encoded())
    case .deleteQueue(let name): .delete(.key(queue(name)))
    case .group(let record): .put(key: group(record.key), value: record.encoded())
    case .deleteGroup(let key): .delete(.key(group(key)))
    case .backfill(let record): .put(key: backfill(record.key), value: record.encoded())
    case .deleteBackfill(let key): .delete(.key(backfill(key)))
    case .alert(let record): .put(key: alert(record.key), value: record.encoded())
    case .deleteAlert(let key): .delete(.key(alert(key)))
    case .drain(let id, let record): .put(key: drain(id), value: record.encoded())
    case .deleteDrain(let id): .delete(.key(drain(id)))
    case .quota(let record): .put(key: quota(record.namespace), value: record.encoded())
    case .deleteQuota(let namespace): .delete(.key(quota(namespace)))
    }
  }
}

extension Compare {
  /// Whether the condition holds of a key as it was read; nil where it does not exist.
  func holds(of pair: KeyValue?) -> Bool {
    switch target {
    case .createRevision(let value): relation.holds(pair?.createRevision ?? 0, value)
    case .modRevision(let value): relation.holds(pair?.modRevision ?? 0, value)
    case .version(let value): relation.holds(pair?.version ?? 0, value)
    case .lease(let value): relation.holds(pair?.lease ?? 0, value)
    case .value(let value): pair.map { $0.value == value } ?? false
    }
  }
}

extension Compare.Relation {
  fileprivate func holds(_ left: Int64, _ right: Int64) -> Bool {
    switch self {
    case .equal: left == right
    case .greater: left > right
    case .less: left < right
    case .notEqual: left != right
    }
  }
}
