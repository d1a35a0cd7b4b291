import Glibc
import SchedulerCore

// The control groups of single attempts.

extension CgroupTree {
  /// Makes the folders of an attempt, with its limits; those that no controller here can hold are left out.
  ///
  /// - Returns: what its task has to join.
  func make(_ name: String, _ limits: TaskLimits) throws(AgentError) -> [String] {
    let wanted = settings(limits).filter { folders[$0.controller] != nil }
    var made: [String] = []
    do throws(AgentError) {
      for setting in wanted {
        guard let folder = folders[setting.controller].map({ $0 + "/" + name }) else { continue }
        if !made.contains(folder) {
          try files.makeFolder(folder)
          made.append(folder)
        }
        let path = folder + "/" + setting.file
        if setting.isOptional, access(path, F_OK) != 0 { continue }
        try files.write(setting.value, to: path)
      }
    } catch {
      for folder in made { files.removeFolders(folder) }
      throw error
    }
    return made
  }

  /// One control file of one controller.
  private struct Setting {
    var controller: CgroupController
    var file: String
    var value: String
    /// Whether kernels may be without it.
    var isOptional = false
  }

  /// What is written where, in this order.
  private func settings(_ limits: TaskLimits) -> [Setting] {
    var settings: [Setting] = []
    if let bytes = limits.memoryBytes {
      // Swap would let a task grow past its limit, and slow down everybody else.
      switch version {
      case .v1:
        settings.append(Setting(controller: .memory, file: "memory.limit_in_bytes", value: "\(bytes)"))
        settings.append(
          Setting(
            controller: .memory, file: "memory.memsw.limit_in_bytes", value: "\(bytes)", isOptional: true))
      case .v2:
        settings.append(Setting(controller: .memory, file: "memory.max", value: "\(bytes)"))
        settings.append(Setting(controller: .memory, file: "memory.swap.max", value: "0", isOptional: true))
      }
    }
    if let pids = limits.pids {
      settings.append(Setting(controller: .pids, file: "pids.max", value: "\(pids)"))
    }
    if let cpus = limits.cpus {
      let period = AgentLimits.cpuPeriodMicros
      let quota = max(1_000, Int64((cpus * Double(period)).rounded()))
      switch version {
      case .v1:
        settings.append(Setting(controller: .cpu, file: "cpu.cfs_period_us", value: "\(period)"))
        settings.append(Setting(controller: .cpu, file: "cpu.cfs_quota_us", value: "\(quota)"))
      case .v2: settings.append(Setting(controller: .cpu, file: "cpu.max", value: "\(quota) \(period)"))
      }
    }
    return settings
  }

  /// What the kernel has counted of an attempt; nil where it has no folder.
  func findings(_ name: String) -> CgroupFindings? {
    var findings = CgroupFindings()
    var isThere = false
    if let folder = folders[.memory].map({ $0 + "/" + name }), Files.isFolder(folder) {
      isThere = true
      let isV1 = version == .v1
      findings.outOfMemoryKills =
        files.number("oom_kill", in: folder + (isV1 ? "/memory.oom_control" : "/memory.events")) ?? 0
      findings.memoryLimit = files.number(folder + (isV1 ? "/memory.limit_in_bytes" : "/memory.max"))
      findings.memoryPeak = files.number(folder + (isV1 ? "/memory.max_usage_in_bytes" : "/memory.peak"))
    }
    if let folder = folders[.pids].map({ $0 + "/" + name }), Files.isFolder(folder) {
      isThere = true
      findings.refusedForks = files.number("max", in: folder + "/pids.events") ?? 0
    }
    if !isThere, let folder = folders[.cpu] { isThere = Files.isFolder(folder + "/" + name) }
    return isThere ? findings : nil
  }

  /// Kills what is in an attempt's folders; true when nothing was left to kill.
  func kill(_ name: String) -> Bool {
    distinctFolders.map { $0 + "/" + name }.filter { Files.isFolder($0) }.reduce(true) {
      files.kill(in: $1) && $0
    }
  }

  /// The processes in an attempt's folders.
  func processes(of name: String) -> [pid_t] {
    distinctFolders.flatMap { files.allProcesses(in: $0 + "/" + name) }
  }

  /// Removes an attempt's folders. False while processes are in them.
  func remove(_ name: String) -> Bool {
    distinctFolders.map { $0 + "/" + name }.filter { Files.isFolder($0) }.reduce(true) {
      files.removeFolders($1) && $0
    }
  }

  /// The names of the attempts that have folders.
  func names() -> Set<String> {
    Set(
      distinctFolders.flatMap { folder in Files.names(in: folder).filter { Files.isFolder(folder + "/" + $0) }
      })
  }

  /// Removes the agent's folders where they are empty.
  func close() {
    for folder in distinctFolders { _ = files.removeFolder(folder) }
  }
}
