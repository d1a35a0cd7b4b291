import JSON

extension JobRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512)
    json.beginObject()
    json.keyMembers(key)
    json.member("uid", uid)
    json.key("spec")
    json.beginObject()
    spec.writeJSON(to: &json)
    json.endObject()
    json.member("created_at", createdAt)
    if generation != 1 { json.member("generation", generation) }
    json.optionalMember("change_id", changeID)
    json.optionalMember("update_id", updateID)
    if let updated {
      json.member("updated_at", updated.at)
      json.optionalMember("updated_by", updated.by)
      json.optionalMember("revert_of", updated.revertOf)
    }
    if !scheduleStates.isEmpty {
      json.key("schedule_states")
      json.beginArray()
      for state in scheduleStates { state.write(to: &json) }
      json.endArray()
    }
    json.optionalMember("next_run_time", nextRunTime)
    json.optionalMember("last_run_time", lastRunTime)
    json.optionalMember("cancel_requested_at", cancelRequestedAt)
    json.optionalMember("cancel_reason", cancelReason)
    json.optionalMember("paused_at", pausedAt)
    json.optionalMember("pause_note", pauseNote)
    json.optionalMember("paused_by", pausedBy)
    json.optionalMember("cancel_requested_by", cancelRequestedBy)
    if skips.count != 0 {
      json.member("skipped_count", skips.count)
      json.optionalMember("last_skipped_time", skips.lastTime)
      json.optionalMember("last_skip_reason", skips.lastReason?.rawValue)
    }
    json.optionalMember("delete_requested_at", deleteRequestedAt)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no job record.
  public init(decoding bytes: [UInt8], key: JobKey) throws {
    var uid: String?
    var spec: JobSpec?
    var createdAt: Timestamp?
    var updatedAt: Timestamp?
    var (updatedBy, revertOf): (String?, Int?)
    // The rest has defaults; the three above are put in at the end.
    var record = JobRecord(
      key: key, uid: "", spec: JobSpec(task: .noop), createdAt: Timestamp(microseconds: 0))
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "uid": uid = try reader.string()
      case "spec": spec = try JobSpec(from: &reader)
      case "created_at": createdAt = try reader.timestamp()
      case "updated_at": updatedAt = try reader.timestamp()
      case "updated_by": updatedBy = try reader.string()
      case "revert_of": revertOf = try reader.wholeNumber()
      default: try record.readOptionalMember(name, from: &reader)
      }
    }
    record.uid = try required(uid, "uid")
    record.spec = try required(spec, "spec")
    record.createdAt = try required(createdAt, "created_at")
    record.updated = updatedAt.map { VersionOrigin(at: $0, by: updatedBy, revertOf: revertOf) }
    self = record
  }

  private mutating func readOptionalMember(_ name: String, from reader: inout JSONReader) throws {
    switch name {
    case "generation": generation = try reader.wholeNumber()
    case "change_id": changeID = try reader.string()
    case "update_id": updateID = try reader.string()
    case "schedule_states":
      try reader.array { reader in scheduleStates.append(try ScheduleState(from: &reader)) }
    case "next_run_time": nextRunTime = try reader.timestamp()
    case "last_run_time": lastRunTime = try reader.timestamp()
    case "cancel_requested_at": cancelRequestedAt = try reader.timestamp()
    case "cancel_reason": cancelReason = try reader.string()
    case "paused_at": pausedAt = try reader.timestamp()
    case "pause_note": pauseNote = try reader.string()
    case "paused_by": pausedBy = try reader.string()
    case "cancel_requested_by": cancelRequestedBy = try reader.string()
    case "skipped_count": skips.count = try reader.wholeNumber()
    case "last_skipped_time": skips.lastTime = try reader.timestamp()
    case "last_skip_reason": skips.lastReason = SkipReason(rawValue: try reader.string())
    case "delete_requested_at": deleteRequestedAt = try reader.timestamp()
    default: try reader.skip()
    }
  }
}

extension ScheduleState {
  fileprivate func write(to json: inout JSONWriter) {
    json.beginObject()
    json.member("decided_through", decidedThrough)
    if runs != 0 { json.member("runs", runs) }
    json.endObject()
  }

  fileprivate init(from reader: inout JSONReader) throws {
    var decidedThrough: Timestamp?
    var runs = 0
    try reader.object { name, reader in
      switch name {
      case "decided_through": decidedThrough = try reader.timestamp()
      case "runs": runs = try reader.wholeNumber()
      default: try reader.skip()
      }
    }
    self.init(decidedThrough: try required(decidedThrough, "schedule_states.decided_through"), runs: runs)
  }
}
