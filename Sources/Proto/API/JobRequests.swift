import SchedulerCore

/// The answer to a submission.
public struct SubmitResponse: Hashable, Sendable {
  /// The job as it stands.
  public var job: JobView
  /// False when an earlier request with the same idempotency key had made the job.
  public var created: Bool

  /// Makes an answer.
  public init(job: JobView, created: Bool) {
    self.job = job
    self.created = created
  }
}

/// Many submissions, each by itself.
public struct SubmitBatchRequest: Hashable, Sendable {
  /// The most submissions in one batch.
  public static let maximumCount = 1_000

  /// The submissions in order; where one could not be read, why, so that the others are not affected.
  public var requests: [Result<SubmitRequest, ProtoError>]

  /// Makes a batch.
  public init(_ requests: [SubmitRequest]) { self.requests = requests.map { .success($0) } }
}

/// What became of the submissions of a batch.
public struct SubmitBatchResponse: Hashable, Sendable {
  /// One for each request, in order.
  public var results: [SubmitResult]

  /// Makes an answer.
  public init(results: [SubmitResult]) { self.results = results }
}

/// What became of one submission of a batch.
public struct SubmitResult: Hashable, Sendable {
  /// The job's id; nil when it was refused.
  public var jobID: String?
  /// False when an earlier request with the same idempotency key had made the job, or none was made.
  public var created: Bool
  /// The gRPC status code; 0 when it was accepted.
  public var code: Int
  /// Why it was refused; empty when it was accepted.
  public var message: String

  /// Makes a result.
  public init(jobID: String?, created: Bool, code: Int = 0, message: String = "") {
    self.jobID = jobID
    self.created = created
    self.code = code
    self.message = message
  }
}

/// What became of a stream of submissions.
public struct SubmitStreamResponse: Hashable, Sendable {
  /// The most refusals that are told of one by one.
  public static let refusalsKept = 1_000

  /// How many were accepted, those included that an earlier request had made already.
  public var accepted = 0
  /// How many jobs were made.
  public var created = 0
  /// How many were refused.
  public var refused = 0
  /// The refusals that came first, at most `refusalsKept`, by index.
  public var refusals: [SubmitRefusal] = []

  /// Makes an answer to nothing.
  public init() {}
}

/// Why one submission of a stream was refused.
public struct SubmitRefusal: Hashable, Sendable {
  /// Which, from 0.
  public var index: Int
  /// The job's id, where the submission named one.
  public var jobID: String?
  /// The gRPC status code.
  public var code: Int
  /// Why.
  public var message: String

  /// Makes a refusal.
  public init(index: Int, jobID: String?, code: Int, message: String) {
    self.index = index
    self.jobID = jobID
    self.code = code
    self.message = message
  }
}

/// Asks for one job.
public struct GetJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey

  /// Makes a request.
  public init(key: JobKey) { self.key = key }
}

/// Asks for a page of jobs, newest first.
public struct ListJobsRequest: Hashable, Sendable {
  /// Only this namespace; nil for all.
  public var namespace: String?
  /// Only jobs that stand so.
  public var status: JobStatus?
  /// Only this user's.
  public var userID: String?
  /// Only jobs with all of these labels.
  public var labels: [String: String]
  /// At most `Paging.maximumSize`; 0 for the default.
  public var pageSize: Int
  /// What the page before ended with; nil for the first.
  public var pageToken: String?

  /// Makes a request.
  public init(
    namespace: String? = nil, status: JobStatus? = nil, userID: String? = nil,
    labels: [String: String] = [:], pageSize: Int = 0, pageToken: String? = nil
  ) {
    self.namespace = namespace
    self.status = status
    self.userID = userID
    self.labels = labels
    self.pageSize = pageSize
    self.pageToken = pageToken
  }
}

/// A page of jobs.
public struct ListJobsResponse: Hashable, Sendable {
  /// The jobs, without their runs.
  public var jobs: [JobView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?
  /// Every change up to this etcd revision is shown.
  public var revision: Int64

  /// Makes a page.
  public init(jobs: [JobView], nextPageToken: String? = nil, revision: Int64) {
    self.jobs = jobs
    self.nextPageToken = nextPageToken
    self.revision = revision
  }
}

/// Asks for a job to be cancelled.
public struct CancelJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey
  /// Why; at most 1 KiB.
  public var reason: String?

  /// Makes a request.
  public init(key: JobKey, reason: String? = nil) {
    self.key = key
    self.reason = reason
  }
}

/// Asks to be told of a job's changes.
public struct WatchJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey

  /// Makes a request.
  public init(key: JobKey) { self.key = key }
}
