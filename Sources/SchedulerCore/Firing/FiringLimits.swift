/// The bounds of what decides about occurrences.
public enum FiringLimits {
  /// Runs created in one proposal; each is two of the operations of etcd's transaction.
  public static let runsPerProposal = 20
  /// Occurrences looked at, one by one, in one decision. What a longer outage swallowed is passed in one go,
  /// and counted as one.
  public static let occurrencesPerDecision = 1_000
  /// Proposals whose outcome is not known yet.
  public static let proposalsInFlight = 4_000
  /// Jobs and backfills looked at in one turn.
  public static let decisionsPerTurn = 1_000
  /// Jobs looked at in one turn because their segment or a calendar has changed.
  public static let reviewsPerTurn = 1_000
  /// Jobs whose schedules are kept ready.
  public static let compiledJobs = 10_000
  /// How long after a conflict a job is looked at again.
  public static let conflictPauseMillis: Int64 = 20
  /// How long after a refusal, when etcd takes no writes, a job is looked at again.
  public static let refusalPauseMillis: Int64 = 1_000
  /// How long what is due waits before it is looked again whether its namespace has room for a run.
  public static let quotaPauseMillis: Int64 = 1_000
  /// The longest such pause, while very many wait.
  public static let longestQuotaPauseMillis: Int64 = 30_000
  /// So many jobs are looked at again in one pause.
  public static let waitingPerQuotaPause = 1_000
  /// Overdue jobs are counted up to here.
  public static let overdueCounted = 100_000
}
