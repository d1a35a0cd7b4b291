import Certificates
import EtcdClient
import Glibc
import SchedulerCore

/// How an agent works. Lengths of time are in milliseconds.
public struct AgentConfiguration: Sendable {
  /// The agent's id: an identifier, unique in the cluster.
  public var id: String
  /// Folder for everything that the agent keeps; absolute. One agent at a time.
  public var dataFolder: String
  /// The prefix of Rota's keys in etcd.
  public var keyPrefix = Keyspace().prefix
  /// What the constraints of jobs are held against.
  public var labels: [String: String] = [:]
  /// How many tasks may run at once.
  public var slots = AgentConfiguration.defaultSlots
  /// What it has to promise to attempts.
  public var resources = AgentConfiguration.defaultResources
  /// The time to live of the agent's lease; whole seconds, at least 2.
  public var leaseTTLSeconds: Int64 = 6
  /// How long before the end of the lease trust in it ends; nil for max(500 ms, TTL / 6).
  public var marginMillis: Int64?
  /// The most bytes in one log file of a task; one older file beside it is kept.
  public var logBytes: Int64 = 10 << 20
  /// The `rota-shim` program.
  public var shimPath = AgentConfiguration.defaultShimPath
  /// How long running tasks may go on after the agent was asked to stop.
  public var drainMillis: Int64 = 30_000
  /// How long the folder of an ended attempt is kept.
  public var attemptRetentionMillis: Int64 = 24 * 3_600_000
  /// The most bytes that the folders of ended attempts may take together.
  public var attemptBytes: Int64 = 20 << 30
  /// The most folders of ended attempts that are kept.
  public var attemptFolders = 50_000
  /// How tasks are held to their limits.
  public var isolation = IsolationMode.auto
  /// The folder below the mount points of control groups in which the agent makes its own; nil for the agent's own group.
  public var cgroupParent: String?
  /// The users that jobs may run as, by name or number, alone or as `user:group`; `*` for all but root.
  public var allowRunAs: [String] = []
  /// What an attempt may use where its job says nothing.
  public var defaultLimits = TaskLimits()
  /// What it has to have to take new work.
  public var health = HealthPolicy()
  /// TLS towards the servers; nil for none.
  public var tls: TLSCredentials?
  /// Rota's version, as others see it.
  public var version = "dev"

  /// Makes a configuration with the defaults.
  public init(id: String = AgentConfiguration.defaultID, dataFolder: String) {
    self.id = id
    self.dataFolder = dataFolder
  }

  /// Four for each core, at least 8.
  public static var defaultSlots: Int { max(8, 4 * cores) }

  /// The machine's processors and memory, or what control groups leave the agent of them.
  public static var defaultResources: Resources { MachineCapacity().resources(cores: cores) }

  /// The machine's cores.
  static var cores: Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }

  /// The host's name, made an identifier.
  public static var defaultID: String { identifier(from: hostName) }

  /// The host's name.
  public static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "agent" }
    return text(name)
  }

  private static func text(_ bytes: [CChar]) -> String {
    String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// `rota-shim` in the folder of the running program.
  public static var defaultShimPath: String {
    var path = [CChar](repeating: 0, count: 4_096)
    guard readlink("/proc/self/exe", &path, path.count - 1) > 0 else { return "rota-shim" }
    let program = text(path)
    guard let slash = program.lastIndex(of: "/") else { return "rota-shim" }
    return program[..<slash] + "/rota-shim"
  }

  /// Makes an identifier of any text: lower case, what does not fit becomes '-'.
  static func identifier(from text: String) -> String {
    let fitting = text.lowercased().utf8.prefix(Identifier.maxLength).map { byte -> UInt8 in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): byte
      default: UInt8(ascii: "-")
      }
    }
    let name = String(
      decoding: fitting.drop { !Identifier.isValid(String(UnicodeScalar($0))) }, as: UTF8.self)
    return name.isEmpty ? "agent" : name
  }

  /// The margin that applies.
  var margin: Int64 {
    marginMillis ?? max(AgentLimits.minimumMarginMillis, leaseTTLSeconds * 1_000 / 6)
  }

  /// Checks what can be checked without doing anything.
  ///
  /// - Throws: `AgentError` with code `configuration` that names the setting.
  public func validate() throws(AgentError) {
    func check(_ holds: Bool, _ message: @autoclosure () -> String) throws(AgentError) {
      guard holds else { throw AgentError(.configuration, message()) }
    }
    try check(Identifier.isValid(id), "the agent's id \"\(id)\" is not an identifier (\(Identifier.rule))")
    try check(slots > 0 && slots <= 100_000, "slots must be 1 to 100000, is \(slots)")
    try check(
      (2...3_600).contains(leaseTTLSeconds), "the lease TTL must be 2 to 3600 s, is \(leaseTTLSeconds)")
    try check(
      margin >= 0 && margin <= leaseTTLSeconds * 500,
      "the lease margin must be 0 to half of the TTL, is \(margin) ms of \(leaseTTLSeconds) s")
    try check(logBytes >= 4_096, "the log size must be at least 4096 bytes, is \(logBytes)")
    try check(
      health.minimumMemory >= 0 && health.minimumDisk >= 0,
      "the least free memory and disk must not be negative")
    try check(
      health.maximumLoadPerCore >= 0, "the highest load must not be negative, is \(health.maximumLoadPerCore)"
    )
    try check(
      (0...1).contains(health.maximumCPU),
      "the highest share of busy cores must be 0 to 1, is \(health.maximumCPU)")
    try check(drainMillis >= 0, "the drain timeout must not be negative, is \(drainMillis) ms")
    try check(
      attemptRetentionMillis >= 0, "the retention must not be negative, is \(attemptRetentionMillis) ms")
    do throws(FieldError) { try defaultLimits.validate() } catch {
      throw AgentError(.configuration, "the default limits: \(error)")
    }
    do throws(FieldError) { try resources.validate() } catch {
      throw AgentError(.configuration, "what the agent has to promise: \(error)")
    }
    try check(
      isolation != .none || defaultLimits.isEmpty, "default limits need an isolation that is not none")
    try check(
      cgroupParent?.split(separator: "/").contains("..") != true,
      "the parent of control groups cannot have '..'")
    try RunAsPolicy.validate(allowRunAs)
    try check(
      access(shimPath, X_OK) == 0,
      "\(shimPath) cannot be executed: install rota-shim beside rota, or say where it is")
  }
}
