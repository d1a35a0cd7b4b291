import CProto
import SchedulerCore

extension JobView: Mapped, WireMessage {
  /// As `rota.v1.Job`.
  public static var codec: WireCodec<JobView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Job>) throws(ProtoError) {
    guard let status = try Decode.choice(raw.pointee.status, "status", as: JobStatus.self) else {
      throw Decode.missing("status")
    }
    self.init(
      key: JobKey(
        namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
        jobID: try Decode.text(raw.pointee.job_id, "job_id")),
      etag: try Decode.text(raw.pointee.etag, "etag"),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      status: status,
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"),
      nextRunTime: try Decode.time(raw.pointee.next_run_time, "next_run_time"),
      lastRunTime: try Decode.time(raw.pointee.last_run_time, "last_run_time"),
      cancelRequestedAt: try Decode.time(raw.pointee.cancel_requested_at, "cancel_requested_at"),
      cancelReason: try Decode.optionalText(raw.pointee.cancel_reason, "cancel_reason"),
      runs: try Decode.list(raw.pointee.n_runs, raw.pointee.runs, "runs"),
      revision: raw.pointee.revision)
    generation = Int(raw.pointee.generation)
    scheduleStates = try Decode.list(
      raw.pointee.n_schedule_states, raw.pointee.schedule_states, "schedule_states")
    pausedAt = try Decode.time(raw.pointee.paused_at, "paused_at")
    pauseNote = try Decode.optionalText(raw.pointee.pause_note, "pause_note")
    pausedBy = try Decode.optionalText(raw.pointee.paused_by, "paused_by")
    cancelRequestedBy = try Decode.optionalText(raw.pointee.cancel_requested_by, "cancel_requested_by")
    skips.count = Int(raw.pointee.skipped_count)
    skips.lastTime = try Decode.time(raw.pointee.last_skipped_time, "last_skipped_time")
    // A reason that a newer server knows is not shown.
    skips.lastReason = SkipReason(
      rawValue: try Decode.text(raw.pointee.last_skip_reason, "last_skip_reason"))
    deleteRequestedAt = try Decode.time(raw.pointee.delete_requested_at, "delete_requested_at")
    if let at = try Decode.time(raw.pointee.updated_at, "updated_at") {
      updated = VersionOrigin(
        at: at, by: try Decode.optionalText(raw.pointee.updated_by, "updated_by"),
        revertOf: raw.pointee.revert_of == 0 ? nil : Int(raw.pointee.revert_of))
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Job>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.status = status.raw
    raw.pointee.created_at = arena.time(createdAt)
    raw.pointee.next_run_time = arena.time(nextRunTime)
    raw.pointee.last_run_time = arena.time(lastRunTime)
    raw.pointee.cancel_requested_at = arena.time(cancelRequestedAt)
    raw.pointee.cancel_reason = arena.text(cancelReason)
    raw.pointee.runs = arena.list(runs, &raw.pointee.n_runs)
    raw.pointee.revision = revision
    raw.pointee.generation = Int64(generation)
    raw.pointee.etag = arena.text(etag)
    raw.pointee.schedule_states = arena.list(scheduleStates, &raw.pointee.n_schedule_states)
    raw.pointee.paused_at = arena.time(pausedAt)
    raw.pointee.pause_note = arena.text(pauseNote)
    raw.pointee.paused_by = arena.text(pausedBy)
    raw.pointee.cancel_requested_by = arena.text(cancelRequestedBy)
    raw.pointee.skipped_count = Int64(skips.count)
    raw.pointee.last_skipped_time = arena.time(skips.lastTime)
    raw.pointee.last_skip_reason = arena.text(skips.lastReason?.rawValue)
    raw.pointee.delete_requested_at = arena.time(deleteRequestedAt)
    raw.pointee.updated_at = arena.time(updated?.at)
    raw.pointee.updated_by = arena.text(updated?.by)
    raw.pointee.revert_of = Int64(updated?.revertOf ?? 0)
  }
}

