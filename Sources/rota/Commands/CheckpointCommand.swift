import Agent
import ArgumentParser
import Glibc
import SchedulerCore

/// `rota checkpoint`
struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "Within a task: save progress for the run's next attempt, or read it.",
    discussion: """
      Works by the file that ROTA_CHECKPOINT_FILE names, and needs no server's address.

      Examples:
        page=$(rota checkpoint get)
        echo "$((page + 1))" | rota checkpoint put
      """,
    subcommands: [CheckpointPutCommand.self, CheckpointGetCommand.self])
}

/// `rota checkpoint put`
struct CheckpointPutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Save a checkpoint, and wait until it is durable.",
    discussion: """
      It replaces the one before. Exit code 0: the next attempt gets this one, on whatever agent. 1: it was refused. 75: it is not \
      known to be durable yet; it may become so, or a later one.
      """)

  @Argument(help: "The file to save; '-' or nothing is standard input. At most 256 KiB.")
  var file = "-"

  @Option(help: ArgumentHelp("How long to wait for it to be durable.", valueName: "time"))
  var timeout = DurationArgument(millis: 30_000)

  func run() throws {
    let checkpoint = try TaskCheckpoint()
    let content = try TaskCheckpoint.contents(of: file)
    guard !content.isEmpty else { throw CommandFailure("an empty checkpoint cannot be saved") }
    let mark = CheckpointMark(of: content)
    try checkpoint.write(content)
    let deadline = ContinuousClock.now + .milliseconds(timeout.millis)
    repeat {
      if checkpoint.saved?.isOfSameContent(as: mark) == true { return }
      if let refused = checkpoint.refused, refused.isOfSameContent(as: mark) {
        throw CommandFailure("the checkpoint was refused: \(refused.error ?? "no reason is given")")
      }
      usleep(TaskCheckpoint.pollMicros)
    } while ContinuousClock.now < deadline
    Terminal.complain("after \(timeout) the checkpoint is not known to be durable")
    throw ExitCode(TaskCheckpoint.notConfirmed)
  }
}

/// `rota checkpoint get`
struct CheckpointGetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Print what was saved last; nothing when nothing was.")

  func run() throws {
    let checkpoint = try TaskCheckpoint()
    guard access(checkpoint.path, F_OK) == 0 else { return }
    Terminal.write(try TaskCheckpoint.contents(of: checkpoint.path), to: STDOUT_FILENO)
  }
}

/// The file of this process's task.
private struct TaskCheckpoint {
  let path: String

  /// How often the agent's answer is looked for.
  static let pollMicros: UInt32 = 10_000
  /// EX_TEMPFAIL of <sysexits.h>.
  static let notConfirmed: Int32 = 75

  init() throws {
    guard let path = EnvironmentFlags.variable("ROTA_CHECKPOINT_FILE"), path.hasPrefix("/") else {
      throw CommandFailure(
        "ROTA_CHECKPOINT_FILE is not set: this is for tasks that an agent runs, and their own processes")
    }
    self.path = path
  }

  var saved: CheckpointMark? { mark(".saved") }
  var refused: CheckpointMark? { mark(".error") }

  private func mark(_ suffix: String) -> CheckpointMark? {
    // Absent until the agent has something to say.
    (try? Self.contents(of: path + suffix)).flatMap { CheckpointMark(line: $0) }
  }

  /// Puts the whole content in the file's place at once, so that the agent never sees half of it.
  func write(_ content: [UInt8]) throws {
    // An old refusal of the same content is none of this one.
    unlink(path + ".error")
    let temporary = "\(path).put-\(getpid())"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o640)
    guard descriptor >= 0 else { throw failure("create \(temporary)") }
    var done = 0
    while done < content.count {
      let count = content.withUnsafeBytes { bytes in
        Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        let error = failure("write \(temporary)")
        close(descriptor)
        unlink(temporary)
        throw error
      }
      done += count
    }
    close(descriptor)
    guard rename(temporary, path) == 0 else { throw failure("rename to \(path)") }
  }

  /// A whole file, or standard input for `-`.
  static func contents(of path: String) throws -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    defer { if descriptor != STDIN_FILENO { close(descriptor) } }
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))")
      }
      if count == 0 { return content }
      content += chunk[..<count]
      guard content.count <= RunLimits.checkpointBytes else {
        throw CommandFailure(
          "\(path) has more than \(RunLimits.checkpointBytes) bytes, the most that can be saved")
      }
    }
  }

  private func failure(_ what: String) -> CommandFailure {
    CommandFailure("cannot \(what): \(String(cString: strerror(errno)))")
  }
}
