import Glibc
import SchedulerCore

/// The folder in an attempt's folder through which a process saves checkpoints.
///
///     data         the task's; at the start what an earlier attempt saved last, absent when nothing was
///     data.saved   the agent's: which content is durable
///     data.error   the agent's: which content was refused, and why; absent after a success
///
/// The task may do there what it likes, as a user of its own while the agent is root. So the folder is opened once for each look,
/// and all else from there; nothing is opened through a link or waits; nothing is read but a plain file of the task's user with
/// one name; and what is written is a new file, renamed to its place.
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
    // First: what is made in it then belongs to the same user.
    if let account { try Files.give(path, to: account) }
    guard !checkpoint.isEmpty else { return }
    let folder = try open()
    defer { close(folder) }
    try replace(Self.dataName, checkpoint, mode: 0o640, in: folder)
    try replace(
      Self.savedName, Array(CheckpointMark(of: checkpoint).line.utf8), mode: Self.markMode, in: folder)
  }

  /// Whether there is something to look at.
  var hasData: Bool { Files.status(file) != nil }

  /// Reads what the task has written. An empty file is none: there is no empty checkpoint, and a file that is being written
  /// anew begins so.
  func read() -> Content {
    guard let folder = try? open() else { return .nothing }
    defer { close(folder) }
    let descriptor = openat(folder, Self.dataName, Self.readFlags)
    guard descriptor >= 0 else {
      return errno == ENOENT ? .nothing : refused(0, "it cannot be opened: \(Files.reason())")
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, let owner = owner(of: folder) else {
      return refused(0, "it cannot be looked at: \(Files.reason())")
    }
    // Another name of somebody else's file would be a way to read it.
    guard status.st_mode & S_IFMT == S_IFREG, status.st_nlink <= 1 else {
      return refused(0, "it is not a plain file with one name")
    }
    guard owner.isAgent || status.st_uid == owner.user else {
      return refused(0, "it does not belong to the task's user")
    }
    let limit = RunLimits.checkpointBytes
    guard status.st_size <= limit else { return tooLong(Int(status.st_size)) }
    guard let bytes = take(limit + 1, from: descriptor) else {
      return refused(0, "it cannot be read: \(Files.reason())")
    }
    // It may have grown since.
    guard bytes.count <= limit else { return tooLong(bytes.count) }
    return bytes.isEmpty ? .nothing : .data(bytes)
  }

  /// At most `count` bytes; nil when they cannot be read.
  private func take(_ count: Int, from descriptor: Int32) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
      }
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { return nil }
      if got == 0 { break }
      done += got
    }
    return Array(bytes[..<done])
  }

  private func tooLong(_ bytes: Int) -> Content {
    refused(bytes, "it has \(bytes) bytes; at most \(RunLimits.checkpointBytes) are allowed")
  }

  private func refused(_ bytes: Int, _ error: String) -> Content {
    .refused(CheckpointMark(unread: bytes, error: error))
  }

  // MARK: Marks

  /// Everybody may read them.
  private static let markMode: mode_t = 0o644

  /// Which content is durable, as far as the folder says.
  var saved: CheckpointMark? {
    guard let folder = try? open() else { return nil }
    defer { close(folder) }
    let descriptor = openat(folder, Self.savedName, Self.readFlags)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return take(AgentLimits.checkpointMarkBytes, from: descriptor).flatMap { CheckpointMark(line: $0) }
  }

  /// Says for now that nothing is durable. Before a content is read to be sent: from then on what is durable may become
  /// another one, and a task that wrote the earlier one again must not take that for saved.
  func takeBackSaved() {
    guard let folder = try? open() else { return }
    defer { close(folder) }
    unlinkat(folder, Self.savedName, 0)
  }

  /// Tells the task what became of a checkpoint. Readers see the old file or the new one, whole.
  func tell(_ mark: CheckpointMark) throws(AgentError) {
    let folder = try open()
    defer { close(folder) }
    let name = mark.error == nil ? Self.savedName : Self.errorName
    try replace(name, Array(mark.line.utf8), mode: Self.markMode, in: folder)
    if mark.error == nil { unlinkat(folder, Self.errorName, 0) }
  }

  // MARK: Files of somebody else's folder

  /// Neither a link nor a pipe nor a lease on the file (fcntl(2)) holds it up.
  private static let readFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK

  private func open() throws(AgentError) -> Int32 {
    let folder = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard folder >= 0 else { throw Files.failure("open", path) }
    return folder
  }

  /// Whose an open folder is.
  private func owner(of folder: Int32) -> (user: uid_t, group: gid_t, isAgent: Bool)? {
    var status = stat()
    guard fstat(folder, &status) == 0 else { return nil }
    return (status.st_uid, status.st_gid, status.st_uid == geteuid())
  }

  /// Puts a new file, which belongs to the folder's owner, in the place of what has the name.
  private func replace(
    _ name: String, _ bytes: [UInt8], mode: mode_t, in folder: Int32
  ) throws(AgentError) {
    let temporary = "." + name
    unlinkat(folder, temporary, 0)
    let descriptor = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw Files.failure("create", path + "/" + temporary) }
    defer { close(descriptor) }
    do throws(AgentError) {
      try Files.writeAll(descriptor, bytes, path: path + "/" + temporary)
      // Whatever the agent's umask is. By the descriptor: the name may mean another file by now.
      guard let owner = owner(of: folder), fchmod(descriptor, mode) == 0,
        owner.isAgent || fchown(descriptor, owner.user, owner.group) == 0
      else { throw Files.failure("give to the task's user", path + "/" + temporary) }
      guard renameat(folder, temporary, folder, name) == 0 else {
        throw Files.failure("rename to", path + "/" + name)
      }
    } catch {
      unlinkat(folder, temporary, 0)
      throw error
    }
  }
}
