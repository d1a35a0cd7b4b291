import EtcdClient
import Glibc
import Logging
import NIOCore
import NIOPosix
import Proto
import SchedulerCore
import ServiceLifecycle
import Synchronization
import Testing
import Transport

@testable import Agent

/// A whole agent: etcd in memory, a leader that only says what the test tells it to, the real shim.
@Suite(.timeLimit(.minutes(2)))
struct AgentServiceTests {
  /// A leader on a real connection.
  final class Leader: Sendable {
    enum Heard: Sendable {
      case status(AgentStatus)
      case log(LogReply)
    }

    let heard = Inbox<Heard>()
    /// The hellos, on their own: two tasks of a test may listen at a time.
    let hellos = Inbox<AgentHello>()
    /// On their own as well.
    let updates = Inbox<AttemptUpdate>()
    let checkpoints = Inbox<CheckpointReport>()
    private let session = Mutex<ResponseWriter?>(nil)
    private let logs = Mutex<ResponseWriter?>(nil)
    private let server = Mutex<GRPCServer?>(nil)
    let epoch: Int64

    init(epoch: Int64) { self.epoch = epoch }

    func start() async throws -> Int {
      let connect = RPCMethod.bidirectional("/rota.v1.AgentSession/Connect") { inbound, _, writer in
        for try await message in inbound {
          switch try AgentMessage(wire: Array(message.readableBytesView)) {
          case .hello(let hello):
            self.session.withLock { $0 = writer }
            try await self.say(.welcome(serverID: "server-1", leaderEpoch: self.epoch))
            self.hellos.add(hello)
          case .status(let status):
            for update in status.updates { self.updates.add(update) }
            self.heard.add(.status(status))
          case .checkpoint(let report): self.checkpoints.add(report)
          }
        }
      }
      let logs = RPCMethod.bidirectional("/rota.v1.AgentSession/Logs") { inbound, _, writer in
        for try await message in inbound {
          self.logs.withLock { $0 = writer }
          self.heard.add(.log(try LogReply(wire: Array(message.readableBytesView))))
        }
      }
      let server = try await GRPCServer.bind(
        GRPCServerConfiguration(), methods: [connect, logs], group: MultiThreadedEventLoopGroup.singleton,
        logger: Logger(label: "leader"))
      self.server.withLock { $0 = server }
      return server.port
    }

    func say(_ message: ServerMessage) async throws {
      try await session.withLock { $0 }?.send(ByteBuffer(bytes: message.wire()))
    }

    func ask(_ query: LogQuery) async throws {
      try await logs.withLock { $0 }?.send(ByteBuffer(bytes: query.wire()))
    }

    func stop() async { await server.withLock { $0 }?.shutdown(graceful: .zero) }

    func hello() async throws -> AgentHello {
      try await hellos.next { $0 }
    }

    /// Waits for an update; acknowledges the status that it is in.
    func update(acknowledging: Bool = true, _ fits: @Sendable (AttemptUpdate) -> Bool) async throws
      -> AttemptUpdate
    {
      while true {
        let status: AgentStatus = try await heard.next {
          if case .status(let status) = $0 { status } else { nil }
        }
        if acknowledging, status.sequence > 0 { try await say(.ack(status.sequence)) }
        if let found = status.updates.first(where: fits) { return found }
      }
    }

    /// Waits until a task has started. Throws when it never will.
    func start(of ref: AttemptRef) async throws {
      let update = try await updates.next { $0.ref == ref ? $0 : nil }
      if update.startedAt == nil { throw AgentError(.system, "it has not started: \(update)") }
    }

    func log() async throws -> LogReply {
      try await heard.next { if case .log(let reply) = $0 { reply } else { nil } }
    }
  }

  static let leaseTTLSeconds: Int64 = 15

  let temporary: TemporaryFolder
  let etcd = FakeEtcd()

  init() throws { temporary = try TemporaryFolder() }

  func announce(_ port: Int, lease: String) async throws {
    let record = ServerRecord(
      serverID: "server-1", grpcAddress: "127.0.0.1:\(port)", httpAddress: "127.0.0.1:1", version: "test",
      startedAt: Timestamp(milliseconds: 0))
    try await etcd.put("/rota/leader/" + lease, record.encoded())
  }

