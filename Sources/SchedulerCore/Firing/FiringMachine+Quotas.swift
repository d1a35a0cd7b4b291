/// What is due in a namespace waits while the namespace has as many waiting runs as its quota allows. It is then decided
/// as if nobody had been there to decide it before: by the job's misfire policy.
extension FiringMachine {
  /// Whether a namespace has no room for another run that waits.
  mutating func waitsForQuota(_ namespace: String, _ cache: ClusterCache) -> Bool {
    guard let limit = cache.quotas[namespace]?.record.spec.maxQueuedRuns,
      cache.use(of: namespace).queuedRuns + (creating[namespace] ?? 0) >= limit
    else { return false }
    counters.quotaWaits += 1
    return true
  }

  /// The more wait, the longer, so that looking at them stays cheap.
  var quotaPauseMillis: Int64 {
    let rounds = Int64(postponed.count / FiringLimits.waitingPerQuotaPause) + 1
    return min(FiringLimits.longestQuotaPauseMillis, rounds * FiringLimits.quotaPauseMillis)
  }

  /// Counts the runs of a proposal until it is known what became of it: what is due at once cannot pass together.
  mutating func noteCreating(_ purpose: Purpose) {
    if purpose.created > 0 { creating[purpose.job.namespace, default: 0] += purpose.created }
  }

  /// The cache shows the runs of a proposal, or they do not exist.
  mutating func noteCreated(_ purpose: Purpose) {
    guard purpose.created > 0, let count = creating[purpose.job.namespace] else { return }
    creating[purpose.job.namespace] = count > purpose.created ? count - purpose.created : nil
  }
}

extension FiringMachine.Purpose {
  /// How many runs it creates.
  fileprivate var created: Int {
    switch self {
    case .fire(let decision, _): decision.runs.count
    case .refresh: 0
    case .backfill(_, _, _, let created): created
    }
  }
}
