import EtcdClient
import Logging
import Proto
import SchedulerCore

// What changes a job that exists. All of it is done by compare-and-swap on the job's record, so any server can do
// it, beside the owner of the job's segment and every other server.

extension JobService {
  /// Asks for a job to be cancelled; the leader does the rest. Asking again changes nothing.
  func cancel(_ key: JobKey, reason: String?) async throws -> JobView {
    try check(note: reason, field: "reason")
    return try await change(key, "cancelled") { job in
      if job.record.cancelRequestedAt != nil { return nil }
      guard !job.status.isTerminal else { throw Self.hasEnded(job) }
      var record = job.record
      record.cancelRequestedAt = .now()
      record.cancelRequestedBy = Requester.current
      record.cancelReason = reason
      record.nextRunTime = nil
      return record
    }
  }

  /// Stops a job from being due. Pausing again changes the note, if there is one.
  func pause(_ request: PauseJobRequest) async throws -> JobView {
    try check(note: request.note, field: "note")
    return try await change(request.key, "paused") { job in
      try Self.checkIsAlive(job)
      guard job.record.pausedAt == nil || (request.note ?? job.record.pauseNote) != job.record.pauseNote
      else {
        return nil
      }
      var record = job.record
      if record.pausedAt == nil { record.pausedBy = Requester.current }
      record.pausedAt = record.pausedAt ?? .now()
      record.pauseNote = request.note ?? record.pauseNote
      return record
    }
  }

  /// Ends a pause; the segment's owner decides what becomes of what was missed. Resuming again changes nothing.
  func resume(_ request: ResumeJobRequest) async throws -> JobView {
    try await change(request.key, "resumed") { job in
      guard job.record.pausedAt != nil else { return nil }
      var record = job.record
      record.pausedAt = nil
      record.pauseNote = nil
      record.pausedBy = nil
      return record
    }
  }

  /// Leaves out the next occurrence. Asking again for the same one changes nothing.
  func skipNext(_ request: SkipNextRequest) async throws -> JobView {
    try await change(request.key, "next occurrence skipped") { job in
      try Self.checkIsAlive(job)
      guard !job.record.spec.schedules.isEmpty else {
        throw ServiceError.failedPrecondition(
          "job '\(job.record.key.jobID)' runs once; to keep it from running, cancel it")
      }
      let plan = try await plan(of: job.record)
      let next = plan.nextDue(job.activity)
      if let meant = request.scheduledTime {
        // People know the time that jobs are shown with, jitter included.
        let isNext = next.map { meant == $0.scheduledTime || meant == $0.creationTime } ?? false
        if !isNext {
          if let next, meant > next.scheduledTime {
            throw ServiceError.failedPrecondition("the next occurrence is \(next.scheduledTime.rfc3339)")
          }
          return nil
        }
      }
      guard let record = plan.skippingNext(job.activity, at: .now()) else {
        throw ServiceError.failedPrecondition("job '\(job.record.key.jobID)' has no next occurrence")
      }
      return record
    }
  }

