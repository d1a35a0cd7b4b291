import HTTPTypes
import Hummingbird
import JSON
import Proto
import SchedulerCore

/// Previews, forecasts and backfills.
extension RESTServer {
  func addLookaheadRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("jobs/:job_id/next", use: previewJob)
    group.get("schedules/preview", use: previewExpression)
    group.post("schedules/preview", use: previewSchedules)
    group.get("forecast", use: forecast)
    group.post("jobs/:job_id/backfills", use: createBackfill)
    group.get("jobs/:job_id/backfills") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      let page = try await backfills.list(ListBackfillsRequest(job: try key(query, context)))
      return Response.json(.ok) { $0.list("backfills", page.backfills) { $0.write(to: &$1) } }
    }
    group.get("jobs/:job_id/backfills/:backfill_id") { request, context in
      Response.json(.ok, try await backfills.get(try backfillKey(request, context)).write)
    }
    group.post("jobs/:job_id/backfills/:backfill_id/cancel") { request, context in
      Response.json(.ok, try await backfills.cancel(try backfillKey(request, context)).write)
    }
  }

  // MARK: Previews

  private func previewJob(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace", "count", "after"])
    let key = try self.key(query, context)
    let preview = PreviewRequest(
      namespace: key.namespace, jobID: key.jobID, after: try query.time("after"),
      count: try query.number("count"))
    return .json(.ok, try await lookahead.preview(preview).write)
  }

  /// One schedule, in the query.
  private func previewExpression(_ request: Request, _ context: BasicRequestContext) async throws -> Response
  {
    let query = try RESTQuery(
      request,
      allowing: ["namespace", "cron", "time_zone", "dst_gap", "dst_overlap", "calendar", "count", "after"])
    guard let cron = query["cron"] else { throw ServiceError.invalid("cron", "is required") }
    // Forms write a space as a plus sign, which no expression has.
    var schedule = Schedule(.cron(cron.replacing("+", with: " ")))
    schedule.timeZone = query["time_zone"] ?? Schedule.Defaults.timeZone
    schedule.dstGap = try query.word("dst_gap", Schedule.GapPolicy.self)
    schedule.dstOverlap = try query.word("dst_overlap", Schedule.OverlapPolicy.self)
    schedule.calendars = query["calendar"].map { $0.split(separator: ",").map(String.init) } ?? []
    let preview = PreviewRequest(
      namespace: try query.identifier("namespace") ?? JobSpec.Defaults.namespace, schedules: [schedule],
      after: try query.time("after"), count: try query.number("count"))
    do {
      return .json(.ok, try await lookahead.preview(preview).write)
    } catch let error as FieldError {
      // The members of the one schedule are parameters here.
      throw FieldError(field: error.field.replacing("schedules[0].", with: ""), message: error.message)
    }
  }

  private func previewSchedules(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    _ = try RESTQuery(request, allowing: [])
    let body = try PreviewBody(parsingJSON: try await request.jsonBody())
    let preview = PreviewRequest(
      namespace: body.namespace, schedules: body.schedules, after: body.after, count: body.count)
    return .json(.ok, try await lookahead.preview(preview).write)
  }

  private func forecast(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace", "from", "to"])
    let forecast = ForecastRequest(
      namespace: try query.identifier("namespace"), from: try query.time("from"), to: try query.time("to"))
    return .json(.ok, try await lookahead.forecast(forecast).write)
  }

  // MARK: Backfills

  private func createBackfill(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    let body = try BackfillBody(parsingJSON: try await request.jsonBody())
    let view = try await backfills.create(
      CreateBackfillRequest(
        job: try key(query, context), backfillID: body.backfillID, from: body.from, to: body.to,
        order: body.order, parallelism: body.parallelism, params: body.params, dryRun: body.dryRun))
    return .json(body.dryRun ? .ok : .created, view.write)
  }

  private func backfillKey(_ request: Request, _ context: BasicRequestContext) throws -> BackfillKey {
    let query = try RESTQuery(request, allowing: ["namespace"])
    return BackfillKey(
      job: try key(query, context), backfillID: context.parameters.get("backfill_id") ?? "")
  }
}

extension RESTQuery {
  /// A point in time; nil where it is absent.
  func time(_ name: String) throws -> Timestamp? {
    guard let text = self[name] else { return nil }
    do throws(TextError) { return try Timestamp(rfc3339: text) } catch {
      throw ServiceError.invalid(name, error.message)
    }
  }
}
