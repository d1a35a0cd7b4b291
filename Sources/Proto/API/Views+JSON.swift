import JSON
import SchedulerCore

// The JSON of the API: what REST answers and what the command line prints with `-o json`. Members
// are named as in `proto/rota/v1`; what is absent or zero is left out.

extension JobView {
  /// Writes the job as an object: its specification's fields, how it stands, its runs, and every
  /// attempt of theirs as an execution, newest first.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("namespace", key.namespace)
      json.member("job_id", key.jobID)
      json.member("status", status.rawValue)
      if let state = runs.first?.record.state { json.member("run_state", state.rawValue) }
      spec.writeJSON(to: &json)
      json.member("created_at", createdAt.rfc3339)
      if let nextRunTime { json.member("next_run_time", nextRunTime.rfc3339) }
      if let lastRunTime { json.member("last_run_time", lastRunTime.rfc3339) }
      if let cancelRequestedAt { json.member("cancel_requested_at", cancelRequestedAt.rfc3339) }
      if let cancelReason { json.member("cancel_reason", cancelReason) }
      writeControl(to: &json)
      json.member("revision", revision)
      guard !runs.isEmpty else { return }
      json.key("runs")
      json.array { json in for run in runs { run.write(to: &json) } }
      json.key("executions")
      json.array { json in for execution in runs.flatMap(\.executions) { execution.write(to: &json) } }
    }
  }

  private func writeControl(to json: inout JSONWriter) {
    json.member("generation", generation)
    json.member("etag", etag)
    if let updated {
      json.member("updated_at", updated.at.rfc3339)
      if let by = updated.by { json.member("updated_by", by) }
      if let generation = updated.revertOf { json.member("revert_of", generation) }
    }
    if let pausedAt { json.member("paused_at", pausedAt.rfc3339) }
    if let pauseNote { json.member("pause_note", pauseNote) }
    if let pausedBy { json.member("paused_by", pausedBy) }
    if let cancelRequestedBy { json.member("cancel_requested_by", cancelRequestedBy) }
    if !scheduleStates.isEmpty {
      json.key("schedule_states")
      json.array { json in
        for state in scheduleStates {
          json.object { json in
            json.member("decided_through", state.decidedThrough.rfc3339)
            json.member("runs", state.runs)
          }
        }
      }
    }
    if skips.count != 0 { json.member("skipped_count", skips.count) }
    if let time = skips.lastTime { json.member("last_skipped_time", time.rfc3339) }
    if let reason = skips.lastReason { json.member("last_skip_reason", reason.rawValue) }
    if let deleteRequestedAt { json.member("delete_requested_at", deleteRequestedAt.rfc3339) }
  }
}

extension CalendarView {
  /// Writes the calendar as an object: its specification's fields, and how it stands.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("namespace", record.key.namespace)
      json.member("name", record.key.name)
      record.spec.writeJSON(to: &json)
      json.member("generation", record.generation)
      json.member("etag", etag)
      json.member("created_at", record.createdAt.rfc3339)
      json.member("updated_at", record.updatedAt.rfc3339)
    }
  }
}

extension GroupView {
  /// Writes the object of a concurrency group: its specification's fields, how it stands, and its use.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("namespace", record.key.namespace)
      json.member("name", record.key.name)
      record.spec.writeJSON(to: &json)
      json.member("running", running)
      json.member("waiting", waiting)
      json.member("generation", record.generation)
      json.member("etag", etag)
      json.member("created_at", record.createdAt.rfc3339)
      json.member("updated_at", record.updatedAt.rfc3339)
    }
  }
}

extension RunView {
  /// Writes the run as an object, without its attempts.
  public func write(to json: inout JSONWriter) {
    json.object { json in writeMembers(to: &json) }
  }

  private func writeMembers(to json: inout JSONWriter) {
    json.member("namespace", record.key.job.namespace)
    json.member("job_id", record.key.job.jobID)
    json.member("run_id", record.key.runID)
    json.member("state", record.state.rawValue)
    json.member("status", record.state.status.rawValue)
    json.member("scheduled_time", record.scheduledTime.rfc3339)
    json.member("trigger", record.trigger.rawValue)
    if !record.params.isEmpty { json.member("params", record.params) }
    if let backfill = record.backfillID { json.member("backfill_id", backfill) }
    if let run = record.retryOf { json.member("retry_of", run) }
    if let group = record.group { json.member("group", group) }
    json.member("created_at", record.createdAt.rfc3339)
    if let time = record.finishedAt { json.member("finished_at", time.rfc3339) }
    if let time = record.nextAttemptAt { json.member("next_attempt_at", time.rfc3339) }
    if let agent = record.waitsForWorker { json.member("waits_for_worker", agent) }
    if let time = record.waitsUntil { json.member("waits_until", time.rfc3339) }
    json.member("retry_count", record.retryCount)
    json.member("attempt", record.attempts.last?.attempt ?? 0)
    json.member("fence", record.fence)
    if let worker = record.attempts.last?.agent.agentID { json.member("worker_id", worker) }
    if let code = record.attempts.last?.exitCode { json.member("exit_code", code) }
    if let message = record.message { json.member("message", message) }
    if let progress = record.progress {
      json.key("progress")
      json.object { json in
        json.member("fraction", progress.fraction)
        json.member("message", progress.message)
        json.member("at", progress.at.rfc3339)
      }
    }
    if let checkpoint = record.checkpoint {
      json.member("checkpoint_at", checkpoint.savedAt.rfc3339)
      json.member("checkpoint_bytes", checkpoint.bytes)
    }
    if !record.outputTail.isEmpty {
      json.member("output_tail", String(decoding: record.outputTail, as: UTF8.self))
    }
    json.member("revision", revision)
    guard !timeline.isEmpty else { return }
    json.key("timeline")
    json.array { json in for event in timeline { event.writeView(to: &json) } }
  }

