import Agent
import ArgumentParser
import ControlPlane
import EtcdClient
import Glibc
import Logging
import SchedulerCore
import ServiceLifecycle

/// `rota dev`
struct DevCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "dev",
    abstract: "Run everything on this machine: etcd, a server and agents; one Ctrl-C ends it all.",
    discussion: """
      The server runs in this process, etcd and each agent in one of their own: kill -9 an agent and see its \
      work move. Agents are started again. The data stays in the data folder and is used again the next time.
      """)

  static let environmentFlags =
    LogOptions.environmentFlags + [
      "data-dir", "http", "grpc", "etcd", "agents", "slots", "shim", "submit-rate",
      EnvironmentFlag("insecure", .flag),
    ]

  @OptionGroup(title: "Logging") var log: LogOptions

  @Option(help: ArgumentHelp("Where everything is kept. (env: ROTA_DATA_DIR)", valueName: "folder"))
  var dataDir = "./rota-data"

  @Option(help: ArgumentHelp("Where REST and the web page listen. (env: ROTA_HTTP)", valueName: "host:port"))
  var http = AddressArgument(host: "127.0.0.1", port: 8080)

  @Option(help: ArgumentHelp("Where gRPC listens. (env: ROTA_GRPC)", valueName: "host:port"))
  var grpc = AddressArgument(host: "127.0.0.1", port: 7070)

  @Option(help: ArgumentHelp("Where etcd listens. (env: ROTA_ETCD)", valueName: "host:port"))
  var etcd = AddressArgument(host: "127.0.0.1", port: 2379)

  @Option(help: ArgumentHelp("How many agents. (env: ROTA_AGENTS)", valueName: "count"))
  var agents = 2

  @Option(
    help: ArgumentHelp("How many tasks each agent may run at once. (env: ROTA_SLOTS)", valueName: "count"))
  var slots = AgentConfiguration.defaultSlots

  @Option(
    help: ArgumentHelp(
      "The rota-shim program; beside rota when not given. (env: ROTA_SHIM)", valueName: "path"))
  var shim: String?

  @Option(
    help: ArgumentHelp(
      "How many jobs one client may submit, as 1000/1m; off for any number. (env: ROTA_SUBMIT_RATE)",
      valueName: "rate"))
  var submitRate = RateArgument(rate: .standard)

  @Flag(help: "Listen, without TLS, on addresses that others can reach. (env: ROTA_INSECURE)")
  var insecure = false

  func validate() throws {
    try Exposure.check(
      [("--http", http), ("--grpc", grpc)], isAllowed: insecure,
      remedy: "for TLS, start 'rota server' and 'rota agent' by themselves")
    guard (0...100).contains(agents) else { throw ValidationError("--agents has to be 0 to 100") }
  }

  func run() async throws {
    let logger = log.makeLogger("rota.dev")
    let folder = try Folder.make(dataDir)
    guard let lock = try Folder.lock(folder) else {
      throw CommandFailure("another 'rota dev' uses \(folder); give another --data-dir")
    }
    defer { close(lock) }
    for (flag, address) in [("--http", http), ("--grpc", grpc), ("--etcd", etcd)] {
      try PortCheck.mustBeFree(address, flag)
    }

    let etcdChild = try await EtcdChild.start(at: etcd, folder: folder, logger: logger)
    let client = try EtcdClient(configuration: .init(endpoints: [etcdChild.endpoint]), logger: logger)
    try await etcdChild.waitUntilHealthy(client)

    var configuration = ServerConfiguration(
      serverID: "dev", http: http.hostPort, grpc: grpc.hostPort, version: Version.text)
    configuration.submitRate = submitRate.rate
    configuration.zones = try Zones.load(logger)
    // Stopped in reverse order: the agents, which report to the server, which writes to etcd.
    var services: [any Service] = [
      etcdChild, ServerService(configuration: configuration, etcd: client, logger: logger),
    ]
    if agents > 0 { services.append(DevAgents(agents: try agentChildren(in: folder), logger: logger)) }
    logger.notice(
      "everything is being started; Ctrl-C ends it",
      metadata: ["http": "http://\(http)", "grpc": "\(grpc)", "etcd": "\(etcd)", "data": "\(folder)"])
    try await Daemon.run(services, logger: logger)
    await client.shutdown()
  }

  private func agentChildren(in folder: String) throws -> [DevAgents.Child] {
    let logs = try Folder.make(folder + "/logs")
    guard let program = realpath("/proc/self/exe", nil) else {
      throw CommandFailure("the path of this program cannot be found: \(String(cString: strerror(errno)))")
    }
    defer { free(program) }
    let path = String(cString: program)
    return (0..<agents).map { index in
      let id = "agent-\(index + 1)"
      var arguments = [
        "agent", "--id", id, "--etcd", etcd.description, "--data-dir", "\(folder)/agents/\(id)", "--slots",
        "\(slots)", "--drain-timeout", "5s", "--log-level", log.logLevel.rawValue, "--log-format",
        log.logFormat?.rawValue ?? "text",
      ]
      if let shim { arguments += ["--shim", shim] }
      return DevAgents.Child(id: id, program: path, arguments: arguments, log: "\(logs)/\(id).log")
    }
  }
}

/// Finds out before anything is started that a port is taken.
enum PortCheck {
  /// - Throws: `CommandFailure` that names the flag and the address.
  static func mustBeFree(_ address: AddressArgument, _ flag: String) throws {
    if let reason = bind(address, reportingPort: nil) {
      throw CommandFailure("\(flag) \(address) cannot be used: \(reason)")
    }
  }

  /// A port of the loopback interface that nothing listens on.
  static func freePort() throws -> Int {
    var port = 0
    if let reason = bind(AddressArgument(host: "127.0.0.1", port: 0), reportingPort: { port = $0 }) {
      throw CommandFailure("no free port can be found: \(reason)")
    }
    return port
  }

  /// Binds and lets go; returns why that did not work.
  private static func bind(_ address: AddressArgument, reportingPort: ((Int) -> Void)?) -> String? {
    var hints = addrinfo()
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(address.host, "\(address.port)", &hints, &list)
    guard code == 0, let first = list else { return String(cString: gai_strerror(code)) }
    defer { freeaddrinfo(first) }
    let descriptor = socket(
      first.pointee.ai_family, first.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return String(cString: strerror(errno)) }
    defer { close(descriptor) }
    var on: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard Glibc.bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0,
      listen(descriptor, 1) == 0
    else {
      return errno == EADDRINUSE ? "something else listens there" : String(cString: strerror(errno))
    }
    if let reportingPort {
      var name = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let named = withUnsafeMutablePointer(to: &name) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
      }
      guard named == 0 else { return String(cString: strerror(errno)) }
      reportingPort(Int(UInt16(bigEndian: name.sin_port)))
    }
    return nil
  }
}
