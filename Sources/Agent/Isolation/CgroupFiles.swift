import Glibc

/// Folders of cgroupfs. A protocol, since a test has to play the kernel, which fills a folder as it is made.
protocol CgroupFiles: Sendable {
  /// Makes a folder; one that is there already is fine.
  func makeFolder(_ path: String) throws(AgentError)
  /// Removes a folder with no folders in it. False while processes are in it.
  func removeFolder(_ path: String) -> Bool
  /// Writes to a control file, in one write as the kernel wants it.
  func write(_ text: String, to path: String) throws(AgentError)
}

/// The kernel's.
struct KernelCgroups: CgroupFiles {
  func makeFolder(_ path: String) throws(AgentError) {
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw Files.failure("create the control group", path)
    }
  }

  func removeFolder(_ path: String) -> Bool { rmdir(path) == 0 || errno == ENOENT }

  func write(_ text: String, to path: String) throws(AgentError) {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw Files.failure("open", path) }
    defer { close(descriptor) }
    guard Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else {
      throw Files.failure("write \(text) to", path)
    }
  }
}

extension CgroupFiles {
  /// Makes a folder and those above it that are not there.
  func makeFolders(_ path: String) throws(AgentError) {
    if Files.isFolder(path) { return }
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      try makeFolders(String(path[..<slash]))
    }
    try makeFolder(path)
  }

  /// Removes a folder with those that a task may have made in it. False while processes are in one of them.
  @discardableResult
  func removeFolders(_ path: String, depth: Int = 0) -> Bool {
    guard depth < AgentLimits.cgroupDepth else { return false }
    for name in Files.names(in: path) where Files.isFolder(path + "/" + name) {
      removeFolders(path + "/" + name, depth: depth + 1)
    }
    return removeFolder(path)
  }

  /// What a control file says; nil where there is none.
  func text(_ path: String) -> String? {
    // One that cannot be read is of no more use than none: a kernel without that figure.
    guard let bytes = try? Files.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The words of a control file.
  func words(_ path: String) -> [String] {
    (text(path) ?? "").split { $0 == " " || $0 == "\n" }.map(String.init)
  }

  /// A control file that is one number; nil for `max`.
  func number(_ path: String) -> Int64? { words(path).first.flatMap { Int64($0) } }

  /// The number behind a name, of a control file with one name on each line.
  func number(_ name: String, in path: String) -> Int64? {
    let line = (text(path) ?? "").split(separator: "\n").first { $0.hasPrefix(name + " ") }
    return line.flatMap { Int64($0.dropFirst(name.count + 1)) }
  }

  /// The processes of a folder, without those that this process has no number for.
  func processes(in path: String) -> [pid_t] {
    words(path + "/cgroup.procs").compactMap { pid_t($0) }.filter { $0 > 0 }
  }

  /// The processes of a folder and all below it.
  func allProcesses(in path: String, depth: Int = 0) -> [pid_t] {
    guard depth < AgentLimits.cgroupDepth else { return [] }
    let below = Files.names(in: path).map { path + "/" + $0 }.filter { Files.isFolder($0) }
    return below.reduce(processes(in: path)) { $0 + allProcesses(in: $1, depth: depth + 1) }
  }

  /// Kills what is in a folder and below; true when nothing was left to kill.
  func kill(in path: String) -> Bool {
    let found = allProcesses(in: path)
    guard !found.isEmpty else { return true }
    // Linux 5.14 and later have it, in version 2: all at once. Elsewhere one by one, each asked for again right
    // before: the number may be another process's by now.
    if (try? write("1", to: path + "/cgroup.kill")) == nil {
      for pid in found where pid != getpid() && allProcesses(in: path).contains(pid) {
        Glibc.kill(pid, SIGKILL)
      }
    }
    return false
  }
}
