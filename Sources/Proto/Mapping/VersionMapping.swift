import CProto
import SchedulerCore

extension VersionView: Mapped, WireMessage {
  /// As `rota.v1.JobVersion`.
  public static var codec: WireCodec<VersionView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__JobVersion>) throws(ProtoError) {
    let origin = VersionOrigin(
      at: try Decode.requiredTime(raw.pointee.created_at, "created_at"),
      by: try Decode.optionalText(raw.pointee.created_by, "created_by"),
      revertOf: raw.pointee.revert_of == 0 ? nil : Int(raw.pointee.revert_of))
    self.init(
      job: JobKey(
        namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
        jobID: try Decode.text(raw.pointee.job_id, "job_id")),
      generation: Int(raw.pointee.generation), etag: try Decode.text(raw.pointee.etag, "etag"),
      spec: try Decode.optional(raw.pointee.spec, "spec"), origin: origin,
      replacedAt: try Decode.time(raw.pointee.replaced_at, "replaced_at"),
      replacedBy: try Decode.optionalText(raw.pointee.replaced_by, "replaced_by"))
    changedFields = try Decode.texts(
      raw.pointee.n_changed_fields, raw.pointee.changed_fields, "changed_fields")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__JobVersion>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
    raw.pointee.generation = Int64(generation)
    raw.pointee.etag = arena.text(etag)
    raw.pointee.spec = arena.optional(spec)
    raw.pointee.created_at = arena.time(origin.at)
    raw.pointee.created_by = arena.text(origin.by)
    raw.pointee.revert_of = Int64(origin.revertOf ?? 0)
    raw.pointee.replaced_at = arena.time(replacedAt)
    raw.pointee.replaced_by = arena.text(replacedBy)
    raw.pointee.changed_fields = arena.texts(changedFields, &raw.pointee.n_changed_fields)
  }
}

// MARK: - Requests

extension ListVersionsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListVersionsRequest`.
  public static var codec: WireCodec<ListVersionsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListVersionsRequest>) throws(ProtoError) {
    self.init(key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListVersionsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
  }
}

extension ListVersionsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListVersionsResponse`.
  public static var codec: WireCodec<ListVersionsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListVersionsResponse>) throws(ProtoError) {
    self.init(versions: try Decode.list(raw.pointee.n_versions, raw.pointee.versions, "versions"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListVersionsResponse>, _ arena: Arena) {
    raw.pointee.versions = arena.list(versions, &raw.pointee.n_versions)
  }
}

extension GetVersionRequest: Mapped, WireMessage {
  /// As `rota.v1.GetVersionRequest`.
  public static var codec: WireCodec<GetVersionRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetVersionRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      generation: Int(raw.pointee.generation))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetVersionRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.generation = Int64(generation)
  }
}

extension RevertJobRequest: Mapped, WireMessage {
  /// As `rota.v1.RevertJobRequest`.
  public static var codec: WireCodec<RevertJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__RevertJobRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      generation: Int(raw.pointee.generation),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"),
      updatedBy: try Decode.optionalText(raw.pointee.updated_by, "updated_by"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__RevertJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.generation = Int64(generation)
    raw.pointee.if_match = arena.text(ifMatch)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
    raw.pointee.updated_by = arena.text(updatedBy)
  }
}
