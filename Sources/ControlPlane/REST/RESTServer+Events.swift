import HTTPTypes
import Hummingbird
import JSON
import NIOCore
import Proto
import SchedulerCore

extension RESTServer {
  /// `GET /events`: a line of JSON for each step, without an end.
  func watchEvents(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(
      request, allowing: ["start_revision", "namespace", "job_id", "jobs", "runs"])
    let jobID = try query.identifier("job_id")
    let (jobs, runs) = (try query.flag("jobs"), try query.flag("runs"))
    let stream = try await events.open(
      WatchEventsRequest(
        namespace: try query.identifier("namespace") ?? jobID.map { _ in JobSpec.Defaults.namespace },
        jobID: jobID, jobs: jobs || !runs, runs: runs || !jobs,
        startRevision: Int64(try query.number("start_revision"))))
    return Response(
      status: .ok,
      headers: [
        .contentType: "application/x-ndjson", .xContentTypeOptions: "nosniff", .cacheControl: "no-store",
      ],
      body: ResponseBody { writer in
        let sink = ResponseSink(writer)
        // The stream ends by an error only: the connection is closed without the end of the body.
        try await stream.run { step in
          var json = JSONWriter()
          step.write(to: &json)
          var line = ByteBuffer(bytes: json.bytes)
          line.writeStaticString("\n")
          try await sink.writer.write(line)
        }
      })
  }
}
