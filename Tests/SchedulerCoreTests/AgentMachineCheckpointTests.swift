import Testing

@testable import SchedulerCore

/// Checkpoints and adopted tasks, decision by decision.
struct AgentMachineCheckpointTests {
  typealias Base = AgentMachineTests

  /// A machine in a session, whose task `a` runs; the boot-time clock is at 1.
  static func machine() -> AgentMachine {
    var machine = Base.machine()
    machine.assign([Base.work("a")], at: Base.at(1))
    _ = machine.takeEffects(at: Base.at(1))
    machine.taskStarted(Base.ref("a"), at: Base.at(1).wall)
    #expect(open(&machine))
    return machine
  }

  static func open(_ machine: inout AgentMachine, epoch: Int64 = 1) -> Bool {
    machine.sessionOpened(leaderEpoch: epoch)
  }

  static func take(_ machine: inout AgentMachine, at seconds: Int64) -> [UInt64] {
    machine.takeCheckpoints(at: Base.at(seconds)).map(\.sequence)
  }

  static func effects(_ machine: inout AgentMachine, at seconds: Int64) -> AgentMachine.Effects {
    machine.takeEffects(at: Base.at(seconds))
  }

  static func status(_ machine: inout AgentMachine) -> AgentStatus? { machine.takeStatus() }

  static func adopt(_ run: String, _ machine: inout AgentMachine) -> Bool {
    machine.adopted(Base.ref(run), startedAt: Base.at(3).wall)
  }

  static func answers(_ machine: inout AgentMachine, at seconds: Int64 = 2) -> [AgentMachine.CheckpointAnswer]
  {
    machine.takeEffects(at: Base.at(seconds)).checkpoints
  }

