import Proto
import Transport

/// `rota.v1.Queues` on top of the service.
extension GRPCServices {
  var queueMethods: [RPCMethod] {
    [
      unary("/rota.v1.Queues/Put") { (request: PutQueueRequest, _) in
        do { return try await queues.put(request).view } catch let error as ServiceError {
          throw error.ofQueueMessage
        }
      },
      unary("/rota.v1.Queues/Get") { (request: GetQueueRequest, context) in
        try await queues.get(request, isForwarded: context.isForwarded)
      },
      unary("/rota.v1.Queues/List") { (request: ListQueuesRequest, context) in
        try await queues.list(request, isForwarded: context.isForwarded)
      },
      unary("/rota.v1.Queues/Delete") { (request: DeleteQueueRequest, _) in
        try await queues.delete(request)
        return DeleteQueueResponse()
      },
      unary("/rota.v1.Queues/Pause") { (request: PauseQueueRequest, _) in try await queues.pause(request) },
      unary("/rota.v1.Queues/Resume") { (request: ResumeQueueRequest, _) in
        try await queues.resume(request)
      },
    ]
  }
}

extension ServiceError {
  /// The same error of a queue that was put, with the field's path in `rota.v1.PutQueueRequest`.
  fileprivate var ofQueueMessage: ServiceError {
    guard let field, !["name", "if_match", "idempotency_key"].contains(field) else { return self }
    var error = self
    error.field = "spec." + field
    return error
  }
}
