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
  func runIDs(of key: JobKey) -> [String] { cache.jobs.slot(of: key).map { cache.jobs.runIDs(at: $0) } ?? [] }

  /// Those of the calendars that exist.
  func calendars(_ keys: [CalendarKey]) -> [CalendarRecord] {
    keys.compactMap { cache.calendars[$0]?.record }
  }

  /// All calendars of a namespace, or of all.
  func allCalendars(of namespace: String?) -> [CalendarRecord] {
    cache.calendars.values.map(\.record).filter { namespace == nil || $0.key.namespace == namespace }
  }

  /// Jobs of a piece of a walk over all.
  struct ForecastPage: Sendable {
    /// Those that may fire in the range.
    var records: [JobRecord] = []
    /// How many others there are.
    var idle = 0
    /// Where the next piece goes on; nil after the last.
    var next: JobScanPlace?
  }

  /// The next jobs for a forecast up to `end`. What is created meanwhile is not in later pages.
  func forecastPage(_ namespace: String?, until end: Timestamp, after place: JobScanPlace?) -> ForecastPage {
    var page = ForecastPage()
    page.next = cache.scanJobs(in: namespace, after: place, limit: ServerLimits.forecastJobsPassed) {
      slot, facts in
      if ForecastCounter.mayFire(facts.record, before: end), let job = cache.jobs[slot]?.job {
        page.records.append(job.record)
      } else {
        page.idle += 1
      }
      return page.records.count < ServerLimits.forecastPage
    }
    return page
  }

  /// A backfill.
  func backfill(_ key: BackfillKey) -> Versioned<BackfillRecord>? { cache.backfills[key] }

  /// All backfills of a job, newest first.
  func backfills(of job: JobKey) -> [Versioned<BackfillRecord>] {
    cache.backfills(of: job).sorted {
      ($0.record.createdAt, $0.record.key) > ($1.record.createdAt, $1.record.key)
    }
  }
}
