import Certificates
import HTTPTypes
import Hummingbird
import HummingbirdCore
import JSON
import Logging
import NIOCore
import Proto
import SchedulerCore

/// The REST side of a server. Every path works as it stands here and under `/v1`.
struct RESTServer: Sendable {
  let configuration: ServerConfiguration
  let jobs: JobService
  let runs: RunService
  let fleet: FleetService
  let calendars: CalendarService
  let queues: QueueService
  let groups: GroupService
  let events: EventService
  let cluster: ClusterService
  let lookahead: LookaheadService
  let backfills: BackfillService
  let quotas: QuotaService
  let replica: Replica
  let metrics: ServerMetrics
  let pipeline: CommitPipeline
  let sessions: SessionRegistry
  let storage: StorageBoard
  let alerts: AlertService
  let logger: Logger

  /// Serves until graceful shutdown.
  func run() async throws {
    let router = Router()
    router.add(middleware: RESTErrors(metrics: metrics, logger: logger))
    router.add(middleware: RESTRequester(credentials: configuration.tls))
    if let tls = configuration.tls, tls.asksClients {
      router.add(middleware: RESTAccess(credentials: tls, logger: logger))
    }
    addRoutes(to: router.group())
    addRoutes(to: router.group("v1"))
    let http = HTTP1Channel.Configuration(
      idleTimeout: TimeAmount(ServerLimits.httpIdleTimeout),
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: ServerLimits.headerBytes, maxHeaderListSize: ServerLimits.headerBytes,
        maxHeaderFieldCount: ServerLimits.headerFields))
    let application = Application(
      router: router, server: server(http),
      configuration: .init(
        address: .hostname(configuration.http.host, port: configuration.http.port), serverName: "rota"),
      logger: quietLogger)
    try await application.run()
  }

  private func server(_ http: HTTP1Channel.Configuration) -> HTTPServerBuilder {
    guard let tls = configuration.tls else { return .http1(configuration: http) }
    return HTTPServerBuilder { responder in
      SecureHTTPChannel(base: HTTP1Channel(responder: responder, configuration: http), credentials: tls)
    }
  }

  /// Hummingbird tells at `info` what the server's own lines tell already.
  private var quietLogger: Logger {
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .notice)
    return quiet
  }

  private func addRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.post("jobs", use: submit)
    group.get("jobs", use: listJobs)
    group.get("jobs/:job_id") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      return Response.job(.ok, try await jobs.get(try key(query, context)))
    }
    addControlRoutes(to: group)
    addVersionRoutes(to: group)
    addAlertRoutes(to: group)
    addCalendarRoutes(to: group)
    addQueueRoutes(to: group)
    addQuotaRoutes(to: group)
    addGroupRoutes(to: group)
    group.get("job/executions", use: listExecutions)
    group.get("runs", use: listRuns)
    group.get("jobs/:job_id/runs/:run_id") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      return Response.json(.ok, try await runs.get(try key(query, context), runID: context.runID).write)
    }
    group.get("jobs/:job_id/runs/:run_id/logs", use: logs)
    group.get("jobs/:job_id/logs", use: logs)
    addExplainRoutes(to: group)
    addAgentRoutes(to: group)
    group.get("events", use: watchEvents)
    group.get("cluster") { request, _ in
      _ = try RESTQuery(request, allowing: [])
      return Response.json(.ok, await cluster.get(isForwarded: false).write)
    }
    addLookaheadRoutes(to: group)
    addStatusRoutes(to: group)
  }

  // MARK: Jobs

  private func submit(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    _ = try RESTQuery(request, allowing: [])
    var submission = try SubmitRequest(parsingJSON: try await request.jsonBody())
    submission.idempotencyKey = try request.idempotencyKey(or: submission.idempotencyKey)
    let response = try await jobs.submit(submission, from: try await caller())
    return .job(response.created ? .created : .ok, response.job)
  }

  /// Who asks; nil where clients are not asked who they are.
  private func caller() async throws -> Caller? {
    guard let tls = configuration.tls, tls.asksClients else { return nil }
    return try await RESTPeer.current?.caller(cluster: tls.identity?.cluster ?? "")
  }

  private func listJobs(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(
      request, allowing: ["namespace", "status", "user_id", "label", "page_size", "page_token"])
    let page = try await jobs.list(
      ListJobsRequest(
        namespace: try query.identifier("namespace"), status: try query.word("status", JobStatus.self),
        userID: query["user_id"], labels: try query["label"].map(Labels.parse(filter:)) ?? [:],
        pageSize: try query.number("page_size"), pageToken: query["page_token"]))
    return .json(.ok) {
      $0.list("jobs", page.jobs, next: page.nextPageToken, revision: page.revision) { $0.write(to: &$1) }
    }
  }

  /// The job of a path.
  func key(_ query: RESTQuery, _ context: BasicRequestContext) throws -> JobKey {
    JobKey(
      namespace: try query.identifier("namespace") ?? JobSpec.Defaults.namespace,
      jobID: context.parameters.get("job_id") ?? "")
  }

  // MARK: Runs

  private func runsRequest(_ request: Request) throws -> ListRunsRequest {
    let query = try RESTQuery(
      request, allowing: ["namespace", "job_id", "worker_id", "state", "status", "page_size", "page_token"])
    let jobID = try query.identifier("job_id")
    let namespace = try query.identifier("namespace") ?? jobID.map { _ in JobSpec.Defaults.namespace }
    return ListRunsRequest(
      namespace: namespace, jobID: jobID, workerID: try query.identifier("worker_id"),
      state: try query.word("state", RunState.self), status: try query.word("status", JobStatus.self),
      pageSize: try query.number("page_size"), pageToken: query["page_token"])
  }

  private func listRuns(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let page = try await runs.list(try runsRequest(request))
    return .json(.ok) {
      $0.list("runs", page.runs, next: page.nextPageToken, revision: page.revision) { $0.write(to: &$1) }
    }
  }

  /// A page of runs, each shown by its attempts; with `worker_id`, only by that agent's.
  private func listExecutions(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let page = try await runs.listExecutions(try runsRequest(request))
    return .json(.ok) {
      $0.list("executions", page.executions, next: page.nextPageToken) { $0.write(to: &$1) }
    }
  }

  private func logs(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(
      request, allowing: ["namespace", "attempt", "stream", "follow", "tail_bytes"])
    let attempt = try query.number("attempt")
    let tail = try query.number("tail_bytes")
    let logs = LogsRequest(
      job: try key(query, context), runID: context.runID, attempt: attempt == 0 ? nil : attempt,
      stream: try query.word("stream", LogStream.self), follow: try query.flag("follow"),
      tailBytes: tail == 0 ? nil : Int64(tail))
    // What can be refused is refused before the answer begins.
    _ = try await runs.get(logs.job, runID: logs.runID)
    let service = runs
    return Response(
      status: .ok, headers: [.contentType: "text/plain; charset=utf-8", .xContentTypeOptions: "nosniff"],
      body: ResponseBody { writer in
        let sink = ResponseSink(writer)
        try await service.streamLogs(logs, isForwarded: false) { chunk in
          try await sink.writer.write(ByteBuffer(bytes: chunk.data))
        }
        try await sink.writer.finish(nil)
      })
  }

  // MARK: Status

  private func addStatusRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("healthz") { _, _ in Response.json(.ok) { $0.object { $0.member("status", "ok") } } }
    group.get("readyz") { _, _ in
      // Ready means: etcd answers and the cache shows what it holds.
      guard await replica.isWarm else { throw ServiceError.unavailable("the cache is not warm yet") }
      try await jobs.barrier.pass()
      return Response.json(.ok) { $0.object { $0.member("status", "ready") } }
    }
    group.get("metrics") { _, _ in
      let page = MetricsPage(
        metrics: metrics, replica: replica, pipeline: pipeline, sessions: sessions, storage: storage,
        tls: configuration.tls)
      let text = await page.render()
      return Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: text)))
    }
  }
}

extension BasicRequestContext {
  fileprivate var runID: String? { parameters.get("run_id") }
}

/// A response body's writer where a closure can keep it.
final class ResponseSink {
  var writer: any ResponseBodyWriter

  init(_ writer: any ResponseBodyWriter) { self.writer = writer }
}
