import Curl
import Glibc
import Logging
import SchedulerCore
import Testing

@testable import Agent

/// Tasks that outlive the process that started them, under the real shim. Two executors stand for two processes: the first
/// hangs up as the kernel does when a process dies.
@Suite(.timeLimit(.minutes(2)))
struct AdoptionTests {
  let temporary: TemporaryFolder
  let folder: DataFolder
  let trust: TrustFile
  let logger = Logger(label: "adoption")

  init() throws {
    temporary = try TemporaryFolder()
    folder = try DataFolder(path: temporary.path)
    trust = try TrustFile(path: folder.trustFile)
    trust.trustedUntil = Clocks.boot() + 60_000_000_000
  }

  /// An executor and what it says.
  struct Process: Sendable {
    let executor: Executor
    let events: Inbox<[TaskEvent]>

    func started(_ ref: AttemptRef) async throws -> RunningTask {
      let news: Result<RunningTask, AgentError> = try await events.next { batch in
        for event in batch {
          switch event {
          case .started(ref, _, let task?): return .success(task)
          // It will never start.
          case .ended(ref, let end): return .failure(AgentError(.system, "it has ended: \(end)"))
          default: continue
          }
        }
        return nil
      }
      return try news.get()
    }

    func end(_ ref: AttemptRef) async throws -> AttemptEnd {
      try await events.next { batch in
        for case .ended(ref, let end) in batch { return end }
        return nil
      }
    }

    func checkpoint(_ ref: AttemptRef) async throws {
      try await events.next { batch in
        for case .checkpoint(ref) in batch { return () }
        return nil
      }
    }
  }

  func process() throws -> Process {
    var configuration = AgentConfiguration(id: "agent-1", dataFolder: temporary.path)
    configuration.shimPath = try Shim.path.get()
    let events = Inbox<[TaskEvent]>()
    let isolation = try Isolation.open(configuration, dataFolder: folder.path, logger: logger)
    let executor = try Executor(
      configuration, folder: folder, trustFile: trust, engine: try CurlEngine(), isolation: isolation,
      logger: logger
    ) { events.add($0) }
    return Process(executor: executor, events: events)
  }

  /// Starts a task and lets its process of the agent go.
  func leave(_ work: Assignment) async throws -> RunningTask {
    let first = try process()
    _ = first.executor.start([work])
    let task = try await first.started(work.ref)
    first.executor.leave()
    return task
  }

  func takeOver(_ task: RunningTask, incarnation: Int64? = 7) async -> [AdoptedTask] {
    var recovered = ResultJournal.Recovered()
    recovered.begun = [task.ref]
    recovered.running = [task.ref: task]
    return await Adoption(folder: folder, logger: logger).takeOver(
      recovered, incarnation: incarnation, trustedUntil: trust.trustedUntil)
  }

