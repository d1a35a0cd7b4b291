import Logging
import Proto
import SchedulerCore

/// Backfills: what REST and gRPC call. The runs are created by the owner of the job's segment.
struct BackfillService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let zones: TimeZones
  let logger: Logger
  private let looks = TurnQueue(places: ServerLimits.backfillLooks)

  init(
    replica: Replica, pipeline: CommitPipeline, barrier: ReadBarrier, keyspace: Keyspace, zones: TimeZones,
    logger: Logger
  ) {
    self.replica = replica
    self.pipeline = pipeline
    self.barrier = barrier
    self.keyspace = keyspace
    self.zones = zones
    self.logger = logger
  }

  // MARK: Create

  /// Starts a backfill, or, for a dry run, says what it would do. The same request with the same id makes one.
  func create(_ request: CreateBackfillRequest) async throws -> BackfillView {
    let now = Timestamp.now()
    try check(request, now: now)
    try await barrier.pass()
    for _ in 0..<ServerLimits.casTries {
      let job = try await replica.requireRecord(request.job)
      var view = try await planned(request, job.record, now: now)
      if request.dryRun { return view }
      if view.record.key.backfillID.isEmpty {
        view.record.key = BackfillKey(job: request.job, backfillID: Self.newID(now))
      }
      if let earlier = await replica.backfill(view.record.key)?.record {
        return try same(earlier, view.record)
      }
      guard view.occurrences > 0 else {
        throw ServiceError.invalid("from", "the job's schedules name no time from it to 'to'")
      }
      try await checkRunning(request.job)
      if try await write(view.record, of: job) { return view }
    }
    throw ServiceError.aborted("job '\(request.job.jobID)' keeps changing; try again")
  }

  private func check(_ request: CreateBackfillRequest, now: Timestamp) throws {
    try request.job.check()
    if let id = request.backfillID, !Identifier.isValid(id) {
      throw ServiceError.invalid("backfill_id", "an identifier has \(Identifier.rule)")
    }
    guard request.from.isInAcceptedYears else { throw ServiceError.invalid("from", "must be from 1970 on") }
    guard request.to >= request.from else { throw ServiceError.invalid("to", "must not be before from") }
    guard request.to <= now else {
      throw ServiceError.invalid("to", "must not be in the future: the job's schedules see to that")
    }
    let bounds = LookaheadLimits.backfillParallelism
    guard bounds.contains(request.parallelism) else {
      throw ServiceError.invalid("parallelism", "must be \(bounds.lowerBound) to \(bounds.upperBound)")
    }
    try Params.validate(request.params)
  }

  /// What the backfill has to do, as things stand.
  private func planned(
    _ request: CreateBackfillRequest, _ job: JobRecord, now: Timestamp
  ) async throws -> BackfillView {
    guard job.cancelRequestedAt == nil else {
      throw ServiceError.failedPrecondition("job '\(request.job.jobID)' is cancelled")
    }
    var record = BackfillRecord(
      key: BackfillKey(job: request.job, backfillID: request.dryRun ? "" : request.backfillID ?? ""),
      from: request.from, to: request.to, order: request.order, parallelism: request.parallelism,
      createdAt: now)
    record.params = request.params
    let outlook = try await look(record, try await plan(of: job), isDryRun: request.dryRun)
    if let last = outlook.limitReached {
      let whither = request.order == .oldestFirst ? "up" : "back"
      throw ServiceError.invalid(
        "to",
        "the range has more than \(LookaheadLimits.backfillOccurrences) occurrences, \(whither) to \(last.rfc3339) so "
          + "many; use several backfills")
    }
    record.occurrences = outlook.occurrences
    guard request.dryRun else { return BackfillView(record) }
    record.existing = outlook.existing
    return BackfillView(
      record: record, occurrences: outlook.occurrences, decided: outlook.decided, preview: outlook.preview)
  }

  private func plan(of job: JobRecord) async throws -> JobPlan {
    let hasOwnTimes = job.spec.schedules.contains { if case .fixedDelay = $0.rule { false } else { true } }
    guard hasOwnTimes else {
      throw ServiceError.failedPrecondition(
        "job '\(job.key.jobID)' has no schedule that names times in the past: a backfill needs cron, every, "
          + "frequency or at")
    }
    let keys = Set(job.spec.schedules.flatMap(\.calendars)).map {
      CalendarKey(namespace: job.key.namespace, name: $0)
    }
    let calendars = try await replica.calendars(keys).compiled(zones)
    return try JobPlan(job, zones: zones) { calendars[$0] }
  }

  /// Looks through the range, beside the replica and in pieces, so that neither it nor other calls wait.
  private func look(
    _ record: BackfillRecord, _ plan: JobPlan, isDryRun: Bool
  ) async throws -> BackfillOutlook {
    try await looks.take()
    defer { looks.giveBack() }
    let runs = isDryRun ? Set(await replica.runIDs(of: record.key.job)) : []
    var outlook = BackfillOutlook(of: record, plan, previewCount: isDryRun ? BackfillView.previewCount : 0)
    while outlook.look(most: LookaheadLimits.backfillPiece, exists: runs.contains) {
      try Task.checkCancellation()
      await Task.yield()
    }
    return outlook
  }

  private func checkRunning(_ job: JobKey) async throws {
    let running = await replica.backfills(of: job).filter { $0.record.state == .running }
    guard running.count < LookaheadLimits.runningBackfills else {
      throw ServiceError.failedPrecondition(
        "\(running.count) backfills of job '\(job.jobID)' are running; wait for one, or cancel one")
    }
  }

  /// What came of an earlier request with that id.
  private func same(_ earlier: BackfillRecord, _ wanted: BackfillRecord) throws -> BackfillView {
    guard earlier.from == wanted.from, earlier.to == wanted.to, earlier.order == wanted.order,
      earlier.parallelism == wanted.parallelism, earlier.params == wanted.params
    else {
      throw ServiceError.alreadyExists(
        "backfill_id", "'\(wanted.key.backfillID)' is taken by another backfill of this job")
    }
    return BackfillView(earlier)
  }

  /// `b-`, and as ids of jobs, so that they sort by time.
  private static func newID(_ now: Timestamp) -> String {
    var random = SystemRandomNumberGenerator()
    return "b" + JobID.make(now: now, random: &random).dropFirst()
  }

  /// Returns whether the record was written; false when something has changed meanwhile. The job is written as it is:
  /// a leader that has not heard of the backfill cannot remove the job without it. The job's oldest ended backfills
  /// make way.
  private func write(_ record: BackfillRecord, of job: Versioned<JobRecord>) async throws -> Bool {
    var proposal = Proposal(
      guards: [
        .jobUnchanged(record.key.job, modRevision: job.modRevision),
        .backfillUnchanged(record.key, modRevision: 0),
      ], writes: [.backfill(record), .job(job.record)])
    let ended = await replica.backfills(of: record.key.job).filter { $0.record.state != .running }
    for old in ended.dropFirst(LookaheadLimits.endedBackfills) {
      proposal.guards.append(.backfillUnchanged(old.record.key, modRevision: old.modRevision))
      proposal.writes.append(.deleteBackfill(old.record.key))
    }
    switch await pipeline.commit(keyspace.change(for: proposal)) {
    case .committed:
      logger.info("a backfill was started", metadata: Self.facts(record))
      return true
    case .conflict: return false
    case .failed(let error): throw ServiceError(error)
    }
  }

  private static func facts(_ record: BackfillRecord) -> Logger.Metadata {
    [
      "job": "\(record.key.job.namespace)/\(record.key.job.jobID)", "backfill": "\(record.key.backfillID)",
      "occurrences": "\(record.occurrences)",
    ]
  }

  // MARK: Read

  /// A backfill.
  func get(_ key: BackfillKey) async throws -> BackfillView {
    try check(key)
    try await barrier.pass()
    return BackfillView(try await require(key).record)
  }

  private func check(_ key: BackfillKey) throws {
    try key.job.check()
    guard Identifier.isValid(key.backfillID) else {
      throw ServiceError.invalid("backfill_id", "an identifier has \(Identifier.rule)")
    }
  }

  private func require(_ key: BackfillKey) async throws -> Versioned<BackfillRecord> {
    if let found = await replica.backfill(key) { return found }
    _ = try await replica.requireRecord(key.job)
    throw ServiceError.notFound("job '\(key.job.jobID)' has no backfill '\(key.backfillID)'")
  }

  /// All backfills of a job, newest first.
  func list(_ request: ListBackfillsRequest) async throws -> ListBackfillsResponse {
    try request.job.check()
    try await barrier.pass()
    _ = try await replica.requireRecord(request.job)
    return ListBackfillsResponse(
      backfills: await replica.backfills(of: request.job).map { BackfillView($0.record) })
  }

  // MARK: Cancel

  /// Lets a backfill create no further runs. Asking again, or of one that has ended, changes nothing.
  func cancel(_ key: BackfillKey) async throws -> BackfillView {
    try check(key)
    try await barrier.pass()
    for _ in 0..<ServerLimits.casTries {
      let found = try await require(key)
      var record = found.record
      guard record.state == .running else { return BackfillView(record) }
      record.state = .cancelled
      record.finishedAt = .now()
      let proposal = Proposal(
        guards: [.backfillUnchanged(key, modRevision: found.modRevision)], writes: [.backfill(record)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed:
        logger.info("a backfill was cancelled", metadata: Self.facts(record))
        return BackfillView(record)
      case .conflict: continue
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw ServiceError.aborted("backfill '\(key.backfillID)' keeps changing; try again")
  }
}

extension BackfillView {
  fileprivate init(_ record: BackfillRecord) { self.init(record: record, occurrences: record.occurrences) }
}
