import HTTPTypes
import Hummingbird
import JSON
import Proto
import SchedulerCore

/// What changes a job that exists. The bodies are optional.
extension RESTServer {
  func addControlRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.put("jobs/:job_id", use: update)
    group.delete("jobs/:job_id", use: delete)
    group.post("jobs/:job_id/cancel", use: cancel)
    group.post("jobs/:job_id/pause", use: pause)
    group.post("jobs/:job_id/resume", use: resume)
    group.post("jobs/:job_id/trigger", use: trigger)
    group.post("jobs/:job_id/skip-next", use: skipNext)
    group.post("jobs/:job_id/retry", use: retry)
    group.post("jobs/:job_id/runs/:run_id/retry", use: retry)
  }

  private func update(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace", "updated_by"])
    let ifMatch = try request.ifMatch()
    let idempotencyKey = try request.idempotencyKey(or: nil)
    let spec = try JobSpec(parsingJSON: try await request.jsonBody())
    return .job(
      .ok,
      try await jobs.update(
        UpdateJobRequest(
          key: try key(query, context), spec: spec, ifMatch: ifMatch, idempotencyKey: idempotencyKey,
          updatedBy: try await callerName() ?? query["updated_by"])))
  }

  private func delete(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    let ifMatch = try request.ifMatch()
    return .job(
      .accepted, try await jobs.delete(DeleteJobRequest(key: try key(query, context), ifMatch: ifMatch)))
  }

  private func cancel(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    var reason: String?
    try await request.optionalBody(["reason"]) { _, reader in reason = try reader.string() }
    let view = try await jobs.cancel(try key(query, context), reason: reason)
    return .job(view.status.isTerminal ? .ok : .accepted, view)
  }

  private func pause(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    var pause = PauseJobRequest(key: try key(query, context))
    try await request.optionalBody(["note"]) { _, reader in pause.note = try reader.string() }
    return .job(.ok, try await jobs.pause(pause))
  }

  private func resume(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    try await request.optionalBody([]) { _, _ in }
    return .job(.ok, try await jobs.resume(ResumeJobRequest(key: try key(query, context))))
  }

  private func trigger(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    var trigger = TriggerJobRequest(key: try key(query, context))
    try await request.optionalBody(["params", "idempotency_key"]) { name, reader in
      if name == "params" {
        trigger.params = try RequestObject.texts(&reader)
      } else {
        trigger.idempotencyKey = try reader.string()
      }
    }
    trigger.idempotencyKey = try request.idempotencyKey(or: trigger.idempotencyKey)
    return .json(.created, try await jobs.trigger(trigger).write)
  }

  /// Of the run in the path, or of the newest that failed.
  private func retry(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    var retry = RetryRunRequest(job: try key(query, context), runID: context.parameters.get("run_id"))
    try await request.optionalBody(["idempotency_key"]) { _, reader in
      retry.idempotencyKey = try reader.string()
    }
    retry.idempotencyKey = try request.idempotencyKey(or: retry.idempotencyKey)
    return .json(.created, try await jobs.retry(retry).write)
  }

  private func skipNext(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    var skip = SkipNextRequest(key: try key(query, context))
    try await request.optionalBody(["scheduled_time"]) { _, reader in
      skip.scheduledTime = try RequestObject.time(&reader)
    }
    return .job(.ok, try await jobs.skipNext(skip))
  }
}

/// Agents.
extension RESTServer {
  func addAgentRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("agents") { request, _ in
      let query = try RESTQuery(request, allowing: ["page_size", "page_token"])
      let page = try await fleet.list(
        ListAgentsRequest(pageSize: try query.number("page_size"), pageToken: query["page_token"]),
        isForwarded: false)
      return Response.json(.ok) {
        $0.list("agents", page.agents, next: page.nextPageToken) { $0.write(to: &$1) }
      }
    }
    group.post("agents/:worker_id/drain") { request, context in
      _ = try RESTQuery(request, allowing: [])
      var drain = DrainAgentRequest(agentID: context.parameters.get("worker_id") ?? "")
      try await request.optionalBody(["timeout", "deadline", "note"]) { name, reader in
        switch name {
        case "timeout": drain.timeoutMillis = try RequestObject.duration(&reader)
        case "deadline": drain.deadline = try RequestObject.time(&reader)
        default: drain.note = try reader.string()
        }
      }
      return Response.json(.ok, try await fleet.drain(drain).write)
    }
    group.post("agents/:worker_id/undrain") { request, context in
      _ = try RESTQuery(request, allowing: [])
      try await request.optionalBody([]) { _, _ in }
      let response = try await fleet.undrain(
        UndrainAgentRequest(agentID: context.parameters.get("worker_id") ?? ""))
      return Response.json(.ok) { $0.object { $0.member("was_drained", response.wasDrained) } }
    }
  }
}

