import Glibc

/// Finds and kills processes of tasks that have lost their shim, and shims that have lost their agent.
///
/// They are known by their environment: a task's `ROTA_SCRATCH_DIR` lies in its attempt's folder, and a shim
/// has `ROTA_SHIM_ROOT`, the folder of all attempts. Normally there are none, since shims end with their agent and
/// tasks with their shim; this is for shims that were killed themselves, and for making sure.
enum StrayProcesses {
  /// The variable in a shim's environment.
  static let shimVariable = "ROTA_SHIM_ROOT"

  /// The processes that belong to a folder of attempts, or to one attempt's folder.
  static func find(under folder: String) -> [pid_t] {
    let own = getpid()
    return Files.names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
      pid != own && belongs(pid, to: folder)
    }
  }

  /// Kills what belongs to a folder; true when nothing was left to kill.
  static func kill(under folder: String) -> Bool {
    let found = find(under: folder)
    for pid in found {
      // Asked again right before: the number may be another process's by now.
      if belongs(pid, to: folder) { Glibc.kill(pid, SIGKILL) }
    }
    return found.isEmpty
  }

  private static func belongs(_ pid: pid_t, to folder: String) -> Bool {
    guard let environment = try? Files.read("/proc/\(pid)/environ", limit: 4 << 20) else { return false }
    let task = Array("\(TaskEnvironment.scratchVariable)=\(folder)/".utf8)
    let shim = Array("\(shimVariable)=\(folder)".utf8)
    return environment.split(separator: 0).contains { $0.starts(with: task) || $0.elementsEqual(shim) }
  }
}
