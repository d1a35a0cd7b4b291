import JSON

extension JobSpec {
  /// The members of a specification.
  public static var names: [String] { SpecDecoder.names }

  /// Reads a specification from a record: unknown members are skipped, since a newer program may have
  /// written it, and bounds are not checked again.
  /// - Throws: `JSONError` or `FieldError` for a value that is no specification.
  public init(from reader: inout JSONReader) throws {
    self = try Self.read(&reader, strictly: false)
  }

  /// Reads what a user sent, strictly; `validate` checks the bounds. What is wrong with the text as a whole is
  /// said of `body`.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    self = try FieldError.ofBody { try JSONReader.read(bytes) { try Self.read(&$0, strictly: true) } }
  }

  private static func read(_ reader: inout JSONReader, strictly isStrict: Bool) throws -> JobSpec {
    var decoder = SpecDecoder(isStrict: isStrict)
    try decoder.decodeMembers(&reader, known: SpecDecoder.names) { decoder, name, reader in
      try decoder.decodeMember(name, from: &reader)
    }
    return try decoder.finished()
  }

  /// Writes the specification's members into the object that is open. Defaults are not written.
  public func writeJSON(to json: inout JSONWriter) {
    if !userID.isEmpty { json.member("user_id", userID) }
    task.writeMember(to: &json)
    if !env.isEmpty { json.member("env", env) }
    if let workingDirectory { json.member("working_directory", workingDirectory) }
    if let timeoutMillis { json.member("timeout", DurationText.format(milliseconds: timeoutMillis)) }
    if killGraceMillis != Defaults.killGraceMillis {
      json.member("kill_grace", DurationText.format(milliseconds: killGraceMillis))
    }
    if maxRetries != 0 { json.member("max_retries", maxRetries) }
    if backoff != .standard { backoff.writeMember(to: &json) }
    if priority != Defaults.priority { json.member("priority", priority) }
    if !constraints.isEmpty {
      json.key("constraints")
      json.beginArray()
      for constraint in constraints { constraint.write(to: &json) }
      json.endArray()
    }
    if let executionTime { json.member("execution_time", executionTime.rfc3339) }
    if onAgentLoss != .restart { json.member("on_agent_loss", onAgentLoss.rawValue) }
    writeRetries(to: &json)
    writeSchedules(to: &json)
    writeConcurrency(to: &json)
  }

  private func writeRetries(to json: inout JSONWriter) {
    retryOn?.writeMember("retry_on", to: &json)
    noRetryOn?.writeMember("no_retry_on", to: &json)
    if let totalTimeoutMillis {
      json.member("total_timeout", DurationText.format(milliseconds: totalTimeoutMillis))
    }
    if let agentLossWaitMillis {
      json.member("agent_loss_wait", DurationText.format(milliseconds: agentLossWaitMillis))
    }
  }

  private func writeSchedules(to json: inout JSONWriter) {
    if !schedules.isEmpty {
      json.key("schedules")
      json.beginArray()
      for schedule in schedules { schedule.write(to: &json) }
      json.endArray()
    }
    if misfire != MisfirePolicy() {
      json.key("misfire")
      misfire.write(to: &json)
    }
    if overlap != .allow {
      json.key("overlap")
      overlap.write(to: &json)
    }
    if !params.isEmpty { json.member("params", params) }
    if !limits.isEmpty {
      json.key("limits")
      limits.write(to: &json)
    }
    if let runAs { json.member("run_as", runAs) }
    if !resources.isEmpty {
      json.key("resources")
      resources.write(to: &json)
    }
    if !placement.isDefault {
      json.key("placement")
      placement.write(to: &json)
    }
    if queue != Defaults.queue { json.member("queue", queue) }
    if !labels.isEmpty { json.member("labels", labels) }
    if !alerts.isEmpty {
      json.key("alerts")
      json.array { json in for rule in alerts { rule.write(to: &json) } }
    }
  }
}

extension TaskSpec {
  fileprivate func writeMember(to json: inout JSONWriter) {
    switch self {
    case .exec(let argv): json.member("exec", argv)
    case .noop: json.member("noop", true)
    case .shell(let script, let interpreter):
      json.key("shell")
      json.beginObject()
      json.member("script", script)
      if interpreter != Self.defaultInterpreter { json.member("interpreter", interpreter) }
      json.endObject()
    case .http(let request):
      json.key("http")
      json.beginObject()
      json.member("method", request.method)
      json.member("url", request.url)
      if !request.headers.isEmpty { json.member("headers", request.headers) }
      if !request.body.isEmpty { json.member("body", request.body) }
      json.endObject()
    case .task(let name, let payload):
      json.key("task")
      json.beginObject()
      json.member("name", name)
      if payload != Self.defaultPayload {
        json.key("payload")
        json.raw(payload.utf8)
      }
      json.endObject()
    }
  }
}

extension Backoff {
  fileprivate func writeMember(to json: inout JSONWriter) {
    json.key("backoff")
    json.beginObject()
    switch curve {
    case .list(let waits): json.member("list", waits.map { DurationText.format(milliseconds: $0) })
    case .exponential(let initialMillis, let multiplier, let maxMillis):
      json.member("initial", DurationText.format(milliseconds: initialMillis))
      json.member("multiplier", multiplier)
      json.member("max", DurationText.format(milliseconds: maxMillis))
    }
    if jitter != Self.defaultJitter { json.member("jitter", jitter) }
    json.endObject()
  }
}

extension Constraint {
  /// Writes the constraint as an object.
  func write(to json: inout JSONWriter) {
    json.beginObject()
    writeMembers(to: &json)
    json.endObject()
  }

  /// Writes the members into the object that is open.
  func writeMembers(to json: inout JSONWriter) {
    json.member("label", label)
    json.member("operator", op.rawValue)
    if !values.isEmpty { json.member("values", values) }
  }
}
