import Glibc
import Logging
import SchedulerCore

/// A task of the agent's earlier process whose shim answers to this one now.
struct AdoptedTask: Sendable {
  var task: RunningTask
  var folder: AttemptFolder
  /// Commands go there, and lines come from there.
  var socket: Int32
}

/// Takes over the tasks that an earlier process of this agent left running.
///
/// That process was killed, crashed, or left for an upgrade. Its shims go on until the lease that it last renewed can no
/// longer be trusted, and wait for the next process on a socket each. A task is taken over when its shim is the process that
/// the journal names (SO_PEERCRED) and says of the task what the journal says: pid, start time, moment of the start.
struct Adoption: Sendable {
  let folder: DataFolder
  let logger: Logger

  /// An attempt whose shim is being talked to.
  private struct Candidate {
    var task: RunningTask
    var folder: AttemptFolder
    var socket: ShimSocket?
    var heard: [UInt8] = []
  }

  private enum Step { case wait, adopted(Int32), given(up: String) }

  /// Takes over what can be. The rest has ended, or is to be dismissed.
  ///
  /// - Parameters:
  ///   - incarnation: the one that the attempts have to belong to; nil when nothing may be taken over.
  ///   - trustedUntil: until when they are; CLOCK_BOOTTIME, nanoseconds.
  func takeOver(
    _ recovered: ResultJournal.Recovered, incarnation: Int64?, trustedUntil: Int64
  ) async -> [AdoptedTask] {
    let candidates = recovered.begun.compactMap { ref -> Candidate? in
      guard ref.incarnation == incarnation, let task = recovered.running[ref] else { return nil }
      return folder.folder(of: ref).map { Candidate(task: task, folder: $0) }
    }
    let left = Duration.nanoseconds(max(0, trustedUntil - Clocks.boot()))
    // One that does not answer must not take the others' time, in which their lease has to be renewed.
    return await talk(to: candidates, for: min(left / 2, AgentLimits.adoptionWait))
  }

  /// Tells the shims of attempts to kill their tasks, as far as they can be reached.
  ///
  /// - Returns: those that cannot be, yet or any more.
  static func dismiss(_ attempts: [AttemptFolder]) -> [AttemptFolder] {
    attempts.filter { attempt in
      guard let socket = try? ShimSocket.connect(to: attempt) else { return true }
      socket.dismiss()
      return false
    }
  }

  private func talk(to candidates: [Candidate], for patience: Duration) async -> [AdoptedTask] {
    var open = candidates
    var adopted: [AdoptedTask] = []
    let deadline = ContinuousClock.now + patience
    while !open.isEmpty {
      let isLate = ContinuousClock.now >= deadline
      var waiting: [Candidate] = []
      for var candidate in open {
        switch step(&candidate) {
        case .adopted(let socket):
          adopted.append(AdoptedTask(task: candidate.task, folder: candidate.folder, socket: socket))
        case .given(let why): giveUp(candidate, why)
        case .wait where isLate: giveUp(candidate, "its shim does not answer")
        case .wait: waiting.append(candidate)
        }
      }
      open = waiting
      // Not even a cancelled start may skip the waiting: what is not asked here is killed.
      if !open.isEmpty { await Task { try? await Task.sleep(for: .milliseconds(5)) }.value }
    }
    return adopted
  }

  private func step(_ candidate: inout Candidate) -> Step {
    if candidate.socket == nil {
      switch connect(to: candidate) {
      case .success(let socket): candidate.socket = socket
      case .failure(.refused(let why)): return .given(up: why)
      case .failure(.notThere):
        let isAlive = StrayProcesses.belongs(candidate.task.shimPID, to: candidate.folder.path)
        return isAlive ? .wait : .given(up: "its shim has ended")
      }
    }
    guard let socket = candidate.socket else { return .wait }
    guard socket.peer == candidate.task.shimPID else {
      return .given(up: "process \(socket.peer) answers for it, not its shim \(candidate.task.shimPID)")
    }
    guard let line = firstLine(from: socket, &candidate.heard) else {
      return .given(up: "its shim has ended")
    }
    guard !line.isEmpty else { return .wait }
    guard let report = ShimReport(line: line), candidate.task.isMeant(by: report) else {
      return .given(up: "its shim speaks of another task, or of its end")
    }
    return .adopted(socket.descriptor)
  }

  private func connect(to candidate: Candidate) -> Result<ShimSocket, ShimSocket.Failure> {
    do throws(ShimSocket.Failure) { return .success(try ShimSocket.connect(to: candidate.folder)) } catch {
      return .failure(error)
    }
  }

  /// Byte by byte: what comes behind the first line is for whoever listens next. Empty: it is not whole yet. Nil: the shim
  /// has hung up.
  private func firstLine(from socket: ShimSocket, _ heard: inout [UInt8]) -> [UInt8]? {
    var byte: UInt8 = 0
    while heard.count < AgentLimits.shimLineBytes {
      let got = read(socket.descriptor, &byte, 1)
      if got < 0 && errno == EINTR { continue }
      if got < 0 && errno == EAGAIN { return [] }
      guard got > 0 else { return nil }
      if byte == UInt8(ascii: "\n") { return heard }
      heard.append(byte)
    }
    return nil
  }

  /// It has ended, which its result file tells, or is killed.
  private func giveUp(_ candidate: Candidate, _ why: String) {
    candidate.socket?.dismiss()
    logger.info(
      "a task of the earlier process is not taken over",
      metadata: ["run": "\(candidate.task.ref.run)", "why": "\(why)"])
  }
}
