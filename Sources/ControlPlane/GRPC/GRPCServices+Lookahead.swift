import Proto
import Transport

/// `rota.v1.Schedules` and `Backfills`.
extension GRPCServices {
  var lookaheadMethods: [RPCMethod] {
    [
      unary("/rota.v1.Schedules/Preview") { (request: PreviewRequest, _) in
        try await lookahead.preview(request)
      },
      unary("/rota.v1.Schedules/Forecast") { (request: ForecastRequest, _) in
        try await lookahead.forecast(request)
      },
      unary("/rota.v1.Backfills/Create") { (request: CreateBackfillRequest, _) in
        try await backfills.create(request)
      },
      unary("/rota.v1.Backfills/Get") { (request: GetBackfillRequest, _) in
        try await backfills.get(request.key)
      },
      unary("/rota.v1.Backfills/List") { (request: ListBackfillsRequest, _) in
        try await backfills.list(request)
      },
      unary("/rota.v1.Backfills/Cancel") { (request: GetBackfillRequest, _) in
        try await backfills.cancel(request.key)
      },
    ]
  }
}
