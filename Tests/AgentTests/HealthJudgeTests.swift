import SchedulerCore
import Testing

@testable import Agent

/// When an agent finds itself unfit for new work.
struct HealthJudgeTests {
  private static func health(
    memory: Int64 = 4 << 30, disk: Int64 = 50 << 30, load: Double = 3, cpu: Double = 0.5
  ) -> AgentHealth {
    var health = AgentHealth()
    (health.memoryTotal, health.memoryAvailable) = (8 << 30, memory)
    (health.diskTotal, health.diskAvailable) = (100 << 30, disk)
    (health.load1, health.cpu) = (load, cpu)
    return health
  }

  @Test func anOrdinaryBusyMachineIsWell() {
    var judge = HealthJudge(policy: HealthPolicy(), cores: 4)
    for _ in 0..<100 {
      #expect(judge.judge(Self.health(memory: 200 << 20, disk: 1 << 30, load: 80, cpu: 1)) == nil)
    }
  }

  @Test func aShortageIsSaidTheSecondTime() {
    var judge = HealthJudge(policy: HealthPolicy(), cores: 4)
    let short = Self.health(disk: 100 << 20)
    #expect(judge.judge(short) == nil)
    #expect(judge.judge(short) == "100 MiB of disk are free, less than 256")
    #expect(judge.judge(Self.health(memory: 10 << 20, disk: 100 << 20)) != nil)
    let both = judge.judge(Self.health(memory: 10 << 20, disk: 100 << 20))
    #expect(both == "10 MiB of memory are available, less than 64; 100 MiB of disk are free, less than 256")
  }

  @Test func atTheLimitItDoesNotComeAndGo() {
    var judge = HealthJudge(policy: HealthPolicy(), cores: 4)
    for _ in 0..<2 { _ = judge.judge(Self.health(disk: 255 << 20)) }
    for _ in 0..<10 { #expect(judge.judge(Self.health(disk: 270 << 20)) != nil) }
    // A fifth more than that, three times.
    let enough = Self.health(disk: 310 << 20)
    #expect(judge.judge(enough) != nil)
    #expect(judge.judge(enough) != nil)
    #expect(judge.judge(enough) == nil)
  }

  @Test func loadAndCoresCountWhenTheyLast() {
    var policy = HealthPolicy()
    policy.maximumLoadPerCore = 10
    policy.maximumCPU = 0.9
    var judge = HealthJudge(policy: policy, cores: 4)
    let busy = Self.health(load: 50, cpu: 0.99)
    for _ in 0..<11 { #expect(judge.judge(busy) == nil) }
    #expect(
      judge.judge(busy)
        == "the load is 12.5 for each core, more than 10.0; 99.0% of the cores are busy, more than 90.0%")
    var calm = HealthJudge(policy: policy, cores: 4)
    for round in 0..<100 {
      #expect(calm.judge(round.isMultiple(of: 10) ? Self.health() : busy) == nil)
    }
  }

  @Test func whatIsNotKnownSaysNothing() {
    var judge = HealthJudge(policy: HealthPolicy(), cores: 4)
    for _ in 0..<20 { #expect(judge.judge(AgentHealth()) == nil) }
  }
}
