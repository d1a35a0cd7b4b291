import EtcdClient
import Foundation
import Logging
import NIOPosix
import Transport

/// A real etcd (fsync on), servers and agents, on loopback, in a folder of their own.
final class BenchCluster {
  /// A server that was started.
  struct Server {
    let id: String
    let grpcPort: Int
    let httpPort: Int
    let process: Child
  }

  let folder: URL
  let etcdPort: Int
  private(set) var children: [Child] = []
  private(set) var servers: [Server] = []
  private let binaries: URL

  /// - Parameters:
  ///   - binaries: The folder that holds `rota` and `rota-shim`.
  ///   - name: Tells the folder from those of other clusters of this process.
  init(binaries: URL, under parent: URL, name: String) throws {
    self.binaries = binaries
    folder = parent.appendingPathComponent("rota-bench-\(ProcessInfo.processInfo.processIdentifier)-\(name)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    etcdPort = try freePort()
  }

  /// A server that lives.
  var server: Server {
    get throws {
      guard let server = servers.first(where: \.process.isRunning) else {
        throw BenchError("no server runs; logs are in \(folder.path)")
      }
      return server
    }
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

  /// Starts so many servers and waits until one of them leads, for so long at most.
  func startServers(_ count: Int = 1, patience: Double = 30) async throws {
    for number in 1...count {
      let (grpcPort, httpPort) = (try freePort(), try freePort())
      let name = count == 1 ? "server" : "server\(number)"
      let process = try start(
        name, binaries.appendingPathComponent("rota").path,
        [
          "server", "--id", "s\(number)", "--etcd", "127.0.0.1:\(etcdPort)", "--http",
          "127.0.0.1:\(httpPort)", "--grpc", "127.0.0.1:\(grpcPort)", "--log-level", "warning",
          "--submit-rate", "off",
        ])
      servers.append(Server(id: "s\(number)", grpcPort: grpcPort, httpPort: httpPort, process: process))
    }
    try await wait(seconds: patience, for: "a server leads") { try await self.sum(of: "rota_leader") == 1 }
  }

  /// Ends all servers in order.
  func stopServers() {
    for server in servers { server.process.stop() }
    children.removeAll { child in servers.contains { $0.process === child } }
    servers = []
  }

  /// Waits until the servers have sessions with so many agents.
  func waitForAgents(_ count: Int) async throws {
    try await wait(seconds: 30, for: "the agents are connected") {
      try await self.sum(of: "rota_agent_sessions") == Double(count)
    }
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
    try await waitForAgents(count)
  }

  func connect() async throws -> GRPCClient {
    try await GRPCClient.connect(
      GRPCClientConfiguration(host: "127.0.0.1", port: server.grpcPort),
      group: MultiThreadedEventLoopGroup.singleton,
      logger: quiet)
  }

  /// A value of a server's metrics page; -1 while it shows none.
  func metric(_ name: String) async throws -> Double { try await metric(name, of: server) }

  private func metric(_ name: String, of server: Server) async throws -> Double {
    let url = "http://127.0.0.1:\(server.httpPort)/metrics"
    let engine = MetricsFetcher.shared
    guard let text = try? await engine.get(url) else { return -1 }
    let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
    return line.flatMap { Double($0.dropFirst(name.count + 1)) } ?? -1
  }

  /// A metric of all servers that live, together.
  private func sum(of name: String) async throws -> Double {
    var sum = 0.0
    for server in servers where server.process.isRunning { sum += max(0, try await metric(name, of: server)) }
    return sum
  }

  /// Ends everything, newest first, and removes the folder.
  func stop(keepFolder: Bool) {
    for child in children.reversed() { child.stop() }
    if !keepFolder { try? FileManager.default.removeItem(at: folder) }
  }

  @discardableResult
  private func start(_ name: String, _ executable: String, _ arguments: [String]) throws -> Child {
    let child = try Child(name, executable, arguments, log: folder.appendingPathComponent("\(name).log"))
    children.append(child)
    return child
  }

  /// Polls until a condition holds.
  func wait(seconds: Double, for what: String, _ condition: () async throws -> Bool) async throws {
    let end = Date(timeIntervalSinceNow: seconds)
    while Date() < end {
      if try await condition() { return }
      try checkChildren()
      try await Task.sleep(for: .milliseconds(10))
    }
    throw BenchError("waited \(seconds) s in vain until \(what); logs are in \(folder.path)")
  }

  /// Sleeps while everything lives.
  func sleep(until time: Date) async throws {
    while Date() < time {
      try checkChildren()
      try await Task.sleep(for: .seconds(min(0.25, max(0.001, time.timeIntervalSinceNow))))
    }
  }

  private func checkChildren() throws {
    if let dead = children.first(where: { !$0.isRunning && !$0.wasKilled }) {
      throw BenchError("\(dead.name) has ended; its log is in \(folder.path)")
    }
  }

  // MARK: Usage

  func usageByProcess() -> [String: Usage] {
    Dictionary(uniqueKeysWithValues: children.map { ($0.name, $0.usage()) })
  }

  /// What each process has used since; of one that was killed nothing is known.
  func usage(since before: [String: Usage]) -> [(process: String, usage: Usage)] {
    children.filter(\.isRunning).map { child in
      var usage = child.usage()
      usage.cpuSeconds -= before[child.name]?.cpuSeconds ?? 0
      return (child.name, usage)
    }
  }
}
