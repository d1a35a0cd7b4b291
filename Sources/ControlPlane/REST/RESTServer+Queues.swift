import HTTPTypes
import Hummingbird
import JSON
import Proto
import SchedulerCore

/// Queues.
extension RESTServer {
  func addQueueRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("queues") { request, _ in
      let query = try RESTQuery(request, allowing: ["page_size", "page_token"])
      let page = try await queues.list(
        ListQueuesRequest(pageSize: try query.number("page_size"), pageToken: query["page_token"]),
        isForwarded: false)
      return Response.json(.ok) {
        $0.list("queues", page.queues, next: page.nextPageToken) { $0.write(to: &$1) }
      }
    }
    group.get("queues/:name") { request, context in
      _ = try RESTQuery(request, allowing: [])
      return Response.queue(
        .ok, try await queues.get(GetQueueRequest(name: context.queueName), isForwarded: false))
    }
    group.put("queues/:name") { request, context in
      _ = try RESTQuery(request, allowing: [])
      let ifMatch = try request.ifMatch()
      let idempotencyKey = try request.idempotencyKey(or: nil)
      let spec = try QueueSpec(parsingJSON: try await request.jsonBody())
      let (view, isNew) = try await queues.put(
        PutQueueRequest(
          name: context.queueName, spec: spec, ifMatch: ifMatch, idempotencyKey: idempotencyKey))
      return Response.queue(isNew ? .created : .ok, view)
    }
    group.delete("queues/:name") { request, context in
      _ = try RESTQuery(request, allowing: [])
      let ifMatch = try request.ifMatch()
      try await queues.delete(DeleteQueueRequest(name: context.queueName, ifMatch: ifMatch))
      return Response(status: .noContent)
    }
    group.post("queues/:name/pause") { request, context in
      _ = try RESTQuery(request, allowing: [])
      var pause = PauseQueueRequest(name: context.queueName)
      try await request.optionalBody(["note"]) { _, reader in pause.note = try reader.string() }
      return Response.queue(.ok, try await queues.pause(pause))
    }
    group.post("queues/:name/resume") { request, context in
      _ = try RESTQuery(request, allowing: [])
      try await request.optionalBody([]) { _, _ in }
      return Response.queue(.ok, try await queues.resume(ResumeQueueRequest(name: context.queueName)))
    }
  }
}

extension BasicRequestContext {
  fileprivate var queueName: String { parameters.get("name") ?? "" }
}

extension Response {
  /// A queue, with its etag where it has one.
  fileprivate static func queue(_ status: HTTPResponse.Status, _ queue: QueueView) -> Response {
    let response = json(status, queue.write)
    return queue.etag.isEmpty ? response : response.tagged(queue.etag)
  }
}
