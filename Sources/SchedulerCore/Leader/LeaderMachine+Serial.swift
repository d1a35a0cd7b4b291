/// Jobs of whose runs never two may be with agents at the same time. All of it is derived from the runs' records, so
/// it holds whoever leads.
extension LeaderMachine {
  /// Whether a queued run may be given to an agent: no other run of its job is with one, may be soon, or waits for a
  /// retry, and none has waited longer. Another leader decides the same, for what this one has given away is in the
  /// records that it took over from.
  func mayStart(_ key: RunKey, _ job: JobRecord, _ cache: ClusterCache) -> Bool {
    guard job.spec.overlap.isSerial else { return true }
    guard let run = cache.runs[key] else { return false }
    return cache.runs(of: key.job).allSatisfy { other in
      let otherKey = other.record.key
      guard otherKey != key else { return true }
      if holders[otherKey] != nil || other.record.state.isOwned || other.record.state == .retrying {
        return false
      }
      return other.record.state != .queued || other.isYounger(than: run)
    }
  }

  /// The run that a run has to make way for: the newest of its job, where the overlap policy is `replace`. Those of
  /// backfills neither make way nor are made way for.
  func successor(of run: Versioned<RunRecord>, _ job: JobRecord, _ cache: ClusterCache) -> String? {
    guard job.spec.overlap == .replace, run.record.trigger != .backfill else { return nil }
    let regular = cache.runs(of: job.key).filter { $0.record.trigger != .backfill }
    guard let newest = regular.max(by: { $1.isYounger(than: $0) }), newest.isYounger(than: run) else {
      return nil
    }
    return newest.record.key.runID
  }

  static func replaced(by runID: String) -> String { "replaced by run \(runID)" }

  /// A run of a job has changed: others may have their turn now, or have to make way.
  mutating func reconcileSiblings(of key: RunKey, _ cache: ClusterCache, now: Timestamp) {
    guard cache.jobs[key.job]?.job.record.spec.overlap.isSerial == true else { return }
    for run in cache.runs(of: key.job).map(\.record) where run.key != key && !run.state.isTerminal {
      reconcile(run.key, cache, now: now)
    }
  }
}

extension Versioned<RunRecord> {
  /// The order in which runs of a job were created; of one transaction's, the order of their scheduled times.
  func isYounger(than other: Versioned<RunRecord>) -> Bool {
    (createRevision, record.key.runID) > (other.createRevision, other.record.key.runID)
  }
}
