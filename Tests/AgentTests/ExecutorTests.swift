import Curl
import Glibc
import Logging
import SchedulerCore
import Testing

@testable import Agent

/// Tasks under the real shim.
@Suite(.timeLimit(.minutes(2)))
struct ExecutorTests {
  let temporary: TemporaryFolder
  let folder: DataFolder
  let trust: TrustFile
  let executor: Executor
  let events = Inbox<[TaskEvent]>()

  init() throws {
    temporary = try TemporaryFolder()
    folder = try DataFolder(path: temporary.path)
    trust = try TrustFile(path: folder.trustFile)
    trust.trustedUntil = Clocks.boot() + 60_000_000_000
    var configuration = AgentConfiguration(id: "agent-1", dataFolder: temporary.path)
    configuration.shimPath = try Shim.path.get()
    let events = self.events
    // Control groups would outlive the test; tests of whole agents have them.
    configuration.isolation = .rlimits
    let isolation = try Isolation.open(
      configuration, dataFolder: folder.path, logger: Logger(label: "test"))
    executor = try Executor(
      configuration, folder: folder, trustFile: trust, engine: try CurlEngine(), isolation: isolation,
      logger: Logger(label: "executor")
    ) { events.add($0) }
  }

  func end(_ ref: AttemptRef) async throws -> AttemptEnd {
    try await events.next { batch in
      for case .ended(ref, let end) in batch { return end }
      return nil
    }
  }

  func started(_ ref: AttemptRef) async throws {
    try await events.next { batch in
      for case .started(ref, _, _) in batch { return () }
      return nil
    }
  }

  func run(_ work: Assignment) async throws -> AttemptEnd {
    _ = executor.start([work])
    return try await end(work.ref)
  }

