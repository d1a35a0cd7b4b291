import Agent
import ArgumentParser
import Certificates
import EtcdClient
import SchedulerCore

/// `rota agent`
struct AgentCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "agent",
    abstract: "Run an agent, which runs the tasks of jobs on this machine.",
    discussion: """
      SIGTERM drains it: no new work, what runs may finish for --drain-timeout.
      SIGUSR2 ends it at once and leaves its tasks running, for an upgrade: started again with the same data folder \
      within the lease's time, it goes on with them.
      """)

  static let environmentFlags =
    EtcdOptions.environmentFlags + ClientTLSOptions.environmentFlags + LogOptions.environmentFlags + [
      "id", "data-dir", EnvironmentFlag("label", .list), "slots", "cpus", "memory",
      EnvironmentFlag("resource", .list), "lease-ttl", "drain-timeout", "shim",
      "log-bytes", "attempt-retention", "isolation", "cgroup-parent", EnvironmentFlag("allow-run-as", .list),
      "default-memory", "default-pids", "min-free-memory", "min-free-disk", "max-load", "max-cpu",
    ]

  @OptionGroup(title: "etcd") var etcd: EtcdOptions
  @OptionGroup(title: "TLS") var tls: ClientTLSOptions
  @OptionGroup(title: "Logging") var log: LogOptions
  @OptionGroup(title: "Isolation") var isolation: IsolationOptions
  @OptionGroup(title: "Health") var health: HealthOptions

  @Option(
    help: "The agent's id, unique in the cluster and stable; the host's name when not given. (env: ROTA_ID)")
  var id: String?

  @Option(
    help: ArgumentHelp(
      "Everything that the agent keeps: unacknowledged results, logs, scratch folders. (env: ROTA_DATA_DIR)",
      valueName: "folder"))
  var dataDir: String

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What the constraints of jobs are held against; may be given several times. (env: ROTA_LABEL, with commas)",
      valueName: "name=value"))
  var label: [PairArgument] = []

  @Option(help: ArgumentHelp("How many tasks may run at once. (env: ROTA_SLOTS)", valueName: "count"))
  var slots = AgentConfiguration.defaultSlots

  @OptionGroup(title: "What it has to promise to attempts") var resources: ResourceOptions

  @Option(
    help: ArgumentHelp(
      "How long the agent may be out of reach before its work moves, whole seconds. (env: ROTA_LEASE_TTL)",
      valueName: "time"))
  var leaseTtl = DurationArgument(millis: 6_000)

  @Option(
    help: ArgumentHelp("How long tasks may go on after SIGTERM. (env: ROTA_DRAIN_TIMEOUT)", valueName: "time")
  )
  var drainTimeout = DurationArgument(millis: 30_000)

  @Option(
    help: ArgumentHelp(
      "The rota-shim program; beside rota when not given. (env: ROTA_SHIM)", valueName: "path"))
  var shim: String?

  @Option(
    help: ArgumentHelp("The most bytes in one log file of a task. (env: ROTA_LOG_BYTES)", valueName: "count"))
  var logBytes: Int64 = 10 << 20

  @Option(
    help: ArgumentHelp(
      "How long the logs and the folder of an ended attempt are kept. (env: ROTA_ATTEMPT_RETENTION)",
      valueName: "time"))
  var attemptRetention = DurationArgument(millis: 24 * 3_600_000)

  func validate() throws {
    if let id, !Identifier.isValid(id) {
      throw ValidationError("--id '\(id)': an identifier has \(Identifier.rule)")
    }
    _ = try leaseTtl.wholeSeconds("--lease-ttl", in: 2...3_600)
  }

  func run() async throws {
    let logger = log.makeLogger("rota.agent")
    var configuration = try agentConfiguration()
    if tls.isOn {
      let credentials = try tls.credentials(logger: logger)
      try check(credentials, of: configuration.id)
      configuration.tls = credentials
    }
    do { try configuration.validate() } catch { throw CommandFailure("\(error)") }
    let client = try etcd.client(logger: logger)
    let agent = AgentService(configuration: configuration, etcd: client, logger: logger)
    try await Daemon.run([agent], logger: logger) { agent.leave() }
    await client.shutdown()
  }

  /// A server would refuse an agent with another's certificate, again and again.
  private func check(_ credentials: TLSCredentials, of id: String) throws {
    guard let identity = credentials.identity else { return }
    guard identity.role == .agent, identity.name == id else {
      throw CommandFailure(
        "the certificate \(tls.tlsCert ?? "") is for \(identity); this is the agent '\(id)': give its own, or --id"
      )
    }
  }

  private func agentConfiguration() throws -> AgentConfiguration {
    var configuration = AgentConfiguration(
      id: id ?? AgentConfiguration.defaultID, dataFolder: try Folder.make(dataDir))
    configuration.keyPrefix = etcd.prefix
    configuration.labels = label.dictionary
    configuration.slots = slots
    configuration.resources = try resources.resources(besides: configuration.resources)
    configuration.leaseTTLSeconds = try leaseTtl.wholeSeconds("--lease-ttl", in: 2...3_600)
    configuration.drainMillis = drainTimeout.millis
    if let shim { configuration.shimPath = shim }
    configuration.logBytes = logBytes
    configuration.attemptRetentionMillis = attemptRetention.millis
    isolation.apply(to: &configuration)
    configuration.health = health.policy
    configuration.version = Version.text
    return configuration
  }
}

