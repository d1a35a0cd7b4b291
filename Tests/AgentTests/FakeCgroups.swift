import Glibc
import Synchronization

@testable import Agent

/// A hierarchy of version 2 in a folder of the test: plays the kernel, which fills a folder with control files as it is
/// made, according to what the folder above hands down, and which has rules.
final class FakeCgroups: CgroupFiles {
  /// Where this process is, or nowhere.
  private let home: Mutex<String?>
  /// Control files that the kernel refuses to take, by their ends.
  private let refused: [String]

  init(home: String? = nil, refused: [String] = []) {
    self.home = Mutex(home)
    self.refused = refused
  }

  private static let files: [CgroupController: [(String, String)]] = [
    .memory: [
      ("memory.max", "max"), ("memory.swap.max", "max"),
      ("memory.events", "low 0\nmax 0\noom 0\noom_kill 0\n"),
      ("memory.peak", "0"),
    ],
    .pids: [("pids.max", "max"), ("pids.events", "max 0\n")],
    .cpu: [("cpu.max", "max 100000")],
  ]

  private static func parts(_ path: String) -> (folder: String, name: String) {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    return (String(path[..<slash]), String(path[slash...].dropFirst()))
  }

  /// Makes a folder with these controllers, and with processes in it.
  func fill(_ path: String, _ controllers: [CgroupController], processes: [pid_t] = []) throws(AgentError) {
    try Files.makeFolders(path)
    let pids = processes.map { "\($0)\n" }.joined()
    for (name, text) in [
      ("cgroup.procs", pids), ("cgroup.subtree_control", ""), ("cgroup.kill", ""),
      ("cgroup.controllers", controllers.map(\.rawValue).joined(separator: " ")),
    ] + controllers.flatMap({ Self.files[$0] ?? [] }) { try Files.write(path + "/" + name, Array(text.utf8)) }
  }

  func makeFolder(_ path: String) throws(AgentError) {
    if Files.isFolder(path) { return }
    let handed = words(Self.parts(path).folder + "/cgroup.subtree_control")
    try fill(path, handed.compactMap(CgroupController.init(rawValue:)))
  }

  func removeFolder(_ path: String) -> Bool {
    let hasFolders = Files.names(in: path).contains { Files.isFolder(path + "/" + $0) }
    guard processes(in: path).isEmpty, !hasFolders else { return false }
    FolderTree.delete(path)
    return true
  }

  func write(_ text: String, to path: String) throws(AgentError) {
    let (folder, name) = Self.parts(path)
    if refused.contains(where: { path.hasSuffix($0) }) {
      throw Files.failure("write \(text) to", path, EINVAL)
    }
    guard Files.status(path) != nil else { throw Files.failure("open", path, ENOENT) }
    switch name {
    case "cgroup.subtree_control":
      guard processes(in: folder).isEmpty else { throw Files.failure("write \(text) to", path, EBUSY) }
      try Files.write(path, Array((words(path) + [String(text.dropFirst())]).joined(separator: " ").utf8))
    case "cgroup.procs":
      if let home = home.withLock({ $0 }) { try Files.write(home + "/cgroup.procs", []) }
      home.withLock { $0 = folder }
      try Files.write(path, Array("\(getpid())\n".utf8))
    default: try Files.write(path, Array(text.utf8))
    }
  }
}
