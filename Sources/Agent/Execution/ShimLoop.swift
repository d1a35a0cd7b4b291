import Glibc
import Logging
import SchedulerCore

/// The reactor's thread: all state is its own.
final class ShimLoop {
  private let settings: ShimReactor.Settings
  private let inbox: ShimReactor.Inbox
  private let deliver: @Sendable ([TaskEvent]) -> Void

  /// Attempts to start, first come first served; those in `withdrawn` were killed before it came to that.
  private var backlog: [Assignment] = []
  private var backlogHead = 0
  private var inBacklog = Set<AttemptRef>()
  private var withdrawn = Set<AttemptRef>()
  private var shims: [AttemptRef: ShimProcess] = [:]
  private var byDescriptor: [Int32: ShimProcess] = [:]
  /// What to poll; the inbox and the checkpoints first. Rebuilt when shims came or went.
  private var polled: [pollfd] = []
  private var polledIsStale = true
  /// Attempts whose shim died without a word: they end when nothing of them is alive.
  private var orphans: [(ref: AttemptRef, folder: AttemptFolder, end: AttemptEnd)] = []
  private var events: [TaskEvent] = []
  /// `MachineMemory.outOfMemoryKills` when it was looked at last.
  private var outOfMemoryKills = MachineMemory.outOfMemoryKills()
  private let checkpoints = CheckpointWatch()
  private var isStopping = false
  private var hasLeft = false

  init(
    _ settings: ShimReactor.Settings, inbox: ShimReactor.Inbox,
    deliver: @escaping @Sendable ([TaskEvent]) -> Void
  ) {
    self.settings = settings
    self.inbox = inbox
    self.deliver = deliver
  }

  func run() {
    while !hasLeft && !(isStopping && shims.isEmpty) {
      waitForEvents()
      for command in inbox.takeAll() { obey(command) }
      if hasLeft { break }
      startSome()
      endOrphans()
      if !events.isEmpty {
        deliver(events)
        events.removeAll(keepingCapacity: true)
      }
    }
  }

  // MARK: Orders

  private func obey(_ command: ShimReactor.Command) {
    switch command {
    case .start(let assignment):
      backlog.append(assignment)
      inBacklog.insert(assignment.ref)
    case .adopt(let adopted): adopt(adopted)
    case .kill(let ref, let mode):
      if let shim = shims[ref] {
        shim.send(mode)
      } else if inBacklog.contains(ref) {
        withdrawn.insert(ref)
      }
    case .leave:
      hasLeft = true
      for shim in shims.values { shim.hangUp() }
      shims.removeAll()
    case .stop:
      isStopping = true
      backlog.removeAll()
      backlogHead = 0
      for shim in shims.values { shim.send(.now) }
    }
  }

  private func startSome() {
    var started = 0
    while backlogHead < backlog.count, started < AgentLimits.startsPerTurn {
      let assignment = backlog[backlogHead]
      backlogHead += 1
      inBacklog.remove(assignment.ref)
      if withdrawn.remove(assignment.ref) != nil {
        end(assignment.ref, AttemptEnd(endedAt: Clocks.wall(), reason: .cancelled))
        continue
      }
      started += 1
      do { try start(assignment) } catch {
        end(assignment.ref, AttemptEnd(endedAt: Clocks.wall(), reason: .startFailed, error: error.message))
      }
    }
    if backlogHead == backlog.count {
      backlog.removeAll(keepingCapacity: true)
      backlogHead = 0
    }
  }

  private func start(_ assignment: Assignment) throws(AgentError) {
    guard let folder = AttemptFolder(ref: assignment.ref, root: settings.launcher.root) else {
      throw AgentError(.configuration, "a name of the attempt is not an identifier (\(Identifier.rule))")
    }
    try folder.create()
    let confinement = try settings.isolation.prepare(assignment.spec, folder: folder)
    do throws(AgentError) { try start(assignment, in: folder, confinement) } catch {
      settings.isolation.discard(folder)
      throw error
    }
  }

  private func start(
    _ assignment: Assignment, in folder: AttemptFolder, _ confinement: Confinement
  ) throws(AgentError) {
    try folder.checkpoints.create(holding: assignment.checkpoint, for: confinement.account)
    let argv: [String]
    switch assignment.spec.task {
    case .exec(let command): argv = command
    case .shell(let script, let interpreter):
      try Files.write(folder.script, Array(script.utf8), mode: 0o600)
      if let account = confinement.account { try Files.give(folder.script, to: account) }
      argv = (interpreter.isEmpty ? TaskSpec.defaultInterpreter : interpreter) + [folder.script]
    case .http, .noop, .task:
      throw AgentError(.configuration, "a task of kind \(assignment.spec.task.kind.rawValue) has no process")
    }
    let spec = try ShimSpec(
      assignment, argv: argv, folder: folder, agentID: settings.agentID, logBytes: settings.logBytes,
      confinement: confinement)
    watchCheckpoints(of: assignment.ref, folder)
    do throws(AgentError) {
      add(try .start(assignment, spec: spec.framed, folder: folder, launcher: settings.launcher))
    } catch {
      checkpoints.remove(assignment.ref)
      throw error
    }
  }

  private func adopt(_ adopted: AdoptedTask) {
    watchCheckpoints(of: adopted.task.ref, adopted.folder)
    add(ShimProcess(adopted))
    // Nobody watched while there was no agent.
    if adopted.folder.checkpoints.hasData { events.append(.checkpoint(adopted.task.ref)) }
  }

  private func add(_ shim: ShimProcess) {
    shims[shim.ref] = shim
    byDescriptor[shim.status] = shim
    polledIsStale = true
  }

  // MARK: Checkpoints

