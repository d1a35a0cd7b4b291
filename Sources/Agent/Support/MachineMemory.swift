/// What the machine as a whole says of its memory.
enum MachineMemory {
  /// How many processes the kernel has killed for lack of memory since the machine started, at limits of control groups
  /// too (`oom_kill` of /proc/vmstat, Linux 4.13 and later); 0 where it does not say.
  static func outOfMemoryKills() -> Int64 {
    let text = String(decoding: ((try? Files.read("/proc/vmstat")) ?? nil) ?? [], as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
    return line?.split(separator: " ").last.flatMap { Int64($0) } ?? 0
  }
}
