/// What is said of a namespace's quota where it holds something back.
enum QuotaFindings {
  /// Why what is due is not created; nil while there is room.
  static func queuedRuns(_ namespace: String, _ cache: ClusterCache) -> Finding? {
    let used = cache.use(of: namespace).queuedRuns
    guard let limit = cache.quotas[namespace]?.record.spec.maxQueuedRuns, used >= limit else { return nil }
    return Finding(
      .quotaQueuedRuns,
      "it is due, and waits: namespace '\(namespace)' has \(ExplainTexts.count(used, "run")) that wait, and its quota's "
        + "max_queued_runs is \(limit)",
      facts: ["namespace": namespace, "queued_runs": "\(used)", "max_queued_runs": "\(limit)"],
      fix: "see what the namespace's runs wait for, or raise the quota: rota quotas show \(namespace)")
  }

  /// Why a run is not given to an agent.
  static func runningRuns(_ namespace: String, used: Int, limit: Int, queued: Int) -> Finding {
    Finding(
      .quotaRunningRuns,
      "namespace '\(namespace)' has \(ExplainTexts.count(used, "run")) with agents, and its quota's max_running_runs is "
        + "\(limit)",
      facts: [
        "namespace": namespace, "running_runs": "\(used)", "max_running_runs": "\(limit)",
        "queued_runs": "\(queued)",
      ],
      fix: "wait until some have ended, or raise the quota: rota quotas show \(namespace)")
  }
}
