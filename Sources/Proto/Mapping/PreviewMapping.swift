import CProto
import SchedulerCore

extension PreviewRequest: Mapped, WireMessage {
  /// As `rota.v1.PreviewRequest`.
  public static var codec: WireCodec<PreviewRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PreviewRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.namespace(raw.pointee.namespace_),
      jobID: try Decode.optionalText(raw.pointee.job_id, "job_id"),
      schedules: try Decode.list(raw.pointee.n_schedules, raw.pointee.schedules, "schedules"),
      after: try Decode.time(raw.pointee.after, "after"), count: Int(raw.pointee.count))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PreviewRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.schedules = arena.list(schedules, &raw.pointee.n_schedules)
    raw.pointee.after = arena.time(after)
    raw.pointee.count = Int32(wire: count)
  }
}

extension PreviewResponse: Mapped, WireMessage {
  /// As `rota.v1.PreviewResponse`.
  public static var codec: WireCodec<PreviewResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PreviewResponse>) throws(ProtoError) {
    self.init(
      occurrences: try Decode.list(raw.pointee.n_occurrences, raw.pointee.occurrences, "occurrences"),
      notes: try Decode.texts(raw.pointee.n_notes, raw.pointee.notes, "notes"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PreviewResponse>, _ arena: Arena) {
    raw.pointee.occurrences = arena.list(occurrences, &raw.pointee.n_occurrences)
    raw.pointee.notes = arena.texts(notes, &raw.pointee.n_notes)
  }
}

extension OccurrenceView: Mapped {
  init(raw: UnsafePointer<Rota__V1__Occurrence>) throws(ProtoError) {
    self.init(
      scheduledTime: try Decode.requiredTime(raw.pointee.scheduled_time, "scheduled_time"),
      localTime: try Decode.text(raw.pointee.local_time, "local_time"),
      schedule: Int(raw.pointee.schedule), dueTime: try Decode.time(raw.pointee.due_time, "due_time"),
      skipped: raw.pointee.skipped != 0, note: try Decode.text(raw.pointee.note, "note"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Occurrence>, _ arena: Arena) {
    raw.pointee.scheduled_time = arena.time(scheduledTime)
    raw.pointee.local_time = arena.text(localTime)
    raw.pointee.schedule = Int32(wire: schedule)
    raw.pointee.due_time = arena.time(dueTime)
    raw.pointee.skipped = skipped ? 1 : 0
    raw.pointee.note = arena.text(note)
  }
}

extension ForecastRequest: Mapped, WireMessage {
  /// As `rota.v1.ForecastRequest`.
  public static var codec: WireCodec<ForecastRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ForecastRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.optionalText(raw.pointee.namespace_, "namespace"),
      from: try Decode.time(raw.pointee.from, "from"), to: try Decode.time(raw.pointee.to, "to"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ForecastRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.from = arena.time(from)
    raw.pointee.to = arena.time(to)
  }
}

extension ForecastResponse: Mapped, WireMessage {
  /// As `rota.v1.ForecastResponse`.
  public static var codec: WireCodec<ForecastResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ForecastResponse>) throws(ProtoError) {
    self.init(
      from: try Decode.requiredTime(raw.pointee.from, "from"),
      fires: Array(UnsafeBufferPointer(start: raw.pointee.fires, count: raw.pointee.n_fires)),
      total: raw.pointee.total, jobs: raw.pointee.jobs,
      completeUntil: try Decode.time(raw.pointee.complete_until, "complete_until"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ForecastResponse>, _ arena: Arena) {
    raw.pointee.from = arena.time(from)
    raw.pointee.fires = arena.values(fires, &raw.pointee.n_fires)
    raw.pointee.total = total
    raw.pointee.jobs = jobs
    raw.pointee.complete_until = arena.time(completeUntil)
  }
}
