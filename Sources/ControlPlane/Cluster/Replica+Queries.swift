import Proto
import SchedulerCore

/// What the API reads.
extension Replica {
  /// How far the cache has come.
  var revision: Int64 { cache.revision }

  /// A job; nil when there is none.
  func job(_ key: JobKey) -> ClusterCache.Job? { cache.jobs[key] }

  /// A run's record; nil when there is none.
  func run(_ key: RunKey) -> RunRecord? { cache.runs[key]?.record }

  /// A job with its runs; nil when there is none.
  func jobView(_ key: JobKey) -> JobView? {
    guard let entry = cache.jobs[key] else { return nil }
    return JobView(
      record: entry.job.record, status: entry.status, runs: cache.runs(of: key).map(view),
      revision: entry.job.modRevision)
  }

  /// A page of jobs without their runs.
  func listJobs(_ filter: JobFilter, after token: String?, limit: Int) throws -> ListJobsResponse {
    let page = try cache.listJobs(filter, after: token, limit: limit)
    let jobs = page.items.map {
      JobView(record: $0.job.record, status: $0.status, revision: $0.job.modRevision)
    }
    return ListJobsResponse(jobs: jobs, nextPageToken: page.nextToken, revision: cache.revision)
  }

  /// A run; nil when there is none. Without an id, the job's newest.
  func runView(_ job: JobKey, runID: String?) -> RunView? {
    let newest = cache.jobs.slot(of: job).flatMap { cache.jobs.runIDs(at: $0).last }
    guard let runID = runID ?? newest else { return nil }
    return cache.runs[RunKey(job: job, runID: runID)].map { run in
      var view = view(run)
      view.timeline = run.timeline
      return view
    }
  }

  /// A page of runs.
  func listRuns(_ filter: RunFilter, after token: String?, limit: Int) throws -> ListRunsResponse {
    let page = try cache.listRuns(filter, after: token, limit: limit)
    return ListRunsResponse(
      runs: page.items.map(view), nextPageToken: page.nextToken, revision: cache.revision)
  }

  /// The newest of a job's runs that failed; nil when none did.
  func newestFailedRun(of job: JobKey) -> RunRecord? {
    guard let slot = cache.jobs.slot(of: job) else { return nil }
    for runID in cache.jobs.runIDs(at: slot).reversed() {
      if let run = cache.runs[RunKey(job: job, runID: runID)]?.record, run.state == .failed { return run }
    }
    return nil
  }

  // MARK: For changes of jobs

  /// What a change of a job is decided from; nil when there is no such job.
  func standingRecord(of key: JobKey) -> StandingRecord? {
    guard let entry = cache.jobs[key] else { return nil }
    return StandingRecord(
      record: entry.job.record, modRevision: entry.job.modRevision, status: entry.status,
      activity: cache.activity(of: key), runIDs: entry.runIDs,
      isComplete: entry.job.modRevision <= cache.revision)
  }

  // MARK: Groups

  /// The object of a concurrency group; nil when there is none.
  func group(_ key: GroupKey) -> Versioned<GroupRecord>? { cache.groups[key] }

  /// How many of them there are.
  var groupCount: Int { cache.groups.count }

  /// The objects of groups of a namespace, or of all, after a key.
  func groups(of namespace: String?, after key: GroupKey?) -> [Versioned<GroupRecord>] {
    cache.groups.values.filter { group in
      (namespace == nil || group.record.key.namespace == namespace)
        && key.map { group.record.key > $0 } ?? true
    }
  }

  /// How many runs of a group are with agents, and how many others of it have not ended.
  func use(of group: GroupKey) -> (running: Int, waiting: Int) { cache.use(of: group) }

  // MARK: Calendars

  /// A calendar; nil when there is none.
  func calendar(_ key: CalendarKey) -> Versioned<CalendarRecord>? { cache.calendars[key] }

  /// How many there are.
  var calendarCount: Int { cache.calendars.count }

  /// Those of a namespace, or of all, after that key; in no order.
  func calendars(of namespace: String?, after key: CalendarKey?) -> [Versioned<CalendarRecord>] {
    cache.calendars.values.filter { calendar in
      (namespace == nil || calendar.record.key.namespace == namespace)
        && key.map { calendar.record.key > $0 } ?? true
    }
  }

  /// Those of these calendars that exist.
  func calendars(_ keys: Set<CalendarKey>) -> [CalendarRecord] {
    keys.compactMap { cache.calendars[$0]?.record }
  }

  // MARK: For change streams

  /// How jobs stand, without their runs; one that is not held is left out.
  func standing(of keys: Set<JobKey>) -> [JobKey: StandingJob] {
    var standing: [JobKey: StandingJob] = [:]
    for key in keys { standing[key] = cache.jobs[key].map(StandingJob.init) }
    return standing
  }