  @Test func aTaskThatOnlyWorkersOffer() throws {
    let work = makeWork("a", .task(name: "resize", payload: "1"))
    guard case .ended(work.ref, let end)? = executor.start([work]).first else {
      Issue.record("it has to end at once")
      return
    }
    #expect(
      end.reason == .startFailed
        && end.error == "this agent does not offer task resize: tasks are run by workers")
  }

  @Test func aProgramWithItsEnvironment() async throws {
    let script =
      "echo $ROTA_JOB_ID $ROTA_RUN_ID $ROTA_ATTEMPT $ROTA_FENCING_TOKEN $ROTA_WORKER_ID $MINE; pwd; exit 3"
    let work = makeWork("a", .exec(argv: ["sh", "-c", script])) {
      $0.env = ["MINE": "yes", "ROTA_JOB_ID": "no"]
    }
    let end = try await run(work)
    #expect(end.reason == .exited && end.exitCode == 3 && end.signal == nil && !end.succeeded)
    let attempt = try #require(folder.folder(of: work.ref))
    #expect(String(decoding: end.outputTail, as: UTF8.self) == "job a 1 42 agent-1 yes\n\(attempt.work)\n")
    #expect((end.usage?.maxRSSKiB ?? 0) > 0)
    #expect(ShimReport.result(in: attempt) != nil)
  }

  @Test func limitsArriveAtTheProcess() async throws {
    let work = makeWork("a", .exec(argv: ["sh", "-c", "ulimit -v; nice"])) {
      $0.limits = TaskLimits(memoryBytes: 1 << 30, cpus: 0.01)
    }
    let own = getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
    let end = try await run(work)
    #expect(String(decoding: end.outputTail, as: UTF8.self) == "1048576\n\(own + 10)\n")
    #expect(end.usage?.stdoutBytes == Int64(end.outputTail.count) && end.usage?.stderrBytes == 0)
  }

  @Test func nobodyElseIsAllowed() async throws {
    let end = try await run(makeWork("a", .exec(argv: ["true"])) { $0.runAs = "nobody" })
    #expect(end.reason == .startFailed && end.error?.contains("--allow-run-as") == true)
  }

  @Test func aScriptIsAFileForItsInterpreter() async throws {
    let end = try await run(makeWork("a", .shell(script: "echo out; echo err >&2", interpreter: [])))
    #expect(end.succeeded)
    #expect(String(decoding: end.outputTail, as: UTF8.self) == "out\nerr\n")
  }

  @Test func whatCannotStartSaysWhy() async throws {
    let end = try await run(makeWork("a", .exec(argv: ["/no/such/program"])))
    #expect(end.reason == .startFailed && end.error?.contains("/no/such/program") == true)
    let huge = try await run(makeWork("b", .exec(argv: ["true", String(repeating: "x", count: 2_000_000)])))
    #expect(huge.reason == .startFailed && huge.error?.contains("bytes") == true)
  }

  @Test func aLargeSpecFitsThePipe() async throws {
    let arguments = (0..<100).map { _ in String(repeating: "x", count: 1_000) }
    #expect(try await run(makeWork("a", .exec(argv: ["true"] + arguments))).succeeded)
  }

  @Test func timeoutsAndKills() async throws {
    let slow = makeWork("slow", .exec(argv: ["sleep", "1000"])) { $0.timeoutMillis = 100 }
    #expect(try await run(slow).reason == .timeout)
    let endless = makeWork("endless", .exec(argv: ["sleep", "1000"]))
    _ = executor.start([endless])
    try await started(endless.ref)
    executor.kill([AgentMachine.Kill(ref: endless.ref, mode: .terminate)])
    let end = try await self.end(endless.ref)
    #expect(end.reason == .cancelled && end.signal == Int(SIGTERM))
    let stubborn = makeWork(
      "stubborn", .exec(argv: ["sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"]))
    _ = executor.start([stubborn])
    try await started(stubborn.ref)
    executor.kill([AgentMachine.Kill(ref: stubborn.ref, mode: .now)])
    #expect(try await self.end(stubborn.ref).signal == Int(SIGKILL))
    #expect(StrayProcesses.find(under: folder.attempts).isEmpty)
  }

  @Test func aKillRightAfterTheStartIsNotLost() async throws {
    let work = (0..<40).map { makeWork("r\($0)", .exec(argv: ["sleep", "1000"])) }
    _ = executor.start(work)
    executor.kill(work.map { AgentMachine.Kill(ref: $0.ref, mode: .now) })
    var open = Set(work.map(\.ref))
    while !open.isEmpty {
      let ended: [AttemptRef] = try await events.next { batch in
        let refs = batch.compactMap { event in if case .ended(let ref, _) = event { ref } else { nil } }
        return refs.isEmpty ? nil : refs
      }
      open.subtract(ended)
    }
  }

  @Test func noTrustNoTask() async throws {
    let running = makeWork("running", .exec(argv: ["sleep", "1000"]))
    _ = executor.start([running])
    try await started(running.ref)
    // The shim has armed its timer for the old end, so this one is for the next task only.
    trust.trustedUntil = 1
    let end = try await run(makeWork("late", .exec(argv: ["true"])))
    #expect(end.reason == .fenced)
    executor.kill([AgentMachine.Kill(ref: running.ref, mode: .now)])
    _ = try await self.end(running.ref)
  }

  @Test func theShimFencesByItself() async throws {
    trust.trustedUntil = Clocks.boot() + 300_000_000
    let end = try await run(makeWork("a", .exec(argv: ["sleep", "1000"])))
    #expect(end.reason == .fenced)
  }

  @Test func aKilledShimTakesItsTaskAlong() async throws {
    let work = makeWork("a", .exec(argv: ["sh", "-c", "setsid sleep 1000 & sleep 1000"]))
    _ = executor.start([work])
    try await started(work.ref)
    for pid in StrayProcesses.find(under: folder.attempts) {
      // With its shim the task goes at once.
      let environment = ((try? Files.read("/proc/\(pid)/environ")) ?? nil) ?? []
      if String(decoding: environment, as: UTF8.self).contains(StrayProcesses.shimVariable) {
        kill(pid, SIGKILL)
      }
    }
    let end = try await self.end(work.ref)
    #expect(
      end.signal == Int(SIGKILL)
        && end.error?.contains("supervisor (rota-shim) was killed by signal 9") == true)
    #expect(StrayProcesses.find(under: folder.attempts).isEmpty)
  }

  @Test func noopsEndAtOnce() {
    let events = executor.start([makeWork("a", .noop), makeWork("b", .noop)])
    #expect(events.count == 2)
  }

  @Test func manyShortProcesses() async throws {
    let work = (0..<200).map { makeWork("r\($0)", .exec(argv: ["/bin/true"])) }
    _ = executor.start(work)
    var succeeded = 0
    while succeeded < work.count {
      succeeded += try await events.next { batch in
        let ends = batch.filter { event in if case .ended(_, let end) = event { end.succeeded } else { false }
        }
        return ends.isEmpty ? nil : ends.count
      }
    }
  }

  @Test func anHTTPTaskThatCannotConnect() async throws {
    let end = try await run(makeWork("a", .http(HTTPTask(url: "http://127.0.0.1:1/x"))))
    #expect(end.reason == .exited && end.exitCode == 1 && end.error?.isEmpty == false)
    let bad = try await run(makeWork("b", .http(HTTPTask(url: "http://x/\r\nEvil: 1"))))
    #expect(bad.reason == .startFailed)
  }
}