  private func watchCheckpoints(of ref: AttemptRef, _ folder: AttemptFolder) {
    guard !checkpoints.add(ref, folder.checkpoints) else { return }
    let why = Files.reason()
    settings.logger.warning(
      "a task's checkpoints cannot be watched, so only the last one will be saved; see fs.inotify in sysctl",
      metadata: ["run": "\(ref.run)", "error": "\(why)"])
  }

  private func takeCheckpoints() {
    for ref in checkpoints.take() { events.append(.checkpoint(ref)) }
  }

  /// What it saved last comes before its end.
  private func finishCheckpoints(of shim: ShimProcess) {
    if checkpoints.has(shim.ref) {
      takeCheckpoints()
      checkpoints.remove(shim.ref)
    } else if shim.folder.checkpoints.hasData {
      events.append(.checkpoint(shim.ref))
    }
  }

  // MARK: What shims say

  private func waitForEvents() {
    if polledIsStale {
      polled = [pollfd(fd: inbox.wakeRead, events: Int16(POLLIN), revents: 0)]
      polled.append(pollfd(fd: checkpoints.descriptor, events: Int16(POLLIN), revents: 0))
      polled += byDescriptor.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      polledIsStale = false
    }
    let timeout: Int32 =
      backlogHead < backlog.count ? 0 : (orphans.isEmpty ? -1 : AgentLimits.orphanCheckMillis)
    let ready = poll(&polled, nfds_t(polled.count), timeout)
    guard ready > 0 else { return }
    if polled[1].revents != 0 { takeCheckpoints() }
    for entry in polled.dropFirst(2) where entry.revents != 0 {
      if let shim = byDescriptor[entry.fd] { listen(to: shim) }
    }
  }

  private func listen(to shim: ShimProcess) {
    var chunk = [UInt8](repeating: 0, count: AgentLimits.shimReadBytes)
    while true {
      let got = read(shim.status, &chunk, chunk.count)
      if got > 0 {
        shim.pending.append(contentsOf: chunk[..<got])
        takeLines(of: shim)
        continue
      }
      if got < 0 && errno == EINTR { continue }
      if got < 0 && errno == EAGAIN { return }
      return remove(shim)
    }
  }

  private func takeLines(of shim: ShimProcess) {
    while let newline = shim.pending.firstIndex(of: UInt8(ascii: "\n")) {
      let report = ShimReport(line: shim.pending[..<newline])
      shim.pending.removeSubrange(...newline)
      if let report { hear(report, from: shim) }
    }
    if shim.pending.count > AgentLimits.shimLineBytes { shim.pending.removeAll() }
  }

  private func hear(_ report: ShimReport, from shim: ShimProcess) {
    if case .started(let pid, let ticks, let boot) = report {
      shim.taskPID = pid
      let time = Clocks.wall(atBoot: boot)
      let task = RunningTask(
        ref: shim.ref, shimPID: shim.pid, taskPID: pid, startTicks: ticks, startedBoot: boot, startedAt: time,
        timeoutMillis: shim.timeoutMillis)
      events.append(.started(shim.ref, time, task))
    } else if !shim.hasEnded, let end = report.end(folder: shim.folder, timeoutMillis: shim.timeoutMillis) {
      self.end(shim, end)
    }
  }

  /// The shim has closed its pipe: it is gone, or about to be.
  private func remove(_ shim: ShimProcess) {
    byDescriptor[shim.status] = nil
    shims[shim.ref] = nil
    polledIsStale = true
    let status = shim.reap()
    guard !shim.hasEnded else { return }
    // An adopted one may have ended while its new agent was on the way: then nobody heard its last line.
    let report = ShimReport.result(in: shim.folder)
    if let end = report?.end(folder: shim.folder, timeoutMillis: shim.timeoutMillis) {
      return self.end(shim, end)
    }
    if let taskPID = shim.taskPID { kill(-taskPID, SIGKILL) }
    let end = AttemptEnd(
      endedAt: Clocks.wall(), reason: .exited, signal: Int(SIGKILL), error: whySupervisorDied(status),
      outputTail: OutputTail.read(shim.folder, stdout: Int64.max, stderr: Int64.max))
    finishCheckpoints(of: shim)
    orphans.append((shim.ref, shim.folder, end))
  }

  private func whySupervisorDied(_ status: Int32?) -> String {
    let how =
      switch status {
      case nil: "died"
      case let status? where status & 0x7F == 0: "ended with code \((status >> 8) & 0xFF)"
      case let status?: "was killed by signal \(status & 0x7F)"
      }
    let kills = MachineMemory.outOfMemoryKills()
    defer { outOfMemoryKills = kills }
    let memory =
      kills > outOfMemoryKills
      ? "; since the agent looked last, the kernel has killed \(kills - outOfMemoryKills) processes of this machine "
        + "for lack of memory" : ""
    return "the task's supervisor (rota-shim) \(how), so the task was killed\(memory)"
  }

  private func endOrphans() {
    guard !orphans.isEmpty else { return }
    orphans.removeAll { orphan in
      // Both, since each finds what the other may not.
      let strays = StrayProcesses.kill(under: orphan.folder.path)
      guard settings.isolation.kill(orphan.folder), strays else { return false }
      end(orphan.ref, settings.isolation.conclude(orphan.end, folder: orphan.folder))
      return true
    }
  }

  private func end(_ shim: ShimProcess, _ end: AttemptEnd) {
    shim.hasEnded = true
    finishCheckpoints(of: shim)
    self.end(shim.ref, settings.isolation.conclude(end, folder: shim.folder))
  }

  private func end(_ ref: AttemptRef, _ end: AttemptEnd) { events.append(.ended(ref, end)) }
}
