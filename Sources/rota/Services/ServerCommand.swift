import Agent
import ArgumentParser
import Certificates
import ControlPlane
import EtcdClient
import Logging
import SchedulerCore

/// `rota server`
struct ServerCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "server",
    abstract: "Run a server of the control plane.",
    discussion: "Any number of servers may run on one etcd; one of them leads, all of them answer.")

  static let environmentFlags =
    EtcdOptions.environmentFlags + ServerTLSOptions.environmentFlags + LogOptions.environmentFlags + [
      "id", "http", "grpc", "advertise-http", "advertise-grpc", "lease-ttl", "retention", "runs-kept",
      "relist-interval",
      "etcd-quota", "etcd-quota-share", "agent-rate", "submit-rate",
      EnvironmentFlag("alert-command", .list), EnvironmentFlag("alert-webhook-host", .list),
    ]

  @OptionGroup(title: "etcd") var etcd: EtcdOptions
  @OptionGroup(title: "TLS") var tls: ServerTLSOptions
  @OptionGroup(title: "Logging") var log: LogOptions

  @Option(help: "The server's id, unique in the cluster; the host's name when not given. (env: ROTA_ID)")
  var id: String?

  @Option(help: ArgumentHelp("Where REST and the web page listen. (env: ROTA_HTTP)", valueName: "host:port"))
  var http = AddressArgument(host: "127.0.0.1", port: 8080)

  @Option(help: ArgumentHelp("Where gRPC listens. (env: ROTA_GRPC)", valueName: "host:port"))
  var grpc = AddressArgument(host: "127.0.0.1", port: 7070)

  @Option(
    help: ArgumentHelp(
      "Where users reach REST; the listening address when not given. (env: ROTA_ADVERTISE_HTTP)",
      valueName: "host:port"))
  var advertiseHttp: AddressArgument?

  @Option(
    help: ArgumentHelp(
      "Where agents and other servers reach gRPC; the listening address when not given. (env: ROTA_ADVERTISE_GRPC)",
      valueName: "host:port"))
  var advertiseGrpc: AddressArgument?

  @Option(
    help: ArgumentHelp(
      "How long the others wait at most for a lost server, whole seconds from 2s; its lease is a second shorter, but not under 2 s. (env: ROTA_LEASE_TTL)",
      valueName: "time"))
  var leaseTtl = DurationArgument(millis: 5_000)

  @Option(help: ArgumentHelp("How long ended jobs are kept. (env: ROTA_RETENTION)", valueName: "time"))
  var retention = DurationArgument(millis: 7 * 86_400_000)

  @Option(
    help: ArgumentHelp("How many ended runs of a job are kept. (env: ROTA_RUNS_KEPT)", valueName: "count"))
  var runsKept = 100

  @Option(
    help: ArgumentHelp(
      "How often all that the watch has brought is compared with etcd. (env: ROTA_RELIST_INTERVAL)",
      valueName: "time"))
  var relistInterval = DurationArgument(millis: 600_000)

  @Option(
    help: ArgumentHelp(
      "What a member's database of etcd may take, etcd's --quota-backend-bytes, as 8GiB. (env: ROTA_ETCD_QUOTA)",
      valueName: "bytes"))
  var etcdQuota = BytesArgument(bytes: 2 << 30)

  @Option(
    help: ArgumentHelp(
      "Past this part of it less of what has ended is kept. (env: ROTA_ETCD_QUOTA_SHARE)", valueName: "share")
  )
  var etcdQuotaShare = 0.8

  @Option(
    help: ArgumentHelp(
      "How many agents may connect to the leader in a second; others are told when to come back. (env: ROTA_AGENT_RATE)",
      valueName: "count"))
  var agentRate = 1_000

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A command that alerts of jobs may name, and its program; may be given several times. (env: ROTA_ALERT_COMMAND)",
      valueName: "name=path"))
  var alertCommand: [PairArgument] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A host that alerts of jobs may be posted to, with or without a port; '*' for all; may be given several times. (env: ROTA_ALERT_WEBHOOK_HOST)",
      valueName: "host"))
  var alertWebhookHost: [String] = []

  @Option(
    help: ArgumentHelp(
      "How many jobs one client may submit to all servers together, as 1000/1m, or 1000/1m+200 for no more than 200 at once; off for any number. The same on all servers. (env: ROTA_SUBMIT_RATE)",
      valueName: "rate"))
  var submitRate = RateArgument(rate: .standard)

  func validate() throws {
    for command in alertCommand {
      guard Identifier.isValid(command.name), command.value.hasPrefix("/") else {
        throw ValidationError(
          "--alert-command \(command.name)=\(command.value): a name and an absolute path were expected; "
            + "a name has \(Identifier.rule)")
      }
    }
    if let id, !Identifier.isValid(id) {
      throw ValidationError("--id '\(id)': an identifier has \(Identifier.rule)")
    }
    try tls.check([("--http", http), ("--grpc", grpc)])
    _ = try leaseTtl.wholeSeconds("--lease-ttl", in: 2...3_600)
    guard runsKept > 0 else { throw ValidationError("--runs-kept has to be 1 or more") }
    guard relistInterval.millis >= 1_000 else {
      throw ValidationError("--relist-interval has to be 1s or more")
    }
    guard etcdQuota.bytes >= 1 << 20 else { throw ValidationError("--etcd-quota has to be 1MiB or more") }
    guard etcdQuotaShare > 0, etcdQuotaShare <= 1 else {
      throw ValidationError("--etcd-quota-share has to be more than 0 and at most 1")
    }
    guard (1...100_000).contains(agentRate) else {
      throw ValidationError("--agent-rate has to be 1 to 100000")
    }
    guard retention.millis >= 60_000 else { throw ValidationError("--retention has to be 1m or more") }
  }

  func run() async throws {
    let logger = log.makeLogger("rota.server")
    var configuration = try serverConfiguration(logger)
    configuration.tls = try tls.credentials(logger: logger)
    if let tls = configuration.tls, !tls.asksClients {
      logger.warning(
        "clients are not asked who they are: without --tls-client-ca everybody may do everything")
    }
    let client = try etcd.client(logger: logger)
    try await Daemon.run(
      [ServerService(configuration: configuration, etcd: client, logger: logger)], logger: logger)
    await client.shutdown()
  }

  private func serverConfiguration(_ logger: Logger) throws -> ServerConfiguration {
    var configuration = ServerConfiguration(
      serverID: id ?? AgentConfiguration.defaultID, http: http.hostPort, grpc: grpc.hostPort,
      version: Version.text)
    configuration.prefix = etcd.prefix
    configuration.advertiseHTTP = advertiseHttp?.hostPort
    configuration.advertiseGRPC = advertiseGrpc?.hostPort
    configuration.leaseTTLSeconds = try leaseTtl.wholeSeconds("--lease-ttl", in: 2...3_600)
    configuration.retention = .milliseconds(retention.millis)
    configuration.runsKeptPerJob = runsKept
    configuration.relistInterval = .milliseconds(relistInterval.millis)
    configuration.etcdQuotaBytes = etcdQuota.bytes
    configuration.etcdQuotaShare = etcdQuotaShare
    configuration.agentsPerSecond = agentRate
    configuration.alerts.commands = alertCommand.dictionary
    configuration.alerts.webhookHosts = Set(alertWebhookHost.map { $0.lowercased() })
    configuration.submitRate = submitRate.rate
    configuration.zones = try Zones.load(logger)
    return configuration
  }
}

extension DurationArgument {
  /// The seconds, where they are whole and within bounds.
  func wholeSeconds(_ flag: String, in bounds: ClosedRange<Int64>) throws -> Int64 {
    guard millis.isMultiple(of: 1_000), bounds.contains(millis / 1_000) else {
      throw ValidationError(
        "\(flag) has to be whole seconds from \(bounds.lowerBound)s to \(bounds.upperBound)s, is \(self)")
    }
    return millis / 1_000
  }
}