extension RunView: Mapped, WireMessage {
  /// As `rota.v1.Run`.
  public static var codec: WireCodec<RunView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Run>) throws(ProtoError) {
    guard let state = try Decode.choice(raw.pointee.state, "state", as: RunState.self) else {
      throw Decode.missing("state")
    }
    let job = JobKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.text(raw.pointee.job_id, "job_id"))
    var record = RunRecord(
      key: RunKey(job: job, runID: try Decode.text(raw.pointee.run_id, "run_id")),
      scheduledTime: try Decode.requiredTime(raw.pointee.scheduled_time, "scheduled_time"),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"))
    record.state = state
    record.finishedAt = try Decode.time(raw.pointee.finished_at, "finished_at")
    record.nextAttemptAt = try Decode.time(raw.pointee.next_attempt_at, "next_attempt_at")
    record.retryCount = Int(raw.pointee.retry_count)
    record.fence = raw.pointee.fence
    record.attempts = try Decode.list(raw.pointee.n_attempts, raw.pointee.attempts, "attempts")
    record.attempt = record.attempts.last?.attempt ?? 0
    record.message = try Decode.optionalText(raw.pointee.message, "message")
    record.outputTail = Decode.bytes(raw.pointee.output_tail)
    record.progress = try Decode.optional(raw.pointee.progress, "progress")
    if let savedAt = try Decode.time(raw.pointee.checkpoint_at, "checkpoint_at") {
      // Which attempt saved it is not shown.
      record.checkpoint = CheckpointNote(
        savedAt: savedAt, bytes: Int(raw.pointee.checkpoint_bytes), attempt: 0, sequence: 0)
    }
    if let trigger = try Decode.choice(raw.pointee.trigger, "trigger", as: RunTrigger.self) {
      record.trigger = trigger
    }
    record.params = try Decode.map(raw.pointee.n_params, raw.pointee.params, "params")
    record.backfillID = try Decode.optionalText(raw.pointee.backfill_id, "backfill_id")
    record.retryOf = try Decode.optionalText(raw.pointee.retry_of, "retry_of")
    record.waitsForWorker = try Decode.optionalText(raw.pointee.waits_for_worker, "waits_for_worker")
    record.waitsUntil = try Decode.time(raw.pointee.waits_until, "waits_until")
    record.group = try Decode.optionalText(raw.pointee.group, "group")
    self.init(record: record, revision: raw.pointee.revision)
    timeline = try RunEvent.list(raw.pointee.n_timeline, raw.pointee.timeline)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Run>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(record.key.job.namespace)
    raw.pointee.job_id = arena.text(record.key.job.jobID)
    raw.pointee.run_id = arena.text(record.key.runID)
    raw.pointee.state = record.state.raw
    raw.pointee.scheduled_time = arena.time(record.scheduledTime)
    raw.pointee.created_at = arena.time(record.createdAt)
    raw.pointee.finished_at = arena.time(record.finishedAt)
    raw.pointee.next_attempt_at = arena.time(record.nextAttemptAt)
    raw.pointee.retry_count = Int32(wire: record.retryCount)
    raw.pointee.fence = record.fence
    raw.pointee.attempts = arena.list(record.attempts, &raw.pointee.n_attempts)
    raw.pointee.message = arena.text(record.message)
    raw.pointee.output_tail = arena.bytes(record.outputTail)
    raw.pointee.progress = arena.optional(record.progress)
    raw.pointee.checkpoint_at = arena.time(record.checkpoint?.savedAt)
    raw.pointee.checkpoint_bytes = Int32(wire: record.checkpoint?.bytes ?? 0)
    raw.pointee.revision = revision
    raw.pointee.trigger = record.trigger.raw
    raw.pointee.params = arena.map(record.params, &raw.pointee.n_params)
    raw.pointee.backfill_id = arena.text(record.backfillID)
    raw.pointee.retry_of = arena.text(record.retryOf)
    raw.pointee.waits_for_worker = arena.text(record.waitsForWorker)
    raw.pointee.waits_until = arena.time(record.waitsUntil)
    raw.pointee.group = arena.text(record.group)
    raw.pointee.timeline = arena.list(timeline, &raw.pointee.n_timeline)
  }
}

