import Proto
import SchedulerCore
import Transport

/// `rota.v1.Groups` on top of the service.
extension GRPCServices {
  var groupMethods: [RPCMethod] {
    [
      unary("/rota.v1.Groups/Put") { (request: PutGroupRequest, _) in
        do { return try await groups.put(request).view } catch var error as ServiceError {
          if let field = error.field, GroupSpec.names.contains(String(field.prefix { $0 != "." })) {
            error.field = "spec." + field
          }
          throw error
        }
      },
      unary("/rota.v1.Groups/Get") { (request: GetGroupRequest, _) in try await groups.get(request.key) },
      unary("/rota.v1.Groups/List") { (request: ListGroupsRequest, _) in try await groups.list(request) },
      unary("/rota.v1.Groups/Delete") { (request: DeleteGroupRequest, _) in
        try await groups.delete(request)
        return DeleteGroupResponse()
      },
    ]
  }
}
