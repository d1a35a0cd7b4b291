import Glibc
import SchedulerCore
import Synchronization

/// A running `rota-shim`. Belongs to the reactor's thread.
final class ShimProcess {
  let ref: AttemptRef
  let timeoutMillis: Int64?
  let folder: AttemptFolder
  let pid: pid_t
  /// Whether this process has to collect it. The number of another's child may be a child's of this one by then.
  private let isChild: Bool
  /// Where the shim writes its lines.
  let status: Int32
  /// Where it takes its orders; when it is closed the shim waits for another agent.
  let control: Int32
  /// An incomplete line.
  var pending: [UInt8] = []
  var taskPID: pid_t?
  var hasEnded = false

  /// Held while a pipe has ends that a program started by somebody else in this process would inherit: with a copy of the
  /// control pipe in another process, a shim would not notice that its agent is gone.
  private static let spawning = Mutex<Void>(())

  /// Starts a shim; the caller has made the attempt's folder.
  ///
  /// - Throws: `AgentError` with what the operating system said.
  static func start(
    _ assignment: Assignment, spec: [UInt8], folder: AttemptFolder, launcher: ShimLauncher
  ) throws(AgentError) -> ShimProcess {
    try spawning.withLock { _ throws(AgentError) in
      try ShimProcess(assignment, spec: spec, folder: folder, launcher: launcher)
    }
  }

  private init(_ assignment: Assignment, spec: [UInt8], folder: AttemptFolder, launcher: ShimLauncher)
    throws(AgentError)
  {
    ref = assignment.ref
    timeoutMillis = assignment.spec.timeoutMillis
    self.folder = folder
    let control = try Pipe()
    defer { control.closeReadEnd() }
    let status: Pipe
    do { status = try Pipe() } catch {
      control.closeWriteEnd()
      throw error
    }
    defer { status.closeWriteEnd() }
    do {
      // All of it fits into the pipe, so this does not block although the shim is not there yet.
      try control.fill(with: spec)
      pid = try launcher.spawn(control: control.readEnd, status: status.writeEnd, folder: folder)
      try status.makeReadNonBlocking()
    } catch {
      control.closeWriteEnd()
      status.closeReadEnd()
      throw error
    }
    self.control = control.writeEnd
    self.status = status.readEnd
    isChild = true
  }

  /// Goes on with a shim that an earlier process of the agent started.
  init(_ adopted: AdoptedTask) {
    ref = adopted.task.ref
    timeoutMillis = adopted.task.timeoutMillis
    folder = adopted.folder
    pid = adopted.task.shimPID
    isChild = false
    taskPID = adopted.task.taskPID
    control = adopted.socket
    status = adopted.socket
  }

  /// Hangs up: the shim waits for another agent, unless it has ended.
  func hangUp() {
    close(control)
    if status != control { close(status) }
  }

  /// Hangs up and collects the shim, which has ended or is about to. An adopted one is the system's to collect.
  ///
  /// - Returns: how it ended, as wait(2) gives it; nil where only the system knows.
  func reap() -> Int32? {
    hangUp()
    guard isChild else { return nil }
    var code: Int32 = 0
    while waitpid(pid, &code, 0) < 0 && errno == EINTR {}
    return code
  }

  func send(_ mode: AgentMachine.KillMode) {
    var command = UInt8(ascii: mode == .now ? "K" : "T")
    // Fails only when the shim is gone, which the end of its lines tells.
    _ = Glibc.write(control, &command, 1)
  }
}

/// Starts shims.
struct ShimLauncher: Sendable {
  /// The program.
  let path: String
  /// The folder of all attempts.
  let root: String
  /// The shared file with the end of trust.
  let trustFile: Int32

  /// Starts one shim with its descriptors 3, 4 and 5.
  func spawn(control: Int32, status: Int32, folder: AttemptFolder) throws(AgentError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    guard posix_spawn_file_actions_init(&actions) == 0 else { throw failure(errno) }
    defer { posix_spawn_file_actions_destroy(&actions) }
    guard posix_spawnattr_init(&attributes) == 0 else { throw failure(errno) }
    defer { posix_spawnattr_destroy(&attributes) }

    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for (number, descriptor) in [(3, control), (4, status), (5, trustFile)] {
      posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
    }
    // A runtime may ignore SIGPIPE and block signals; a task must not inherit that.
    var all = sigset_t()
    var none = sigset_t()
    sigfillset(&all)
    sigemptyset(&none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

    var pid: pid_t = 0
    let code = withCStrings([path]) { argv in
      withCStrings(["\(StrayProcesses.shimVariable)=\(folder.path)"]) { environment in
        posix_spawn(&pid, path, &actions, &attributes, argv, environment)
      }
    }
    guard code == 0 else { throw failure(code) }
    return pid
  }

  private func failure(_ code: Int32) -> AgentError {
    AgentError(.system, "cannot start \(path): \(Files.reason(code))")
  }
}

/// A pipe whose ends are closed on exec and are out of the way of the numbers that a shim is given.
private struct Pipe {
  let readEnd: Int32
  let writeEnd: Int32

  init() throws(AgentError) {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { throw Self.failure() }
    // Raised above 9: a source that is itself 3, 4 or 5 would be overwritten before it is copied.
    let raised = ends.map { fcntl($0, F_DUPFD_CLOEXEC, 10) }
    let code = errno
    for end in ends { close(end) }
    guard raised.allSatisfy({ $0 >= 0 }) else {
      for end in raised where end >= 0 { close(end) }
      throw Self.failure(code)
    }
    (readEnd, writeEnd) = (raised[0], raised[1])
  }

  private static func failure(_ code: Int32 = errno) -> AgentError {
    AgentError(.system, "cannot make a pipe for a shim: \(Files.reason(code))")
  }

  func closeReadEnd() { close(readEnd) }
  func closeWriteEnd() { close(writeEnd) }

  func makeReadNonBlocking() throws(AgentError) {
    guard fcntl(readEnd, F_SETFL, O_NONBLOCK) == 0 else { throw Self.failure() }
  }

  /// Writes what has to fit, making the pipe larger if need be; leaves the write end non-blocking.
  func fill(with bytes: [UInt8]) throws(AgentError) {
    guard bytes.count <= AgentLimits.shimSpecBytes else {
      throw AgentError(
        .system,
        "arguments and environment take \(bytes.count) bytes, at most \(AgentLimits.shimSpecBytes) are possible"
      )
    }
    let setPipeSize: Int32 = 1_031  // F_SETPIPE_SZ
    if bytes.count > AgentLimits.defaultPipeBytes, fcntl(writeEnd, setPipeSize, Int32(bytes.count)) < 0 {
      throw Self.failure()
    }
    guard fcntl(writeEnd, F_SETFL, O_NONBLOCK) == 0 else { throw Self.failure() }
    try Files.writeAll(writeEnd, bytes, path: "the pipe to a shim")
  }
}

/// Runs `body` with a NULL-terminated array of C strings.
private func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var pointers = strings.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  return pointers.withUnsafeMutableBufferPointer { buffer in
    // Never empty: it holds at least the terminator.
    body(UnsafePointer(buffer.baseAddress!))
  }
}
