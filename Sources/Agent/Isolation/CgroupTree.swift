import Glibc
import SchedulerCore

/// The agent's own folder in the hierarchies of control groups, and below it one for each attempt that has limits:
/// `<parent>/rota-<agent>-<inode of its data folder>/<attempt>`. The inode keeps agents of one name apart, those of two
/// clusters on one machine for example.
struct CgroupTree: Sendable {
  let version: CgroupMount.Version
  /// The agent's folder for each controller that it can use; in version 2 they are all the same.
  let folders: [CgroupController: String]
  let files: any CgroupFiles

  /// What can be limited.
  var controllers: Set<CgroupController> { Set(folders.keys) }
  var distinctFolders: [String] { Set(folders.values).sorted() }

  /// Makes the agent's folders. What cannot be done is a note, for who asks why.
  ///
  /// - Parameters:
  ///   - parent: the folder below the mount points to make them in; nil for the agent's own group.
  ///   - name: the folder's name.
  /// - Returns: nil where nothing can be limited.
  static func open(
    _ version: CgroupMount.Version, parent: String?, name: String, mounts: [CgroupMount],
    files: any CgroupFiles, notes: inout [String]
  ) -> CgroupTree? {
    let folders =
      switch version {
      case .v1: openV1(parent: parent, name: name, mounts: mounts, files: files, notes: &notes)
      case .v2: openV2(parent: parent, name: name, mounts: mounts, files: files, notes: &notes)
      }
    return folders.isEmpty ? nil : CgroupTree(version: version, folders: folders, files: files)
  }

  private static func base(_ parent: String, in mount: CgroupMount) -> String {
    parent.split(separator: "/").reduce(mount.path) { $0 + "/" + $1 }
  }

  /// Each controller has a hierarchy of its own, or shares one.
  private static func openV1(
    parent: String?, name: String, mounts: [CgroupMount], files: any CgroupFiles, notes: inout [String]
  ) -> [CgroupController: String] {
    var folders: [CgroupController: String] = [:]
    for controller in CgroupController.allCases {
      guard let mount = mounts.first(where: { $0.version == .v1 && $0.controllers.contains(controller) })
      else {
        notes.append("no hierarchy of version 1 has the controller \(controller.rawValue)")
        continue
      }
      let folder = (parent.map { base($0, in: mount) } ?? mount.own) + "/" + name
      do throws(AgentError) {
        try files.makeFolders(folder)
        try probe(.v1, [controller: folder], files)
        folders[controller] = folder
      } catch { notes.append(error.message) }
    }
    return folders
  }

  /// One hierarchy, whose folders have the controllers that the folder above hands down, which it may only as long as
  /// no process is in it itself (cgroups(7), "no internal processes").
  private static func openV2(
    parent: String?, name: String, mounts: [CgroupMount], files: any CgroupFiles, notes: inout [String]
  ) -> [CgroupController: String] {
    guard let mount = mounts.first(where: { $0.version == .v2 }) else {
      notes.append("no hierarchy of version 2 is mounted")
      return [:]
    }
    if let parent { handDown(along: base(parent, in: mount), below: mount.path, files, notes: &notes) }
    var bases = [parent.map { base($0, in: mount) } ?? mount.own]
    if parent == nil, mount.own != mount.path, let slash = mount.own.lastIndex(of: "/") {
      // What systemd's DelegateSubgroup= makes: the agent is in a folder of its own below what is delegated.
      let above = String(mount.own[..<slash])
      if files.processes(in: above).isEmpty { bases.append(above) }
    }
    for base in bases {
      let folders = openV2(base: base, own: mount.own, name: name, files: files, notes: &notes)
      if !folders.isEmpty { return folders }
    }
    return [:]
  }

  private static func openV2(
    base: String, own: String, name: String, files: any CgroupFiles, notes: inout [String]
  ) -> [CgroupController: String] {
    do throws(AgentError) {
      try files.makeFolders(base)
      let wanted = usable(base, files)
      guard !wanted.isEmpty else {
        notes.append("\(base) has none of the controllers memory, pids and cpu")
        return [:]
      }
      var missing = handDown(wanted, in: base, files)
      if !missing.isEmpty, base == own, files.processes(in: base) == [getpid()] {
        // Nobody but this process is in the way.
        let leaf = base + "/" + name + "-agent"
        try files.makeFolder(leaf)
        try files.write("0", to: leaf + "/cgroup.procs")
        missing = handDown(wanted, in: base, files)
      }
      notes += missing
      let folder = base + "/" + name
      try files.makeFolder(folder)
      notes += handDown(usable(folder, files), in: folder, files)
      var folders: [CgroupController: String] = [:]
      for controller in handedDown(folder, files) {
        do throws(AgentError) {
          try probe(.v2, [controller: folder], files)
          folders[controller] = folder
        } catch { notes.append(error.message) }
      }
      return folders
    } catch {
      notes.append(error.message)
      return [:]
    }
  }

  /// Makes the folders down to a given parent, each of which has only what the one above hands down.
  private static func handDown(
    along path: String, below mount: String, _ files: any CgroupFiles, notes: inout [String]
  ) {
    var folder = mount
    for part in path.dropFirst(mount.count).split(separator: "/") {
      notes += handDown(usable(folder, files), in: folder, files)
      folder += "/" + part
      do throws(AgentError) { try files.makeFolder(folder) } catch { return notes.append(error.message) }
    }
  }

  private static func usable(_ folder: String, _ files: any CgroupFiles) -> Set<CgroupController> {
    Set(files.words(folder + "/cgroup.controllers").compactMap(CgroupController.init(rawValue:)))
  }

  private static func handedDown(_ folder: String, _ files: any CgroupFiles) -> Set<CgroupController> {
    Set(files.words(folder + "/cgroup.subtree_control").compactMap(CgroupController.init(rawValue:)))
  }

  /// - Returns: why some could not be handed down.
  private static func handDown(
    _ controllers: Set<CgroupController>, in folder: String, _ files: any CgroupFiles
  ) -> [String] {
    let missing = controllers.subtracting(handedDown(folder, files)).sorted { $0.rawValue < $1.rawValue }
    return missing.compactMap { controller -> String? in
      do throws(AgentError) {
        try files.write("+" + controller.rawValue, to: folder + "/cgroup.subtree_control")
        return nil
      } catch { return error.message }
    }
  }

  /// Tries what every attempt will need: a folder with a limit.
  private static func probe(
    _ version: CgroupMount.Version, _ folders: [CgroupController: String], _ files: any CgroupFiles
  ) throws(AgentError) {
    let tree = CgroupTree(version: version, folders: folders, files: files)
    let limits = TaskLimits(memoryBytes: 1 << 30, pids: 100, cpus: 1)
    defer { _ = tree.remove("probe") }
    for folder in try tree.make("probe", limits) {
      guard access(folder + "/cgroup.procs", W_OK) == 0 else {
        throw Files.failure("write to", folder + "/cgroup.procs")
      }
    }
  }
}
