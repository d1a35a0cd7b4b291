import TestSupport
import EtcdClient
import Foundation
import Logging
import Synchronization

/// A real, single-member etcd on free ports with a data directory of its own.
///
/// It is ended by `stop()`, and by process exit at the latest; only this pid is ever signalled.
final class EtcdProcess: @unchecked Sendable {
  // Checked by hand: `process` is only replaced by start and kill, which each test calls in sequence.
  let clientPort: UInt16
  let peerPort: UInt16
  let directory: URL
  let tls: TLSFiles?
  private let extraArguments: [String]
  private var process: Process?

  var url: String { "\(tls == nil ? "http" : "https")://127.0.0.1:\(clientPort)" }

  init(tls: TLSFiles? = nil, arguments: [String] = []) async throws {
    clientPort = try freePort()
    peerPort = try freePort()
    self.tls = tls
    extraArguments = arguments
    directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("etcd-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try await start()
  }

  /// Starts the process (again, on the same data) and waits until it serves.
  func start() async throws {
    let peerURL = "http://127.0.0.1:\(peerPort)"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
      [
        "etcd", "--name", "test", "--data-dir", directory.appendingPathComponent("data").path,
        "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peerURL,
        "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "test=\(peerURL)",
        "--heartbeat-interval", "20", "--election-timeout", "200", "--log-level", "error",
      ] + extraArguments
    if let tls {
      process.arguments? += ["--cert-file", tls.serverCertificate, "--key-file", tls.serverKey]
      process.arguments? += ["--client-cert-auth", "--trusted-ca-file", tls.ca]
    }
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    livePids.withLock { _ = $0.insert(process.processIdentifier) }
    self.process = process
    for _ in 0..<400 {
      if connects(to: clientPort) { return }
      try await Task.sleep(for: .milliseconds(25))
    }
    throw SetupError("etcd did not serve on port \(clientPort) within 10 s")
  }

  /// Ends the process without a goodbye and waits for its end; the data stays.
  func kill() {
    guard let process else { return }
    let pid = process.processIdentifier
    Foundation.kill(pid, SIGKILL)
    process.waitUntilExit()
    livePids.withLock { _ = $0.remove(pid) }
    self.process = nil
  }

  func stop() {
    kill()
    try? FileManager.default.removeItem(at: directory)
  }

  func client(
    endpoints: [String]? = nil, _ change: (inout EtcdClient.Configuration) -> Void = { _ in }
  ) throws -> EtcdClient {
    var configuration = EtcdClient.Configuration(endpoints: endpoints ?? [url])
    change(&configuration)
    return try EtcdClient(configuration: configuration, logger: quietLogger)
  }

  /// One process for all tests that do not harm it.
  static let shared = Task { try await EtcdProcess() }

  /// One process for the conformance suite, whose tests count revisions and so must be alone.
  static let conformance = Task { try await EtcdProcess() }
}

struct SetupError: Error {
  let message: String
  init(_ message: String) { self.message = message }
}

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

private let livePids: Mutex<Set<Int32>> = {
  // A test that is aborted must not leave an etcd behind.
  atexit { livePids.withLock { pids in for pid in pids { kill(pid, SIGKILL) } } }
  return Mutex([])
}()

func freePort() throws -> UInt16 {
  let server = try ScriptedServer { $0.end() }
  defer { server.stop() }
  return server.port
}

private func connects(to port: UInt16) -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
    }
  }
}

/// A CA, a server certificate for `etcd.test`, and a client certificate, made with the openssl command.
struct TLSFiles: Sendable {
  let ca: String
  let serverCertificate: String
  let serverKey: String
  let clientCertificate: String
  let clientKey: String

  init(in directory: URL) throws {
    func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
    func openssl(_ arguments: [String]) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["openssl"] + arguments
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else { throw SetupError("openssl \(arguments) failed") }
    }
    let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try openssl(
      ["req", "-x509"] + newKey + [
        "-keyout", path("ca.key"), "-out", path("ca.pem"), "-days", "2", "-subj", "/CN=test-ca",
      ])
    // etcd's gateway dials its own server with the server's certificate, hence both usages.
    for (name, subject) in [("server", "etcd.test"), ("client", "client")] {
      try openssl(
        ["req", "-new"] + newKey + [
          "-keyout", path("\(name).key"), "-out", path("\(name).csr"), "-subj", "/CN=\(subject)",
        ])
      try "subjectAltName=DNS:\(subject)\nextendedKeyUsage=serverAuth,clientAuth\n"
        .write(toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
      try openssl([
        "x509", "-req", "-in", path("\(name).csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"),
        "-CAcreateserial", "-days", "2", "-extfile", path("\(name).ext"), "-out", path("\(name).pem"),
      ])
    }
    ca = path("ca.pem")
    serverCertificate = path("server.pem")
    serverKey = path("server.key")
    clientCertificate = path("client.pem")
    clientKey = path("client.key")
  }
}
