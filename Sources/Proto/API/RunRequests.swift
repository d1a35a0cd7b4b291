import SchedulerCore

/// Asks for one run.
public struct GetRunRequest: Hashable, Sendable {
  /// Of which job.
  public var job: JobKey
  /// Which run; nil for the newest.
  public var runID: String?

  /// Makes a request.
  public init(job: JobKey, runID: String? = nil) {
    self.job = job
    self.runID = runID
  }
}

/// Asks for a page of runs, newest first.
public struct ListRunsRequest: Hashable, Sendable {
  /// Only this namespace; nil for all.
  public var namespace: String?
  /// Only this job's.
  public var jobID: String?
  /// Only those whose last attempt was given to this agent.
  public var workerID: String?
  /// Only those in this state.
  public var state: RunState?
  /// Only those whose state means this; with `state`, both must hold.
  public var status: JobStatus?
  /// At most `Paging.maximumSize`; 0 for the default.
  public var pageSize: Int
  /// What the page before ended with; nil for the first.
  public var pageToken: String?

  /// Makes a request.
  public init(
    namespace: String? = nil, jobID: String? = nil, workerID: String? = nil, state: RunState? = nil,
    status: JobStatus? = nil, pageSize: Int = 0, pageToken: String? = nil
  ) {
    self.namespace = namespace
    self.jobID = jobID
    self.workerID = workerID
    self.state = state
    self.status = status
    self.pageSize = pageSize
    self.pageToken = pageToken
  }
}

/// A page of runs.
public struct ListRunsResponse: Hashable, Sendable {
  /// The runs.
  public var runs: [RunView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?
  /// Every change up to this etcd revision is shown.
  public var revision: Int64

  /// Makes a page.
  public init(runs: [RunView], nextPageToken: String? = nil, revision: Int64) {
    self.runs = runs
    self.nextPageToken = nextPageToken
    self.revision = revision
  }
}

/// The attempts of a page of runs.
public struct ListExecutionsResponse: Hashable, Sendable {
  /// The attempts, newest first.
  public var executions: [ExecutionView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(executions: [ExecutionView], nextPageToken: String? = nil) {
    self.executions = executions
    self.nextPageToken = nextPageToken
  }
}

/// Asks for what an attempt wrote.
public struct LogsRequest: Hashable, Sendable {
  /// Of which job.
  public var job: JobKey
  /// Which run; nil for the newest.
  public var runID: String?
  /// Which attempt; nil for the last.
  public var attempt: Int?
  /// Which output; nil for both.
  public var stream: LogStream?
  /// Whether to go on until the run has ended.
  public var follow: Bool
  /// Only the last so many bytes of each output; nil for all that is kept.
  public var tailBytes: Int64?

  /// Makes a request.
  public init(
    job: JobKey, runID: String? = nil, attempt: Int? = nil, stream: LogStream? = nil, follow: Bool = false,
    tailBytes: Int64? = nil
  ) {
    self.job = job
    self.runID = runID
    self.attempt = attempt
    self.stream = stream
    self.follow = follow
    self.tailBytes = tailBytes
  }
}

/// A piece of what an attempt wrote.
public struct LogChunk: Hashable, Sendable {
  /// To which output.
  public var stream: LogStream
  /// Of the first byte, from the attempt's first output; what rotation removed is skipped.
  public var offset: Int64
  /// The piece.
  public var data: [UInt8]
  /// Which attempt.
  public var attempt: Int

  /// Makes a chunk.
  public init(stream: LogStream, offset: Int64, data: [UInt8], attempt: Int) {
    self.stream = stream
    self.offset = offset
    self.data = data
    self.attempt = attempt
  }
}
