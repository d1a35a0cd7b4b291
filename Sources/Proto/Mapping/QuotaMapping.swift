import CProto
import SchedulerCore

extension QuotaSpec: Mapped {
  init(raw: UnsafePointer<Rota__V1__QuotaSpec>) throws(ProtoError) {
    self.init()
    maxJobs = limit(raw.pointee.max_jobs)
    maxQueuedRuns = limit(raw.pointee.max_queued_runs)
    maxRunningRuns = limit(raw.pointee.max_running_runs)
    submitRate = limit(raw.pointee.submit_rate)
    submitBurst = limit(raw.pointee.submit_burst)
    description = try Decode.text(raw.pointee.description, "description")
    labels = try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__QuotaSpec>, _ arena: Arena) {
    raw.pointee.max_jobs = Int64(maxJobs ?? 0)
    raw.pointee.max_queued_runs = Int64(maxQueuedRuns ?? 0)
    raw.pointee.max_running_runs = Int64(maxRunningRuns ?? 0)
    raw.pointee.submit_rate = Int64(submitRate ?? 0)
    raw.pointee.submit_burst = Int64(submitBurst ?? 0)
    raw.pointee.description = arena.text(description)
    raw.pointee.labels = arena.map(labels, &raw.pointee.n_labels)
  }
}

/// Nil for 0; what is out of bounds is left to `QuotaSpec.validate`.
private func limit(_ value: Int64) -> Int? { value == 0 ? nil : Int(value) }

extension NamespaceUse: Mapped {
  init(raw: UnsafePointer<Rota__V1__QuotaUse>) throws(ProtoError) {
    self.init()
    jobs = Int(raw.pointee.jobs)
    queuedRuns = Int(raw.pointee.queued_runs)
    runningRuns = Int(raw.pointee.running_runs)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__QuotaUse>, _ arena: Arena) {
    raw.pointee.jobs = Int64(jobs)
    raw.pointee.queued_runs = Int64(queuedRuns)
    raw.pointee.running_runs = Int64(runningRuns)
  }
}

extension QuotaView: Mapped, WireMessage {
  /// As `rota.v1.Quota`.
  public static var codec: WireCodec<QuotaView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Quota>) throws(ProtoError) {
    var record = QuotaRecord(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"))
    record.generation = Int(raw.pointee.generation)
    record.updatedAt = try Decode.requiredTime(raw.pointee.updated_at, "updated_at")
    self.init(
      record: record, use: try Decode.optional(raw.pointee.use, "use") ?? NamespaceUse(),
      etag: try Decode.text(raw.pointee.etag, "etag"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Quota>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(record.namespace)
    raw.pointee.spec = arena.message(record.spec)
    raw.pointee.use = arena.message(use)
    raw.pointee.generation = Int64(record.generation)
    raw.pointee.etag = arena.text(etag)
    raw.pointee.created_at = arena.time(record.createdAt)
    raw.pointee.updated_at = arena.time(record.updatedAt)
  }
}

// MARK: - Requests

extension PutQuotaRequest: Mapped, WireMessage {
  /// As `rota.v1.PutQuotaRequest`.
  public static var codec: WireCodec<PutQuotaRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PutQuotaRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.namespace(raw.pointee.namespace_),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PutQuotaRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.if_match = arena.text(ifMatch)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
  }
}

extension GetQuotaRequest: Mapped, WireMessage {
  /// As `rota.v1.GetQuotaRequest`.
  public static var codec: WireCodec<GetQuotaRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetQuotaRequest>) throws(ProtoError) {
    self.init(namespace: try Decode.namespace(raw.pointee.namespace_))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetQuotaRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
  }
}

extension ListQuotasRequest: Mapped, WireMessage {
  /// As `rota.v1.ListQuotasRequest`.
  public static var codec: WireCodec<ListQuotasRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListQuotasRequest>) throws(ProtoError) {
    self.init(
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListQuotasRequest>, _ arena: Arena) {
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListQuotasResponse: Mapped, WireMessage {
  /// As `rota.v1.ListQuotasResponse`.
  public static var codec: WireCodec<ListQuotasResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListQuotasResponse>) throws(ProtoError) {
    self.init(
      quotas: try Decode.list(raw.pointee.n_quotas, raw.pointee.quotas, "quotas"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListQuotasResponse>, _ arena: Arena) {
    raw.pointee.quotas = arena.list(quotas, &raw.pointee.n_quotas)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}

extension DeleteQuotaRequest: Mapped, WireMessage {
  /// As `rota.v1.DeleteQuotaRequest`.
  public static var codec: WireCodec<DeleteQuotaRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteQuotaRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.namespace(raw.pointee.namespace_),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteQuotaRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.if_match = arena.text(ifMatch)
  }
}

extension DeleteQuotaResponse: Mapped, WireMessage {
  /// As `rota.v1.DeleteQuotaResponse`.
  public static var codec: WireCodec<DeleteQuotaResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteQuotaResponse>) throws(ProtoError) { self.init() }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteQuotaResponse>, _ arena: Arena) {}
}