  /// The run's attempts, newest first.
  public var executions: [ExecutionView] {
    record.attempts.reversed().map { ExecutionView($0, of: record) }
  }
}

extension ExecutionView {
  /// Writes the execution as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("execution_id", executionID)
      json.member("namespace", run.job.namespace)
      json.member("job_id", run.job.jobID)
      json.member("run_id", run.runID)
      json.member("attempt", attempt.attempt)
      json.member("generation", attempt.generation)
      json.member("worker_id", attempt.agent.agentID)
      json.member("state", state.rawValue)
      json.member("status", state.status.rawValue)
      json.member("scheduled_time", scheduledTime.rfc3339)
      json.member("assigned_at", attempt.assignedAt.rfc3339)
      if let time = attempt.startedAt { json.member("start_time", time.rfc3339) }
      if let time = attempt.endedAt { json.member("end_time", time.rfc3339) }
      writeEnd(to: &json)
    }
  }

  private func writeEnd(to json: inout JSONWriter) {
    if let reason = attempt.endReason { json.member("end_reason", reason.rawValue) }
    if let code = attempt.exitCode { json.member("exit_code", code) }
    if let signal = attempt.signal { json.member("signal", signal) }
    if let status = attempt.httpStatus { json.member("http_status", status) }
    if let error = attempt.error { json.member("error", error) }
    if !attempt.resources.isEmpty {
      json.key("resources")
      attempt.resources.write(to: &json)
    }
    guard let usage = attempt.usage else { return }
    json.key("usage")
    json.object { json in
      json.member("user_cpu_microseconds", usage.userCPUMicros)
      json.member("system_cpu_microseconds", usage.systemCPUMicros)
      json.member("max_rss_kib", usage.maxRSSKiB)
      if usage.stdoutBytes != 0 { json.member("stdout_bytes", usage.stdoutBytes) }
      if usage.stderrBytes != 0 { json.member("stderr_bytes", usage.stderrBytes) }
    }
  }
}

extension AgentView {
  /// Writes the agent as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("worker_id", record.agentID)
      json.member("host", record.host)
      json.member("labels", record.labels)
      json.member("slots", record.slots)
      json.member("slots_used", slotsUsed)
      json.member("connected", connected)
      json.member("draining", draining)
      json.member("version", record.version)
      json.member("started_at", record.startedAt.rfc3339)
      json.member("incarnation", incarnation)
      json.member("kinds", record.kinds)
      json.member("tasks", record.tasks)
      if !record.isolation.isEmpty { json.member("isolation", record.isolation) }
      if !record.runAsUsers.isEmpty { json.member("run_as_users", record.runAsUsers) }
      if !record.resources.isEmpty {
        json.key("resources")
        record.resources.write(to: &json)
      }
      if !resourcesUsed.isEmpty {
        json.key("resources_used")
        resourcesUsed.write(to: &json)
      }
      if let keptFor { json.member("kept_for", keptFor) }
      if let healthState { json.member("health_state", healthState.rawValue) }
      if let healthReason { json.member("health_reason", healthReason) }
      if let drain {
        json.key("drain")
        json.object { json in
          json.member("requested_at", drain.requestedAt.rfc3339)
          if let deadline = drain.deadline { json.member("deadline", deadline.rfc3339) }
          if let note = drain.note { json.member("note", note) }
        }
      }
      guard let health else { return }
      json.key("health")
      json.object { json in
        json.member("cpu", health.cpu)
        json.member("load1", health.load1)
        json.member("memory_total_bytes", health.memoryTotal)
        json.member("memory_available_bytes", health.memoryAvailable)
        json.member("disk_total_bytes", health.diskTotal)
        json.member("disk_available_bytes", health.diskAvailable)
        if let reason = health.unhealthyReason { json.member("unhealthy_reason", reason) }
      }
    }
  }
}

extension WatchEventsResponse {
  /// Writes the step as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("revision", revision)
      guard !changes.isEmpty else { return }
      json.key("changes")
      json.array { json in for change in changes { change.write(to: &json) } }
    }
  }
}

extension WatchEventsResponse.Change {
  /// Writes the change as an object: its revision, and `job`, `run`, `removed_job` or `removed_run`.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("revision", revision)
      switch what {
      case .job(let job):
        json.key("job")
        job.write(to: &json)
      case .run(let run):
        json.key("run")
        run.write(to: &json)
      case .removedJob(let key): Self.write("removed_job", key, run: nil, to: &json)
      case .removedRun(let key): Self.write("removed_run", key.job, run: key.runID, to: &json)
      }
    }
  }

  private static func write(_ name: String, _ job: JobKey, run: String?, to json: inout JSONWriter) {
    json.key(name)
    json.object { json in
      json.member("namespace", job.namespace)
      json.member("job_id", job.jobID)
      if let run { json.member("run_id", run) }
    }
  }
}
