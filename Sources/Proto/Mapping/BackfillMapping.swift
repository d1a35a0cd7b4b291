import CProto
import SchedulerCore

extension BackfillRecord.Order: WireEnum {
  static let wireValues: [(BackfillRecord.Order, Rota__V1__BackfillOrder)] = [
    (.oldestFirst, ROTA__V1__BACKFILL_ORDER__BACKFILL_ORDER_OLDEST_FIRST),
    (.newestFirst, ROTA__V1__BACKFILL_ORDER__BACKFILL_ORDER_NEWEST_FIRST),
  ]
}

extension BackfillRecord.State: WireEnum {
  static let wireValues: [(BackfillRecord.State, Rota__V1__BackfillState)] = [
    (.running, ROTA__V1__BACKFILL_STATE__BACKFILL_STATE_RUNNING),
    (.completed, ROTA__V1__BACKFILL_STATE__BACKFILL_STATE_COMPLETED),
    (.cancelled, ROTA__V1__BACKFILL_STATE__BACKFILL_STATE_CANCELLED),
  ]
}

extension CreateBackfillRequest: Mapped, WireMessage {
  /// As `rota.v1.CreateBackfillRequest`.
  public static var codec: WireCodec<CreateBackfillRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__CreateBackfillRequest>) throws(ProtoError) {
    self.init(
      job: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      backfillID: try Decode.optionalText(raw.pointee.backfill_id, "backfill_id"),
      from: try Decode.requiredTime(raw.pointee.from, "from"),
      to: try Decode.requiredTime(raw.pointee.to, "to"),
      order: try Decode.choice(raw.pointee.order, "order") ?? .oldestFirst,
      parallelism: raw.pointee.parallelism == 0 ? 1 : Int(raw.pointee.parallelism),
      params: try Decode.map(raw.pointee.n_params, raw.pointee.params, "params"),
      dryRun: raw.pointee.dry_run != 0)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__CreateBackfillRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
    raw.pointee.backfill_id = arena.text(backfillID)
    raw.pointee.from = arena.time(from)
    raw.pointee.to = arena.time(to)
    raw.pointee.order = order.raw
    raw.pointee.parallelism = Int32(wire: parallelism)
    raw.pointee.params = arena.map(params, &raw.pointee.n_params)
    raw.pointee.dry_run = dryRun ? 1 : 0
  }
}

extension GetBackfillRequest: Mapped, WireMessage {
  /// As `rota.v1.GetBackfillRequest`.
  public static var codec: WireCodec<GetBackfillRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetBackfillRequest>) throws(ProtoError) {
    let job = try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id)
    guard let id = try Decode.optionalText(raw.pointee.backfill_id, "backfill_id") else {
      throw Decode.missing("backfill_id")
    }
    self.init(key: BackfillKey(job: job, backfillID: id))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetBackfillRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.job.namespace)
    raw.pointee.job_id = arena.text(key.job.jobID)
    raw.pointee.backfill_id = arena.text(key.backfillID)
  }
}

extension ListBackfillsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListBackfillsRequest`.
  public static var codec: WireCodec<ListBackfillsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListBackfillsRequest>) throws(ProtoError) {
    self.init(job: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListBackfillsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
  }
}

extension ListBackfillsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListBackfillsResponse`.
  public static var codec: WireCodec<ListBackfillsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListBackfillsResponse>) throws(ProtoError) {
    self.init(backfills: try Decode.list(raw.pointee.n_backfills, raw.pointee.backfills, "backfills"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListBackfillsResponse>, _ arena: Arena) {
    raw.pointee.backfills = arena.list(backfills, &raw.pointee.n_backfills)
  }
}

extension BackfillView: Mapped, WireMessage {
  /// As `rota.v1.Backfill`.
  public static var codec: WireCodec<BackfillView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Backfill>) throws(ProtoError) {
    let job = JobKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.text(raw.pointee.job_id, "job_id"))
    var record = BackfillRecord(
      key: BackfillKey(job: job, backfillID: try Decode.text(raw.pointee.backfill_id, "backfill_id")),
      from: try Decode.requiredTime(raw.pointee.from, "from"),
      to: try Decode.requiredTime(raw.pointee.to, "to"),
      order: try Decode.choice(raw.pointee.order, "order") ?? .oldestFirst,
      parallelism: Int(raw.pointee.parallelism),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"))
    record.params = try Decode.map(raw.pointee.n_params, raw.pointee.params, "params")
    if let state = try Decode.choice(raw.pointee.state, "state", as: BackfillRecord.State.self) {
      record.state = state
    }
    record.finishedAt = try Decode.time(raw.pointee.finished_at, "finished_at")
    record.created = Int(raw.pointee.created)
    record.existing = Int(raw.pointee.existing)
    self.init(
      record: record, occurrences: Int(raw.pointee.occurrences), decided: Int(raw.pointee.decided),
      preview: try Decode.list(raw.pointee.n_preview, raw.pointee.preview, "preview", of: WireTime.self)
        .map(\.time))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Backfill>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(record.key.job.namespace)
    raw.pointee.job_id = arena.text(record.key.job.jobID)
    raw.pointee.backfill_id = arena.text(record.key.backfillID)
    raw.pointee.from = arena.time(record.from)
    raw.pointee.to = arena.time(record.to)
    raw.pointee.order = record.order.raw
    raw.pointee.parallelism = Int32(wire: record.parallelism)
    raw.pointee.params = arena.map(record.params, &raw.pointee.n_params)
    raw.pointee.state = record.state.raw
    raw.pointee.created_at = arena.time(record.createdAt)
    raw.pointee.finished_at = arena.time(record.finishedAt)
    raw.pointee.occurrences = Int64(occurrences)
    raw.pointee.created = Int64(record.created)
    raw.pointee.existing = Int64(record.existing)
    raw.pointee.decided = Int64(decided)
    raw.pointee.preview = arena.list(preview.map(WireTime.init(time:)), &raw.pointee.n_preview)
  }
}

/// A time as an element of a list.
private struct WireTime: Mapped {
  let time: Timestamp

  init(time: Timestamp) { self.time = time }

  init(raw: UnsafePointer<Google__Protobuf__Timestamp>) throws(ProtoError) {
    time = try Decode.requiredTime(UnsafeMutablePointer(mutating: raw), "")
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Protobuf__Timestamp>, _ arena: Arena) {
    guard let filled = arena.time(time) else { return }
    raw.pointee.seconds = filled.pointee.seconds
    raw.pointee.nanos = filled.pointee.nanos
  }
}
