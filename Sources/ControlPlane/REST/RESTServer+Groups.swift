import HTTPTypes
import Hummingbird
import Proto
import SchedulerCore

/// The objects of concurrency groups.
extension RESTServer {
  func addGroupRoutes(to router: RouterGroup<BasicRequestContext>) {
    router.get("groups", use: listGroups)
    router.get("groups/:name") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      return Response.group(.ok, try await groups.get(try groupKey(query, context)))
    }
    router.put("groups/:name", use: putGroup)
    router.delete("groups/:name") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      let ifMatch = try request.ifMatch()
      try await groups.delete(DeleteGroupRequest(key: try groupKey(query, context), ifMatch: ifMatch))
      return Response(status: .noContent)
    }
  }

  private func putGroup(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    let ifMatch = try request.ifMatch()
    let idempotencyKey = try request.idempotencyKey(or: nil)
    let spec = try GroupSpec(parsingJSON: try await request.jsonBody())
    let (view, isNew) = try await groups.put(
      PutGroupRequest(
        key: try groupKey(query, context), spec: spec, ifMatch: ifMatch, idempotencyKey: idempotencyKey))
    return .group(isNew ? .created : .ok, view)
  }

  private func listGroups(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace", "page_size", "page_token"])
    let page = try await groups.list(
      ListGroupsRequest(
        namespace: try query.identifier("namespace"), pageSize: try query.number("page_size"),
        pageToken: query["page_token"]))
    return .json(.ok) {
      $0.list("groups", page.groups, next: page.nextPageToken) { $0.write(to: &$1) }
    }
  }

  private func groupKey(_ query: RESTQuery, _ context: BasicRequestContext) throws -> GroupKey {
    GroupKey(
      namespace: try query.identifier("namespace") ?? JobSpec.Defaults.namespace,
      name: context.parameters.get("name") ?? "")
  }
}

extension Response {
  /// The object of a group, with its etag.
  fileprivate static func group(_ status: HTTPResponse.Status, _ group: GroupView) -> Response {
    json(status, group.write).tagged(group.etag)
  }
}