  /// Runs an agent, and stops it in order when `body` returns; or has it leave its tasks to the next one.
  func withAgent(leaving: Bool = false, _ body: @escaping @Sendable () async throws -> Void) async throws {
    var configuration = AgentConfiguration(id: "agent-1", dataFolder: temporary.path)
    configuration.shimPath = try Shim.path.get()
    configuration.drainMillis = 300
    // A busy machine may keep it from being renewed for some time.
    configuration.leaseTTLSeconds = Self.leaseTTLSeconds
    let agent = AgentService(configuration: configuration, etcd: etcd, logger: Logger(label: "agent"))
    let services = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: agent, successTerminationBehavior: .gracefullyShutdownGroup)],
        logger: Logger(label: "services")))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await services.run() }
      group.addTask {
        try await body()
        if leaving { agent.leave() } else { await services.triggerGracefulShutdown() }
      }
      do {
        try await group.waitForAll()
      } catch {
        await services.triggerGracefulShutdown()
        throw error
      }
    }
  }

  @Test func aTaskFromAssignmentToAcknowledgement() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    try await withAgent {
      let hello = try await leader.hello()
      #expect(hello.agentID == "agent-1" && hello.attempts.isEmpty && hello.incarnation > 0)
      let work = makeWork("a", .shell(script: "echo hello", interpreter: []), incarnation: hello.incarnation)
      let noop = makeWork("n", .noop, incarnation: hello.incarnation)
      try await leader.say(.assign([work, noop, work]))
      let nothing = try await leader.update { $0.ref == noop.ref && $0.end != nil }
      #expect(nothing.end?.succeeded == true)
      let ended = try await leader.update { $0.ref == work.ref && $0.end != nil }
      #expect(ended.end?.succeeded == true && ended.startedAt != nil)
      #expect(ended.end?.outputTail == Array("hello\n".utf8))
    }
    await leader.stop()
    // Given back in order: no key, no lease, no process.
    #expect(try await etcd.get("/rota/agents/agent-1") == nil)
    #expect(StrayProcesses.find(under: temporary.path + "/attempts").isEmpty)
  }

  @Test func logsAreAnswered() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    try await withAgent {
      let hello = try await leader.hello()
      let work = makeWork("a", .exec(argv: ["echo", "hello"]), incarnation: hello.incarnation)
      try await leader.say(.assign([work]))
      _ = try await leader.update { $0.end != nil }
      try await leader.ask(LogQuery(request: 9, ref: work.ref, stream: .stdout, offset: 1, limit: 100))
      var reply = LogReply(request: 0)
      while reply.request != 9 { reply = try await leader.log() }
      #expect(reply.data == Array("ello\n".utf8) && reply.end && reply.error == nil)
    }
    await leader.stop()
  }

  @Test func aNewLeaderHearsWhatTheOldOneDidNotAcknowledge() async throws {
    let old = Leader(epoch: 1)
    try await announce(try await old.start(), lease: "1")
    let new = Leader(epoch: 2)
    let port = try await new.start()
    try await withAgent {
      let hello = try await old.hello()
      let work = makeWork("a", .noop, incarnation: hello.incarnation)
      try await old.say(.assign([work]))
      _ = try await old.update(acknowledging: false) { $0.end != nil }
      try await announce(port, lease: "2")
      try await etcd.delete(.key("/rota/leader/1"))
      await old.stop()
      #expect(try await new.hello().attempts == [work.ref])
      #expect(try await new.update { $0.end != nil }.ref == work.ref)
    }
    await new.stop()
  }

  @Test func stoppingTheAgentStopsItsTasksAndSaysSo() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    let ends = Inbox<AttemptEnd?>()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        // The leader goes on listening while the agent stops.
        ends.add(try await leader.update { $0.end != nil }.end)
      }
      try await withAgent {
        let hello = try await leader.hello()
        let work = makeWork("a", .exec(argv: ["sleep", "1000"]), incarnation: hello.incarnation)
        try await leader.say(.assign([work]))
        try await leader.start(of: work.ref)
      }
      try await group.waitForAll()
    }
    #expect(try await ends.next { $0 }.reason == .agentStopped)
    await leader.stop()
  }

  @Test func aRestartedAgentReportsWhatItsEarlierProcessLeft() async throws {
    let (revision, finished, unknown) = try await leaveBehind()
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    try await withAgent {
      let hello = try await leader.hello()
      #expect(hello.incarnation == revision)
      #expect(Set(hello.attempts) == [finished, unknown])
      let status: AgentStatus = try await leader.heard.next { heard in
        if case .status(let status) = heard, !status.updates.isEmpty { status } else { nil }
      }
      let ends = Dictionary(uniqueKeysWithValues: status.updates.map { ($0.ref, $0.end) })
      #expect(ends[finished]??.succeeded == true)
      #expect(ends[unknown]??.reason == .agentStopped)
      try await leader.say(.ack(status.sequence))
    }
    await leader.stop()
  }

  @Test func anAgentThatLeavesIsFollowedByOneThatGoesOn() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    let script = "while [ ! -e go ]; do sleep 0.05; done; echo done"
    let incarnations = Inbox<Int64>()
    try await withAgent(leaving: true) {
      let hello = try await leader.hello()
      incarnations.add(hello.incarnation)
      let work = makeWork("a", .shell(script: script, interpreter: []), incarnation: hello.incarnation)
      try await leader.say(.assign([work]))
      try await leader.start(of: work.ref)
    }
    let incarnation = try await incarnations.next { $0 }
    let ref = makeRef("a", incarnation: incarnation)
    #expect(
      try await etcd.get("/rota/agents/agent-1")?.createRevision == incarnation, "nothing is given back")
    #expect(!StrayProcesses.find(under: temporary.path + "/attempts").isEmpty, "nothing is killed")
    let path = temporary.path
    try await withAgent {
      let hello = try await leader.hello()
      #expect(hello.incarnation == incarnation && hello.attempts == [ref])
      let work = try #require(AttemptFolder(ref: ref, root: path + "/attempts")).work
      try Files.write(work + "/go", [])
      let update = try await leader.update { $0.end != nil }
      #expect(update.ref == ref && update.end?.succeeded == true && update.startedAt != nil)
      #expect(update.end?.outputTail == Array("done\n".utf8))
    }
    await leader.stop()
  }

  @Test func whatWasLeftDiesWhenTheLeaseIsGone() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    let left = Inbox<AttemptRef>()
    try await withAgent(leaving: true) {
      let hello = try await leader.hello()
      let work = makeWork("a", .exec(argv: ["sleep", "1000"]), incarnation: hello.incarnation)
      try await leader.say(.assign([work]))
      try await leader.start(of: work.ref)
      left.add(work.ref)
    }
    let ref = try await left.next { $0 }
    try await etcd.delete(.key("/rota/agents/agent-1"))
    let path = temporary.path
    try await withAgent {
      let hello = try await leader.hello()
      #expect(hello.incarnation > ref.incarnation)
      #expect(StrayProcesses.find(under: path + "/attempts").isEmpty, "before the next incarnation begins")
      let update = try await leader.update { $0.end != nil }
      #expect(update.ref == ref && update.end?.reason == .fenced && update.startedAt != nil)
    }
    await leader.stop()
  }

  @Test func whatHasLostItsShimDiesBeforeTheLeaseLapses() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    try await withAgent(leaving: true) {
      let hello = try await leader.hello()
      // It has a session of its own, so that it does not die with the shim.
      let script = "setsid sleep 1000 & sleep 1000"
      let work = makeWork("a", .shell(script: script, interpreter: []), incarnation: hello.incarnation)
      try await leader.say(.assign([work]))
      try await leader.start(of: work.ref)
    }
    let attempts = temporary.path + "/attempts"
    // Its task dies with it.
    for shim in StrayProcesses.list(under: attempts) where shim.isShim { kill(shim.pid, SIGKILL) }
    try await Task.sleep(for: .milliseconds(200))
    #expect(!StrayProcesses.find(under: attempts).isEmpty, "the shim's child lives")
    let begun = ContinuousClock.now
    try await withAgent {
      _ = try await leader.hello()
      #expect(StrayProcesses.find(under: attempts).isEmpty)
      #expect(ContinuousClock.now - begun < .seconds(Self.leaseTTLSeconds))
    }
    await leader.stop()
  }

  @Test func aTaskSavesCheckpointsAndHearsOfIt() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    let script = """
      cat $ROTA_CHECKPOINT_FILE
      save() { printf $1 > tmp; mv tmp $ROTA_CHECKPOINT_FILE; }
      save one
      while ! grep -q "$(printf one | sha256sum | cut -c 1-64) 3" $ROTA_CHECKPOINT_FILE.saved; do sleep 0.02; done
      save two
      while ! grep -q 'not now' $ROTA_CHECKPOINT_FILE.error; do sleep 0.02; done
      save three; exit 1
      """
    try await withAgent {
      let hello = try await leader.hello()
      var work = makeWork("a", .shell(script: script, interpreter: []), incarnation: hello.incarnation)
      work.checkpoint = Array("zero".utf8)
      try await leader.say(.assign([work]))
      let first = try await leader.checkpoints.next { $0 }
      #expect(first.ref == work.ref && first.data == Array("one".utf8))
      try await leader.say(.checkpointAck(work.ref, sequence: first.sequence, error: nil))
      let second = try await leader.checkpoints.next { $0 }
      #expect(second.data == Array("two".utf8) && second.sequence > first.sequence)
      try await leader.say(.checkpointAck(work.ref, sequence: second.sequence, error: "not now"))
      let last = try await leader.checkpoints.next { $0 }
      #expect(last.data == Array("three".utf8))
      let update = try await leader.update { $0.end != nil }
      #expect(update.end?.exitCode == 1 && update.end?.outputTail.starts(with: Array("zero".utf8)) == true)
    }
    await leader.stop()
  }

  /// A task that goes back to what it had saved before has to have it saved again.
  @Test func nothingIsCalledSavedWhileAnotherIsOnItsWay() async throws {
    let leader = Leader(epoch: 1)
    try await announce(try await leader.start(), lease: "1")
    let script = """
      save() { printf $1 > tmp; mv tmp $ROTA_CHECKPOINT_FILE; }
      one="$(printf one | sha256sum | cut -c 1-64) 3"
      save one
      while ! grep -q "$one" $ROTA_CHECKPOINT_FILE.saved; do sleep 0.02; done
      save two
      while [ ! -e sent ]; do sleep 0.02; done
      save one
      sleep 0.3
      [ ! -e $ROTA_CHECKPOINT_FILE.saved ] || exit 9
      touch unsaved
      while ! grep -q "$one" $ROTA_CHECKPOINT_FILE.saved; do sleep 0.02; done
      : > $ROTA_CHECKPOINT_FILE
      while ! grep -q "$one" $ROTA_CHECKPOINT_FILE.saved; do sleep 0.02; done
      """
    let root = temporary.path + "/attempts"
    try await withAgent {
      let hello = try await leader.hello()
      let work = makeWork("a", .shell(script: script, interpreter: []), incarnation: hello.incarnation)
      try await leader.say(.assign([work]))
      let folder = try #require(AttemptFolder(ref: work.ref, root: root)).work
      for wanted in ["one", "two", "one"] {
        let report = try await leader.checkpoints.next { $0 }
        #expect(report.data == Array(wanted.utf8))
        if wanted == "two" {
          try Files.write(folder + "/sent", [])
          while Files.status(folder + "/unsaved") == nil, !StrayProcesses.find(under: root).isEmpty {
            try await Task.sleep(for: .milliseconds(20))
          }
        }
        try await leader.say(.checkpointAck(work.ref, sequence: report.sequence, error: nil))
      }
      let update = try await leader.update { $0.end != nil }
      #expect(update.end?.exitCode == 0, "\(String(describing: update.end))")
    }
    await leader.stop()
  }

  @Test func aRestartedAgentStillRefusesADeposedLeader() async throws {
    let (revision, _, _) = try await leaveBehind()
    let file = temporary.path + "/leader-epoch.json"
    try SavedLeaderEpoch(incarnation: revision, epoch: 5).save(file)
    #expect(SavedLeaderEpoch.load(file, incarnation: revision + 1) == 0, "another incarnation has seen none")
    let deposed = Leader(epoch: 3)
    let current = Leader(epoch: 6)
    try await announce(try await deposed.start(), lease: "1")
    let port = try await current.start()
    try await withAgent {
      // It comes again, because it did not stay.
      _ = try await deposed.hello()
      _ = try await deposed.hello()
      try await announce(port, lease: "1")
      _ = try await current.hello()
      _ = try await current.update { $0.end != nil }
      #expect(SavedLeaderEpoch.load(file, incarnation: revision) == 6)
    }
    await deposed.stop()
    await current.stop()
  }

  /// What a process leaves that was killed: a lease, and begun attempts, one with its shim's result.
  private func leaveBehind() async throws -> (revision: Int64, finished: AttemptRef, unknown: AttemptRef) {
    let folder = try DataFolder(path: temporary.path)
    let lease = try await etcd.leaseGrant(ttlSeconds: 6)
    let record = AgentRecord(
      agentID: "agent-1", host: "here", labels: [:], slots: 1, version: "test",
      startedAt: Timestamp(milliseconds: 0))
    let revision = try await etcd.put("/rota/agents/agent-1", record.encoded(), lease: lease.id)
    try SavedIncarnation(agentID: "agent-1", lease: lease.id, createRevision: revision).save(
      folder.incarnationFile)
    let finished = makeRef("finished", incarnation: revision)
    let unknown = makeRef("unknown", incarnation: revision)
    let attempt = try #require(folder.folder(of: finished))
    try attempt.create()
    try Files.write(attempt.result, Array("E exited 0 0 1 2 3 4 0 0\n".utf8))
    var (journal, _) = try ResultJournal.open(folder.journalFile)
    try journal.append(begun: [finished, unknown])
    journal.finish()
    return (revision, finished, unknown)
  }
}
