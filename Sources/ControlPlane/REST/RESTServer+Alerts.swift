import Hummingbird
import Proto
import SchedulerCore

/// Alerts.
extension RESTServer {
  func addAlertRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("alerts") { request, _ in
      let query = try RESTQuery(request, allowing: ["namespace", "job_id", "page_size", "page_token"])
      let page = try await alerts.list(
        ListAlertsRequest(
          namespace: try query.identifier("namespace"), jobID: try query.identifier("job_id"),
          pageSize: try query.number("page_size"), pageToken: query["page_token"]))
      return Response.json(.ok) {
        $0.list("alerts", page.alerts, next: page.nextPageToken) { $0.write(to: &$1) }
      }
    }
  }
}