/// Calendars.
extension RESTServer {
  func addCalendarRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("calendars", use: listCalendars)
    group.get("calendars/:name") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      return Response.calendar(.ok, try await calendars.get(try calendarKey(query, context)))
    }
    group.put("calendars/:name", use: putCalendar)
    group.delete("calendars/:name") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      let ifMatch = try request.ifMatch()
      try await calendars.delete(
        DeleteCalendarRequest(key: try calendarKey(query, context), ifMatch: ifMatch))
      return Response(status: .noContent)
    }
  }

  private func putCalendar(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    let ifMatch = try request.ifMatch()
    let idempotencyKey = try request.idempotencyKey(or: nil)
    let spec = try CalendarSpec(parsingJSON: try await request.jsonBody())
    let (view, isNew) = try await calendars.put(
      PutCalendarRequest(
        key: try calendarKey(query, context), spec: spec, ifMatch: ifMatch, idempotencyKey: idempotencyKey))
    return .calendar(isNew ? .created : .ok, view)
  }

  private func listCalendars(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace", "page_size", "page_token"])
    let page = try await calendars.list(
      ListCalendarsRequest(
        namespace: try query.identifier("namespace"), pageSize: try query.number("page_size"),
        pageToken: query["page_token"]))
    return .json(.ok) {
      $0.list("calendars", page.calendars, next: page.nextPageToken) { $0.write(to: &$1) }
    }
  }

  private func calendarKey(_ query: RESTQuery, _ context: BasicRequestContext) throws -> CalendarKey {
    CalendarKey(
      namespace: try query.identifier("namespace") ?? JobSpec.Defaults.namespace,
      name: context.parameters.get("name") ?? "")
  }
}

// MARK: - Parts

extension Response {
  /// A job, with its etag.
  static func job(_ status: HTTPResponse.Status, _ job: JobView) -> Response {
    json(status, job.write).tagged(job.etag)
  }

  /// A calendar, with its etag.
  fileprivate static func calendar(_ status: HTTPResponse.Status, _ calendar: CalendarView) -> Response {
    json(status, calendar.write).tagged(calendar.etag)
  }

  /// The same with its etag.
  func tagged(_ etag: String) -> Response {
    var response = self
    response.headers[.eTag] = "\"\(etag)\""
    return response
  }
}

extension Request {
  /// The etag of `If-Match` (RFC 9110 section 13.1.1), or `*`; nil without that header.
  /// - Throws: `ServiceError` for several etags, a weak one, or what is none: they would have to be refused anyway.
  func ifMatch() throws -> String? {
    guard let text = headers[.ifMatch] else { return nil }
    if text == "*" { return text }
    let inner = text.dropFirst().dropLast()
    guard text.count > 2, text.hasPrefix("\""), text.hasSuffix("\""), !inner.contains("\"") else {
      throw ServiceError.invalid("If-Match", "one etag in double quotes was expected, or *")
    }
    return String(inner)
  }

  /// The key of the header `Idempotency-Key`, or that of the body; they have to agree.
  func idempotencyKey(or other: String?) throws -> String? {
    guard let key = headers[.idempotencyKey] else { return other }
    guard other == nil || other == key else {
      throw ServiceError.invalid("idempotency_key", "differs from the header Idempotency-Key")
    }
    return key
  }

  /// Reads the members of an object that may be left out altogether.
  func optionalBody(
    _ names: [String], _ member: (String, inout JSONReader) throws -> Void
  ) async throws {
    let isThere = headers[.contentType] != nil || (headers[.contentLength] ?? "0") != "0"
    guard isThere || headers[.transferEncoding] != nil else { return }
    let bytes = try await jsonBody()
    if bytes.isEmpty { return }
    try RequestObject.read(bytes, known: names, member)
  }
}
