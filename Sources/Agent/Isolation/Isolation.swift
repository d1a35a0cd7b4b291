import Glibc
import Logging
import SchedulerCore
import Synchronization

/// Holds tasks to their limits and their users, as well as this machine allows it.
final class Isolation: Sendable {
  /// For the agent's record: how, and what; see `AgentRecord.isolation`.
  let description: String
  private let runAs: RunAsPolicy
  private let defaults: TaskLimits
  /// Nil where there are no control groups to use.
  private let tree: CgroupTree?
  private let limitsNothing: Bool
  /// The agent's data folder, which users that tasks run as have to get through.
  private let dataFolder: String
  /// Attempts that have ended and whose control groups could not be removed yet.
  private let lingering = Mutex<Set<String>>([])

  private init(
    _ description: String, tree: CgroupTree?, limitsNothing: Bool, configuration: AgentConfiguration,
    dataFolder: String
  ) {
    self.description = description
    self.tree = tree
    self.limitsNothing = limitsNothing
    self.dataFolder = dataFolder
    runAs = RunAsPolicy(allowed: configuration.allowRunAs)
    defaults = configuration.defaultLimits
  }

  /// Finds out what this machine allows, by trying.
  ///
  /// - Parameter dataFolder: absolute and without links.
  /// - Throws: `AgentError` with code `configuration` when the configuration asks for what is not there.
  static func open(
    _ configuration: AgentConfiguration, dataFolder: String, files: any CgroupFiles = KernelCgroups(),
    mounts: [CgroupMount] = Isolation.systemMounts(), logger: Logger
  ) throws(AgentError) -> Isolation {
    var notes: [String] = []
    let inode = Files.status(dataFolder)?.st_ino ?? 0
    func open(_ version: CgroupMount.Version) -> CgroupTree? {
      CgroupTree.open(
        version, parent: configuration.cgroupParent, name: "rota-\(configuration.id)-\(inode)",
        mounts: mounts,
        files: files, notes: &notes)
    }
    let tree: CgroupTree?
    switch configuration.isolation {
    case .auto:
      let v2 = open(.v2)
      // Half of version 2 is worth less than all of version 1, which a machine may have beside it.
      tree = v2.map { $0.controllers.isSuperset(of: [.memory, .pids]) } == true ? v2 : open(.v1) ?? v2
    case .cgroupV2, .cgroupV1:
      tree = open(configuration.isolation == .cgroupV2 ? .v2 : .v1)
      guard tree != nil else {
        let why = notes.joined(separator: "; ")
        throw AgentError(
          .configuration, "--isolation \(configuration.isolation.rawValue) does not work here: \(why)")
      }
    case .rlimits, .none: tree = nil
    }
    let isolation = Isolation(
      describe(tree, configuration), tree: tree, limitsNothing: configuration.isolation == .none,
      configuration: configuration, dataFolder: dataFolder)
    logger.info("tasks are held to their limits", metadata: ["isolation": "\(isolation.description)"])
    for note in notes { logger.debug("not all of control groups can be used", metadata: ["why": "\(note)"]) }
    return isolation
  }

  /// The hierarchies that this process sees.
  static func systemMounts() -> [CgroupMount] {
    func text(_ path: String) -> String {
      // Without /proc there is nothing to be found.
      String(
        decoding: ((try? Files.read(path, limit: AgentLimits.mountTableBytes)) ?? nil) ?? [], as: UTF8.self)
    }
    return CgroupMount.all(mountinfo: text("/proc/self/mountinfo"), groups: text("/proc/self/cgroup"))
  }

  private static func describe(_ tree: CgroupTree?, _ configuration: AgentConfiguration) -> String {
    if let tree {
      let mode: IsolationMode = tree.version == .v1 ? .cgroupV1 : .cgroupV2
      let limited = CgroupController.allCases.filter(tree.controllers.contains).map(\.rawValue)
      return mode.rawValue + ":" + limited.joined(separator: ",")
    }
    if configuration.isolation == .none { return IsolationMode.none.rawValue }
    // The kernel does not hold root to the number of its processes (RLIMIT_NPROC in setrlimit(2)).
    let limited = geteuid() == 0 ? "memory" : "memory,pids"
    return IsolationMode.rlimits.rawValue + ":" + limited
  }

