import Certificates
import Hummingbird
import JSON
import Proto
import SchedulerCore

/// The versions of a job.
extension RESTServer {
  func addVersionRoutes(to group: RouterGroup<BasicRequestContext>) {
    group.get("jobs/:job_id/versions") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      let answer = try await jobs.versions(of: try key(query, context))
      return Response.json(.ok) { $0.list("versions", answer.versions, next: nil) { $0.write(to: &$1) } }
    }
    group.get("jobs/:job_id/versions/:generation") { request, context in
      let query = try RESTQuery(request, allowing: ["namespace"])
      guard let generation = context.parameters.get("generation").flatMap({ Int($0) }) else {
        throw ServiceError.invalid("generation", "a whole number was expected, as …/versions lists them")
      }
      let version = try await jobs.version(
        GetVersionRequest(key: try key(query, context), generation: generation))
      return Response.json(.ok, version.write)
    }
    group.post("jobs/:job_id/revert", use: revert)
  }

  private func revert(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try RESTQuery(request, allowing: ["namespace"])
    var generation: Int?
    var (idempotencyKey, author): (String?, String?)
    try await request.optionalBody(["generation", "idempotency_key", "updated_by"]) { name, reader in
      switch name {
      case "generation": generation = Int(try reader.int())
      case "idempotency_key": idempotencyKey = try reader.string()
      default: author = try reader.string()
      }
    }
    guard let generation else {
      throw ServiceError.invalid("generation", "is missing: the one to go back to was expected")
    }
    let view = try await jobs.revert(
      RevertJobRequest(
        key: try key(query, context), generation: generation, ifMatch: try request.ifMatch(),
        idempotencyKey: try request.idempotencyKey(or: idempotencyKey),
        updatedBy: try await callerName() ?? author))
    return .job(.ok, view)
  }

  /// The name on the caller's certificate; nil where clients are asked for none.
  func callerName() async throws -> String? {
    guard let tls = configuration.tls, tls.asksClients else { return nil }
    return try await RESTPeer.current?.caller(cluster: tls.identity?.cluster ?? "").name
  }
}
