/// The bounds of the warm copy.
public enum CacheLimits {
  /// Jobs that stay decoded for a while after somebody wrote them or their last run has ended.
  public static let recentJobs = 1_024
  /// Slots of jobs that one step of a sweep looks at.
  public static let slotsPerSweep: JobTable.Slot = 50_000
  /// Deletions that are remembered while the copy is compared with a listing; with more the comparison says nothing.
  public static let deletionsRemembered = 200_000
}
