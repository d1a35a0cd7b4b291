import JSON

extension RunRecord {
  /// The record as etcd holds it. `output_tail` is a string where the bytes are UTF-8, otherwise
  /// `output_tail_base64`, so that no byte is lost.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512 + outputTail.count)
    json.beginObject()
    json.keyMembers(key.job)
    json.member("run_id", key.runID)
    json.member("state", state.rawValue)
    if trigger != .schedule { json.member("trigger", trigger.rawValue) }
    if !params.isEmpty { json.member("params", params) }
    json.optionalMember("backfill_id", backfillID)
    json.optionalMember("retry_of", retryOf)
    json.optionalMember("group", group)
    json.member("scheduled_time", scheduledTime)
    json.member("created_at", createdAt)
    json.optionalMember("finished_at", finishedAt)
    json.optionalMember("next_attempt_at", nextAttemptAt)
    json.optionalMember("waits_for_worker", waitsForWorker)
    json.optionalMember("waits_until", waitsUntil)
    if retryCount != 0 { json.member("retry_count", retryCount) }
    if attempt != 0 { json.member("attempt", attempt) }
    if fence != 0 { json.member("fence", fence) }
    if !attempts.isEmpty {
      json.key("attempts")
      json.beginArray()
      for attempt in attempts { attempt.write(to: &json) }
      json.endArray()
    }
    json.optionalMember("message", message)
    writeTaskReports(to: &json)
    history.write(to: &json)
    if !outputTail.isEmpty {
      if let text = String(validating: outputTail, as: UTF8.self) {
        json.member("output_tail", text)
      } else {
        json.member("output_tail_base64", Base64.encode(outputTail))
      }
    }
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no run record.
  public init(decoding bytes: [UInt8], key: RunKey) throws {
    var state: RunState?
    var scheduledTime: Timestamp?
    var createdAt: Timestamp?
    // The rest has defaults; the three above are put in at the end.
    var record = RunRecord(
      key: key, scheduledTime: Timestamp(microseconds: 0), createdAt: Timestamp(microseconds: 0))
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "state": state = try reader.word(RunState.self)
      case "scheduled_time": scheduledTime = try reader.timestamp()
      case "created_at": createdAt = try reader.timestamp()
      default: try record.readOptionalMember(name, from: &reader)
      }
    }
    record.state = try required(state, "state")
    record.scheduledTime = try required(scheduledTime, "scheduled_time")
    record.createdAt = try required(createdAt, "created_at")
    self = record
  }

  private mutating func readOptionalMember(_ name: String, from reader: inout JSONReader) throws {
    switch name {
    case "trigger": trigger = try reader.word(RunTrigger.self)
    case "params": params = try reader.stringMap()
    case "backfill_id": backfillID = try reader.string()
    case "retry_of": retryOf = try reader.string()
    case "group": group = try reader.string()
    case "waits_for_worker": waitsForWorker = try reader.string()
    case "waits_until": waitsUntil = try reader.timestamp()
    case "finished_at": finishedAt = try reader.timestamp()
    case "next_attempt_at": nextAttemptAt = try reader.timestamp()
    case "retry_count": retryCount = try reader.wholeNumber()
    case "attempt": attempt = try reader.wholeNumber()
    case "fence": fence = try reader.int()
    case "attempts":
      try reader.array { reader in attempts.append(try AttemptRecord(from: &reader)) }
    case "message": message = try reader.string()
    case "output_tail": outputTail = Array(try reader.string().utf8)
    case "output_tail_base64":
      guard let bytes = Base64.decode(try reader.string()) else { throw reader.error("Base64 was expected") }
      outputTail = bytes
    default: if try !history.read(name, from: &reader) { try readTaskReport(name, from: &reader) }
    }
  }
}

extension AttemptRecord {
  /// Writes the attempt as an object.
  func write(to json: inout JSONWriter) {
    json.beginObject()
    json.member("attempt", attempt)
    json.member("worker_id", agent.agentID)
    json.member("incarnation", agent.createRevision)
    json.member("assigned_at", assignedAt)
    if generation != 1 { json.member("generation", generation) }
    if !resources.isEmpty {
      json.key("resources")
      resources.write(to: &json)
    }
    history.write(to: &json)
    json.optionalMember("start_time", startedAt)
    json.optionalMember("end_time", endedAt)
    json.optionalMember("end_reason", endReason?.rawValue)
    json.optionalMember("exit_code", exitCode)
    json.optionalMember("signal", signal)
    json.optionalMember("http_status", httpStatus)
    json.optionalMember("error", error)
    if let usage {
      json.key("usage")
      json.beginObject()
      json.member("user_cpu_microseconds", usage.userCPUMicros)
      json.member("system_cpu_microseconds", usage.systemCPUMicros)
      json.member("max_rss_kib", usage.maxRSSKiB)
      if usage.stdoutBytes != 0 { json.member("stdout_bytes", usage.stdoutBytes) }
      if usage.stderrBytes != 0 { json.member("stderr_bytes", usage.stderrBytes) }
      json.endObject()
    }
    json.endObject()
  }

  /// Reads what `write` has written.
  init(from reader: inout JSONReader) throws {
    var number: Int?
    var agentID: String?
    var incarnation: Int64?
    var assignedAt: Timestamp?
    // As for the run: what is required is put in at the end.
    var record = AttemptRecord(
      attempt: 0, agent: Incarnation(agentID: "", createRevision: 0), assignedAt: Timestamp(microseconds: 0))
    try reader.object { name, reader in
      switch name {
      case "attempt": number = try reader.wholeNumber()
      case "worker_id": agentID = try reader.string()
      case "incarnation": incarnation = try reader.int()
      case "assigned_at": assignedAt = try reader.timestamp()
      default: try record.readOptionalMember(name, from: &reader)
      }
    }
    record.attempt = try required(number, "attempts.attempt")
    record.agent = Incarnation(
      agentID: try required(agentID, "attempts.worker_id"),
      createRevision: try required(incarnation, "attempts.incarnation"))
    record.assignedAt = try required(assignedAt, "attempts.assigned_at")
    self = record
  }

  private mutating func readOptionalMember(_ name: String, from reader: inout JSONReader) throws {
    switch name {
    case "generation": generation = try reader.wholeNumber()
    case "resources": resources = try Resources(record: &reader)
    case "start_time": startedAt = try reader.timestamp()
    case "end_time": endedAt = try reader.timestamp()
    case "end_reason": endReason = try reader.word(EndReason.self)
    case "exit_code": exitCode = try reader.wholeNumber()
    case "signal": signal = try reader.wholeNumber()
    case "http_status": httpStatus = try reader.wholeNumber()
    case "error": error = try reader.string()
    case "usage": usage = try ResourceUsage(from: &reader)
    default: if try !history.read(name, from: &reader) { try reader.skip() }
    }
  }
}

extension ResourceUsage {
  fileprivate init(from reader: inout JSONReader) throws {
    var usage = ResourceUsage(userCPUMicros: 0, systemCPUMicros: 0, maxRSSKiB: 0)
    try reader.object { name, reader in
      switch name {
      case "user_cpu_microseconds": usage.userCPUMicros = try reader.int()
      case "system_cpu_microseconds": usage.systemCPUMicros = try reader.int()
      case "max_rss_kib": usage.maxRSSKiB = try reader.int()
      case "stdout_bytes": usage.stdoutBytes = try reader.int()
      case "stderr_bytes": usage.stderrBytes = try reader.int()
      default: try reader.skip()
      }
    }
    self = usage
  }
}
