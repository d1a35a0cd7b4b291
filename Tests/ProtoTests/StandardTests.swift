import Proto
import Testing

@Suite("Standard messages")
struct StandardTests {
  @Test("An error's details come back, whatever is between them")
  func statusDetails() throws {
    let details = StatusDetails(
      code: 3, message: "spec.timeout: no",
      violations: [.init(field: "spec.timeout", description: "no")], retryMillis: 1_500)
    // As Google's implementation writes it, with a detail of another type (google.protobuf.Duration) in front.
    let other: [UInt8] =
      [0x1A, 0x30, 0x0A, 0x2C] + Array("type.googleapis.com/google.protobuf.Duration".utf8) + [0x12]
    #expect(other.count == 49)
    let bytes = Array(details.wire().prefix(2 + 2 + details.message.utf8.count))
    let rest = Array(details.wire().dropFirst(bytes.count))
    #expect(try StatusDetails(wire: bytes + other + [0x00] + rest) == details)
  }

  @Test("The pool has every declaration of a file, and no other")
  func symbols() throws {
    let pool = DescriptorPool.shared
    for symbol in [
      "rota.v1.Jobs", "rota.v1.Jobs.Submit", "rota.v1.JobSpec", "rota.v1.JobSpec.exec",
      "rota.v1.JobSpec.kind",
      "rota.v1.JobSpec.EnvEntry", "rota.v1.JobSpec.EnvEntry.key",
      "grpc.health.v1.HealthCheckResponse.SERVING",
      "grpc.health.v1.HealthCheckResponse.ServingStatus", "google.protobuf.Timestamp.seconds",
    ] {
      let file = try #require(pool.file(containing: symbol), "\(symbol)")
      #expect(pool.file(named: file.name)?.bytes == file.bytes)
    }
    for symbol in ["", "rota", "rota.v1", "rota.v1.Job.", ".rota.v1.Job", "rota.v1.job", "Job"] {
      #expect(pool.file(containing: symbol) == nil, "\(symbol)")
    }
    #expect(pool.hasMessage("rota.v1.Job"))
    #expect(!pool.hasMessage("rota.v1.Jobs"))
  }

  @Test("A file comes with all that it needs, each once")
  func dependencies() throws {
    let pool = DescriptorPool.shared
    let jobs = try #require(pool.file(named: "rota/v1/jobs.proto"))
    let names = pool.withDependencies(jobs).map(\.name)
    #expect(names.first == "rota/v1/jobs.proto")
    #expect(
      Set(names.dropFirst()) == [
        "rota/v1/types.proto", "google/protobuf/duration.proto", "google/protobuf/timestamp.proto",
      ])
    #expect(names.count == 4)
  }
}

extension MessageKind {
  /// Those of gRPC's standard services.
  static let standardKinds: [MessageKind] = [
    MessageKind { HealthCheckRequest(service: $0.text()) },
    MessageKind { HealthCheckResponse(status: $0.pick(ServingStatus.allCases)) },
    MessageKind { _ in HealthListRequest() },
    MessageKind {
      HealthListResponse(
        statuses: Dictionary(
          $0.many { ($0.text(), $0.pick(ServingStatus.allCases)) }, uniquingKeysWith: { $1 }))
    },
    MessageKind { $0.reflectionRequest() },
    MessageKind { $0.reflectionResponse() },
    MessageKind {
      StatusDetails(
        code: Int32($0.count(16)), message: $0.text(),
        violations: $0.many { .init(field: $0.text(), description: $0.text()) },
        retryMillis: $0.maybe { $0.millis() })
    },
  ]
}
