import CProto
import SchedulerCore

extension AlertRule: Mapped {
  init(raw: UnsafePointer<Rota__V1__AlertRule>) throws(ProtoError) {
    guard let on = try Decode.choice(raw.pointee.on, "on", as: Cause.self) else { throw Decode.missing("on") }
    self.init(
      on: on, thresholdMillis: try Decode.millis(raw.pointee.threshold, "threshold"),
      webhook: try Decode.optionalText(raw.pointee.webhook, "webhook"),
      command: try Decode.optionalText(raw.pointee.command, "command"))
    windowMillis = try Decode.millis(raw.pointee.window, "window")
    if raw.pointee.count != 0 { count = Int(raw.pointee.count) }
    silenceMillis = try Decode.millis(raw.pointee.silence, "silence") ?? 0
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__AlertRule>, _ arena: Arena) {
    raw.pointee.on = on.raw
    raw.pointee.threshold = arena.duration(millis: thresholdMillis)
    raw.pointee.window = arena.duration(millis: windowMillis)
    if count != 1 { raw.pointee.count = Int32(wire: count) }
    if silenceMillis != 0 { raw.pointee.silence = arena.duration(millis: silenceMillis) }
    raw.pointee.webhook = arena.text(webhook)
    raw.pointee.command = arena.text(command)
  }
}

extension AlertRecord.Delivery: Mapped {
  init(raw: UnsafePointer<Rota__V1__AlertDelivery>) throws(ProtoError) {
    guard let kind = Kind(rawValue: try Decode.text(raw.pointee.kind, "kind")) else {
      throw ProtoError(.invalid, field: "kind", "is neither webhook nor command")
    }
    self.init(kind, to: try Decode.text(raw.pointee.to, "to"))
    guard let state = try Decode.choice(raw.pointee.state, "state", as: State.self) else {
      throw Decode.missing("state")
    }
    self.state = state
    tries = Int(raw.pointee.tries)
    nextTryAt = try Decode.time(raw.pointee.next_try_at, "next_try_at")
    endedAt = try Decode.time(raw.pointee.ended_at, "ended_at")
    error = try Decode.optionalText(raw.pointee.error, "error")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__AlertDelivery>, _ arena: Arena) {
    raw.pointee.kind = arena.text(kind.rawValue)
    raw.pointee.to = arena.text(to)
    raw.pointee.state = state.raw
    raw.pointee.tries = Int32(wire: tries)
    raw.pointee.next_try_at = arena.time(nextTryAt)
    raw.pointee.ended_at = arena.time(endedAt)
    raw.pointee.error = arena.text(error)
  }
}

extension AlertRecord: Mapped, WireMessage {
  /// As `rota.v1.Alert`.
  public static var codec: WireCodec<AlertRecord> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Alert>) throws(ProtoError) {
    let job = JobKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.text(raw.pointee.job_id, "job_id"))
    self.init(
      key: AlertKey(job: job, alertID: try Decode.text(raw.pointee.alert_id, "alert_id")),
      runID: try Decode.text(raw.pointee.run_id, "run_id"),
      attempt: raw.pointee.attempt == 0 ? nil : Int(raw.pointee.attempt),
      rule: try Decode.required(raw.pointee.rule, "rule"), at: try Decode.requiredTime(raw.pointee.at, "at"),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"),
      message: try Decode.text(raw.pointee.message, "message"))
    count = Int(raw.pointee.count)
    deliveries = try Decode.list(raw.pointee.n_deliveries, raw.pointee.deliveries, "deliveries")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Alert>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.job.namespace)
    raw.pointee.job_id = arena.text(key.job.jobID)
    raw.pointee.alert_id = arena.text(key.alertID)
    raw.pointee.run_id = arena.text(runID)
    raw.pointee.attempt = Int32(wire: attempt ?? 0)
    raw.pointee.rule = arena.message(rule)
    raw.pointee.message = arena.text(message)
    raw.pointee.at = arena.time(at)
    raw.pointee.created_at = arena.time(createdAt)
    raw.pointee.count = Int32(wire: count)
    raw.pointee.state = state.raw
    raw.pointee.deliveries = arena.list(deliveries, &raw.pointee.n_deliveries)
  }
}

extension ListAlertsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListAlertsRequest`.
  public static var codec: WireCodec<ListAlertsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListAlertsRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.optionalText(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.optionalText(raw.pointee.job_id, "job_id"), pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListAlertsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListAlertsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListAlertsResponse`.
  public static var codec: WireCodec<ListAlertsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListAlertsResponse>) throws(ProtoError) {
    self.init(
      alerts: try Decode.list(raw.pointee.n_alerts, raw.pointee.alerts, "alerts"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListAlertsResponse>, _ arena: Arena) {
    raw.pointee.alerts = arena.list(alerts, &raw.pointee.n_alerts)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}