  func dismiss(_ task: RunningTask) async throws {
    let attempt = try #require(folder.folder(of: task.ref))
    while !StrayProcesses.find(under: folder.attempts).isEmpty {
      _ = Adoption.dismiss([attempt])
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(ShimReport.result(in: attempt)?.end(folder: attempt, timeoutMillis: nil)?.reason == .cancelled)
  }

  @Test func aTaskGoesOnAndItsEndArrives() async throws {
    let script = "while [ ! -e go ]; do sleep 0.05; done; echo done; exit 4"
    let work = makeWork("a", .shell(script: script, interpreter: []))
    let task = try await leave(work)
    let adopted = await takeOver(task)
    try #require(adopted.map(\.task) == [task])
    let second = try process()
    second.executor.adopt(adopted)
    try Files.write(try #require(folder.folder(of: work.ref)).work + "/go", [])
    let end = try await second.end(work.ref)
    #expect(end.reason == .exited && end.exitCode == 4)
    #expect(end.outputTail == Array("done\n".utf8))
    #expect(StrayProcesses.find(under: folder.attempts).isEmpty)
  }

  @Test func aTaskCanBeKilledAndHandedOnAgain() async throws {
    let work = makeWork("a", .exec(argv: ["sleep", "1000"])) { $0.timeoutMillis = 90_000 }
    let task = try await leave(work)
    // The second process dies as soon as it has the task.
    let second = await takeOver(task)
    try #require(second.map(\.task) == [task])
    for task in second { close(task.socket) }
    let third = try process()
    let adopted = await takeOver(task)
    try #require(adopted.first?.task.timeoutMillis == 90_000)
    third.executor.adopt(adopted)
    third.executor.kill([AgentMachine.Kill(ref: work.ref, mode: .terminate)])
    let end = try await third.end(work.ref)
    #expect(end.reason == .cancelled && end.signal == Int(SIGTERM))
  }

  @Test func whatHasEndedIsInItsFile() async throws {
    let work = makeWork("a", .exec(argv: ["sh", "-c", "sleep 0.2; exit 3"]))
    let task = try await leave(work)
    let attempt = try #require(folder.folder(of: work.ref))
    while ShimReport.result(in: attempt) == nil { try await Task.sleep(for: .milliseconds(20)) }
    #expect(await takeOver(task).isEmpty)
    #expect(ShimReport.result(in: attempt)?.end(folder: attempt, timeoutMillis: nil)?.exitCode == 3)
  }

  @Test func anotherTaskIsNotTakenForIt() async throws {
    let work = makeWork("a", .exec(argv: ["sleep", "1000"]))
    let task = try await leave(work)
    var other = task
    other.startTicks += 1
    #expect(await takeOver(other).isEmpty)
    // Its shim answered, and was told to end it.
    let attempt = try #require(folder.folder(of: work.ref))
    while ShimReport.result(in: attempt) == nil { try await Task.sleep(for: .milliseconds(20)) }
    #expect(ShimReport.result(in: attempt)?.end(folder: attempt, timeoutMillis: nil)?.reason == .cancelled)
  }

  @Test func anotherProcessIsNotTakenForItsShim() async throws {
    let task = try await leave(makeWork("a", .exec(argv: ["sleep", "1000"])))
    var other = task
    other.shimPID = getpid()
    #expect(await takeOver(other).isEmpty)
    try await dismiss(task)
  }

  @Test func nothingIsTakenOverForAnotherIncarnation() async throws {
    let task = try await leave(makeWork("a", .exec(argv: ["sleep", "1000"])))
    #expect(await takeOver(task, incarnation: 8).isEmpty)
    try await dismiss(task)
  }

  @Test func aTaskWhoseShimIsDeadIsGivenUp() async throws {
    let task = try await leave(makeWork("a", .exec(argv: ["sleep", "1000"])))
    kill(task.shimPID, SIGKILL)
    #expect(await takeOver(task).isEmpty)
    while !StrayProcesses.kill(under: folder.attempts) { try await Task.sleep(for: .milliseconds(20)) }
  }

  @Test func theAdoptedAreSparedAndTheRestIsNot() async throws {
    let kept = try await leave(makeWork("kept", .exec(argv: ["sleep", "1000"])))
    let stray = try await leave(makeWork("stray", .exec(argv: ["sleep", "1000"])))
    let adopted = await takeOver(kept)
    try #require(adopted.map(\.task) == [kept])
    let spared = Set(adopted.map(\.folder.path))
    let found = StrayProcesses.find(under: folder.attempts, sparing: spared)
    #expect(Set(found) == [stray.shimPID, stray.taskPID])
    while !StrayProcesses.kill(under: folder.attempts, sparing: spared) {
      try await Task.sleep(for: .milliseconds(20))
    }
    let second = try process()
    second.executor.adopt(adopted)
    second.executor.kill([AgentMachine.Kill(ref: kept.ref, mode: .now)])
    #expect(try await second.end(kept.ref).reason == .cancelled)
  }

  @Test func withoutAnybodyTheTaskIsFenced() async throws {
    // Short from the start, since its shim looks at it again only when the old one has passed; with the program at hand, for
    // its making takes longer.
    _ = try Shim.path.get()
    trust.trustedUntil = Clocks.boot() + 5_000_000_000
    let task = try await leave(makeWork("a", .exec(argv: ["sleep", "1000"])))
    let attempt = try #require(folder.folder(of: task.ref))
    while ShimReport.result(in: attempt) == nil { try await Task.sleep(for: .milliseconds(20)) }
    #expect(Clocks.boot() >= trust.trustedUntil)
    #expect(ShimReport.result(in: attempt)?.end(folder: attempt, timeoutMillis: nil)?.reason == .fenced)
    #expect(await takeOver(task).isEmpty)
  }

  @Test func checkpointsAreNoticed() async throws {
    let script = """
      [ "$(cat $ROTA_CHECKPOINT_FILE)" = first ] || exit 9
      while [ ! -e begin ]; do sleep 0.05; done
      echo second > $ROTA_CHECKPOINT_FILE
      while [ ! -e go ]; do sleep 0.05; done
      echo third > tmp; mv tmp $ROTA_CHECKPOINT_FILE
      sleep 1000
      """
    var work = makeWork("a", .shell(script: script, interpreter: []))
    work.checkpoint = Array("first".utf8)
    let attempt = try #require(folder.folder(of: work.ref))
    let first = try process()
    _ = first.executor.start([work])
    let task = try await first.started(work.ref)
    try Files.write(attempt.work + "/begin", [])
    try await first.checkpoint(work.ref)
    first.executor.leave()
    let second = try process()
    let adopted = await takeOver(task)
    try #require(adopted.map(\.task) == [task])
    second.executor.adopt(adopted)
    // It is looked at once whatever happened in between.
    try await second.checkpoint(work.ref)
    try Files.write(attempt.work + "/go", [])
    try await second.checkpoint(work.ref)
    second.executor.kill([AgentMachine.Kill(ref: work.ref, mode: .now)])
    #expect(try await second.end(work.ref).reason == .cancelled)
    guard case .data(let bytes) = attempt.checkpoints.read() else {
      Issue.record("there is no checkpoint")
      return
    }
    #expect(bytes == Array("third\n".utf8))
  }

  @Test func theLastCheckpointComesBeforeTheEnd() async throws {
    for run in 0..<20 {
      let work = makeWork("r\(run)", .exec(argv: ["sh", "-c", "echo last > $ROTA_CHECKPOINT_FILE"]))
      let process = try self.process()
      _ = process.executor.start([work])
      var kinds: [String] = []
      while kinds.last != "end" {
        kinds += try await process.events.next { batch in
          batch.map { event in
            switch event {
            case .started: "start"
            case .checkpoint: "checkpoint"
            case .ended: "end"
            }
          }
        }
      }
      #expect(kinds.contains("checkpoint") && kinds.last == "end", "\(kinds)")
    }
  }
}