/// What an agent has to promise to attempts.
struct ResourceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Processors that jobs may ask for; those of the machine, or of the agent's control group, when not given. (env: ROTA_CPUS)",
      valueName: "number"))
  var cpus: Double?

  @Option(
    help: ArgumentHelp(
      "Memory that jobs may ask for, as 16GiB; that of the machine, or of the agent's control group, when not given. (env: ROTA_MEMORY)",
      valueName: "bytes"))
  var memory: BytesArgument?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What else jobs may ask for, as gpu=2; may be given several times. (env: ROTA_RESOURCE, with commas)",
      valueName: "name=amount"))
  var resource: [PairArgument] = []

  /// These, and where they are silent, others.
  func resources(besides others: Resources) throws -> Resources {
    var resources = others
    for pair in resource {
      guard pair.name != Resources.cpusName, pair.name != Resources.memoryName else {
        throw ValidationError("--resource \(pair.name)=: give --\(pair.name) instead")
      }
    }
    resources.custom = try PlacementOptions.resources(resource, flag: "--resource").custom
    if let cpus { resources.cpus = cpus }
    if let memory { resources.memoryBytes = memory.bytes }
    return resources
  }
}

/// What an agent has to have to take new work.
struct HealthOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "With less memory available, as 64MiB, the agent gets no new work; 0 for any. (env: ROTA_MIN_FREE_MEMORY)",
      valueName: "bytes"))
  var minFreeMemory = BytesArgument(bytes: HealthPolicy().minimumMemory)

  @Option(
    help: ArgumentHelp(
      "The same of free space beneath the data folder. (env: ROTA_MIN_FREE_DISK)", valueName: "bytes"))
  var minFreeDisk = BytesArgument(bytes: HealthPolicy().minimumDisk)

  @Option(
    help: ArgumentHelp(
      "With a higher load average for each core, for a minute, the agent gets no new work; 0 for any. (env: ROTA_MAX_LOAD)",
      valueName: "load"))
  var maxLoad = HealthPolicy().maximumLoadPerCore

  @Option(
    help: ArgumentHelp(
      "The same of the share of busy cores, as 0.95; 0 for any. (env: ROTA_MAX_CPU)", valueName: "share"))
  var maxCpu = HealthPolicy().maximumCPU

  func validate() throws {
    guard maxLoad >= 0 else { throw ValidationError("--max-load must not be negative") }
    guard (0...1).contains(maxCpu) else { throw ValidationError("--max-cpu has to be 0 to 1") }
  }

  var policy: HealthPolicy {
    var policy = HealthPolicy()
    policy.minimumMemory = minFreeMemory.bytes
    policy.minimumDisk = minFreeDisk.bytes
    policy.maximumLoadPerCore = maxLoad
    policy.maximumCPU = maxCpu
    return policy
  }
}
