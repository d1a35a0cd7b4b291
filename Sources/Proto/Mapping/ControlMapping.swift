import CProto
import SchedulerCore

extension PauseJobRequest: Mapped, WireMessage {
  /// As `rota.v1.PauseJobRequest`.
  public static var codec: WireCodec<PauseJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PauseJobRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      note: try Decode.optionalText(raw.pointee.note, "note"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PauseJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.note = arena.text(note)
  }
}

extension ResumeJobRequest: Mapped, WireMessage {
  /// As `rota.v1.ResumeJobRequest`.
  public static var codec: WireCodec<ResumeJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ResumeJobRequest>) throws(ProtoError) {
    self.init(key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ResumeJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
  }
}

extension TriggerJobRequest: Mapped, WireMessage {
  /// As `rota.v1.TriggerJobRequest`.
  public static var codec: WireCodec<TriggerJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__TriggerJobRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      params: try Decode.map(raw.pointee.n_params, raw.pointee.params, "params"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__TriggerJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.params = arena.map(params, &raw.pointee.n_params)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
  }
}

extension RetryRunRequest: Mapped, WireMessage {
  /// As `rota.v1.RetryRunRequest`.
  public static var codec: WireCodec<RetryRunRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__RetryRunRequest>) throws(ProtoError) {
    self.init(
      job: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      runID: try Decode.optionalText(raw.pointee.run_id, "run_id"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__RetryRunRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
    raw.pointee.run_id = arena.text(runID)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
  }
}

extension SkipNextRequest: Mapped, WireMessage {
  /// As `rota.v1.SkipNextRequest`.
  public static var codec: WireCodec<SkipNextRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__SkipNextRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      scheduledTime: try Decode.time(raw.pointee.scheduled_time, "scheduled_time"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SkipNextRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.scheduled_time = arena.time(scheduledTime)
  }
}

extension UpdateJobRequest: Mapped, WireMessage {
  /// As `rota.v1.UpdateJobRequest`.
  public static var codec: WireCodec<UpdateJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__UpdateJobRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"),
      updatedBy: try Decode.optionalText(raw.pointee.updated_by, "updated_by"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__UpdateJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.if_match = arena.text(ifMatch)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
    raw.pointee.updated_by = arena.text(updatedBy)
  }
}

extension DeleteJobRequest: Mapped, WireMessage {
  /// As `rota.v1.DeleteJobRequest`.
  public static var codec: WireCodec<DeleteJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteJobRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.if_match = arena.text(ifMatch)
  }
}
