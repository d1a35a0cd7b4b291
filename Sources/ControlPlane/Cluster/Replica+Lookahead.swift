import SchedulerCore

/// What previews, forecasts and backfills read: copies, a bounded number at a time.
extension Replica {
  /// A job's record.
  /// - Throws: `ServiceError` when there is no such job.
  func requireRecord(_ key: JobKey) throws(ServiceError) -> Versioned<JobRecord> {
    guard let job = cache.jobs[key]?.job else {
      throw .notFound("there is no job '\(key.jobID)' in namespace '\(key.namespace)'")
    }
    return job
  }

  /// The ids of a job's runs.
  func runIDs(of key: JobKey) -> Set<String> { Set(cache.jobs[key]?.runIDs ?? []) }

  /// Those of the calendars that exist.
  func calendars(_ keys: [CalendarKey]) -> [CalendarRecord] {
    keys.compactMap { cache.calendars[$0]?.record }
  }

  /// All calendars of a namespace, or of all.
  func allCalendars(of namespace: String?) -> [CalendarRecord] {
    cache.calendars.values.map(\.record).filter { namespace == nil || $0.key.namespace == namespace }
  }

  /// A page of jobs for a forecast. What is created meanwhile is not in later pages.
  func forecastPage(
    _ namespace: String?, after token: String?
  ) throws -> (records: [JobRecord], nextToken: String?) {
    let page = try cache.listJobs(
      JobFilter(namespace: namespace), after: token, limit: ServerLimits.forecastPage)
    return (page.items.map(\.job.record), page.nextToken)
  }

  /// A backfill.
  func backfill(_ key: BackfillKey) -> Versioned<BackfillRecord>? { cache.backfills[key] }

  /// All backfills of a job, newest first.
  func backfills(of job: JobKey) -> [BackfillRecord] {
    cache.backfills.values.map(\.record).filter { $0.key.job == job }
      .sorted { ($0.createdAt, $0.key) > ($1.createdAt, $1.key) }
  }
}
