import Testing

@testable import SchedulerCore

/// The agent's decisions, one by one.
struct AgentMachineTests {
  static let incarnation: Int64 = 7

  static func ref(_ run: String, attempt: Int = 1, incarnation: Int64 = Self.incarnation) -> AttemptRef {
    AttemptRef(
      run: RunKey(job: JobKey(namespace: "default", jobID: "job"), runID: run), attempt: attempt,
      fence: Int64(attempt), incarnation: incarnation)
  }

  static func work(_ run: String, attempt: Int = 1, task: TaskSpec = .exec(argv: ["true"])) -> Assignment {
    Assignment(
      ref: ref(run, attempt: attempt), spec: JobSpec(task: task), scheduledTime: Timestamp(milliseconds: 0))
  }

  static func at(_ seconds: Int64) -> AgentTime {
    AgentTime(wall: Timestamp(milliseconds: seconds * 1_000), boot: seconds)
  }

  static func done(_ code: Int = 0) -> AttemptEnd {
    AttemptEnd(endedAt: Timestamp(milliseconds: 5), reason: .exited, exitCode: code)
  }

  static let killed = AttemptEnd(endedAt: Timestamp(milliseconds: 6), reason: .cancelled, signal: 9)

  /// A machine with an incarnation that is trusted until second 100.
  static func machine(slots: Int = 2) -> AgentMachine {
    var machine = AgentMachine(limits: AgentMachine.Limits(slots: slots))
    machine.newIncarnation(incarnation)
    machine.leaseTrusted(until: 100, at: at(0))
    return machine
  }

  @Test func slotsAreKept() {
    var machine = Self.machine(slots: 2)
    machine.assign([Self.work("a"), Self.work("b"), Self.work("c")], at: Self.at(1))
    let effects1 = machine.takeEffects(at: Self.at(1))
    #expect(effects1.start.map(\.ref.run.runID) == ["a", "b"])
    #expect(machine.waitingCount == 1)
    machine.taskEnded(Self.ref("a"), Self.done())
    let effects = machine.takeEffects(at: Self.at(1))
    #expect(effects.start.map(\.ref.run.runID) == ["c"])
    #expect(effects.journal.map(\.ref.run.runID) == ["a"])
  }

  @Test func noopsTakeNoSlot() {
    var machine = Self.machine(slots: 1)
    machine.assign([Self.work("a"), Self.work("n", task: .noop)], at: Self.at(1))
    let effects2 = machine.takeEffects(at: Self.at(1))
    #expect(effects2.start.count == 2)
  }

