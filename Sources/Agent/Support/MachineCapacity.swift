import Glibc
import SchedulerCore

/// What this machine has to promise: its processors and memory, or what the control groups leave of them that the agent
/// is in.
struct MachineCapacity {
  /// Reads a file; nil where there is none. Files here are small.
  private let read: (String) -> String?

  init(read: @escaping (String) -> String? = Self.contents) { self.read = read }

  /// What there is; 0 where it cannot be found out.
  func resources(cores: Int) -> Resources {
    let groups = CgroupMount.all(
      mountinfo: read("/proc/self/mountinfo") ?? "", groups: read("/proc/self/cgroup") ?? "")
    let total = HealthSampler.kibibytes("MemTotal:", in: read("/proc/meminfo") ?? "") * 1_024
    var cpus = Double(max(0, cores))
    var memory = total
    for group in groups {
      for folder in folders(of: group) {
        if let limit = memoryLimit(group, folder), limit > 0 { memory = min(memory, limit) }
        if let limit = cpuLimit(group, folder), limit > 0 { cpus = min(cpus, limit) }
      }
    }
    // Thousandths are what is counted.
    return Resources(cpus: (cpus * 1_000).rounded(.down) / 1_000, memoryBytes: memory)
  }

  /// The folder of the own group and those above it, whose limits hold as well.
  private func folders(of group: CgroupMount) -> [String] {
    var folders = [group.own]
    while let folder = folders.last, folder.count > group.path.count, folder.hasPrefix(group.path),
      let slash = folder.lastIndex(of: "/")
    {
      folders.append(String(folder[..<slash]))
    }
    return folders
  }

  private func memoryLimit(_ group: CgroupMount, _ folder: String) -> Int64? {
    switch group.version {
    case .v2: number("\(folder)/memory.max")
    case .v1: group.controllers.contains(.memory) ? number("\(folder)/memory.limit_in_bytes") : nil
    }
  }

  private func cpuLimit(_ group: CgroupMount, _ folder: String) -> Double? {
    switch group.version {
    case .v2:
      // Quota and period, microseconds; "max" for no quota.
      let words = (read("\(folder)/cpu.max") ?? "").split(whereSeparator: \.isWhitespace)
      guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0 else {
        return nil
      }
      return quota / period
    case .v1:
      guard group.controllers.contains(.cpu), let quota = number("\(folder)/cpu.cfs_quota_us"), quota > 0,
        let period = number("\(folder)/cpu.cfs_period_us"), period > 0
      else { return nil }
      return Double(quota) / Double(period)
    }
  }

  private func number(_ path: String) -> Int64? {
    read(path).flatMap { Int64($0.filter { !$0.isWhitespace }) }
  }

  private static func contents(_ path: String) -> String? {
    // What cannot be read limits nothing.
    guard let bytes = try? Files.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
