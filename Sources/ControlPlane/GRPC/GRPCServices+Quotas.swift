import Proto
import Transport

/// `rota.v1.Quotas` on top of the service.
extension GRPCServices {
  var quotaMethods: [RPCMethod] {
    [
      unary("/rota.v1.Quotas/Put") { (request: PutQuotaRequest, _) in
        do { return try await quotas.put(request).view } catch let error as ServiceError {
          throw error.ofQuotaMessage
        }
      },
      unary("/rota.v1.Quotas/Get") { (request: GetQuotaRequest, _) in
        try await quotas.get(request.namespace)
      },
      unary("/rota.v1.Quotas/List") { (request: ListQuotasRequest, _) in try await quotas.list(request) },
      unary("/rota.v1.Quotas/Delete") { (request: DeleteQuotaRequest, _) in
        try await quotas.delete(request)
        return DeleteQuotaResponse()
      },
    ]
  }
}

extension ServiceError {
  /// The same error of a quota that was put, with the field's path in `rota.v1.PutQuotaRequest`.
  fileprivate var ofQuotaMessage: ServiceError {
    guard let field, !["namespace", "if_match", "idempotency_key"].contains(field) else { return self }
    var error = self
    error.field = "spec." + field
    return error
  }
}
