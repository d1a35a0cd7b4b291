import Glibc
import ServiceLifecycle
import Synchronization

/// A child process that cannot outlive this one, not even when this one is killed.
///
/// Each child has a thread here that starts it and then waits for it: Linux sends the parent-death signal
/// when the *thread* that made the child ends, so it has to be one that lives as long as the child does.
/// The child is this very program at first, which asks for the signal and then becomes the wanted program.
final class ChildProcess: Sendable {
  /// How a process ended.
  enum End: Sendable, CustomStringConvertible {
    case code(Int32)
    case signal(Int32)

    var description: String {
      switch self {
      case .code(let code): "exit code \(code)"
      case .signal(let signal): "signal \(signal)"
      }
    }
  }

  private struct State {
    var end: End?
    var waiters: [CheckedContinuation<End, Never>] = []
  }

  /// The process's id; only meaningful until its end.
  let pid: pid_t
  private let state = Mutex(State())

  private init(pid: pid_t) { self.pid = pid }

  /// Starts a program, in a process group of its own so that a terminal's Ctrl-C does not reach it.
  ///
  /// - Parameters:
  ///   - program: An absolute path.
  ///   - log: The file that its output is appended to.
  static func start(
    _ program: String, _ arguments: [String], environment: [String], log: String
  ) async throws -> ChildProcess {
    let launch = Launch(
      program: program, arguments: arguments, environment: environment, log: log, parent: getpid())
    return try await withCheckedThrowingContinuation { continuation in
      let work = Unmanaged.passRetained(ThreadWork { launch.run(continuation) })
      var thread = pthread_t()
      let code = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          Unmanaged<ThreadWork>.fromOpaque(argument).takeRetainedValue().body()
          return nil
        }, work.toOpaque())
      guard code == 0 else {
        work.release()
        continuation.resume(
          throwing: CommandFailure("cannot make a thread: \(String(cString: strerror(code)))"))
        return
      }
      pthread_detach(thread)
    }
  }

  /// Whether the process has ended.
  var hasEnded: Bool { state.withLock { $0.end != nil } }

  /// Returns when the process has ended.
  func waitForEnd() async -> End {
    await withCheckedContinuation { continuation in
      let end = state.withLock { state in
        if state.end == nil { state.waiters.append(continuation) }
        return state.end
      }
      if let end { continuation.resume(returning: end) }
    }
  }

  /// Sends a signal, unless the process has ended: its id may be another's by then.
  func send(_ signal: Int32) {
    state.withLock { state in
      if state.end == nil { kill(pid, signal) }
    }
  }

  /// Returns when the process has ended by itself, or was stopped since this task is to stop: with SIGTERM,
  /// and with SIGKILL when that takes too long.
  func waitOrStop(patience: Duration) async -> End {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        try? await gracefulShutdown()
        guard !self.hasEnded else { return }
        self.send(SIGTERM)
        try? await Task.sleep(for: patience)
        self.send(SIGKILL)
      }
      let end = await waitForEnd()
      group.cancelAll()
      return end
    }
  }

  /// The thread's part: waits until the process has ended. It is reaped under the lock, so that `send` never
  /// meets a process id that is free already.
  fileprivate func reap() {
    var info = siginfo_t()
    while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
    let (end, waiters) = state.withLock { state in
      var status: Int32 = 0
      while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
      let signal = status & 0x7F
      let end: End = signal == 0 ? .code(status >> 8 & 0xFF) : .signal(signal)
      state.end = end
      defer { state.waiters = [] }
      return (end, state.waiters)
    }
    for waiter in waiters { waiter.resume(returning: end) }
  }
}

/// What a thread does.
private final class ThreadWork: Sendable {
  let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

extension ChildProcess {
  /// The first argument of this program where it is to become a child.
  private static let marker = "--become-child-of"

  /// What it takes to start a child.
  fileprivate struct Launch: Sendable {
    let program: String
    let arguments: [String]
    let environment: [String]
    let log: String
    let parent: pid_t

    /// The thread's whole life.
    func run(_ continuation: CheckedContinuation<ChildProcess, any Error>) {
      do {
        let child = ChildProcess(pid: try spawn())
        continuation.resume(returning: child)
        child.reap()
      } catch {
        continuation.resume(throwing: error)
      }
    }

    private func spawn() throws -> pid_t {
      var actions = posix_spawn_file_actions_t()
      var attributes = posix_spawnattr_t()
      posix_spawn_file_actions_init(&actions)
      posix_spawnattr_init(&attributes)
      defer {
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
      }
      posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
      posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
      posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
      var none = sigset_t()
      var all = sigset_t()
      sigemptyset(&none)
      sigfillset(&all)
      posix_spawnattr_setsigmask(&attributes, &none)
      posix_spawnattr_setsigdefault(&attributes, &all)
      posix_spawnattr_setpgroup(&attributes, 0)
      posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

      let words = ["rota", marker, "\(parent)", program] + arguments
      var pid: pid_t = 0
      let code = withCStrings(words) { argv in
        withCStrings(environment) { envp in
          posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, envp)
        }
      }
      guard code == 0 else {
        throw CommandFailure("cannot start \(program): \(String(cString: strerror(code)))")
      }
      return pid
    }
  }

  /// Where this process was started by `start`: asks to be killed with its parent, and becomes the program.
  static func becomeChildIfAsked() {
    let arguments = CommandLine.arguments
    guard arguments.count >= 4, arguments[1] == marker, let parent = pid_t(arguments[2]) else { return }
    guard killWithParent(), getppid() == parent else {
      Terminal.complain("the process that wanted \(arguments[3]) is gone")
      exit(1)
    }
    // What the parent had open is not for the child: lost connections and ports have to be seen as such.
    for descriptor in 3..<Int32(1_024) { close(descriptor) }
    withCStrings(Array(arguments[3...])) { argv in _ = execv(arguments[3], argv) }
    Terminal.complain("cannot start \(arguments[3]): \(String(cString: strerror(errno)))")
    exit(1)
  }

  /// prctl(2) with PR_SET_PDEATHSIG. It is variadic in C, which Swift does not import; on Linux a variadic
  /// function takes integers where any other takes them, so it may be called through its address.
  private static func killWithParent() -> Bool {
    let setParentDeathSignal: Int32 = 1  // PR_SET_PDEATHSIG in <linux/prctl.h>
    typealias Prctl = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
    guard let symbol = dlsym(nil, "prctl") else { return false }
    return unsafeBitCast(symbol, to: Prctl.self)(setParentDeathSignal, UInt(SIGKILL), 0, 0, 0) == 0
  }
}

/// Calls `body` with a NULL-terminated array of C strings.
private func withCStrings<Result>(
  _ words: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
  let pointers = words.map { strdup($0) }
  defer { for pointer in pointers { free(pointer) } }
  return body(pointers + [nil])
}
