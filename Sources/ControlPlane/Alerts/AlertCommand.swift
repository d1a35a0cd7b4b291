import Glibc
import SchedulerCore

/// A command of the server that is told of an alert: as JSON on its standard input, and by variables. It has no more of
/// the server's environment than that, and none of its files.
struct AlertCommand: Sendable {
  /// The program.
  let path: String
  let alert: AlertRecord

  /// Runs it to its end, or until its time is over: then, and when the task is cancelled, its process group is killed.
  func run() async -> LeaderMachine.Telling {
    let pid: pid_t
    switch start() {
    case .success(let started): pid = started
    case .failure(let error): return .failed("\(error.reason)")
    }
    let end = ContinuousClock.now + ServerLimits.alertPatience
    var status: Int32 = 0
    while true {
      let found = waitpid(pid, &status, WNOHANG)
      if found == pid { return Self.outcome(status) }
      if found < 0 && errno != EINTR { return .failed("its end was not seen: \(Self.reason(errno))") }
      guard ContinuousClock.now < end, !Task.isCancelled else { break }
      try? await Task.sleep(for: ServerLimits.alertCommandPause)
    }
    kill(-pid, SIGKILL)
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    return .failed("it had not ended after \(ServerLimits.alertPatience) and was killed")
  }

  private static func outcome(_ status: Int32) -> LeaderMachine.Telling {
    let signal = status & 0x7F
    if signal != 0 { return .failed("it was ended by signal \(signal)") }
    let code = status >> 8 & 0xFF
    return code == 0 ? .taken : .failed("exit code \(code)")
  }

  private struct StartFailure: Error {
    var reason: String
  }

  private func start() -> Result<pid_t, StartFailure> {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return .failure(failure(errno)) }
    defer { close(ends[1]) }
    // What a pipe holds by itself is more than an alert has: this does not wait for a reader.
    let text = alert.told
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    let written = text.withUnsafeBytes { write(ends[1], $0.baseAddress, $0.count) }
    let result = written == text.count ? spawn(input: ends[0]) : .failure(failure(EMSGSIZE))
    close(ends[0])
    return result
  }

  private func spawn(input: Int32) -> Result<pid_t, StartFailure> {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    guard posix_spawn_file_actions_init(&actions) == 0 else { return .failure(failure(errno)) }
    defer { posix_spawn_file_actions_destroy(&actions) }
    guard posix_spawnattr_init(&attributes) == 0 else { return .failure(failure(errno)) }
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawn_file_actions_adddup2(&actions, input, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    Self.closeFilesOnExec()
    // The server ignores SIGPIPE; a command must not inherit that.
    var (all, none) = (sigset_t(), sigset_t())
    sigfillset(&all)
    sigemptyset(&none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    var pid: pid_t = 0
    let code = Self.withCStrings([path]) { argv in
      Self.withCStrings(environment) { posix_spawn(&pid, path, &actions, &attributes, argv, $0) }
    }
    return code == 0 ? .success(pid) : .failure(failure(code))
  }

  private var environment: [String] {
    let job = alert.key.job
    return [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "ROTA_ALERT_ID=\(alert.key.alertID)", "ROTA_ALERT_ON=\(alert.rule.on.rawValue)",
      "ROTA_ALERT_MESSAGE=\(alert.message)", "ROTA_NAMESPACE=\(job.namespace)", "ROTA_JOB_ID=\(job.jobID)",
      "ROTA_RUN_ID=\(alert.runID)",
    ]
  }

  /// None of the server's files is for its children, whoever opened it.
  private static func closeFilesOnExec() {
    guard let folder = opendir("/proc/self/fd") else { return }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }
  }

  private static func withCStrings<Value>(
    _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
  ) -> Value {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
  }

  private func failure(_ code: Int32) -> StartFailure {
    StartFailure(reason: "\(path) could not be started: \(Self.reason(code))")
  }

  private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
