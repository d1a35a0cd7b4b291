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
    try check(request.key)
    do { try request.validate() } catch { throw ServiceError.invalid(error) }
    try await barrier.pass()
    let memory = request.idempotencyKey.map {
      keyspace.idempotency(namespace: request.key.namespace, key: $0)
    }
    // What an earlier request made may be what the overlap policy would be against.
    if let memory, let pair = try await remembered(memory) {
      return try await earlier(IdempotencyRecord(decoding: pair.value), request)
    }
    for _ in 0..<ServerLimits.casTries {
      let (run, proposal, record) = try await decide(request)
      var change = keyspace.change(for: proposal)
      if let memory { try await remember(record, as: memory, in: &change) }
      switch await pipeline.commit(change) {
      case .committed(let revision):
        log("triggered", request.key, ["run": "\(run.key.runID)", "revision": "\(revision)"])
        return RunView(record: run, revision: revision)
      case .failed(let error):
        if error.code == .leaseNotFound { await idempotencyLeases.discard() }
        throw ServiceError(error)
      case .conflict(let current, _):
        if let memory, let pair = current[memory] ?? nil {
          return try await earlier(IdempotencyRecord(decoding: pair.value), request)
        }
        if let own = try self.own(run, in: current) { return own }
      }
    }
    throw Self.keepsChanging(request.key)
  }

  /// The run that is to be created, how, and what is to be remembered of it.
  private func decide(
    _ request: TriggerJobRequest
  ) async throws -> (RunRecord, Proposal, IdempotencyRecord) {
    let job = try await standing(request.key)
    guard job.record.cancelRequestedAt == nil else { throw Self.isCancelled(job) }
    let runIDs = Set(job.runIDs)
    let outcome = try await plan(of: job.record).triggered(
      at: .now(), params: request.params, job.activity, exists: runIDs.contains)
    switch outcome {
    case .refused(let reason, let runID):
      let why =
        reason == .queueFull
        ? "its queue is full, and its run '\(runID)'" : "its overlap policy forbids it: run '\(runID)'"
      throw ServiceError.failedPrecondition(
        "job '\(request.key.jobID)' cannot be triggered now: \(why) has not ended")
    case .run(let run, let record):
      let proposal = Proposal(
        guards: [.jobUnchanged(request.key, modRevision: job.modRevision), .runAbsent(run.key)],
        writes: [.job(record), .run(run)])
      let memory = IdempotencyRecord(
        job: request.key, bodyHash: request.bodyHash, uid: job.record.uid, runID: run.key.runID)
      return (run, proposal, memory)
    }
  }

  /// The run itself where it was this request's own first try that created it, whose answer was lost.
  private func own(_ run: RunRecord, in current: [String: KeyValue?]) throws -> RunView? {
    guard let pair = current[keyspace.run(run.key)] ?? nil else { return nil }
    let found = try RunRecord(decoding: pair.value, key: run.key)
    let isOwn = found.trigger == run.trigger && found.createdAt == run.createdAt && found.params == run.params
    return isOwn ? RunView(record: found, revision: pair.modRevision) : nil
  }

  /// What an idempotency key made, if anything.
  private func remembered(_ key: String) async throws -> KeyValue? {
    do throws(EtcdError) { return try await store.get(key) } catch { throw ServiceError(error) }
  }

  /// The key was used before: the same request gets the run that it made, another one is refused.
  private func earlier(_ record: IdempotencyRecord, _ request: TriggerJobRequest) async throws -> RunView {
    guard let runID = record.runID, record.bodyHash == request.bodyHash else {
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