  @Test func oneIsOnItsWayAtATime() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("a"))
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 5) == [5], "the number is the boot-time clock's")
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 5) == [], "the next waits for the answer")
    machine.checkpointAnswered(Base.ref("a"), sequence: 5, error: nil, at: Base.at(5))
    #expect(Self.answers(&machine) == [.init(ref: Base.ref("a"), sequence: 5, error: nil)])
    #expect(Self.take(&machine, at: 5) == [6], "and rises even where the clock does not")
    machine.checkpointAnswered(Base.ref("a"), sequence: 6, error: "no", at: Base.at(5))
    #expect(Self.answers(&machine).map(\.error) == ["no"])
    #expect(Self.take(&machine, at: 6) == [])
    #expect(machine.counters.savedCheckpoints == 1 && machine.counters.refusedCheckpoints == 1)
  }

  @Test func whatIsNotAnsweredIsSentAgainOnTheNextSession() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 5) == [5])
    machine.sessionClosed()
    #expect(Self.take(&machine, at: 6) == [])
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 6) == [], "nobody is there")
    #expect(Self.open(&machine, epoch: 2))
    #expect(Self.take(&machine, at: 7) == [7], "once, with what is there now")
    // The answer to the first may have been on its way.
    machine.checkpointAnswered(Base.ref("a"), sequence: 5, error: nil, at: Base.at(7))
    #expect(Self.answers(&machine).isEmpty)
    machine.checkpointAnswered(Base.ref("a"), sequence: 7, error: nil, at: Base.at(7))
    #expect(Self.answers(&machine).count == 1)
  }

  @Test func theLastOneGoesBeforeTheEnd() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 5) == [5])
    machine.checkpointChanged(Base.ref("a"))
    machine.taskEnded(Base.ref("a"), Base.done(1))
    #expect(Self.take(&machine, at: 6) == [6], "it does not wait for an answer, as the end does not")
    #expect(Self.status(&machine)?.updates.first?.end != nil)
    machine.checkpointAnswered(Base.ref("a"), sequence: 5, error: nil, at: Base.at(6))
    #expect(Self.answers(&machine).isEmpty, "the older one is of no interest any more")
    // The leader did not hear of either: both are said again, in the same order.
    machine.sessionClosed()
    #expect(Self.open(&machine, epoch: 2))
    #expect(Self.take(&machine, at: 9) == [9])
    let status = machine.takeStatus()
    #expect(status?.updates.first?.end != nil)
    machine.acknowledged(status?.sequence ?? 0)
    _ = machine.takeEffects(at: Base.at(9))
    machine.checkpointAnswered(Base.ref("a"), sequence: 9, error: nil, at: Base.at(9))
    #expect(Self.answers(&machine).isEmpty, "nobody is left to be told")
  }

  @Test func whatWasRefusedGetsOneMoreChanceAtTheEnd() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 5) == [5])
    machine.checkpointAnswered(Base.ref("a"), sequence: 5, error: "try again later", at: Base.at(5))
    #expect(Self.take(&machine, at: 5) == [])
    machine.taskEnded(Base.ref("a"), Base.done(1))
    #expect(Self.take(&machine, at: 6) == [6])
  }

  @Test func withoutTrustNothingIsSentNorConfirmed() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 99) == [99])
    machine.checkpointAnswered(Base.ref("a"), sequence: 99, error: nil, at: Base.at(100))
    #expect(Self.answers(&machine, at: 100).first?.error?.contains("trusted") == true)
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 101) == [])
    // What it left behind is offered all the same: the leader knows whether the run has moved.
    machine.taskEnded(Base.ref("a"), Base.killed)
    #expect(Self.take(&machine, at: 102) == [102])
  }

  @Test func nothingToSendIsNoAnswer() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("a"))
    let request = machine.takeCheckpoints(at: Base.at(5))
    machine.checkpointChanged(Base.ref("a"))
    machine.checkpointNotSent(request[0])
    #expect(Self.take(&machine, at: 6) == [6], "what came meanwhile is looked at")
    machine.checkpointNotSent(request[0])
    #expect(Self.take(&machine, at: 7) == [], "an old request changes nothing")
  }

  @Test func strangersAndTheForgottenAreLeftOut() {
    var machine = Self.machine()
    machine.checkpointChanged(Base.ref("b"))
    machine.checkpointChanged(Base.ref("a"))
    machine.stop([Base.ref("a")], forget: true, reason: "", at: Base.at(2))
    #expect(Self.take(&machine, at: 5) == [])
    machine.checkpointAnswered(Base.ref("c"), sequence: 1, error: nil, at: Base.at(5))
    #expect(Self.answers(&machine).isEmpty)
  }

  // MARK: Adoption

  /// What a new process does before its incarnation is confirmed.
  static func adopting(_ runs: [String], trustedUntil: Int64 = 50) -> AgentMachine {
    var machine = AgentMachine(limits: AgentMachine.Limits(slots: 2))
    machine.leaseTrusted(until: trustedUntil, at: Base.at(10))
    for run in runs { #expect(adopt(run, &machine)) }
    return machine
  }

  @Test func adoptedTasksGoOn() {
    var machine = Self.adopting(["a", "b", "c"])
    #expect(Self.adopt("a", &machine) == false, "once is enough")
    #expect(machine.activeCount == 3 && machine.counters.adopted == 3)
    machine.newIncarnation(Base.incarnation)
    machine.leaseTrusted(until: 200, at: Base.at(11))
    #expect(Set(machine.known.map(\.run.runID)) == ["a", "b", "c"])
    #expect(Self.open(&machine))
    #expect(
      Self.status(&machine)?.updates.map(\.startedAt) == [Base.at(3).wall, Base.at(3).wall, Base.at(3).wall])
    // More than there are slots now: nothing new starts before two have ended.
    machine.assign([Base.work("d"), Base.work("a")], at: Base.at(12))
    #expect(Self.effects(&machine, at: 12).start.isEmpty)
    #expect(machine.counters.duplicateAssignments == 1)
    machine.taskEnded(Base.ref("a"), Base.done())
    #expect(Self.effects(&machine, at: 12).start.isEmpty)
    machine.taskEnded(Base.ref("b"), Base.done())
    #expect(Self.effects(&machine, at: 12).start.map(\.ref.run.runID) == ["d"])
  }

  @Test func adoptedTasksDieWhenTheirIncarnationIsGone() {
    var machine = Self.adopting(["a"])
    machine.incarnationLost(at: Base.at(11))
    #expect(Self.effects(&machine, at: 11).kill == [.init(ref: Base.ref("a"), mode: .now)])
    machine.taskEnded(Base.ref("a"), Base.killed)
    let effects = machine.takeEffects(at: Base.at(11))
    #expect(effects.journal.map(\.end?.reason) == [.fenced])
    #expect(effects.journal.map(\.startedAt) == [Base.at(3).wall])
    #expect(machine.activeCount == 0)
  }

  @Test func adoptedTasksAreFencedWhenNobodyConfirmsTheLease() {
    var machine = Self.adopting(["a"], trustedUntil: 20)
    machine.tick(at: Base.at(19))
    #expect(Self.effects(&machine, at: 19).isEmpty)
    machine.tick(at: Base.at(20))
    #expect(Self.effects(&machine, at: 20).kill.count == 1)
  }

  @Test func adoptedTasksAreCancelledAndSaveAsOthersDo() {
    var machine = Self.adopting(["a"])
    machine.newIncarnation(Base.incarnation)
    #expect(Self.open(&machine))
    machine.checkpointChanged(Base.ref("a"))
    #expect(Self.take(&machine, at: 12) == [12])
    machine.stop([Base.ref("a")], forget: false, reason: "enough", at: Base.at(12))
    #expect(Self.effects(&machine, at: 12).kill == [.init(ref: Base.ref("a"), mode: .terminate)])
    machine.taskEnded(Base.ref("a"), Base.killed)
    let end = machine.takeEffects(at: Base.at(12)).journal.first?.end
    #expect(end?.reason == .cancelled && end?.error == "enough")
  }
}
