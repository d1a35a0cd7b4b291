import EtcdClient
import Glibc
import Logging
import ServiceLifecycle

/// etcd as a child process, with fsync as in production, for `rota dev`.
struct EtcdChild: Service {
  /// Where clients reach it.
  let endpoint: String
  private let child: ChildProcess
  private let log: String
  private let logger: Logger

  /// How long etcd may take until it answers: a large database has to be read first.
  private static let startPatience = Duration.seconds(30)
  private static let stopPatience = Duration.seconds(10)
  /// Of etcd's database; past it etcd refuses to write.
  private static let quotaBytes = 4 << 30

  /// Starts etcd; its data lies in `folder`.
  static func start(at address: AddressArgument, folder: String, logger: Logger) async throws -> EtcdChild {
    guard let program = find("etcd") else {
      throw CommandFailure(
        "etcd is not installed; on Debian: apt install etcd-server. 'rota server --etcd …' uses one elsewhere"
      )
    }
    let peer = "http://127.0.0.1:\(try PortCheck.freePort())"
    let endpoint = "http://\(address)"
    let log = try Folder.make(folder + "/logs") + "/etcd.log"
    let flags = [
      ("name", "dev"), ("data-dir", folder + "/etcd"),
      ("listen-client-urls", endpoint), ("advertise-client-urls", endpoint),
      ("listen-peer-urls", peer), ("initial-advertise-peer-urls", peer), ("initial-cluster", "dev=\(peer)"),
      ("quota-backend-bytes", "\(quotaBytes)"), ("logger", "zap"), ("log-level", "warn"),
    ]
    let child = try await ChildProcess.start(
      program, flags.map { "--\($0)=\($1)" }, environment: ChildEnvironment.without(prefixes: ["ETCD_"]),
      log: log)
    logger.info("etcd is started", metadata: ["pid": "\(child.pid)", "log": "\(log)"])
    return EtcdChild(endpoint: endpoint, child: child, log: log, logger: logger)
  }

  /// Returns when etcd answers.
  func waitUntilHealthy(_ client: EtcdClient) async throws {
    let probe = client.with(requestTimeout: .seconds(1))
    let deadline = ContinuousClock.now + Self.startPatience
    while true {
      if (try? await probe.range(RangeRequest(.key("/rota/meta")))) != nil { return }
      if child.hasEnded { throw CommandFailure("etcd did not start; see the end of \(log)") }
      guard .now < deadline else {
        throw CommandFailure("etcd did not answer within \(Self.startPatience); see \(log)")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// Keeps etcd until graceful shutdown.
  ///
  /// - Throws: `CommandFailure` when it ends by itself: nothing works without it.
  func run() async throws {
    let end = await child.waitOrStop(patience: Self.stopPatience)
    guard Task.isCancelled || Task.isShuttingDownGracefully else {
      throw CommandFailure("etcd ended by itself (\(end)); see the end of \(log)")
    }
    logger.info("etcd has stopped", metadata: ["end": "\(end)"])
  }

  /// The program's path, from PATH and the folders where administrators' programs are.
  private static func find(_ program: String) -> String? {
    let path = EnvironmentFlags.variable("PATH") ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/local/bin", "/usr/bin", "/usr/sbin"]
    return folders.map { $0 + "/" + program }.first { access($0, X_OK) == 0 }
  }
}

/// The environment of children.
enum ChildEnvironment {
  /// This process's variables without those that would be taken for flags.
  static func without(prefixes: [String]) -> [String] {
    var variables: [String] = []
    var next = environ
    while let entry = next.pointee {
      let variable = String(cString: entry)
      if !prefixes.contains(where: variable.hasPrefix) { variables.append(variable) }
      next += 1
    }
    return variables
  }
}
