import CProto
import SchedulerCore

extension LeaseTokensRequest: Mapped, WireMessage {
  /// As `rota.v1.LeaseTokensRequest`.
  public static var codec: WireCodec<LeaseTokensRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__LeaseTokensRequest>) throws(ProtoError) {
    guard let serverID = try Decode.optionalText(raw.pointee.server_id, "server_id") else {
      throw Decode.missing("server_id")
    }
    guard let scope = RateScope(text: try Decode.text(raw.pointee.scope, "scope")) else {
      throw ProtoError(.invalid, field: "scope", "is not client:, user: or namespace: and a name")
    }
    let counts = 0...Int64(RateLimits.count)
    guard counts.contains(raw.pointee.waiting) else {
      throw ProtoError(.invalid, field: "waiting", "must be 0 to \(RateLimits.count)")
    }
    guard counts.contains(raw.pointee.ahead) else {
      throw ProtoError(.invalid, field: "ahead", "must be 0 to \(RateLimits.count)")
    }
    guard raw.pointee.missing.isFinite else {
      throw ProtoError(.invalid, field: "missing", "must be a number")
    }
    self.init(
      serverID: serverID,
      request: TokenRequest(
        scope: scope, waiting: Int(raw.pointee.waiting), ahead: Int(raw.pointee.ahead),
        missing: raw.pointee.missing))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__LeaseTokensRequest>, _ arena: Arena) {
    raw.pointee.server_id = arena.text(serverID)
    raw.pointee.scope = arena.text(request.scope.text)
    raw.pointee.waiting = Int64(request.waiting)
    raw.pointee.ahead = Int64(request.ahead)
    raw.pointee.missing = request.missing
  }
}

extension LeaseTokensResponse: Mapped, WireMessage {
  /// As `rota.v1.LeaseTokensResponse`.
  public static var codec: WireCodec<LeaseTokensResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__LeaseTokensResponse>) throws(ProtoError) {
    let counts = 0...2 * Int64(RateLimits.count)
    guard counts.contains(raw.pointee.tokens) else {
      throw ProtoError(.invalid, field: "tokens", "must be 0 to \(counts.upperBound)")
    }
    guard raw.pointee.missing.isFinite else {
      throw ProtoError(.invalid, field: "missing", "must be a number")
    }
    self.init(
      grant: TokenGrant(
        tokens: Int(raw.pointee.tokens), retryMicros: max(0, raw.pointee.retry_microseconds),
        missing: raw.pointee.missing))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__LeaseTokensResponse>, _ arena: Arena) {
    raw.pointee.tokens = Int64(grant.tokens)
    raw.pointee.retry_microseconds = grant.retryMicros
    raw.pointee.missing = grant.missing
  }
}
