/// How many runs of a namespace may be with agents, by its quota: a slot of the `LimitBook` that each of its runs needs.
extension LeaderMachine {
  /// Whether a quota bounds how many runs of a namespace are with agents.
  func hasRunningQuota(_ namespace: String) -> Bool {
    !runningQuotas.isEmpty && runningQuotas[namespace] != nil
  }

  /// Takes up the quotas as they are, before any run is looked at.
  mutating func takeUpQuotas(_ cache: ClusterCache) {
    for (namespace, quota) in cache.quotas {
      setRunningQuota(of: namespace, quota.record.spec.maxRunningRuns)
    }
  }

  /// The quota of a namespace was written or deleted. What is with agents stays there, also where it is more than is
  /// allowed from now on.
  public mutating func quotaChanged(_ namespace: String, _ cache: ClusterCache, now: Timestamp) {
    let wasBounded = hasRunningQuota(namespace)
    setRunningQuota(of: namespace, cache.quotas[namespace]?.record.spec.maxRunningRuns)
    guard wasBounded != hasRunningQuota(namespace) else { return }
    // Its runs need a slot from now on, or none any more. In an order that does not depend on hashing.
    for key in cache.activeRuns.filter({ $0.job.namespace == namespace }).sorted() {
      reconcile(key, cache, now: now)
    }
  }

  private mutating func setRunningQuota(of namespace: String, _ limit: Int?) {
    guard runningQuotas[namespace] != limit else { return }
    runningQuotas[namespace] = limit
    limits.override(.namespace(namespace), limit)
  }
}