  /// Replaces the specification. The one that the job has already changes nothing, nor does the job's last update when
  /// it is sent again.
  /// - Parameter reverted: The version whose specification it is, where the job is to have that again.
  func update(_ request: UpdateJobRequest, reverted: VersionView? = nil) async throws -> JobView {
    do {
      if let key = request.idempotencyKey { try SubmitRequest.validate(idempotencyKey: key) }
      try request.spec.validate(zones: zones)
    } catch {
      throw ServiceError.invalid(error)
    }
    try Self.check(author: request.updatedBy)
    let updateID = request.idempotencyKey ?? Self.newChangeID()
    let calendars = try await existingCalendars(of: request.spec, in: request.key.namespace)
    return try await change(request.key, "updated") { job in
      guard job.record.cancelRequestedAt == nil else { throw Self.isCancelled(job) }
      if let reverted, !reverted.isOf(job.record) {
        throw Self.noVersion(reverted.generation, of: job.record)
      }
      if job.record.updateID == updateID {
        guard job.record.spec == request.spec else {
          throw ServiceError.alreadyExists("idempotency_key", "was used for another update of this job")
        }
        return nil
      }
      try Self.check(ifMatch: request.ifMatch, against: job.record.etag, of: "job '\(request.key.jobID)'")
      guard job.record.spec != request.spec else { return nil }
      var changed = job.record
      changed.spec = request.spec
      let plan: JobPlan
      do throws(FieldError) { plan = try JobPlan(changed, zones: zones) { calendars[$0] } } catch {
        throw ServiceError.invalid(error)
      }
      let now = Timestamp.now()
      var record = plan.updated(from: job.record.spec, job.activity, at: now)
      record.updateID = updateID
      record.origin = VersionOrigin(at: now, by: request.updatedBy, revertOf: reverted?.generation)
      guard record.nextRunTime != nil || job.record.nextRunTime == nil || !request.spec.schedules.isEmpty
      else {
        throw ServiceError.invalid(
          "execution_time",
          "is required where schedules or an execution_time are taken away from a job that is still due; "
            + "to stop it, pause or cancel it")
      }
      return record
    }
  }

  /// Asks for a job to be removed with its runs; the leader does so once they have ended. Asking again changes
  /// nothing.
  func delete(_ request: DeleteJobRequest) async throws -> JobView {
    try await change(request.key, "deleted") { job in
      try Self.check(ifMatch: request.ifMatch, against: job.record.etag, of: "job '\(request.key.jobID)'")
      guard job.record.deleteRequestedAt == nil else { return nil }
      var record = job.record
      let now = Timestamp.now()
      record.deleteRequestedAt = now
      if record.cancelRequestedAt == nil { record.cancelRequestedBy = Requester.current }
      record.cancelRequestedAt = record.cancelRequestedAt ?? now
      record.nextRunTime = nil
      return record
    }
  }

  // MARK: Compare and swap