  /// A page of the jobs that a stream has asked for, as they were at `revision`; without those that have
  /// changed since.
  func standingJobs(
    _ request: WatchEventsRequest, upTo revision: Int64, after token: String?
  ) throws -> StandingPage<JobView> {
    guard request.jobs else { return StandingPage() }
    if let jobID = request.jobID {
      let key = JobKey(namespace: request.namespace ?? JobSpec.Defaults.namespace, jobID: jobID)
      let job = cache.jobs[key].map { StandingJob($0).view }
      return StandingPage(items: [job].compactMap { $0 }.filter { $0.revision <= revision })
    }
    let page = try cache.listJobs(
      JobFilter(namespace: request.namespace), after: token, limit: ServerLimits.standingPage)
    return StandingPage(
      items: page.items.map { StandingJob($0).view }.filter { $0.revision <= revision },
      nextToken: page.nextToken)
  }

  /// As `standingJobs`, of runs.
  func standingRuns(
    _ request: WatchEventsRequest, upTo revision: Int64, after token: String?
  ) throws -> StandingPage<RunView> {
    guard request.runs else { return StandingPage() }
    let page = try cache.listRuns(
      RunFilter(namespace: request.namespace, jobID: request.jobID), after: token,
      limit: ServerLimits.standingPage)
    let held = page.items.filter { $0.modRevision <= revision }
    return StandingPage(
      items: held.map { RunView(record: $0.record, revision: $0.modRevision) }, nextToken: page.nextToken)
  }

  private func view(_ run: Versioned<RunRecord>) -> RunView {
    var record = run.record
    if record.state == .queued, let reason = leader?.waitingReason(of: record.key, cache, now: .now()) {
      record.message = [record.message, "waiting: \(reason)"].compactMap { $0 }.joined(separator: "; ")
    }
    return RunView(record: record, revision: run.modRevision)
  }

  /// The leader's record when it is another server; nil when this one leads.
  /// - Throws: `ServiceError` when nobody does.
  func otherLeader() throws(ServiceError) -> ServerRecord? {
    if leader != nil { return nil }
    guard let record = cache.leader?.candidate.record else {
      throw .noLeader
    }
    if record.serverID == surroundings.serverID {
      throw .unavailable("this server is about to lead; try again")
    }
    return record
  }

  /// Figures for the metrics.
  func statistics() -> ReplicaStatistics {
    var figures = ReplicaStatistics()
    figures.revision = cache.revision
    figures.jobs = cache.jobs.count
    figures.runs = cache.runs.count
    figures.activeJobs = cache.jobs.activeCount
    figures.agents = cache.agents.count
    figures.servers = cache.servers.count
    figures.isLeader = leader != nil
    figures.ready = leader?.readyCount ?? 0
    figures.proposalsInFlight = leader?.proposalsInFlight ?? 0
    figures.counters = leader?.counters ?? .init()
    figures.failoverGapMillis = leader?.failoverGapMillis
    figures.brake = leader?.braking(cache)
    figures.unfitAgents = leader?.unfitAgents ?? (0, 0)
    figures.drainedAgents = cache.agents.keys.count { cache.drains[$0] != nil }
    figures.firing = firing.counters
    figures.lateness = firing.lateness
    figures.segmentsOwned = firing.segmentsOwned
    figures.scheduledJobs = firing.scheduledJobs
    figures.overdue = firing.overdue(at: .now())
    figures.firingInFlight = firing.proposalsInFlight
    figures.activeRunsByState = cache.activeRunsByState
    figures.queues = queuesInMetrics()
    return figures
  }
}

/// A job as it stands.
struct StandingJob: Sendable {
  /// Tells it from another job that had the same id.
  var createRevision: Int64
  /// Without its runs.
  var view: JobView

  init(_ entry: ClusterCache.Job) {
    createRevision = entry.job.createRevision
    view = JobView(record: entry.job.record, status: entry.status, revision: entry.job.modRevision)
  }
}

/// A part of what stands.
struct StandingPage<Item: Sendable>: Sendable {
  var items: [Item] = []
  /// Asks for the next page; nil on the last.
  var nextToken: String?
}

/// A replica's figures at one moment.
struct ReplicaStatistics: Sendable {
  var revision: Int64 = 0
  var jobs = 0
  var runs = 0
  var activeJobs = 0
  var agents = 0
  var servers = 0
  var isLeader = false
  var ready = 0
  var proposalsInFlight = 0
  var counters = LeaderMachine.Counters()
  var failoverGapMillis: Int64?
  var brake: (engagement: LossBrake.Engagement, waiting: Int)?
  var unfitAgents = (unhealthy: 0, avoided: 0)
  var drainedAgents = 0
  var firing = FiringMachine.Counters()
  var lateness = LatenessRecorder()
  var segmentsOwned = 0
  var scheduledJobs = 0
  var overdue = 0
  var firingInFlight = 0
  var activeRunsByState: [RunState: Int] = [:]
  /// Of the leader alone: by name, the rest under another.
  var queues: [(name: String, figures: QueueFigures)] = []
}