  // MARK: Before a task starts

  /// Makes what an attempt's limits and user need. Its folder has been made.
  ///
  /// - Throws: `AgentError` that says why it must not start.
  func prepare(_ spec: JobSpec, folder: AttemptFolder) throws(AgentError) -> Confinement {
    var confinement = Confinement()
    if let user = spec.runAs {
      let account = try runAs.account(for: user)
      try folder.handOver(to: account, through: dataFolder)
      confinement.account = account
    }
    let limits = spec.limits.filled(from: defaults)
    guard !limits.isEmpty else { return confinement }
    guard !limitsNothing else {
      throw AgentError(
        .configuration,
        "the job asks for limits, and this agent is told to hold no task to any (--isolation none)")
    }
    if let tree, let name = name(of: folder.path) {
      do throws(AgentError) { confinement.cgroups = try tree.make(name, limits) } catch {
        throw AgentError(.system, "cannot hold the task to its limits: \(error.message)")
      }
    }
    confinement.limit(
      limits, besides: tree?.controllers ?? [], processors: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    return confinement
  }

  /// An attempt's control groups are named by its folder, which a later process of the agent finds, too.
  private func name(of folder: String) -> String? {
    guard let inode = Files.status(folder)?.st_ino else { return nil }
    let parts = folder.split(separator: "/").suffix(3)
    return "\(inode)." + parts.map { $0.prefix(AgentLimits.cgroupNamePart) }.joined(separator: ".")
  }

  // MARK: After it

  /// What an attempt's end means in the light of what the kernel has counted; its control groups go.
  func conclude(_ end: AttemptEnd, folder: AttemptFolder) -> AttemptEnd {
    guard let tree, let name = name(of: folder.path), let findings = tree.findings(name) else { return end }
    if !tree.remove(name) { lingering.withLock { _ = $0.insert(name) } }
    return findings.explain(end)
  }

  /// Removes what was made for an attempt that did not start after all.
  func discard(_ folder: AttemptFolder) {
    guard let tree, let name = name(of: folder.path), !tree.remove(name) else { return }
    lingering.withLock { _ = $0.insert(name) }
  }

  /// Kills what is in an attempt's control groups; true when nothing was left to kill.
  func kill(_ folder: AttemptFolder) -> Bool {
    guard let tree, let name = name(of: folder.path) else { return true }
    return tree.kill(name)
  }

  /// Tries again to remove the control groups of ended attempts.
  func sweep() {
    guard let tree else { return }
    let names = lingering.withLock { $0 }
    guard !names.isEmpty else { return }
    let removed = names.filter { tree.remove($0) }
    lingering.withLock { $0.subtract(removed) }
  }

  // MARK: An earlier process of the agent

  /// The attempts of an earlier life that have processes in their control groups.
  ///
  /// - Parameter kept: paths of folders of attempts that go on.
  func leftovers(except kept: Set<String> = []) -> [String] {
    guard let tree else { return [] }
    return left(except: kept).filter { !tree.processes(of: $0).isEmpty }.sorted()
  }

  /// Kills them.
  func killLeftovers(except kept: Set<String> = []) {
    for name in leftovers(except: kept) { _ = tree?.kill(name) }
  }

  /// Removes the control groups that an earlier life left behind. Those of attempts that go on stay even when nothing is in them:
  /// the task may have ended just now, and what the kernel has counted of it has yet to be read.
  func removeLeftovers(except kept: Set<String> = []) {
    for name in left(except: kept) where tree?.remove(name) == false {
      lingering.withLock { _ = $0.insert(name) }
    }
  }

  private func left(except kept: Set<String>) -> Set<String> {
    guard let tree else { return [] }
    return tree.names().subtracting(kept.compactMap { name(of: $0) })
  }

  /// Removes the agent's own folders, once no attempt has any.
  func close() {
    sweep()
    tree?.close()
  }
}
