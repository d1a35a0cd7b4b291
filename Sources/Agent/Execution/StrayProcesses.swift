import Glibc

/// Finds and kills processes of tasks that have lost their shim, and shims that no agent takes over.
///
/// They are known by their environment, which names the attempt's folder: `ROTA_SCRATCH_DIR` of a task lies in it, and
/// `ROTA_SHIM_FOLDER` of a shim is it. Normally there are none; this is for shims that were killed themselves, and for making sure.
enum StrayProcesses {
  /// The variable in a shim's environment.
  static let shimVariable = "ROTA_SHIM_FOLDER"

  /// A process, and whose it is.
  struct Found: Hashable, Sendable {
    var pid: pid_t
    /// The attempt's folder.
    var folder: String
    /// Whether it says of itself that it is the attempt's shim.
    var isShim: Bool
  }

  /// The processes that belong to a folder of attempts, or to one attempt's folder.
  ///
  /// - Parameter spared: folders of attempts whose processes do not count.
  static func list(under folder: String, sparing spared: Set<String> = []) -> [Found] {
    let own = getpid()
    return Files.names(in: "/proc").compactMap { pid_t($0) }.filter { $0 != own }.compactMap { pid in
      found(pid, under: folder, sparing: spared)
    }
  }

  /// Their numbers alone.
  static func find(under folder: String, sparing spared: Set<String> = []) -> [pid_t] {
    list(under: folder, sparing: spared).map(\.pid)
  }

  /// Kills what belongs to a folder; true when nothing was left to kill.
  static func kill(under folder: String, sparing spared: Set<String> = []) -> Bool {
    let found = find(under: folder, sparing: spared)
    for pid in found {
      // Asked again right before: the number may be another process's by now.
      if belongs(pid, to: folder, sparing: spared) { Glibc.kill(pid, SIGKILL) }
    }
    return found.isEmpty
  }

  /// Whether a process belongs to a folder, and to none of those that are spared.
  static func belongs(_ pid: pid_t, to folder: String, sparing spared: Set<String> = []) -> Bool {
    found(pid, under: folder, sparing: spared) != nil
  }

  private static func found(_ pid: pid_t, under folder: String, sparing spared: Set<String>) -> Found? {
    // One that is gone, or that is nobody's business here.
    guard let environment = try? Files.read("/proc/\(pid)/environ", limit: 4 << 20) else { return nil }
    for entry in environment.split(separator: 0) {
      guard let (attempt, isShim) = attempt(in: entry) else { continue }
      if attempt == folder || attempt.hasPrefix(folder + "/"), !spared.contains(attempt) {
        return Found(pid: pid, folder: attempt, isShim: isShim)
      }
    }
    return nil
  }

  /// The attempt's folder that a variable names.
  private static func attempt(in entry: ArraySlice<UInt8>) -> (folder: String, isShim: Bool)? {
    if let value = value(of: shimVariable, in: entry) { return (value, true) }
    guard let scratch = value(of: TaskEnvironment.scratchVariable, in: entry),
      let slash = scratch.lastIndex(of: "/")
    else { return nil }
    return (String(scratch[..<slash]), false)
  }

  private static func value(of variable: String, in entry: ArraySlice<UInt8>) -> String? {
    let prefix = Array("\(variable)=".utf8)
    guard entry.starts(with: prefix) else { return nil }
    return String(decoding: entry.dropFirst(prefix.count), as: UTF8.self)
  }
}
