import EtcdClient
import JSON
import Logging
import Proto
import SchedulerCore

/// Submitting and reading jobs: what REST and gRPC call. Any server can do all of it. What changes a job that
/// exists is in `JobService+Control` and `JobService+Trigger`.
struct JobService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let store: any EtcdStore
  let keyspace: Keyspace
  let idempotencyLeases: LeaseBucket
  let gate: SubmitGate
  let metrics: ServerMetrics
  let zones: TimeZones
  let logger: Logger

  // MARK: Submit

  /// Stores a job; returning means that it is durable.
  /// - Parameter caller: Who asks; nil where clients are not asked who they are.
  func submit(_ request: SubmitRequest, from caller: Caller? = nil) async throws -> SubmitResponse {
    do {
      try request.validate(zones: zones)
      let rate = replica.quotas[request.namespace]?.rate.map { (name: request.namespace, rate: $0) }
      try await gate.pass(request.submitter(caller), namespace: rate)
      let response = try await store(request)
      metrics.submissions.add(1)
      return response
    } catch {
      metrics.submissionsRefused.add(1)
      throw (error as? FieldError).map(ServiceError.invalid) ?? error
    }
  }

  private func store(_ request: SubmitRequest) async throws -> SubmitResponse {
    let calendars = try await existingCalendars(of: request.spec, in: request.namespace)
    let submission = try Submission(request, now: .now(), zones: zones, calendars)
    let reservation: QuotaDesk.Reservation?
    do throws(ServiceError) {
      reservation = try await reserve(
        QuotaDesk.Reservation(job: submission.job.key, run: submission.run?.key), in: request.namespace)
    } catch {
      // What exists already needs no room.
      if let earlier = try await earlier(request, submission) { return earlier }
      throw error
    }
    guard let reservation else { return try await store(submission, request) }
    do {
      let response = try await store(submission, request)
      await replica.release(reservation)
      return response
    } catch {
      await replica.release(reservation)
      throw error
    }
  }

  private func store(_ planned: Submission, _ request: SubmitRequest) async throws -> SubmitResponse {
    var submission = planned
    if let run = submission.run, let admitted = await replica.admit(run, of: submission.job) {
      submission.run = admitted.run
      submission.guards = admitted.guards
      let response: SubmitResponse?
      do {
        response = try await commit(submission, request, rider: admitted.rider)
      } catch {
        await replica.abandon(admitted.rider)
        throw error
      }
      if let response { return response }
      await replica.abandon(admitted.rider)
      // The leader or the agent has changed: the run has to queue.
      submission.run = run
      submission.guards = []
    }
    guard let response = try await commit(submission, request, rider: nil) else {
      throw ServiceError.aborted("the cluster's state changed meanwhile; try again")
    }
    return response
  }

  /// Nil when nothing was written because a guard besides the job's own absence did not hold.
  private func commit(
    _ submission: Submission, _ request: SubmitRequest, rider: CommitPipeline.Rider?
  ) async throws -> SubmitResponse? {
    var change = submission.change(in: keyspace)
    let idempotencyKey = request.idempotencyKey.map {
      keyspace.idempotency(namespace: request.namespace, key: $0)
    }
    if let idempotencyKey {
      try await remember(submission.idempotencyRecord, as: idempotencyKey, in: &change)
    }
    switch await pipeline.commit(change, rider: rider) {
    case .committed(let revision): return SubmitResponse(job: submission.view(at: revision), created: true)
    case .failed(let error):
      if error.code == .leaseNotFound { await idempotencyLeases.discard() }
      throw ServiceError(error)
    case .conflict(let current, _):
      if let idempotencyKey, let pair = current[idempotencyKey] ?? nil {
        return try await earlier(IdempotencyRecord(decoding: pair.value), submission)
      }
      return try explain(current, submission)
    }
  }

  /// Has a change remember what it makes under an idempotency key, and fail when there is something already.
  func remember(_ record: IdempotencyRecord, as key: String, in change: inout Change) async throws {
    change.compares.append(.absent(key))
    change.operations.append(
      .put(key: key, value: record.encoded(), lease: try await idempotencyLeases.lease()))
  }

  /// What the same request has made before; nil where it has made nothing.
  private func earlier(
    _ request: SubmitRequest, _ submission: Submission
  ) async throws -> SubmitResponse? {
    guard let idempotencyKey = request.idempotencyKey else { return nil }
    let key = keyspace.idempotency(namespace: request.namespace, key: idempotencyKey)
    guard let pair = try await remembered(key) else { return nil }
    return try await earlier(IdempotencyRecord(decoding: pair.value), submission)
  }

  /// The key was used before: the same request gets the job that it made, another one is refused.
  private func earlier(_ record: IdempotencyRecord, _ submission: Submission) async throws -> SubmitResponse {
    // Our own earlier try, whose answer was lost, is the creation itself.
    let isOwn = record.uid == submission.job.uid
    guard isOwn || record.bodyHash == submission.idempotencyRecord.bodyHash else {
      throw Self.usedElsewhere(record)
    }
    let view = try await get(record.job)
    return SubmitResponse(job: view, created: isOwn)
  }

  /// The key of a request was used for another one.
  static func usedElsewhere(_ record: IdempotencyRecord) -> ServiceError {
    let what = record.runID.map { "run '\($0)' of job" } ?? "job"
    return .alreadyExists(
      "idempotency_key", "was used for another request, which made \(what) '\(record.job.jobID)'")
  }

  private func explain(_ current: [String: KeyValue?], _ submission: Submission) throws -> SubmitResponse? {
    let key = submission.job.key
    guard let pair = current[keyspace.job(key)] ?? nil else { return nil }
    let found = try JobRecord(decoding: pair.value, key: key)
    if found.uid == submission.job.uid {
      return SubmitResponse(job: submission.view(at: pair.createRevision), created: true)
    }
    throw ServiceError.alreadyExists(
      "job_id", "'\(key.jobID)' is taken in namespace '\(key.namespace)'; choose another or leave it out")
  }

  // MARK: Read

  /// A job with its runs.
  func get(_ key: JobKey) async throws -> JobView {
    try check(key)
    try await barrier.pass()
    return try await require(key)
  }

  /// A job as the cache has it.
  func require(_ key: JobKey) async throws -> JobView {
    guard let view = await replica.jobView(key) else { throw Self.noJob(key) }
    return view
  }

  static func noJob(_ key: JobKey) -> ServiceError {
    .notFound("there is no job '\(key.jobID)' in namespace '\(key.namespace)'")
  }

  /// A page of jobs, newest first.
  func list(_ request: ListJobsRequest) async throws -> ListJobsResponse {
    guard let size = Paging.size(request.pageSize) else { throw Self.badPageSize }
    do { try Labels.validate(filter: request.labels) } catch { throw ServiceError.invalid(error) }
    try await barrier.pass()
    let filter = JobFilter(
      namespace: request.namespace, status: request.status, userID: request.userID, labels: request.labels)
    do {
      return try await replica.listJobs(filter, after: request.pageToken, limit: size)
    } catch is InvalidPageToken {
      throw Self.badPageToken
    }
  }

  static let badPageSize = ServiceError.invalid("page_size", "must be 1 to \(Paging.maximumSize)")
  static let badPageToken = ServiceError.invalid("page_token", "is not one that a listing returned")

  /// Refuses a key that cannot be one.
  func check(_ key: JobKey) throws {
    guard Identifier.isValid(key.namespace) else {
      throw ServiceError.invalid("namespace", "an identifier has \(Identifier.rule)")
    }
    guard Identifier.isValid(key.jobID) else {
      throw ServiceError.invalid("job_id", "an identifier has \(Identifier.rule)")
    }
  }
}

