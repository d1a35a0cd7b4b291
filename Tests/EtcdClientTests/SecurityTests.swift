import Curl
import EtcdClient
import Foundation
import Testing

@Suite struct SecurityTests {
  @Test func passwordsAndExpiredTokens() async throws {
    // Simple tokens that live for one second, so that they run out during the test.
    let etcd = try await EtcdProcess(arguments: ["--auth-token-ttl", "1"])
    defer { etcd.stop() }
    let admin = try etcd.client()
    try await admin.put("/before", [1])
    try enableAuth(etcd)
    let anonymous = await failure { try await admin.put("/x", []) }
    #expect(anonymous?.code == .unauthenticated)
    #expect(anonymous?.outcome == .notApplied)
    await admin.shutdown()

    let root = try etcd.client { $0.user = .init(user: "root", password: "top-secret") }
    let key = "/root/x"
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<20 { group.addTask { try await root.put(key + "\(index)", []) } }
      try await group.waitForAll()
    }
    let watch = root.watch(WatchRequest(prefixes: ["/root/"]))
    _ = try await watch.next()
    etcd.kill()  // Simple tokens do not survive a restart: etcd answers "invalid auth token".
    try await etcd.start()
    try await root.put(key, [7])
    let events = try await watch.events(1)
    #expect(events.first?.kv.value == [7])
    await root.shutdown()

    let wrong = try etcd.client { $0.user = .init(user: "root", password: "wr0ng-pass") }
    let refused = await failure { _ = try await wrong.get("/before") }
    #expect(refused?.code == .unauthenticated)
    #expect(refused.map { "\($0)".contains("wr0ng") } == false)
    await wrong.shutdown()

    let limited = try etcd.client { $0.user = .init(user: "small", password: "s") }
    let denied = await failure { _ = try await limited.get("/before") }
    #expect(denied?.code == .permissionDenied)
    let deniedWatch = limited.watch(WatchRequest(prefixes: ["/before"]))
    let watchError = await failure { while try await deniedWatch.next() != nil {} }
    #expect(watchError?.code == .permissionDenied)
    await limited.shutdown()
  }

  private func enableAuth(_ etcd: EtcdProcess) throws {
    for arguments in [
      ["user", "add", "root:top-secret"], ["user", "grant-role", "root", "root"],
      ["user", "add", "small:s"], ["auth", "enable"],
    ] {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["etcdctl", "--endpoints", etcd.url] + arguments
      process.environment = ProcessInfo.processInfo.environment.merging(["ETCDCTL_API": "3"]) { $1 }
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else { throw SetupError("etcdctl \(arguments[0]) failed") }
    }
  }

  @Test func userIsHarmlessWhileAuthenticationIsOff() async throws {
    let client = try await EtcdProcess.shared.value.client { $0.user = .init(user: "u", password: "p") }
    let key = "/no-auth/\(UUID().uuidString)"
    try await client.put(key, [1])
    await client.shutdown()
  }

  @Test func mutualTLS() async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("tls-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let files = try TLSFiles(in: directory)
    let etcd = try await EtcdProcess(tls: files)
    defer { etcd.stop() }
    let good = TLSOptions(
      caFile: files.ca, certificateFile: files.clientCertificate, privateKeyFile: files.clientKey,
      serverName: "etcd.test")
    let client = try etcd.client { $0.tls = good }
    try await client.put("/tls", [1])
    let value = try await client.get("/tls")?.value
    #expect(value == [1])
    let watch = client.watch(WatchRequest(prefixes: ["/tls"], startRevision: 2))
    let events = try await watch.events(1)
    #expect(events.map(\.kv.key) == ["/tls"])
    await client.shutdown()

    var wrongName = good
    wrongName.serverName = "other.test"
    var noCertificate = good
    (noCertificate.certificateFile, noCertificate.privateKeyFile) = (nil, nil)
    var wrongCA = good
    wrongCA.caFile = nil
    for options in [wrongName, noCertificate, wrongCA] {
      let client = try etcd.client {
        $0.tls = options
        $0.requestTimeout = .milliseconds(700)
      }
      let error = await failure { _ = try await client.get("/tls") }
      #expect(error?.code == .unavailable)
      #expect(error?.outcome == .notApplied)
      await client.shutdown()
    }
  }
}
