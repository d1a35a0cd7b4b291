import Proto
import Transport

/// `rota.v1.Peers`: what servers ask of each other.
extension GRPCServices {
  var leaseTokens: RPCMethod {
    unary("/rota.v1.Peers/LeaseTokens") { (request: LeaseTokensRequest, _) in
      guard let grant = await gate.lease(request.request, to: request.serverID) else {
        throw ServiceError.failedPrecondition("this server does not lead; ask the one that does")
      }
      return LeaseTokensResponse(grant: grant)
    }
  }
}
