import Glibc

/// What the agent does with files, each with an error that says what failed.
enum Files {
  /// errno in words.
  static func reason(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

  static func failure(_ what: String, _ path: String, _ code: Int32 = errno) -> AgentError {
    AgentError(.file, "cannot \(what) \(path): \(reason(code))")
  }

  /// Makes a folder and its parents, for the owner and group only.
  static func makeFolders(_ path: String) throws(AgentError) {
    if mkdir(path, 0o750) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
      throw failure("create the folder", path)
    }
    try makeFolders(String(path[..<slash]))
    guard mkdir(path, 0o750) == 0 || errno == EEXIST else { throw failure("create the folder", path) }
  }

  /// The whole content of a small file; nil when it does not exist.
  static func read(_ path: String, limit: Int = 1 << 20) throws(AgentError) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw failure("open", path)
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while bytes.count < limit {
      let got = Glibc.read(descriptor, &chunk, min(chunk.count, limit - bytes.count))
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw failure("read", path) }
      if got == 0 { break }
      bytes.append(contentsOf: chunk[..<got])
    }
    return bytes
  }

  /// Writes a file so that a reader sees either the old or the new content, whole.
  static func replace(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o640) throws(AgentError) {
    let temporary = path + ".tmp"
    try write(temporary, bytes, mode: mode)
    guard rename(temporary, path) == 0 else { throw failure("rename to", path) }
  }

  /// Writes a file.
  static func write(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o640) throws(AgentError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw failure("create", path) }
    defer { close(descriptor) }
    try writeAll(descriptor, bytes, path: path)
  }

  /// Writes all bytes to an open file.
  static func writeAll(_ descriptor: Int32, _ bytes: [UInt8], path: String) throws(AgentError) {
    var done = 0
    while done < bytes.count {
      let written = bytes.withUnsafeBytes { buffer in
        Glibc.write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
      }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw failure("write", path, written < 0 ? errno : ENOSPC) }
      done += written
    }
  }

  /// The names in a folder, without `.` and `..`; none when it does not exist.
  static func names(in path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    return names(from: folder)
  }

  /// The names that are left in an open folder, without `.` and `..`.
  static func names(from folder: OpaquePointer) -> [String] {
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// What `lstat` says; nil when there is no such file.
  static func status(_ path: String) -> stat? {
    var status = stat()
    return lstat(path, &status) == 0 ? status : nil
  }

  /// Whether it is a folder, not a link to one.
  static func isFolder(_ path: String) -> Bool {
    status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
  }

  /// Lets everybody pass through a folder to what is in it and allowed to them; nobody sees the names in it.
  static func letPass(_ path: String) throws(AgentError) {
    guard let status = Self.status(path) else { throw failure("look at", path) }
    if status.st_mode & 0o001 == 0, chmod(path, (status.st_mode & 0o7777) | 0o001) != 0 {
      throw failure("open to other users", path)
    }
  }

  /// Gives a folder or file to a user, for that user alone. Never through a link.
  static func give(_ path: String, to account: UserAccount) throws(AgentError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure("open", path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, let group = account.groups.first,
      fchmod(descriptor, status.st_mode & S_IFMT == S_IFDIR ? 0o700 : 0o600) == 0,
      fchown(descriptor, account.uid, group) == 0
    else { throw failure("give to user \(account.uid)", path) }
  }
}