extension ExecutionView: Mapped {
  init(raw: UnsafePointer<Rota__V1__Execution>) throws(ProtoError) {
    let job = JobKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.text(raw.pointee.job_id, "job_id"))
    guard let state = try Decode.choice(raw.pointee.state, "state", as: RunState.self) else {
      throw Decode.missing("state")
    }
    self.init(
      run: RunKey(job: job, runID: try Decode.text(raw.pointee.run_id, "run_id")),
      scheduledTime: try Decode.requiredTime(raw.pointee.scheduled_time, "scheduled_time"), state: state,
      attempt: try Decode.required(raw.pointee.attempt, "attempt"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Execution>, _ arena: Arena) {
    raw.pointee.execution_id = arena.text(executionID)
    raw.pointee.namespace_ = arena.text(run.job.namespace)
    raw.pointee.job_id = arena.text(run.job.jobID)
    raw.pointee.run_id = arena.text(run.runID)
    raw.pointee.scheduled_time = arena.time(scheduledTime)
    raw.pointee.state = state.raw
    raw.pointee.attempt = arena.message(attempt)
  }
}

extension Progress: Mapped {
  init(raw: UnsafePointer<Rota__V1__Progress>) throws(ProtoError) {
    self.init(
      fraction: raw.pointee.fraction, message: try Decode.text(raw.pointee.message, "message"),
      at: try Decode.requiredTime(raw.pointee.at, "at"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Progress>, _ arena: Arena) {
    raw.pointee.fraction = fraction
    raw.pointee.message = arena.text(message)
    raw.pointee.at = arena.time(at)
  }
}

extension AttemptRecord: Mapped {
  init(raw: UnsafePointer<Rota__V1__Attempt>) throws(ProtoError) {
    self.init(
      attempt: Int(raw.pointee.attempt),
      agent: Incarnation(
        agentID: try Decode.text(raw.pointee.worker_id, "worker_id"),
        createRevision: raw.pointee.incarnation),
      assignedAt: try Decode.requiredTime(raw.pointee.assigned_at, "assigned_at"),
      // A server of before there were generations says none.
      generation: max(1, Int(raw.pointee.generation)))
    startedAt = try Decode.time(raw.pointee.start_time, "start_time")
    endedAt = try Decode.time(raw.pointee.end_time, "end_time")
    endReason = try Decode.choice(raw.pointee.end_reason, "end_reason")
    (exitCode, signal) = ExitOnWire.decode(endReason, raw.pointee.exit_code, raw.pointee.signal)
    httpStatus = raw.pointee.http_status == 0 ? nil : Int(raw.pointee.http_status)
    error = try Decode.optionalText(raw.pointee.error, "error")
    usage = try Decode.optional(raw.pointee.usage, "usage")
    resources = try Decode.optional(raw.pointee.resources, "resources") ?? Resources()
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Attempt>, _ arena: Arena) {
    raw.pointee.attempt = Int32(wire: attempt)
    raw.pointee.worker_id = arena.text(agent.agentID)
    raw.pointee.incarnation = agent.createRevision
    raw.pointee.http_status = Int32(wire: httpStatus ?? 0)
    raw.pointee.assigned_at = arena.time(assignedAt)
    raw.pointee.start_time = arena.time(startedAt)
    raw.pointee.end_time = arena.time(endedAt)
    if let endReason { raw.pointee.end_reason = endReason.raw }
    (raw.pointee.exit_code, raw.pointee.signal) = ExitOnWire.encode(endReason, exitCode, signal)
    raw.pointee.error = arena.text(error)
    raw.pointee.usage = arena.optional(usage)
    raw.pointee.generation = Int64(generation)
    raw.pointee.resources = arena.optional(resources.unlessEmpty)
  }
}

/// Exit codes and signals on the wire, where 0 may be "success" or "nothing".
enum ExitOnWire {
  /// For a task that ended by itself without a code or signal: it must not look like success.
  private static let unknownCode: Int32 = -1

  /// The code counts only for an exit without a signal.
  static func decode(_ reason: EndReason?, _ code: Int32, _ signal: Int32) -> (code: Int?, signal: Int?) {
    if signal != 0 { return (nil, Int(signal)) }
    return (reason?.hasExitStatus == true && code != unknownCode ? Int(code) : nil, nil)
  }

  /// The other way.
  static func encode(_ reason: EndReason?, _ code: Int?, _ signal: Int?) -> (code: Int32, signal: Int32) {
    if let signal, signal != 0 { return (0, Int32(wire: signal)) }
    guard reason?.hasExitStatus == true else { return (0, 0) }
    return (code.map(Int32.init(wire:)) ?? unknownCode, 0)
  }
}

extension ResourceUsage: Mapped {
  init(raw: UnsafePointer<Rota__V1__ResourceUsage>) throws(ProtoError) {
    self.init(
      userCPUMicros: raw.pointee.user_cpu_microseconds, systemCPUMicros: raw.pointee.system_cpu_microseconds,
      maxRSSKiB: raw.pointee.max_rss_kib, stdoutBytes: raw.pointee.stdout_bytes,
      stderrBytes: raw.pointee.stderr_bytes)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ResourceUsage>, _ arena: Arena) {
    raw.pointee.user_cpu_microseconds = userCPUMicros
    raw.pointee.system_cpu_microseconds = systemCPUMicros
    raw.pointee.max_rss_kib = maxRSSKiB
    raw.pointee.stdout_bytes = stdoutBytes
    raw.pointee.stderr_bytes = stderrBytes
  }
}
