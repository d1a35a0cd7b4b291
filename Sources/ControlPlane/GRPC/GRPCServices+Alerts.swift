import Proto
import Transport

/// `rota.v1.Alerts` on top of its service.
extension AlertService {
  var methods: [RPCMethod] {
    [unary("/rota.v1.Alerts/List") { (request: ListAlertsRequest, _) in try await list(request) }]
  }
}
