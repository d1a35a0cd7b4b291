import HTTPTypes
import Hummingbird
import JSON
import Proto
import SchedulerCore

/// Quotas.
extension RESTServer {
  func addQuotaRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("quotas") { request, _ in
      let query = try RESTQuery(request, allowing: ["page_size", "page_token"])
      let page = try await quotas.list(
        ListQuotasRequest(pageSize: try query.number("page_size"), pageToken: query["page_token"]))
      return Response.json(.ok) {
        $0.list("quotas", page.quotas, next: page.nextPageToken) { $0.write(to: &$1) }
      }
    }
    group.get("quotas/:namespace") { request, context in
      _ = try RESTQuery(request, allowing: [])
      return Response.quota(.ok, try await quotas.get(context.namespace))
    }
    group.put("quotas/:namespace") { request, context in
      _ = try RESTQuery(request, allowing: [])
      let ifMatch = try request.ifMatch()
      let idempotencyKey = try request.idempotencyKey(or: nil)
      let spec = try QuotaSpec(parsingJSON: try await request.jsonBody())
      let (view, isNew) = try await quotas.put(
        PutQuotaRequest(
          namespace: context.namespace, spec: spec, ifMatch: ifMatch, idempotencyKey: idempotencyKey))
      return Response.quota(isNew ? .created : .ok, view)
    }
    group.delete("quotas/:namespace") { request, context in
      _ = try RESTQuery(request, allowing: [])
      let ifMatch = try request.ifMatch()
      try await quotas.delete(DeleteQuotaRequest(namespace: context.namespace, ifMatch: ifMatch))
      return Response(status: .noContent)
    }
  }
}

extension BasicRequestContext {
  fileprivate var namespace: String { parameters.get("namespace") ?? "" }
}

extension Response {
  /// A quota, with its etag.
  fileprivate static func quota(_ status: HTTPResponse.Status, _ quota: QuotaView) -> Response {
    var response = json(status, quota.write)
    response.headers[.eTag] = "\"\(quota.etag)\""
    return response
  }
}
