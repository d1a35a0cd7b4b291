import Glibc
import SchedulerCore

/// Takes the machine's figures. What cannot be read stays 0.
struct HealthSampler {
  private let dataFolder: String
  private var lastCPU: (busy: Int64, total: Int64)?

  /// - Parameter dataFolder: a folder on the file system whose space counts.
  init(dataFolder: String) { self.dataFolder = dataFolder }

  /// The figures now; the CPU's share is that since the last call, or since the machine started.
  mutating func sample() -> AgentHealth {
    var health = AgentHealth()
    if let now = Self.cpu(of: Self.text("/proc/stat")) {
      let before = lastCPU ?? (0, 0)
      let total = now.total - before.total
      if total > 0 { health.cpu = min(1, max(0, Double(now.busy - before.busy) / Double(total))) }
      lastCPU = now
    }
    health.load1 = Self.text("/proc/loadavg").split(separator: " ").first.flatMap { Double($0) } ?? 0
    let memory = Self.text("/proc/meminfo")
    health.memoryTotal = Self.kibibytes("MemTotal:", in: memory) * 1_024
    health.memoryAvailable = Self.kibibytes("MemAvailable:", in: memory) * 1_024
    var disk = statvfs()
    if statvfs(dataFolder, &disk) == 0 {
      health.diskTotal = Int64(disk.f_blocks) * Int64(disk.f_frsize)
      health.diskAvailable = Int64(disk.f_bavail) * Int64(disk.f_frsize)
    }
    return health
  }

  /// Ticks from the first line of `/proc/stat` (proc(5)): user nice system idle iowait irq softirq steal, then guest
  /// times, which are in user's already.
  static func cpu(of text: String) -> (busy: Int64, total: Int64)? {
    guard let line = text.split(separator: "\n").first, line.hasPrefix("cpu ") else { return nil }
    let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { Int64($0) }
    guard ticks.count >= 5 else { return nil }
    let total = ticks.reduce(0, +)
    return (total - ticks[3] - ticks[4], total)
  }

  static func kibibytes(_ name: String, in text: String) -> Int64 {
    let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0
  }

  private static func text(_ path: String) -> String {
    // A figure that cannot be read is no reason to stop.
    String(decoding: ((try? Files.read(path)) ?? nil) ?? [], as: UTF8.self)
  }
}
