import Glibc
import Logging
import SchedulerCore
import Synchronization

/// Starts shims and listens to them, all on one thread of its own.
///
/// Starting a process takes a good part of a millisecond, which the agent's decisions should not wait for.
final class ShimReactor: Sendable {
  /// What the thread is told.
  enum Command: Sendable {
    case start(Assignment)
    case adopt(AdoptedTask)
    case kill(AttemptRef, AgentMachine.KillMode)
    /// Hang up on all shims, which go on, and end the thread.
    case leave
    /// Kill all tasks, and end the thread when they are dead.
    case stop
  }

  /// How the thread works.
  struct Settings: Sendable {
    var launcher: ShimLauncher
    var agentID: String
    var logBytes: Int64
    var isolation: Isolation
    var logger: Logger
  }

  private let inbox: Inbox

  /// Commands on their way to the thread. It exits when told `leave`, or `stop`, which `deinit` does at the
  /// latest.
  final class Inbox: Sendable {
    private let commands = Mutex<[Command]>([])
    let wakeRead: Int32
    private let wakeWrite: Int32

    init() throws(AgentError) {
      var ends: [Int32] = [-1, -1]
      guard pipe(&ends) == 0 else {
        throw AgentError(.system, "cannot make the executor's pipe: \(Files.reason())")
      }
      for end in ends {
        _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
      }
      (wakeRead, wakeWrite) = (ends[0], ends[1])
    }

    deinit {
      close(wakeRead)
      close(wakeWrite)
    }

    func add(_ new: [Command]) {
      let wasEmpty = commands.withLock { commands in
        defer { commands.append(contentsOf: new) }
        return commands.isEmpty
      }
      guard wasEmpty else { return }
      var byte: UInt8 = 1
      // Fails only when the pipe is full, and then the thread wakes up anyhow.
      _ = write(wakeWrite, &byte, 1)
    }

    func takeAll() -> [Command] {
      var bytes = [UInt8](repeating: 0, count: 64)
      while read(wakeRead, &bytes, bytes.count) > 0 {}
      return commands.withLock { commands in
        defer { commands = [] }
        return commands
      }
    }
  }

  /// Starts the thread.
  ///
  /// - Parameter deliver: gets the events of each turn, on the reactor's thread.
  init(_ settings: Settings, deliver: @escaping @Sendable ([TaskEvent]) -> Void) throws(AgentError) {
    inbox = try Inbox()
    let loop = ShimLoop(settings, inbox: inbox, deliver: deliver)
    let argument = Unmanaged.passRetained(loop)
    var thread = pthread_t()
    let code = pthread_create(&thread, nil, shimLoopMain, argument.toOpaque())
    guard code == 0 else {
      argument.release()
      throw AgentError(.system, "cannot start the executor's thread: \(Files.reason(code))")
    }
    pthread_detach(thread)
  }

  deinit { inbox.add([.stop]) }

  /// Gives orders, in order.
  func submit(_ commands: [Command]) {
    if !commands.isEmpty { inbox.add(commands) }
  }
}

private func shimLoopMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  var signals = sigset_t()
  sigfillset(&signals)
  pthread_sigmask(SIG_BLOCK, &signals, nil)
  Unmanaged<ShimLoop>.fromOpaque(argument).takeRetainedValue().run()
  return nil
}
