import SchedulerCore

// What changes a job that exists.

/// Asks for a job not to be due any more, until it is resumed.
public struct PauseJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey
  /// Why; at most 1 KiB.
  public var note: String?

  /// Makes a request.
  public init(key: JobKey, note: String? = nil) {
    self.key = key
    self.note = note
  }
}

/// Asks for the end of a pause.
public struct ResumeJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey

  /// Makes a request.
  public init(key: JobKey) { self.key = key }
}

/// Asks for a run now.
public struct TriggerJobRequest: Hashable, Sendable {
  /// Of which job.
  public var key: JobKey
  /// Values instead of the job's own.
  public var params: [String: String]
  /// Requests with the same key within 24 hours make one run.
  public var idempotencyKey: String?

  /// Makes a request.
  public init(key: JobKey, params: [String: String] = [:], idempotencyKey: String? = nil) {
    self.key = key
    self.params = params
    self.idempotencyKey = idempotencyKey
  }
}

/// Asks for a run that has ended to be run again.
public struct RetryRunRequest: Hashable, Sendable {
  /// Of which job.
  public var job: JobKey
  /// Which run; nil for the newest that failed.
  public var runID: String?
  /// Requests with the same key within 24 hours make one run.
  public var idempotencyKey: String?

  /// Makes a request.
  public init(job: JobKey, runID: String? = nil, idempotencyKey: String? = nil) {
    self.job = job
    self.runID = runID
    self.idempotencyKey = idempotencyKey
  }
}

/// Asks for the next occurrence to be left out.
public struct SkipNextRequest: Hashable, Sendable {
  /// Of which job.
  public var key: JobKey
  /// The occurrence that is meant: when it is not the next one any more, nothing is skipped; nil for whichever
  /// is next.
  public var scheduledTime: Timestamp?

  /// Makes a request.
  public init(key: JobKey, scheduledTime: Timestamp? = nil) {
    self.key = key
    self.scheduledTime = scheduledTime
  }
}

/// Asks for a job's specification to be replaced.
public struct UpdateJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey
  /// The whole new specification.
  public var spec: JobSpec
  /// The etag that the job must have; nil for any.
  public var ifMatch: String?
  /// Names the change, so that it may be sent again when its answer was lost; nil for a new name each time.
  public var idempotencyKey: String?
  /// Who asks, where no certificate says so.
  public var updatedBy: String?

  /// Makes a request.
  public init(
    key: JobKey, spec: JobSpec, ifMatch: String? = nil, idempotencyKey: String? = nil,
    updatedBy: String? = nil
  ) {
    self.key = key
    self.spec = spec
    self.ifMatch = ifMatch
    self.idempotencyKey = idempotencyKey
    self.updatedBy = updatedBy
  }
}

/// Asks for a job to be removed with its runs.
public struct DeleteJobRequest: Hashable, Sendable {
  /// Which.
  public var key: JobKey
  /// The etag that the job must have; nil for any.
  public var ifMatch: String?

  /// Makes a request.
  public init(key: JobKey, ifMatch: String? = nil) {
    self.key = key
    self.ifMatch = ifMatch
  }
}
