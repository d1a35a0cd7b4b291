import JSON
import SchedulerCore

// Previews, forecasts and backfills as REST and the command line show them.

extension PreviewResponse {
  /// Makes the answer of a preview.
  public init(_ preview: JobPreview) {
    self.init(occurrences: preview.entries.map(OccurrenceView.init), notes: preview.notes)
  }

  /// Writes the preview as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.key("occurrences")
      json.array { json in for occurrence in occurrences { occurrence.write(to: &json) } }
      if !notes.isEmpty { json.member("notes", notes) }
    }
  }
}

extension OccurrenceView {
  fileprivate init(_ entry: JobPreview.Entry) {
    self.init(
      scheduledTime: entry.occurrence.time, localTime: entry.occurrence.localTime, schedule: entry.schedule,
      dueTime: entry.dueTime, skipped: entry.occurrence.isSkipped,
      note: entry.occurrence.notes.joined(separator: "; "))
  }

  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("scheduled_time", scheduledTime.rfc3339)
      json.member("local_time", localTime)
      json.member("schedule", schedule)
      if let dueTime { json.member("due_time", dueTime.rfc3339) }
      if skipped { json.member("skipped", true) }
      if !note.isEmpty { json.member("note", note) }
    }
  }
}

extension ForecastResponse {
  /// Writes the forecast as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("from", from.rfc3339)
      json.key("fires")
      json.array { json in for count in fires { json.int(count) } }
      json.member("total", total)
      json.member("jobs", jobs)
      if let completeUntil { json.member("complete_until", completeUntil.rfc3339) }
    }
  }
}

extension BackfillView {
  /// Writes the backfill as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("namespace", record.key.job.namespace)
      json.member("job_id", record.key.job.jobID)
      if !record.key.backfillID.isEmpty { json.member("backfill_id", record.key.backfillID) }
      json.member("from", record.from.rfc3339)
      json.member("to", record.to.rfc3339)
      json.member("order", record.order.rawValue)
      json.member("parallelism", record.parallelism)
      if !record.params.isEmpty { json.member("params", record.params) }
      json.member("state", record.state.rawValue)
      json.member("created_at", record.createdAt.rfc3339)
      if let finishedAt = record.finishedAt { json.member("finished_at", finishedAt.rfc3339) }
      json.member("occurrences", occurrences)
      json.member("created", record.created)
      json.member("existing", record.existing)
      if decided != 0 { json.member("decided", decided) }
      guard !preview.isEmpty else { return }
      json.key("preview")
      json.array { json in for time in preview { json.string(time.rfc3339) } }
    }
  }
}
