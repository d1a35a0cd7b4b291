import SchedulerCore

/// Asks for runs for the occurrences of a past range.
public struct CreateBackfillRequest: Hashable, Sendable {
  /// Of which job.
  public var job: JobKey
  /// The backfill's id; nil for one that the server makes.
  public var backfillID: String?
  /// The first instant of the range.
  public var from: Timestamp
  /// The last.
  public var to: Timestamp
  /// In which order.
  public var order: BackfillRecord.Order
  /// How many of its runs may be unfinished at a time.
  public var parallelism: Int
  /// Values for its runs, instead of the job's own.
  public var params: [String: String]
  /// Whether only to say which runs it would create.
  public var dryRun: Bool

  /// Makes a request.
  public init(
    job: JobKey, backfillID: String? = nil, from: Timestamp, to: Timestamp,
    order: BackfillRecord.Order = .oldestFirst, parallelism: Int = 1, params: [String: String] = [:],
    dryRun: Bool = false
  ) {
    self.job = job
    self.backfillID = backfillID
    self.from = from
    self.to = to
    self.order = order
    self.parallelism = parallelism
    self.params = params
    self.dryRun = dryRun
  }
}

/// Asks for one backfill, or for it to be cancelled.
public struct GetBackfillRequest: Hashable, Sendable {
  /// Which.
  public var key: BackfillKey

  /// Makes a request.
  public init(key: BackfillKey) { self.key = key }
}

/// Asks for all backfills of a job.
public struct ListBackfillsRequest: Hashable, Sendable {
  /// Which job's.
  public var job: JobKey

  /// Makes a request.
  public init(job: JobKey) { self.job = job }
}

/// A job's backfills.
public struct ListBackfillsResponse: Hashable, Sendable {
  /// The backfills.
  public var backfills: [BackfillView]

  /// Makes an answer.
  public init(backfills: [BackfillView]) { self.backfills = backfills }
}

/// A backfill as the API shows it.
public struct BackfillView: Hashable, Sendable {
  /// The most occurrences that a dry run names.
  public static let previewCount = 1_000

  /// The backfill; its id is empty for a dry run. Its `position` is not shown.
  public var record: BackfillRecord
  /// Occurrences in the range.
  public var occurrences: Int
  /// Of a dry run: occurrences without a run that the job's schedules have passed since it was created. Each was left
  /// out, or had a run that has been removed since.
  public var decided: Int
  /// Of a dry run: the first occurrences that have no run, in order, at most `previewCount`.
  public var preview: [Timestamp]

  /// Makes a view.
  public init(record: BackfillRecord, occurrences: Int, decided: Int = 0, preview: [Timestamp] = []) {
    self.record = record
    self.occurrences = occurrences
    self.decided = decided
    self.preview = preview
  }
}