  @Test func duplicatesAreDroppedAlsoAfterTheEndWasAcknowledged() {
    var machine = Self.machine()
    machine.assign([Self.work("a")], at: Self.at(1))
    machine.assign([Self.work("a")], at: Self.at(1))
    let effects3 = machine.takeEffects(at: Self.at(1))
    #expect(effects3.start.count == 1)
    let opened4 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened4)
    machine.taskEnded(Self.ref("a"), Self.done())
    let status5 = machine.takeStatus()
    #expect(status5?.sequence == 1)
    machine.acknowledged(1)
    let effects6 = machine.takeEffects(at: Self.at(1))
    #expect(effects6.unjournal == [Self.ref("a")])
    #expect(machine.unacknowledgedCount == 0)
    machine.assign([Self.work("a")], at: Self.at(1))
    let effects7 = machine.takeEffects(at: Self.at(1))
    #expect(effects7.isEmpty)
    #expect(machine.counters.duplicateAssignments == 2)
  }

  @Test func anotherIncarnationsAssignmentIsRefused() {
    var machine = Self.machine()
    var work = Self.work("a")
    work.ref = Self.ref("a", incarnation: 6)
    machine.assign([work], at: Self.at(1))
    let effects8 = machine.takeEffects(at: Self.at(1))
    #expect(effects8.isEmpty)
    #expect(machine.counters.foreignAssignments == 1)
  }

  @Test func untrustedMeansFencedWithoutAStart() {
    var machine = Self.machine()
    machine.assign([Self.work("a")], at: Self.at(100))
    let effects = machine.takeEffects(at: Self.at(100))
    #expect(effects.start.isEmpty)
    #expect(effects.journal.map(\.end?.reason) == [.fenced])
  }

  @Test func trustThatRunsOutKillsAll() {
    var machine = Self.machine(slots: 1)
    machine.assign([Self.work("a"), Self.work("b")], at: Self.at(1))
    _ = machine.takeEffects(at: Self.at(1))
    machine.tick(at: Self.at(100))
    var effects = machine.takeEffects(at: Self.at(100))
    #expect(effects.kill == [AgentMachine.Kill(ref: Self.ref("a"), mode: .now)])
    #expect(effects.journal.map(\.end?.reason) == [.fenced])
    // A renewal that comes too late saves nothing, but new work may come.
    machine.leaseTrusted(until: 200, at: Self.at(101))
    machine.taskEnded(Self.ref("a"), Self.killed)
    machine.assign([Self.work("c")], at: Self.at(101))
    effects = machine.takeEffects(at: Self.at(101))
    #expect(effects.journal.map(\.end?.reason) == [.fenced])
    #expect(effects.start.map(\.ref.run.runID) == ["c"])
  }

  @Test func aLateRenewalDoesNotHideThatTrustHadRunOut() {
    var machine = Self.machine()
    machine.assign([Self.work("a")], at: Self.at(1))
    _ = machine.takeEffects(at: Self.at(1))
    machine.leaseTrusted(until: 200, at: Self.at(150))
    let effects9 = machine.takeEffects(at: Self.at(150))
    #expect(effects9.kill.count == 1)
  }

  @Test func fullMeansStartFailed() {
    var machine = Self.machine(slots: 1)
    let many = (0..<1_003).map { Self.work("r\($0)") }
    machine.assign(many, at: Self.at(1))
    let effects = machine.takeEffects(at: Self.at(1))
    #expect(effects.start.count == 1)
    #expect(effects.journal.map(\.end?.reason) == [.startFailed])
    #expect(effects.journal.first?.end?.error?.contains("full") == true)
  }

  @Test func stopTerminatesAndReportsCancelled() {
    var machine = Self.machine(slots: 1)
    machine.assign([Self.work("a"), Self.work("b")], at: Self.at(1))
    _ = machine.takeEffects(at: Self.at(1))
    machine.stop([Self.ref("a"), Self.ref("b")], forget: false, reason: "by user", at: Self.at(2))
    var effects = machine.takeEffects(at: Self.at(2))
    #expect(effects.kill == [AgentMachine.Kill(ref: Self.ref("a"), mode: .terminate)])
    #expect(effects.journal.map(\.end?.reason) == [.cancelled])
    machine.taskEnded(Self.ref("a"), Self.killed)
    effects = machine.takeEffects(at: Self.at(2))
    #expect(effects.journal.first?.end?.reason == .cancelled)
    #expect(effects.journal.first?.end?.error == "by user")
  }

  @Test func aTaskThatEndedBeforeItsKillKeepsItsEnd() {
    var machine = Self.machine()
    machine.assign([Self.work("a")], at: Self.at(1))
    machine.stop([Self.ref("a")], forget: false, reason: "by user", at: Self.at(2))
    machine.taskEnded(Self.ref("a"), Self.done(3))
    let effects10 = machine.takeEffects(at: Self.at(2))
    #expect(effects10.journal.first?.end == Self.done(3))
  }

  @Test func forgottenAttemptsAreNotReported() {
    var machine = Self.machine()
    machine.assign([Self.work("a"), Self.work("b")], at: Self.at(1))
    _ = machine.takeEffects(at: Self.at(1))
    machine.taskEnded(Self.ref("b"), Self.done())
    _ = machine.takeEffects(at: Self.at(1))
    machine.stop([Self.ref("a"), Self.ref("b")], forget: true, reason: "", at: Self.at(2))
    var effects = machine.takeEffects(at: Self.at(2))
    #expect(effects.kill == [AgentMachine.Kill(ref: Self.ref("a"), mode: .now)])
    #expect(effects.unjournal == [Self.ref("b")])
    #expect(machine.known.isEmpty)
    machine.taskEnded(Self.ref("a"), Self.killed)
    effects = machine.takeEffects(at: Self.at(2))
    #expect(effects.journal.isEmpty)
    let opened11 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened11)
    let status12 = machine.takeStatus()
    #expect(status12 == nil)
  }

  @Test func stoppingWhatIsNotThereIsConfirmed() {
    var machine = Self.machine()
    machine.stop([Self.ref("x")], forget: false, reason: "by user", at: Self.at(2))
    let effects13 = machine.takeEffects(at: Self.at(2))
    #expect(effects13.journal.first?.end?.reason == .cancelled)
    machine.assign([Self.work("x")], at: Self.at(3))
    let effects14 = machine.takeEffects(at: Self.at(3))
    #expect(effects14.start.isEmpty)
  }

  @Test func startAndEndMergeIntoOneUpdate() {
    var machine = Self.machine()
    let opened15 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened15)
    machine.assign([Self.work("a")], at: Self.at(1))
    machine.taskStarted(Self.ref("a"), at: Timestamp(milliseconds: 3))
    machine.taskEnded(Self.ref("a"), Self.done())
    let status = machine.takeStatus()
    #expect(status?.updates.count == 1)
    #expect(status?.updates.first?.startedAt == Timestamp(milliseconds: 3))
    #expect(status?.updates.first?.end == Self.done())
  }

  @Test func oneStatusAtATime() {
    var machine = Self.machine()
    let opened16 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened16)
    machine.assign([Self.work("a"), Self.work("b")], at: Self.at(1))
    machine.taskEnded(Self.ref("a"), Self.done())
    let status17 = machine.takeStatus()
    #expect(status17?.sequence == 1)
    machine.taskEnded(Self.ref("b"), Self.done())
    let status18 = machine.takeStatus()
    #expect(status18 == nil)
    machine.statusWritten()
    let status19 = machine.takeStatus()
    #expect(status19?.sequence == 2)
  }

  @Test func aNewSessionRepeatsWhatWasNotAcknowledged() {
    var machine = Self.machine(slots: 3)
    let opened20 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened20)
    machine.assign([Self.work("a"), Self.work("b"), Self.work("c")], at: Self.at(1))
    machine.taskEnded(Self.ref("a"), Self.done())
    _ = machine.takeStatus()
    machine.acknowledged(1)
    machine.statusWritten()
    machine.taskEnded(Self.ref("b"), Self.done())
    machine.taskStarted(Self.ref("c"), at: Timestamp(milliseconds: 3))
    _ = machine.takeStatus()
    machine.sessionClosed()
    #expect(Set(machine.known.map(\.run.runID)) == ["b", "c"])
    let opened21 = machine.sessionOpened(leaderEpoch: 2)
    #expect(opened21)
    let status = machine.takeStatus()
    #expect(status?.sequence == 1)
    #expect(Set(status?.updates.map(\.ref.run.runID) ?? []) == ["b", "c"])
  }

  @Test func anOlderLeaderIsRefused() {
    var machine = Self.machine()
    let opened22 = machine.sessionOpened(leaderEpoch: 5)
    #expect(opened22)
    machine.sessionClosed()
    let opened23 = machine.sessionOpened(leaderEpoch: 4)
    #expect(!opened23)
    let opened24 = machine.sessionOpened(leaderEpoch: 5)
    #expect(opened24)
  }

  @Test func drainingGivesBackWhatWaits() {
    var machine = Self.machine(slots: 1)
    let opened25 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened25)
    machine.assign([Self.work("a"), Self.work("b")], at: Self.at(1))
    _ = machine.takeEffects(at: Self.at(1))
    machine.drain(at: Self.at(2))
    machine.assign([Self.work("c")], at: Self.at(2))
    let effects = machine.takeEffects(at: Self.at(2))
    #expect(effects.kill.isEmpty)
    #expect(effects.journal.map(\.end?.reason) == [.agentStopped, .agentStopped])
    let status26 = machine.takeStatus()
    #expect(status26?.draining == true)
    machine.stopAll(mode: .terminate, at: Self.at(3))
    machine.taskEnded(Self.ref("a"), Self.killed)
    let effects27 = machine.takeEffects(at: Self.at(3))
    #expect(effects27.journal.first?.end?.reason == .agentStopped)
  }

  @Test func healthGoesWithoutASequence() {
    var machine = Self.machine()
    let opened28 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened28)
    machine.healthSampled(AgentHealth())
    let status29 = machine.takeStatus()
    #expect(status29 == AgentStatus(sequence: 0, health: AgentHealth()))
  }

  @Test func recoveredEndsAreReportedAndNotRunAgain() {
    var machine = Self.machine()
    machine.recovered([AttemptUpdate(ref: Self.ref("a"), end: Self.done())], known: [Self.ref("b")])
    machine.assign([Self.work("a"), Self.work("b")], at: Self.at(1))
    let effects30 = machine.takeEffects(at: Self.at(1))
    #expect(effects30.start.isEmpty)
    let opened31 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened31)
    let status32 = machine.takeStatus()
    #expect(status32?.updates.first?.end == Self.done())
  }

  @Test func aLostIncarnationKillsAndItsEndsAreStillReported() {
    var machine = Self.machine()
    machine.assign([Self.work("a")], at: Self.at(1))
    _ = machine.takeEffects(at: Self.at(1))
    machine.incarnationLost(at: Self.at(2))
    let effects33 = machine.takeEffects(at: Self.at(2))
    #expect(effects33.kill.count == 1)
    #expect(machine.activeCount == 1)
    machine.taskEnded(Self.ref("a"), Self.killed)
    #expect(machine.activeCount == 0)
    machine.newIncarnation(8)
    machine.leaseTrusted(until: 200, at: Self.at(3))
    let opened34 = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened34)
    let status35 = machine.takeStatus()
    #expect(status35?.updates.first?.ref.incarnation == Self.incarnation)
  }
}
