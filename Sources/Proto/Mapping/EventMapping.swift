import CProto
import SchedulerCore

extension WatchEventsRequest: Mapped, WireMessage {
  /// As `rota.v1.WatchRequest`.
  public static var codec: WireCodec<WatchEventsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__WatchRequest>) throws(ProtoError) {
    let (jobs, runs) = (raw.pointee.jobs != 0, raw.pointee.runs != 0)
    let start = raw.pointee.start_revision
    guard start >= 0 else {
      throw ProtoError(.invalid, field: "start_revision", "is \(start); expected 0 or more")
    }
    let jobID = try Decode.optionalText(raw.pointee.job_id, "job_id")
    let namespace = try Decode.optionalText(raw.pointee.namespace_, "namespace")
    self.init(
      namespace: namespace ?? jobID.map { _ in JobSpec.Defaults.namespace }, jobID: jobID,
      jobs: jobs || !runs, runs: runs || !jobs, startRevision: start)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__WatchRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.jobs = jobs ? 1 : 0
    raw.pointee.runs = runs ? 1 : 0
    raw.pointee.start_revision = startRevision
  }
}

extension WatchEventsResponse: Mapped, WireMessage {
  /// As `rota.v1.WatchResponse`.
  public static var codec: WireCodec<WatchEventsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__WatchResponse>) throws(ProtoError) {
    self.init(
      changes: try Decode.list(raw.pointee.n_changes, raw.pointee.changes, "changes"),
      revision: raw.pointee.revision)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__WatchResponse>, _ arena: Arena) {
    raw.pointee.changes = arena.list(changes, &raw.pointee.n_changes)
    raw.pointee.revision = revision
  }
}

extension WatchEventsResponse.Change: Mapped {
  init(raw: UnsafePointer<Rota__V1__Change>) throws(ProtoError) {
    let what: WatchEventsResponse.What
    switch raw.pointee.what_case {
    case ROTA__V1__CHANGE__WHAT_JOB: what = .job(try Decode.required(raw.pointee.job, "job"))
    case ROTA__V1__CHANGE__WHAT_RUN: what = .run(try Decode.required(raw.pointee.run, "run"))
    case ROTA__V1__CHANGE__WHAT_REMOVED_JOB:
      what = .removedJob(
        try Decode.required(raw.pointee.removed_job, "removed_job", as: Removed.self).key.job)
    case ROTA__V1__CHANGE__WHAT_REMOVED_RUN:
      what = .removedRun(try Decode.required(raw.pointee.removed_run, "removed_run", as: Removed.self).key)
    default: throw Decode.missing("what")
    }
    self.init(what, revision: raw.pointee.revision)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Change>, _ arena: Arena) {
    raw.pointee.revision = revision
    switch what {
    case .job(let job):
      raw.pointee.what_case = ROTA__V1__CHANGE__WHAT_JOB
      raw.pointee.job = arena.message(job)
    case .run(let run):
      raw.pointee.what_case = ROTA__V1__CHANGE__WHAT_RUN
      raw.pointee.run = arena.message(run)
    case .removedJob(let key):
      raw.pointee.what_case = ROTA__V1__CHANGE__WHAT_REMOVED_JOB
      raw.pointee.removed_job = arena.message(Removed(key: RunKey(job: key, runID: "")))
    case .removedRun(let key):
      raw.pointee.what_case = ROTA__V1__CHANGE__WHAT_REMOVED_RUN
      raw.pointee.removed_run = arena.message(Removed(key: key))
    }
  }
}

/// What was removed: a run, or, without a run id, a job.
private struct Removed: Mapped {
  let key: RunKey

  init(key: RunKey) { self.key = key }

  init(raw: UnsafePointer<Rota__V1__Removed>) throws(ProtoError) {
    let job = JobKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.text(raw.pointee.job_id, "job_id"))
    key = RunKey(job: job, runID: try Decode.text(raw.pointee.run_id, "run_id"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Removed>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.job.namespace)
    raw.pointee.job_id = arena.text(key.job.jobID)
    raw.pointee.run_id = arena.text(key.runID)
  }
}
