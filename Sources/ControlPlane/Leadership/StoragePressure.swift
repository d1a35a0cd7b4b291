import SchedulerCore

/// How short etcd's space is, and what that means for how long history is kept. Pure.
struct StoragePressure: Hashable, Sendable {
  /// Bounds.
  enum Limits {
    /// Each step halves what is kept; so many steps are taken at most.
    static let steps = 10
    /// What is kept in any case: how long, and how many ended runs of a job.
    static let leastMillis: Int64 = 60_000
    static let leastRuns = 1
    /// Below this part of the share, retention is loosened again.
    static let looseningShare = 0.75
    /// A database that is in use by no more than this part gets much smaller by defragmentation.
    static let defragmentedShare = 0.6
    /// An alarm is taken back only where the databases have come below this part of the quota: it would be raised again.
    static let healedShare = 0.95
  }

  /// What a member's database may take before etcd raises NOSPACE, bytes.
  private(set) var quotaBytes: Int64
  /// Past this part of it retention is tightened, before there is an alarm.
  let share: Double
  /// How many times it has been tightened.
  private(set) var level = 0

  init(quotaBytes: Int64, share: Double) {
    self.quotaBytes = quotaBytes
    self.share = share
  }

  /// The sizes of the databases, of the largest member.
  struct Sizes: Hashable, Sendable {
    /// The file.
    var total: Int64 = 0
    /// What of it is in use.
    var inUse: Int64 = 0
  }

  /// Takes in how large the databases are: tightens by a step, loosens by one, or leaves it.
  mutating func look(_ sizes: Sizes) {
    let inUse = Double(sizes.inUse)
    let limit = Double(quotaBytes) * share
    if inUse >= limit {
      level = min(level + 1, Limits.steps)
    } else if inUse < limit * Limits.looseningShare {
      level = max(level - 1, 0)
    }
  }

  /// etcd has raised NOSPACE: all that may go has to go. That it has done so tells a quota, too, which may be smaller
  /// than was said.
  mutating func alarm(_ sizes: Sizes) {
    level = Limits.steps
    if sizes.total > 0 { quotaBytes = min(quotaBytes, sizes.total) }
  }

  /// How long what has ended is kept now.
  /// - Parameter base: While there is space.
  func retention(of base: LeaderMachine.Retention) -> LeaderMachine.Retention {
    guard level > 0 else { return base }
    // The last step goes to the least at once, whatever the base is.
    let isLast = level == Limits.steps
    let millis = isLast ? Limits.leastMillis : base.millis >> Int64(level)
    let runs = isLast ? Limits.leastRuns : base.runsPerJob >> level
    return LeaderMachine.Retention(
      millis: min(base.millis, max(millis, Limits.leastMillis)),
      runsPerJob: min(base.runsPerJob, max(runs, Limits.leastRuns)))
  }

  /// Whether the database is large, and much of it is free: defragmentation keeps etcd from raising an alarm for nothing.
  func callsForDefragmentation(_ sizes: Sizes) -> Bool {
    Double(sizes.total) >= Double(quotaBytes) * share
      && Double(sizes.inUse) <= Double(sizes.total) * Limits.defragmentedShare
  }

  /// Whether the databases are small enough for an alarm to be taken back.
  func allowsDisarming(_ sizes: Sizes) -> Bool {
    Double(sizes.total) <= Double(quotaBytes) * Limits.healedShare
  }
}
