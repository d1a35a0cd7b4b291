import EtcdClient
import JSON
import Logging
import Proto
import SchedulerCore

/// Runs that somebody asks for.
extension JobService {
  /// Creates a run now, whatever the schedules say, unless the overlap policy is against it; returning means that
  /// it is durable.
  func trigger(_ request: TriggerJobRequest) async throws -> RunView {
    do { try request.validate() } catch { throw ServiceError.invalid(error) }
    let wish = RunWish(
      job: request.key, idempotencyKey: request.idempotencyKey, bodyHash: request.bodyHash, verb: "triggered")
    return try await createRun(wish) { job in
      try await plan(of: job.record).triggered(
        at: .now(), params: request.params, job.activity, exists: Set(job.runIDs).contains)
    }
  }

  /// Runs a run again that has ended, under the same conditions as a trigger.
  func retry(_ request: RetryRunRequest) async throws -> RunView {
    do { try request.validate() } catch { throw ServiceError.invalid(error) }
    let wish = RunWish(
      job: request.job, idempotencyKey: request.idempotencyKey, bodyHash: request.bodyHash, verb: "retried")
    return try await createRun(wish) { job in
      let old = try await ended(request)
      let outcome = try await plan(of: job.record).retried(
        old, at: .now(), job.activity, exists: Set(job.runIDs).contains)
      guard let outcome else {
        throw ServiceError.failedPrecondition(
          "run '\(old.key.runID)' has been retried \(RetryID.limit) times; no more are allowed")
      }
      return outcome
    }
  }

  /// The run that is to be run again.
  private func ended(_ request: RetryRunRequest) async throws -> RunRecord {
    guard let runID = request.runID else {
      if let run = await replica.newestFailedRun(of: request.job) { return run }
      throw ServiceError.failedPrecondition(
        "job '\(request.job.jobID)' has no run that failed; name one to run it again")
    }
    guard let run = await replica.run(RunKey(job: request.job, runID: runID)) else {
      throw ServiceError.notFound("job '\(request.job.jobID)' has no run '\(runID)'")
    }
    guard run.state.isTerminal else {
      throw ServiceError.failedPrecondition(
        "run '\(runID)' has not ended: it is \(run.state.rawValue); only what has ended can be run again")
    }
    return run
  }

  // MARK: Creating

  /// What is the same whatever makes the run.
  private struct RunWish {
    var job: JobKey
    var idempotencyKey: String?
    /// Tells whether two requests want the same.
    var bodyHash: String
    /// What is done to the job, for the log and for errors.
    var verb: String
  }

  /// Creates a run by what `decide` makes of the job as it stands; it is asked again after each conflict.
  private func createRun(
    _ wish: RunWish, _ decide: (StandingRecord) async throws -> JobPlan.Trigger
  ) async throws -> RunView {
    try check(wish.job)
    try await barrier.pass()
    let memory = wish.idempotencyKey.map { keyspace.idempotency(namespace: wish.job.namespace, key: $0) }
    // What an earlier request made may be what the overlap policy would be against.
    if let memory, let pair = try await remembered(memory) {
      return try await earlier(IdempotencyRecord(decoding: pair.value), wish)
    }
    for _ in 0..<ServerLimits.casTries {
      let job = try await standing(wish.job)
      guard job.record.cancelRequestedAt == nil else { throw Self.isCancelled(job) }
      var (run, record) = try allowed(try await decide(job), wish)
      run.history.createdBy = RunActor.user(Requester.current)
      var change = keyspace.change(
        for: Proposal(
          guards: [.jobUnchanged(wish.job, modRevision: job.modRevision), .runAbsent(run.key)],
          writes: [.job(record), .run(run)]))
      if let memory {
        let made = IdempotencyRecord(
          job: wish.job, bodyHash: wish.bodyHash, uid: job.record.uid, runID: run.key.runID)
        try await remember(made, as: memory, in: &change)
      }
      let reservation = try await reserve(QuotaDesk.Reservation(run: run.key), in: wish.job.namespace)
      let outcome = await pipeline.commit(change)
      if let reservation { await replica.release(reservation) }
      switch outcome {
      case .committed(let revision):
        log("\(wish.verb)", wish.job, ["run": "\(run.key.runID)", "revision": "\(revision)"])
        return RunView(record: run, revision: revision)
      case .failed(let error):
        if error.code == .leaseNotFound { await idempotencyLeases.discard() }
        throw ServiceError(error)
      case .conflict(let current, _):
        if let memory, let pair = current[memory] ?? nil {
          return try await earlier(IdempotencyRecord(decoding: pair.value), wish)
        }
        if let own = try self.own(run, in: current) { return own }
      }
    }
    throw Self.keepsChanging(wish.job)
  }

  /// The run to be created, and the job's record that goes with it.
  private func allowed(_ outcome: JobPlan.Trigger, _ wish: RunWish) throws -> (RunRecord, JobRecord) {
    switch outcome {
    case .run(let run, let record): return (run, record)
    case .refused(let reason, let runID):
      let why =
        reason == .queueFull
        ? "its queue is full, and its run '\(runID)'" : "its overlap policy forbids it: run '\(runID)'"
      throw ServiceError.failedPrecondition(
        "job '\(wish.job.jobID)' cannot be \(wish.verb) now: \(why) has not ended")
    }
  }

  /// The run itself where it was this request's own first try that created it, whose answer was lost.
  private func own(_ run: RunRecord, in current: [String: KeyValue?]) throws -> RunView? {
    guard let pair = current[keyspace.run(run.key)] ?? nil else { return nil }
    let found = try RunRecord(decoding: pair.value, key: run.key)
    let isOwn =
      found.trigger == run.trigger && found.createdAt == run.createdAt && found.params == run.params
      && found.retryOf == run.retryOf
    return isOwn ? RunView(record: found, revision: pair.modRevision) : nil
  }

  /// What an idempotency key made, if anything.
  func remembered(_ key: String) async throws -> KeyValue? {
    do throws(EtcdError) { return try await store.get(key) } catch { throw ServiceError(error) }
  }

  /// The key was used before: the same request gets the run that it made, another one is refused.
  private func earlier(_ record: IdempotencyRecord, _ wish: RunWish) async throws -> RunView {
    guard let runID = record.runID, record.bodyHash == wish.bodyHash else {
      throw Self.usedElsewhere(record)
    }
    try await barrier.pass()
    guard let view = await replica.runView(record.job, runID: runID) else {
      throw ServiceError.notFound(
        "an earlier request with this idempotency key made run '\(runID)', which has been removed")
    }
    return view
  }
}

extension TriggerJobRequest {
  /// Checks the bounds.
  fileprivate func validate() throws(FieldError) {
    try Params.validate(params)
    if let idempotencyKey { try SubmitRequest.validate(idempotencyKey: idempotencyKey) }
  }

  /// Tells whether two requests want the same.
  fileprivate var bodyHash: String {
    var json = JSONWriter()
    json.object { json in
      json.member("trigger", key.jobID)
      json.member("params", params)
    }
    return Keyspace.digest(of: json.bytes)
  }
}

extension RetryRunRequest {
  /// Checks the bounds.
  fileprivate func validate() throws(FieldError) {
    if let idempotencyKey { try SubmitRequest.validate(idempotencyKey: idempotencyKey) }
  }

  /// Tells whether two requests want the same.
  fileprivate var bodyHash: String {
    var json = JSONWriter()
    json.object { json in
      json.member("retry", job.jobID)
      if let runID { json.member("run_id", runID) }
    }
    return Keyspace.digest(of: json.bytes)
  }
}
