import Glibc
import SchedulerCore

/// The folder in an attempt's folder through which a process saves checkpoints.
///
///     data         the task's; at the start what an earlier attempt saved last, absent when nothing was
///     data.saved   the agent's: which content is durable
///     data.error   the agent's: which content was refused, and why; absent after a success
///
/// The task may do there what it likes: nothing is opened through a link, and nothing but a plain file is read.
struct CheckpointFolder: Sendable {
  /// Absolute path.
  let path: String

  /// What the task writes.
  static let dataName = "data"
  static let savedName = "data.saved"
  static let errorName = "data.error"

  /// The value of `ROTA_CHECKPOINT_FILE`.
  var file: String { path + "/" + Self.dataName }

  /// What was found.
  enum Content: Sendable {
    /// Nothing that could be saved.
    case nothing
    case data([UInt8])
    /// It cannot be saved; the mark says why.
    case refused(CheckpointMark)
  }

  /// Makes the folder, and in it what the last attempt saved, which is durable.
  ///
  /// - Parameter account: whose task it is; nil for one of the agent's own user.
  func create(holding checkpoint: [UInt8], for account: UserAccount? = nil) throws(AgentError) {
    try Files.makeFolders(path)
    if !checkpoint.isEmpty {
      let mark = Array(CheckpointMark(of: checkpoint).line.utf8)
      try Files.write(file, checkpoint, mode: 0o640)
      try Files.write(path + "/" + Self.savedName, mark, mode: 0o644)
    }
    guard let account else { return }
    if hasData { try Files.give(file, to: account) }
    // Last: from then on it is the task's.
    try Files.give(path, to: account)
  }

  /// Whether there is something to look at.
  var hasData: Bool { Files.status(file) != nil }

  /// Reads what the task has written. An empty file is none: there is no empty checkpoint, and a file that is being written
  /// anew begins so.
  func read() -> Content {
    guard let folder = open() else { return .nothing }
    defer { close(folder) }
    let descriptor = openat(folder, Self.dataName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else {
      return errno == ENOENT ? .nothing : refused(0, "it cannot be opened: \(Files.reason())")
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      return refused(0, "it cannot be looked at: \(Files.reason())")
    }
    // Another name of somebody else's file would be a way to read it.
    guard status.st_mode & S_IFMT == S_IFREG, status.st_nlink <= 1 else {
      return refused(0, "it is not a plain file with one name")
    }
    let limit = RunLimits.checkpointBytes
    guard status.st_size <= limit else { return tooLong(Int(status.st_size)) }
    var bytes = [UInt8](repeating: 0, count: limit + 1)
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
      }
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { return refused(0, "it cannot be read: \(Files.reason())") }
      if got == 0 { break }
      count += got
    }
    guard count <= limit else { return tooLong(count) }
    return count == 0 ? .nothing : .data(Array(bytes[..<count]))
  }

  private func tooLong(_ bytes: Int) -> Content {
    refused(bytes, "it has \(bytes) bytes; at most \(RunLimits.checkpointBytes) are allowed")
  }

  private func refused(_ bytes: Int, _ error: String) -> Content {
    .refused(CheckpointMark(unread: bytes, error: error))
  }

  // MARK: Marks

  /// Which content is durable, as far as the folder says.
  var saved: CheckpointMark? {
    guard let folder = open() else { return nil }
    defer { close(folder) }
    let descriptor = openat(folder, Self.savedName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: AgentLimits.checkpointMarkBytes)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    return count > 0 ? CheckpointMark(line: Array(bytes[..<count])) : nil
  }

  /// Tells the task what became of a checkpoint. Readers see the old file or the new one, whole.
  func tell(_ mark: CheckpointMark) throws(AgentError) {
    guard let folder = open() else { throw Files.failure("open", path) }
    defer { close(folder) }
    try replace(mark.error == nil ? Self.savedName : Self.errorName, mark, in: folder)
    if mark.error == nil { unlinkat(folder, Self.errorName, 0) }
  }

  private func replace(_ name: String, _ mark: CheckpointMark, in folder: Int32) throws(AgentError) {
    let temporary = "." + name
    unlinkat(folder, temporary, 0)
    // The task may be another user, and has to be able to read it.
    let descriptor = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw Files.failure("create", path + "/" + temporary) }
    defer { close(descriptor) }
    try Files.writeAll(descriptor, Array(mark.line.utf8), path: path + "/" + temporary)
    guard renameat(folder, temporary, folder, name) == 0 else {
      throw Files.failure("rename to", path + "/" + name)
    }
  }

  private func open() -> Int32? {
    let folder = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    return folder >= 0 ? folder : nil
  }
}