  /// Changes a job's record.
  /// - Parameters:
  ///   - action: What is done, for the log.
  ///   - decide: Makes the new record of the job as it stands; nil where there is nothing to change. It is asked
  ///     again after each conflict.
  private func change(
    _ key: JobKey, _ action: Logger.Message, _ decide: (StandingRecord) async throws -> JobRecord?
  ) async throws -> JobView {
    try check(key)
    try await barrier.pass()
    for _ in 0..<ServerLimits.casTries {
      let job = try await standing(key)
      guard var record = try await decide(job) else { return try await require(key) }
      record.changeID = Self.newChangeID()
      let proposal = Proposal(
        guards: [.jobUnchanged(key, modRevision: job.modRevision)],
        writes: [.job(record)] + record.versionWrites(replacing: job.record))
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed(let revision):
        log(action, key, ["generation": "\(record.generation)", "revision": "\(revision)"])
        // Whoever removes deleted jobs may have done so.
        return await replica.jobView(key) ?? JobView(record: record, status: job.status, revision: revision)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, has been committed; the job may have been due since.
        if let pair = current[keyspace.job(key)] ?? nil,
          try JobRecord(decoding: pair.value, key: key).changeID == record.changeID
        {
          return await replica.jobView(key)
            ?? JobView(record: record, status: job.status, revision: pair.modRevision)
        }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(key)
  }

  /// Beside what else a change writes, enough to tell two of them apart.
  static func newChangeID() -> String {
    String(UInt64.random(in: 0 ... .max), radix: 36)
  }

  /// The job to decide about, once the cache has all that was committed before the job's last change: runs of jobs
  /// that may not overlap are created with a change of the job.
  func standing(_ key: JobKey) async throws -> StandingRecord {
    // While it waits, the cache may learn of another change ahead of the watch.
    for _ in 0..<ServerLimits.casTries {
      guard let job = await replica.standingRecord(of: key) else { throw Self.noJob(key) }
      if job.isComplete { return job }
      guard await replica.reached(job.modRevision, within: ServerLimits.barrierPatience) else {
        throw ServiceError.unavailable(
          "this server's copy of the cluster's state is behind etcd; try another server")
      }
    }
    throw Self.keepsChanging(key)
  }

  /// One line for each change that somebody asked for.
  func log(_ action: Logger.Message, _ key: JobKey, _ facts: Logger.Metadata) {
    var metadata = facts
    metadata["namespace"] = "\(key.namespace)"
    metadata["job"] = "\(key.jobID)"
    logger.info("job \(action)", metadata: metadata)
  }

  static func keepsChanging(_ key: JobKey) -> ServiceError {
    .aborted("job '\(key.jobID)' keeps changing; try again")
  }

  // MARK: Checks

  private func check(note: String?, field: String) throws {
    if let note, note.utf8.count > ServerLimits.noteBytes {
      throw ServiceError.invalid(field, "must be at most \(ServerLimits.noteBytes) bytes")
    }
  }

  /// Refuses a change that was made from something else than what is there.
  static func check(ifMatch: String?, against etag: String, of what: String) throws {
    guard let ifMatch, ifMatch != "*", ifMatch != etag else { return }
    throw ServiceError.stale(
      "\(what) has changed since: its etag is '\(etag)'; read it again and decide anew")
  }

  /// A job that was cancelled or has ended has nothing left that could be controlled.
  static func checkIsAlive(_ job: StandingRecord) throws {
    guard job.record.cancelRequestedAt == nil else { throw isCancelled(job) }
    guard !job.status.isTerminal else { throw hasEnded(job) }
  }

  static func isCancelled(_ job: StandingRecord) -> ServiceError {
    let what = job.record.deleteRequestedAt == nil ? "cancelled" : "deleted"
    return .failedPrecondition("job '\(job.record.key.jobID)' is being \(what), or has been")
  }

  private static func hasEnded(_ job: StandingRecord) -> ServiceError {
    .failedPrecondition("job '\(job.record.key.jobID)' has ended already: \(job.status.rawValue)")
  }

  // MARK: Plans

  /// The plan of a job, by the calendars as they are.
  func plan(of record: JobRecord) async throws -> JobPlan {
    let calendars = try await compiledCalendars(of: record.spec, in: record.key.namespace)
    return try JobPlan(record, zones: zones) { calendars[$0] }
  }

  /// The calendars that a specification names, each of which has to exist.
  /// - Throws: `ServiceError` INVALID_ARGUMENT that names the first one that does not.
  func existingCalendars(
    of spec: JobSpec, in namespace: String
  ) async throws -> [CalendarKey: CompiledCalendar] {
    guard spec.schedules.contains(where: { !$0.calendars.isEmpty }) else { return [:] }
    try await barrier.pass()
    let calendars = try await compiledCalendars(of: spec, in: namespace)
    for (index, schedule) in spec.schedules.enumerated() {
      for (place, name) in schedule.calendars.enumerated()
      where calendars[CalendarKey(namespace: namespace, name: name)] == nil {
        throw ServiceError.invalid(
          "schedules[\(index)].calendars[\(place)]",
          "there is no calendar '\(name)' in namespace '\(namespace)'")
      }
    }
    return calendars
  }

  private func compiledCalendars(
    of spec: JobSpec, in namespace: String
  ) async throws -> [CalendarKey: CompiledCalendar] {
    let keys = Set(spec.schedules.flatMap(\.calendars).map { CalendarKey(namespace: namespace, name: $0) })
    guard !keys.isEmpty else { return [:] }
    var compiled: [CalendarKey: CompiledCalendar] = [:]
    for record in await replica.calendars(keys) {
      compiled[record.key] = try CompiledCalendar(record.spec, name: record.key.name, zones: zones)
    }
    return compiled
  }
}

/// A job as the cache has it, for decisions.
struct StandingRecord: Sendable {
  var record: JobRecord
  var modRevision: Int64
  var status: JobStatus
  var activity: JobActivity
  /// The ids of its runs.
  var runIDs: [String]
  /// Whether the cache has all that was committed before the record's revision.
  var isComplete: Bool
}
