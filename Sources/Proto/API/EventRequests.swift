import SchedulerCore

/// Asks to be told of the changes of jobs and runs.
public struct WatchEventsRequest: Hashable, Sendable {
  /// Only this namespace; nil for all.
  public var namespace: String?
  /// Only this job and its runs; with it, `namespace` is said too.
  public var jobID: String?
  /// Whether changes of jobs are wanted; with `runs` false, also of those whose runs have changed.
  public var jobs: Bool
  /// Whether changes of runs are wanted.
  public var runs: Bool
  /// Changes after this etcd revision are sent; 0 sends all that stands first.
  public var startRevision: Int64

  /// Makes a request.
  public init(
    namespace: String? = nil, jobID: String? = nil, jobs: Bool = true, runs: Bool = true,
    startRevision: Int64 = 0
  ) {
    self.namespace = namespace
    self.jobID = jobID
    self.jobs = jobs
    self.runs = runs
    self.startRevision = startRevision
  }
}

/// A step of a watch.
public struct WatchEventsResponse: Hashable, Sendable {
  /// The changes, in the order of their revisions; none where it only says how far the watch has come.
  public var changes: [Change]
  /// Every change up to this revision has been sent; 0 while what stands is being sent.
  public var revision: Int64

  /// Makes a step.
  public init(changes: [Change] = [], revision: Int64) {
    self.changes = changes
    self.revision = revision
  }

  /// One change.
  public struct Change: Hashable, Sendable {
    /// What is changed, as it is after the change.
    public var what: What
    /// The etcd revision of the change.
    public var revision: Int64

    /// Makes a change.
    public init(_ what: What, revision: Int64) {
      self.what = what
      self.revision = revision
    }
  }

  /// What a change is about.
  public enum What: Hashable, Sendable {
    /// A job, without its runs.
    case job(JobView)
    /// A run.
    case run(RunView)
    /// A job that was removed.
    case removedJob(JobKey)
    /// A run that was removed.
    case removedRun(RunKey)
  }
}
