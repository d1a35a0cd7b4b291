import Hummingbird
import Proto

/// Why jobs and runs are where they are.
extension RESTServer {
  func addExplainRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("jobs/:job_id/explain", use: explain)
    group.get("jobs/:job_id/runs/:run_id/explain", use: explain)
  }

  private func explain(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    let view = try await runs.explains.explain(
      ExplainRequest(job: try key(query, context), runID: context.parameters.get("run_id")),
      isForwarded: false)
    return .json(.ok, view.write)
  }
}
