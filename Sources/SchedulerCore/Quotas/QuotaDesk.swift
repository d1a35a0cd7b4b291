/// What one server is about to create in namespaces that have a quota: it is counted from the decision to create it
/// until the cache shows it, so that what comes at the same time cannot pass together. Pure.
public struct QuotaDesk: Sendable {
  /// Why something may not be created.
  public struct Excess: Error, Hashable, Sendable {
    /// The quota's field.
    public var field: String
    /// What it bounds, for people.
    public var what: String
    /// How much of it is used.
    public var used: Int
    /// How much may be.
    public var limit: Int
  }

  /// What is reserved for one creation.
  public struct Reservation: Hashable, Sendable {
    /// The job that is to be created; nil where it exists.
    public var job: JobKey?
    /// The run that is to be created; nil for none.
    public var run: RunKey?

    /// Makes a reservation.
    public init(job: JobKey? = nil, run: RunKey? = nil) {
      self.job = job
      self.run = run
    }
  }

  private var jobs: [String: Set<JobKey>] = [:]
  private var runs: [String: Set<RunKey>] = [:]

  /// Makes a desk without reservations.
  public init() {}

  /// Whether nothing is reserved.
  public var isEmpty: Bool { jobs.isEmpty && runs.isEmpty }

  /// Takes what a creation needs.
  /// - Parameter used: What the cache shows.
  public mutating func reserve(
    _ wanted: Reservation, in namespace: String, _ quota: QuotaSpec, used: NamespaceUse
  ) throws(Excess) {
    if wanted.job != nil, let limit = quota.maxJobs {
      let count = used.jobs + (jobs[namespace]?.count ?? 0)
      if count >= limit {
        throw Excess(field: "max_jobs", what: "jobs that have not ended", used: count, limit: limit)
      }
    }
    if wanted.run != nil, let limit = quota.maxQueuedRuns {
      let count = used.queuedRuns + (runs[namespace]?.count ?? 0)
      if count >= limit {
        throw Excess(field: "max_queued_runs", what: "runs that wait", used: count, limit: limit)
      }
    }
    if let job = wanted.job, quota.maxJobs != nil { jobs[namespace, default: []].insert(job) }
    if let run = wanted.run, quota.maxQueuedRuns != nil { runs[namespace, default: []].insert(run) }
  }

  /// It has come to nothing, or the cache shows it.
  public mutating func release(_ reservation: Reservation) {
    if let job = reservation.job { settled(job) }
    if let run = reservation.run { settled(run) }
  }

  /// The cache shows a job.
  public mutating func settled(_ job: JobKey) {
    guard !jobs.isEmpty else { return }
    jobs[job.namespace]?.remove(job)
    if jobs[job.namespace]?.isEmpty == true { jobs[job.namespace] = nil }
  }

  /// The cache shows a run.
  public mutating func settled(_ run: RunKey) {
    guard !runs.isEmpty else { return }
    runs[run.job.namespace]?.remove(run)
    if runs[run.job.namespace]?.isEmpty == true { runs[run.job.namespace] = nil }
  }
}
