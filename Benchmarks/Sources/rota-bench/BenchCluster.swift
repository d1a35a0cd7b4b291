import EtcdClient
import Foundation
import Logging
import NIOPosix
import Transport

/// A real etcd (fsync on), one server and some agents, on loopback, in a folder of their own.
final class BenchCluster {
  let folder: URL
  let etcdPort: Int
  let grpcPort: Int
  let httpPort: Int
  private(set) var children: [Child] = []
  private let binaries: URL

  /// - Parameter binaries: The folder that holds `rota` and `rota-shim`.
  init(binaries: URL, under parent: URL) throws {
    self.binaries = binaries
    folder = parent.appendingPathComponent("rota-bench-\(ProcessInfo.processInfo.processIdentifier)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    etcdPort = try freePort()
    grpcPort = try freePort()
    httpPort = try freePort()
  }

  private let quiet = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }

  var etcdEndpoint: String { "http://127.0.0.1:\(etcdPort)" }

  func startEtcd() async throws {
    let peer = try freePort()
    try start(
      "etcd", try tool("etcd"),
      [
        "--data-dir", folder.appendingPathComponent("etcd").path, "--listen-client-urls", etcdEndpoint,
        "--advertise-client-urls", etcdEndpoint, "--listen-peer-urls", "http://127.0.0.1:\(peer)",
        "--initial-advertise-peer-urls", "http://127.0.0.1:\(peer)", "--initial-cluster",
        "default=http://127.0.0.1:\(peer)", "--quota-backend-bytes", "8589934592", "--log-level", "error",
      ])
    let client = try etcdClient()
    try await wait(seconds: 20, for: "etcd answers") { (try? await client.status()) != nil }
    await client.shutdown()
  }

  func etcdClient() throws -> EtcdClient {
    var configuration = EtcdClient.Configuration(endpoints: [etcdEndpoint])
    configuration.maxConcurrentRequests = 256
    return try EtcdClient(configuration: configuration, logger: quiet)
  }

  func startServer() async throws {
    try start(
      "server", binaries.appendingPathComponent("rota").path,
      [
        "server", "--id", "s1", "--etcd", "127.0.0.1:\(etcdPort)", "--http", "127.0.0.1:\(httpPort)",
        "--grpc",
        "127.0.0.1:\(grpcPort)", "--log-level", "warning",
      ])
    try await wait(seconds: 30, for: "the server leads") { try await self.metric("rota_leader") == 1 }
  }

  func startAgents(_ count: Int, slots: Int) async throws {
    for number in 1...count {
      try start(
        "agent\(number)", binaries.appendingPathComponent("rota").path,
        [
          "agent", "--id", "a\(number)", "--etcd", "127.0.0.1:\(etcdPort)", "--data-dir",
          folder.appendingPathComponent("a\(number)").path, "--slots", "\(slots)", "--log-level", "warning",
        ])
    }
    try await wait(seconds: 30, for: "the agents are connected") {
      try await self.metric("rota_agent_sessions") == Double(count)
    }
  }

  func connect() async throws -> GRPCClient {
    try await GRPCClient.connect(
      GRPCClientConfiguration(host: "127.0.0.1", port: grpcPort),
      group: MultiThreadedEventLoopGroup.singleton,
      logger: quiet)
  }

  /// A value of the server's metrics page.
  func metric(_ name: String) async throws -> Double {
    let url = "http://127.0.0.1:\(httpPort)/metrics"
    let engine = MetricsFetcher.shared
    guard let text = try? await engine.get(url) else { return -1 }
    let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
    return line.flatMap { Double($0.dropFirst(name.count + 1)) } ?? -1
  }

  /// Ends everything, newest first, and removes the folder.
  func stop(keepFolder: Bool) {
    for child in children.reversed() { child.stop() }
    if !keepFolder { try? FileManager.default.removeItem(at: folder) }
  }

  private func start(_ name: String, _ executable: String, _ arguments: [String]) throws {
    children.append(
      try Child(name, executable, arguments, log: folder.appendingPathComponent("\(name).log")))
  }

  /// Polls until a condition holds.
  func wait(seconds: Double, for what: String, _ condition: () async throws -> Bool) async throws {
    let end = Date(timeIntervalSinceNow: seconds)
    while Date() < end {
      if try await condition() { return }
      if let dead = children.first(where: { !$0.isRunning }) {
        throw BenchError("\(dead.name) has ended; its log is in \(folder.path)")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw BenchError("waited \(seconds) s in vain until \(what); logs are in \(folder.path)")
  }
}
