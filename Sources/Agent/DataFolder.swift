import Glibc
import SchedulerCore

/// The agent's folder, used by one process at a time.
///
///     lock               held (flock) while the agent runs
///     trusted_until      8 bytes shared with the shims
///     incarnation.json   lease and incarnation, for a restart
///     journal            what ran and how it ended, until the leader has acknowledged it
///     attempts/<namespace>/<job>/<run>/<attempt>/
///                        stdout.log stderr.log (and .1 after a rotation), script, result, work/, checkpoint/,
///                        agent.sock (where a shim waits for the agent's next process)
///
/// Nothing here is synced to disk: it has to survive the process, not the machine. When the machine goes down
/// the lease goes too, and with it everything that is kept here for it.
final class DataFolder: Sendable {
  /// Absolute path, without a slash at its end.
  let path: String
  private let lock: Int32

  var trustFile: String { path + "/trusted_until" }
  var incarnationFile: String { path + "/incarnation.json" }
  /// The highest leader's epoch that it has seen.
  var leaderEpochFile: String { path + "/leader-epoch.json" }
  var journalFile: String { path + "/journal" }
  var attempts: String { path + "/attempts" }

  /// Makes the folder if need be and takes it.
  ///
  /// - Throws: `AgentError` with code `dataFolderInUse` when another process has it.
  init(path: String) throws(AgentError) {
    guard path.hasPrefix("/"), path.count > 1 else {
      throw AgentError(.configuration, "the data folder has to be an absolute path, is \"\(path)\"")
    }
    try Files.makeFolders(path + "/attempts")
    // One spelling, whatever links lead there: processes of an earlier life are known by it.
    guard let resolved = realpath(path, nil) else { throw Files.failure("find", path) }
    defer { free(resolved) }
    let path = String(cString: resolved)
    let lockPath = path + "/lock"
    let lock = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
    guard lock >= 0 else { throw Files.failure("open", lockPath) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(lock)
      throw code == EWOULDBLOCK
        ? AgentError(
          .dataFolderInUse,
          "the data folder \(path) is in use by another agent: stop that one or give this one its own folder")
        : Files.failure("lock", lockPath, code)
    }
    self.path = path
    self.lock = lock
  }

  deinit { close(lock) }

  /// Lets another agent have the folder, also while something here still refers to it.
  func release() { flock(lock, LOCK_UN) }

  /// The folder of an attempt; nil when a name in it is not a valid identifier, so that no path can lead out.
  func folder(of ref: AttemptRef) -> AttemptFolder? { AttemptFolder(ref: ref, root: attempts) }
}

/// The folder of one attempt.
struct AttemptFolder: Hashable, Sendable {
  /// Absolute path, without a slash at its end.
  let path: String

  /// Nil when a name is not a valid identifier.
  init?(ref: AttemptRef, root: String) {
    let names = [ref.run.job.namespace, ref.run.job.jobID, ref.run.runID]
    guard names.allSatisfy(Identifier.isValid), ref.attempt > 0 else { return nil }
    path = root + "/" + names.joined(separator: "/") + "/" + String(ref.attempt)
  }

  var work: String { path + "/work" }
  var script: String { path + "/script" }
  var result: String { path + "/result" }
  /// Relative to the folder.
  static let socketName = "agent.sock"
  var socket: String { path + "/" + Self.socketName }
  var checkpoints: CheckpointFolder { CheckpointFolder(path: path + "/checkpoint") }
  func log(_ stream: LogStream) -> String { path + "/" + stream.rawValue + ".log" }

  /// Makes the folder, and in it the task's scratch folder.
  func create() throws(AgentError) { try Files.makeFolders(work) }

  /// Gives the work folder to the user that the task runs as, who is let through the folders above it. All else that
  /// is in the attempt's folder, logs and result, stays the agent's.
  ///
  /// - Parameter data: the agent's data folder, the topmost to be let through.
  func handOver(to account: UserAccount, through data: String) throws(AgentError) {
    var folder = path[...]
    while folder.hasPrefix(data) {
      try Files.letPass(String(folder))
      folder = folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)]
    }
    try Files.give(work, to: account)
  }
}
