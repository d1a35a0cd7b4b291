// swift-tools-version:6.1
import PackageDescription

// MARK: - Settings that every Swift target shares

/// `ROTA_TESTABLE=1` lets tests see into Rota's modules in an optimised build too (`scripts/build-tests`).
let testable = Context.environment["ROTA_TESTABLE"] == "1"

let strict: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
  ] + (testable ? [.unsafeFlags(["-enable-testing"])] : [])

// MARK: - Dependencies

let swiftLog: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")

// MARK: - Targets

func system(_ name: String, _ pkgConfig: String, apt: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let allTargets: [Target] = [
  // C libraries.
  system("CCurl", "libcurl", apt: "libcurl4-openssl-dev"),
  system("CNghttp2", "libnghttp2", apt: "libnghttp2-dev"),
  system("CProtobufC", "libprotobuf-c", apt: "libprotobuf-c-dev"),
  system("CZlib", "zlib", apt: "zlib1g-dev"),
  .systemLibrary(name: "CMalloc"),
  .target(name: "CProto", dependencies: ["CProtobufC"]),

  // Foundations that know nothing of Rota.
  module("JSON"),
  module("Curl", ["CCurl"]),
  module("EtcdClient", ["Curl", swiftLog]),
  module("Transport", ["CNghttp2", "CZlib", nioCore, nioPosix, swiftLog]),

  // Rota.
  module(
    "Certificates",
    [
      nioCore, nioSSL, x509, crypto, swiftLog,
      .product(name: "NIOTLS", package: "swift-nio"), .product(name: "SwiftASN1", package: "swift-asn1"),
    ]),
  module("SchedulerCore", ["JSON"]),
  module("Proto", ["CProto", "CProtobufC", "SchedulerCore", "JSON"]),
  module(
    "ControlPlane",
    [
      "Certificates", "Curl", "EtcdClient", "Transport", "Proto", "SchedulerCore", "JSON", swiftLog,
      lifecycle,
      nioCore, nioPosix, nioSSL, .product(name: "DequeModule", package: "swift-collections"),
      .product(name: "Hummingbird", package: "hummingbird"),
    ]),
  module(
    "Agent",
    [
      "Certificates", "EtcdClient", "Transport", "Proto", "SchedulerCore", "JSON", "Curl", swiftLog,
      lifecycle, nioCore, nioPosix, crypto,
    ]),
  // Linked without the Swift runtime, which SwiftPM would add even to a C program: it starts a
  // process for each task, and the runtime would triple what that costs.
  .executableTarget(
    name: "rota-shim",
    linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"], .when(platforms: [.linux]))]),
  module("ConfigFiles", ["SchedulerCore", "JSON", .product(name: "Yams", package: "Yams")]),
  .executableTarget(
    name: "rota",
    dependencies: [
      "ControlPlane", "Agent", "Certificates", "ConfigFiles", "EtcdClient", "Curl", "Transport", "Proto",
      "SchedulerCore",
      "JSON", "CMalloc", swiftLog, lifecycle, nioCore, nioPosix,
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
    ], swiftSettings: strict),
  .executableTarget(
    name: "rota-bench",
    dependencies: [
      "EtcdClient", "Curl", "Transport", "Proto", "SchedulerCore", "JSON", swiftLog, nioCore, nioPosix,
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
    ], path: "Benchmarks/Sources/rota-bench", swiftSettings: strict),

  // gRPC's interoperability tests, driven from Tests/EndToEnd.
  .target(name: "CInteropProto", dependencies: ["CProtobufC"], path: "Tests/Interop/CInteropProto"),
  .target(
    name: "InteropMessages", dependencies: ["CInteropProto", "CProtobufC", nioCore],
    path: "Tests/Interop/Messages", swiftSettings: strict),
  .executableTarget(
    name: "interop-server",
    dependencies: [
      "InteropMessages", "Transport", nioCore, nioPosix, swiftLog,
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
    ], path: "Tests/Interop/Server", swiftSettings: strict),
  .executableTarget(
    name: "interop-client",
    dependencies: ["InteropMessages", "Transport", nioCore, nioPosix, swiftLog], path: "Tests/Interop/Client",
    swiftSettings: strict),

  // The arithmetic of schedules, asked by an independent one in Tests/EndToEnd/schedule.
  .executableTarget(
    name: "schedule-probe", dependencies: ["SchedulerCore", "JSON"], path: "Tests/Probe/schedule-probe",
    swiftSettings: strict),

  // Tests.
  .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
  tests("JSONTests", ["JSON"]),
  tests("CurlTests", ["Curl", "TestSupport"]),
  tests("EtcdClientTests", ["EtcdClient", "TestSupport", swiftLog]),
  tests("TransportTests", ["Transport", nioCore, nioPosix, nioEmbedded, swiftLog]),
  tests("CertificatesTests", ["Certificates", swiftLog, nioCore, nioPosix]),
  tests("SchedulerCoreTests", ["SchedulerCore", "JSON"]),
  tests("ConfigFilesTests", ["ConfigFiles", "SchedulerCore", "JSON"]),
  tests("ProtoTests", ["Proto", "SchedulerCore", "JSON"]),
  tests(
    "ControlPlaneTests",
    [
      "Certificates", "ControlPlane", "EtcdClient", "Transport", "Proto", "SchedulerCore", "JSON", swiftLog,
      nioCore, nioPosix,
    ]
  ),
  tests(
    "AgentTests",
    ["Agent", "EtcdClient", "Transport", "Proto", "SchedulerCore", "JSON", swiftLog, nioCore]),
]

// MARK: - ROTA_TARGETS: build a part

/// `ROTA_TARGETS=SchedulerCore,Transport` keeps only those targets, what they depend on, and their
/// tests, so that the tests of one module need nothing else to be built (`make test-module`).
func closure(of wanted: [String], in targets: [Target]) -> [Target] {
  let byName = Dictionary(uniqueKeysWithValues: targets.map { ($0.name, $0) })
  var keep = Set<String>()
  var queue = wanted + wanted.map { $0 + "Tests" }
  while let name = queue.popLast() {
    guard let target = byName[name], keep.insert(name).inserted else { continue }
    for case .byNameItem(let dependency, _) in target.dependencies { queue.append(dependency) }
  }
  return targets.filter { keep.contains($0.name) }
}

let wanted = (Context.environment["ROTA_TARGETS"] ?? "").split(separator: ",").map(String.init)
let targets = wanted.isEmpty ? allTargets : closure(of: wanted, in: allTargets)

// MARK: - Package

let allPackages: [String: Package.Dependency] = [
  "swift-argument-parser": .package(
    url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  "swift-log": .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  "swift-nio": .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
  "swift-nio-ssl": .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
  "swift-certificates": .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
  "swift-asn1": .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
  "swift-crypto": .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
  "hummingbird": .package(
    url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
  "swift-collections": .package(
    url: "https://github.com/apple/swift-collections", from: "1.6.0"),
  "swift-service-lifecycle": .package(
    url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  "Yams": .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
]

/// Only the packages that the kept targets use, so that a part resolves without the rest.
let usedPackages = Set(
  targets.flatMap(\.dependencies).compactMap { dependency -> String? in
    if case .productItem(_, let package, _, _) = dependency { return package }
    return nil
  })

let package = Package(
  name: "rota",
  platforms: [.macOS(.v15)],
  products: wanted.isEmpty
    ? [
      .executable(name: "rota", targets: ["rota"]),
      .executable(name: "rota-shim", targets: ["rota-shim"]),
      .executable(name: "rota-bench", targets: ["rota-bench"]),
    ] : [],
  dependencies: usedPackages.sorted().compactMap { allPackages[$0] },
  targets: targets,
  cLanguageStandard: .gnu11
)
