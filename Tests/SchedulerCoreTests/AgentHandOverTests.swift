import Testing

@testable import SchedulerCore

/// What an agent does when it is asked to hand work over, and when it cannot take what it is given.
struct AgentHandOverTests {
  private typealias Base = AgentMachineTests

  @Test func whatRunsAndWaitsIsGivenBack() {
    var machine = Base.machine(slots: 1)
    let opened = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened)
    machine.assign([Base.work("a"), Base.work("b")], at: Base.at(1))
    _ = machine.takeEffects(at: Base.at(1))
    machine.handOver([Base.ref("a"), Base.ref("b")], reason: "drained", at: Base.at(2))
    let effects = machine.takeEffects(at: Base.at(2))
    #expect(effects.kill == [.init(ref: Base.ref("a"), mode: .terminate)])
    #expect(
      effects.journal.map(\.end?.reason) == [.agentStopped] && effects.journal.first?.end?.error == "drained")
    machine.taskEnded(Base.ref("a"), Base.killed)
    let end = machine.takeEffects(at: Base.at(3)).journal.first?.end
    #expect(end?.reason == .agentStopped && end?.error == "drained")
    // Of what is over nothing is said again.
    machine.handOver([Base.ref("a")], reason: "drained", at: Base.at(4))
    #expect(machine.takeEffects(at: Base.at(4)).isEmpty)
  }

  @Test func whatItDoesNotHaveItSaysSo() {
    var machine = Base.machine()
    machine.handOver([Base.ref("x")], reason: "drained", at: Base.at(1))
    let ends = machine.takeEffects(at: Base.at(1)).journal
    #expect(ends.map(\.end?.reason) == [.agentStopped] && ends.first?.startedAt == nil)
  }

  @Test func aCancellationOutweighsIt() {
    var machine = Base.machine()
    machine.assign([Base.work("a")], at: Base.at(1))
    _ = machine.takeEffects(at: Base.at(1))
    machine.handOver([Base.ref("a")], reason: "drained", at: Base.at(2))
    machine.stop([Base.ref("a")], forget: false, reason: "enough", at: Base.at(3))
    _ = machine.takeEffects(at: Base.at(3))
    machine.taskEnded(Base.ref("a"), Base.killed)
    #expect(machine.takeEffects(at: Base.at(4)).journal.first?.end?.reason == .cancelled)
  }

  @Test func anEndByItselfIsKept() {
    var machine = Base.machine()
    machine.assign([Base.work("a")], at: Base.at(1))
    _ = machine.takeEffects(at: Base.at(1))
    machine.handOver([Base.ref("a")], reason: "drained", at: Base.at(2))
    machine.taskEnded(Base.ref("a"), Base.done())
    #expect(machine.takeEffects(at: Base.at(3)).journal.first?.end == Base.done())
  }

  /// The leader takes what it has sent for known while the session lasts.
  @Test func whatWasDroppedIsAskedForOnAnotherSession() {
    var limits = AgentMachine.Limits(slots: 10)
    limits.unacknowledged = 4
    var machine = AgentMachine(limits: limits)
    machine.newIncarnation(Base.incarnation)
    machine.leaseTrusted(until: 100, at: Base.at(0))
    let opened = machine.sessionOpened(leaderEpoch: 1)
    #expect(opened)
    for name in ["a", "b", "c", "d"] {
      machine.assign([Base.work(name)], at: Base.at(1))
      _ = machine.takeEffects(at: Base.at(1))
      machine.taskEnded(Base.ref(name), Base.done())
    }
    machine.assign([Base.work("e")], at: Base.at(2))
    #expect(machine.counters.droppedAssignments == 1 && !machine.wantsNewSession)
    let status = machine.takeStatus()
    machine.statusWritten()
    machine.acknowledged(status?.sequence ?? 0)
    #expect(machine.wantsNewSession)
    machine.sessionClosed()
    #expect(!machine.wantsNewSession)
    let again = machine.sessionOpened(leaderEpoch: 1)
    #expect(again && !machine.wantsNewSession)
    machine.assign([Base.work("e")], at: Base.at(3))
    #expect(machine.takeEffects(at: Base.at(3)).start.map(\.ref) == [Base.ref("e")])
  }
}
