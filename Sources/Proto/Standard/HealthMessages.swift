import CProto
import CProtobufC

/// Whether a service can be used (`grpc.health.v1.HealthCheckResponse.ServingStatus`).
public enum ServingStatus: UInt32, Hashable, Sendable, CaseIterable {
  /// Not known yet.
  case unknown = 0
  /// Calls have a chance.
  case serving = 1
  /// Calls would fail.
  case notServing = 2
  /// The server has no such service; only a watch is told so.
  case serviceUnknown = 3
}

/// `grpc.health.v1.HealthCheckRequest`
public struct HealthCheckRequest: Hashable, Sendable {
  /// A service's full name; the server as a whole when empty.
  public var service: String

  /// Asks about a service.
  public init(service: String) { self.service = service }
}

/// `grpc.health.v1.HealthCheckResponse`
public struct HealthCheckResponse: Hashable, Sendable {
  /// The status of the service that was asked about.
  public var status: ServingStatus

  /// An answer.
  public init(status: ServingStatus) { self.status = status }
}

/// `grpc.health.v1.HealthListRequest`
public struct HealthListRequest: Hashable, Sendable {
  /// Asks about all services.
  public init() {}
}

/// `grpc.health.v1.HealthListResponse`
public struct HealthListResponse: Hashable, Sendable {
  /// The status of each service, and of the server as a whole under the empty name.
  public var statuses: [String: ServingStatus]

  /// An answer.
  public init(statuses: [String: ServingStatus]) { self.statuses = statuses }
}

// MARK: - Wire form

extension HealthCheckRequest: Mapped, WireMessage {
  /// As `grpc.health.v1.HealthCheckRequest`.
  public static var codec: WireCodec<HealthCheckRequest> { .mapped }

  init(raw: UnsafePointer<Grpc__Health__V1__HealthCheckRequest>) throws(ProtoError) {
    self.init(service: try Decode.text(raw.pointee.service, "service"))
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Health__V1__HealthCheckRequest>, _ arena: Arena) {
    raw.pointee.service = arena.text(service)
  }
}

extension HealthCheckResponse: Mapped, WireMessage {
  /// As `grpc.health.v1.HealthCheckResponse`.
  public static var codec: WireCodec<HealthCheckResponse> { .mapped }

  /// A number that is not known is as good as no answer.
  init(raw: UnsafePointer<Grpc__Health__V1__HealthCheckResponse>) throws(ProtoError) {
    self.init(status: ServingStatus(rawValue: raw.pointee.status.rawValue) ?? .unknown)
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Health__V1__HealthCheckResponse>, _ arena: Arena) {
    raw.pointee.status = Grpc__Health__V1__HealthCheckResponse__ServingStatus(rawValue: status.rawValue)
  }
}

extension HealthListRequest: Mapped, WireMessage {
  /// As `grpc.health.v1.HealthListRequest`.
  public static var codec: WireCodec<HealthListRequest> { .mapped }

  init(raw: UnsafePointer<Grpc__Health__V1__HealthListRequest>) throws(ProtoError) { self.init() }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Health__V1__HealthListRequest>, _ arena: Arena) {}
}

extension HealthListResponse: Mapped, WireMessage {
  /// As `grpc.health.v1.HealthListResponse`.
  public static var codec: WireCodec<HealthListResponse> { .mapped }

  init(raw: UnsafePointer<Grpc__Health__V1__HealthListResponse>) throws(ProtoError) {
    let entries = try Decode.list(
      raw.pointee.n_statuses, raw.pointee.statuses, "statuses", of: StatusEntry.self)
    self.init(statuses: Dictionary(entries.map { ($0.service, $0.status) }) { $1 })
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Health__V1__HealthListResponse>, _ arena: Arena) {
    let entries = statuses.sorted { $0.key < $1.key }.map { StatusEntry(service: $0.key, status: $0.value) }
    raw.pointee.statuses = arena.list(entries, &raw.pointee.n_statuses)
  }
}

/// An entry of the map in a `HealthListResponse`.
private struct StatusEntry: Mapped {
  var service: String
  var status: ServingStatus

  init(service: String, status: ServingStatus) {
    self.service = service
    self.status = status
  }

  init(raw: UnsafePointer<Grpc__Health__V1__HealthCheckResponseEntry>) throws(ProtoError) {
    service = try Decode.text(raw.pointee.key, "key")
    status = try Decode.optional(raw.pointee.value, "value", as: HealthCheckResponse.self)?.status ?? .unknown
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Health__V1__HealthCheckResponseEntry>, _ arena: Arena) {
    raw.pointee.key = arena.text(service)
    raw.pointee.value = arena.message(HealthCheckResponse(status: status))
  }
}