/// A validated request on its way to be stored.
private struct Submission {
  var job: JobRecord
  var run: RunRecord?
  /// What has to hold besides, where the run is created assigned.
  var guards: [Proposal.Guard] = []
  var bodyHash: String

  /// - Throws: `FieldError` for schedules that nothing comes of.
  init(
    _ request: SubmitRequest, now: Timestamp, zones: TimeZones, _ calendars: [CalendarKey: CompiledCalendar]
  ) throws {
    var random = SystemRandomNumberGenerator()
    let jobID = request.jobID ?? JobID.make(now: now, random: &random)
    let uid = String(random.next(), radix: 36) + String(random.next(), radix: 36)
    job = JobRecord(
      key: JobKey(namespace: request.namespace, jobID: jobID), uid: uid, spec: request.spec(at: now),
      createdAt: now)
    if !job.spec.schedules.isEmpty {
      job = try JobPlan(job, zones: zones) { calendars[$0] }.started(at: now)
      guard job.nextRunTime != nil else {
        throw FieldError(
          field: "schedules", message: "none of them is ever due from now on; see their ends and calendars")
      }
    } else if let time = job.spec.executionTime, time > now {
      job.nextRunTime = time
    } else {
      let due = job.spec.executionTime ?? now
      job.lastRunTime = due
      var first = RunRecord(
        key: RunKey(job: job.key, runID: runID(for: due)), scheduledTime: due, createdAt: now)
      first.history.createdBy = RunActor.user(Requester.current ?? job.spec.userID)
      first.joinGroup(of: job.spec)
      first.history.createdBy = RunActor.user(Requester.current ?? job.spec.userID)
      run = first
    }
    var json = JSONWriter()
    json.object { request.writeBody(to: &$0) }
    bodyHash = Keyspace.digest(of: json.bytes)
  }

  var idempotencyRecord: IdempotencyRecord {
    IdempotencyRecord(job: job.key, bodyHash: bodyHash, uid: job.uid)
  }

  func change(in keyspace: Keyspace) -> Change {
    var proposal = Proposal(guards: [.jobAbsent(job.key)] + guards, writes: [.job(job)])
    if let run {
      proposal.guards.append(.runAbsent(run.key))
      proposal.writes.append(.run(run))
    }
    return keyspace.change(for: proposal)
  }

  func view(at revision: Int64) -> JobView {
    JobView(
      record: job, status: .pending, runs: run.map { [RunView(record: $0, revision: revision)] } ?? [],
      revision: revision)
  }
}

/// Ids of jobs that name none: they sort by time and never meet.
enum JobID {
  private static let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz")

  /// `j-`, 9 characters of milliseconds and 10 of chance (Crockford's base 32).
  static func make(now: Timestamp, random: inout some RandomNumberGenerator) -> String {
    digits(UInt64(max(0, now.milliseconds)), count: 9, after: "j-")
      + digits(random.next(), count: 10, after: "")
  }

  private static func digits(_ value: UInt64, count: Int, after prefix: String) -> String {
    var text = prefix
    for place in (0..<count).reversed() { text.append(alphabet[Int(value >> (5 * UInt64(place)) & 31)]) }
    return text
  }
}
