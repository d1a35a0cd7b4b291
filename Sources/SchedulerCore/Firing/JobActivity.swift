/// What a decision has to know of a job's regular runs, those that no backfill has made.
public struct JobActivity: Hashable, Sendable {
  /// How many have not ended.
  public var unended = 0
  /// The newest of those.
  public var newestUnended: String?
  /// When the last of those that have ended did so.
  public var lastEnd: Timestamp?

  /// Makes the activity of a job without runs.
  public init() {}
}

extension ClusterCache {
  /// What is known of a job's regular runs.
  public func activity(of key: JobKey) -> JobActivity {
    var activity = JobActivity()
    for run in runs(of: key).map(\.record) where run.trigger != .backfill {
      if run.state.isTerminal {
        let end = run.finishedAt ?? run.createdAt
        activity.lastEnd = max(activity.lastEnd ?? end, end)
      } else {
        activity.unended += 1
        activity.newestUnended = max(activity.newestUnended ?? run.key.runID, run.key.runID)
      }
    }
    return activity
  }
}
