import SchedulerCore

/// What an agent has to have to take new work. An ordinary busy machine has all of it: full cores and little free memory
/// are what a machine is for.
public struct HealthPolicy: Hashable, Sendable {
  /// The least memory that new work could use, bytes; 0 for any.
  public var minimumMemory: Int64 = 64 << 20
  /// The least free space on the data folder's file system, bytes; 0 for any.
  public var minimumDisk: Int64 = 256 << 20
  /// The highest one-minute load average for each core; 0 for any.
  public var maximumLoadPerCore = 50.0
  /// The highest busy share of all cores, 0 to 1, when it lasts; 0 for any.
  public var maximumCPU = 0.0

  /// Makes the defaults.
  public init() {}
}

/// Judges by a machine's figures whether it is fit for new work. Slow to judge both ways, so that an agent at a limit does
/// not come and go.
struct HealthJudge: Sendable {
  /// Bounds.
  enum Limits {
    /// Samples in a row beyond a limit after which the agent is unhealthy: of memory and disk, and of load and cores, which
    /// are high for a while now and then.
    static let shortages = 2
    static let overloads = 12
    /// Samples in a row within all limits after which it is healthy again.
    static let recoveries = 3
    /// How far within a limit that is: what was short has to be so much more, what was too much so much less.
    static let margin = 1.2
  }

  private enum Figure: CaseIterable { case memory, disk, load, cpu }

  private let policy: HealthPolicy
  private let cores: Int
  private var beyond: [Figure: Int] = [:]
  private var good = 0
  /// The figures for which the agent is unhealthy now.
  private var broken: Set<Figure> = []

  init(policy: HealthPolicy, cores: Int) {
    self.policy = policy
    self.cores = max(1, cores)
  }

  /// Takes in the machine's figures.
  /// - Returns: Why the agent is not fit for new work; nil when it is.
  mutating func judge(_ health: AgentHealth) -> String? {
    for figure in Figure.allCases {
      beyond[figure] = isBeyond(figure, health) ? (beyond[figure] ?? 0) + 1 : 0
      if beyond[figure] ?? 0 >= patience(figure) { broken.insert(figure) }
    }
    let isWell = Figure.allCases.allSatisfy {
      !isBeyond($0, health, margin: broken.isEmpty ? 1 : Limits.margin)
    }
    good = isWell ? good + 1 : 0
    if good >= Limits.recoveries { broken = [] }
    guard !broken.isEmpty else { return nil }
    return Figure.allCases.filter(broken.contains).map { text($0, health) }.joined(separator: "; ")
  }

  private func patience(_ figure: Figure) -> Int {
    switch figure {
    case .memory, .disk: Limits.shortages
    case .load, .cpu: Limits.overloads
    }
  }

  /// A figure that could not be taken is 0 of 0: it says nothing.
  private func isBeyond(_ figure: Figure, _ health: AgentHealth, margin: Double = 1) -> Bool {
    switch figure {
    case .memory:
      health.memoryTotal > 0 && Double(health.memoryAvailable) < Double(policy.minimumMemory) * margin
    case .disk: health.diskTotal > 0 && Double(health.diskAvailable) < Double(policy.minimumDisk) * margin
    case .load:
      policy.maximumLoadPerCore > 0 && health.load1 / Double(cores) > policy.maximumLoadPerCore / margin
    case .cpu: policy.maximumCPU > 0 && health.cpu > policy.maximumCPU / margin
    }
  }

  private func text(_ figure: Figure, _ health: AgentHealth) -> String {
    switch figure {
    case .memory:
      "\(health.memoryAvailable >> 20) MiB of memory are available, less than \(policy.minimumMemory >> 20)"
    case .disk: "\(health.diskAvailable >> 20) MiB of disk are free, less than \(policy.minimumDisk >> 20)"
    case .load:
      "the load is \(Self.short(health.load1 / Double(cores))) for each core, more than "
        + Self.short(policy.maximumLoadPerCore)
    case .cpu:
      "\(Self.short(health.cpu * 100))% of the cores are busy, more than \(Self.short(policy.maximumCPU * 100))%"
    }
  }

  private static func short(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }
}
