import SchedulerCore
import Testing

private let anything = requirement()

private func requirement(_ constraints: [Constraint] = []) -> Requirement {
  Requirement(kind: .exec, constraints: constraints)
}

private func agent(
  _ id: String, slots: Int = 2, labels: [String: String] = [:], kinds: Set<TaskKind> = [.exec],
  tasks: Set<String> = [], cpu: Double = 0, incarnation: Int64 = 1
) -> AgentPool.Agent {
  var health = AgentHealth()
  health.cpu = cpu
  let traits = AgentTraits(labels: labels, kinds: kinds, tasks: tasks)
  return AgentPool.Agent(id: id, incarnation: incarnation, traits: traits, slots: slots, health: health)
}

@Suite struct RequirementTests {
  @Test(arguments: [
    ("zone=eu", true), ("zone=us", false), ("rack=1", false), ("zone!=eu", false), ("zone!=us", true),
    ("rack!=1", true), ("zone in (us,eu)", true), ("zone in (us)", false), ("rack in (1)", false),
    ("zone not_in (us)", true), ("zone not_in (us,eu)", false), ("rack not_in (1)", true),
    ("exists zone", true), ("exists rack", false), ("not_exists zone", false), ("not_exists rack", true),
  ])
  func constraints(text: String, holds: Bool) throws {
    #expect(try Constraint(text: text).isMet(by: ["zone": "eu"]) == holds)
  }

  @Test func orderAndRepetitionDoNotMatter() throws {
    let zone = try Constraint(text: "zone=eu")
    let gpu = try Constraint(text: "exists gpu")
    let both = requirement([zone, gpu])
    #expect(both == requirement([gpu, zone, gpu]))
    #expect(both.isMet(by: AgentTraits(labels: ["zone": "eu", "gpu": "1"])))
    #expect(!both.isMet(by: AgentTraits(labels: ["gpu": "1"])))
  }

  @Test func kindAndTaskHaveToBeOffered() {
    func fits(_ task: TaskSpec, _ kinds: Set<TaskKind>, _ tasks: Set<String> = []) -> Bool {
      Requirement(JobSpec(task: task)).isMet(by: AgentTraits(kinds: kinds, tasks: tasks))
    }
    let resize = TaskSpec.task(name: "resize", payload: "1")
    #expect(fits(.exec(argv: ["a"]), [.exec]) && !fits(.exec(argv: ["a"]), [.task, .noop], ["exec"]))
    #expect(fits(.noop, [.noop]) && !fits(.noop, []))
    #expect(fits(resize, [.task], ["resize"]) && !fits(resize, [.task], ["rotate"]))
    #expect(!fits(resize, Set(TaskKind.builtIn), ["resize"]))
    // The payload is the run's own affair.
    #expect(
      Requirement(JobSpec(task: resize))
        == Requirement(JobSpec(task: .task(name: "resize", payload: TaskSpec.defaultPayload))))
  }

  /// An agent of before there were limits and users would run the task without them.
  @Test func limitsAndUsersHaveToBeKnown() {
    var record = AgentRecord(
      agentID: "a", host: "h", labels: [:], slots: 1, version: "1", startedAt: Timestamp(milliseconds: 0))
    let old = AgentTraits(record)
    record.isolation = "none"
    let new = AgentTraits(record)
    var limited = JobSpec(task: .exec(argv: ["a"]))
    limited.limits.pids = 5
    var other = JobSpec(task: .exec(argv: ["a"]))
    other.runAs = "app"
    for spec in [limited, other] {
      #expect(Requirement(spec).isMet(by: new) && !Requirement(spec).isMet(by: old))
      var pool = AgentPool()
      pool.upsert(agent("a"))
      #expect(
        pool.unplaceableReason(Requirement(spec))
          == "1 agent: 1 does not run exec jobs with limits or as another user")
    }
    #expect(Requirement(JobSpec(task: .exec(argv: ["a"]))).isMet(by: old))
  }
}

@Suite struct AgentPoolTests {
  @Test func choosesTheEmptiestThenTheIdlestThenTheFirst() {
    var pool = AgentPool()
    #expect(pool.choose(anything) == nil)
    #expect(pool.canPlace(anything) == false)
    pool.upsert(agent("c", slots: 4))
    pool.upsert(agent("b", slots: 2))
    pool.upsert(agent("a", slots: 1, cpu: 0.5))
    #expect(pool.freeSlots == 7)
    var order: [String] = []
    while let id = pool.choose(anything) {
      pool.reserve(id)
      order.append(id)
    }
    #expect(order == ["b", "c", "a", "c", "b", "c", "c"])
    #expect(pool.freeSlots == 0)
    #expect(pool.canPlace(anything) == false)
    pool.release("b")
    #expect(pool.choose(anything) == "b")
    #expect(pool.usedSlots(of: "b") == 1)
  }

  @Test func onlyAgentsThatTakeWork() {
    var pool = AgentPool()
    var a = agent("a")
    a.connected = false
    pool.upsert(a)
    var b = agent("b")
    b.draining = true
    pool.upsert(b)
    pool.upsert(agent("c", slots: 0))
    #expect(pool.freeSlots == 0)
    #expect(pool.choose(anything) == nil)
    a.connected = true
    pool.upsert(a)
    #expect(pool.choose(anything) == "a")
    #expect(pool.freeSlots == 2)
    #expect(pool.remove("a") == true)
    #expect(pool.remove("a") == false)
    #expect(pool.choose(anything) == nil)
    #expect(pool.freeSlots == 0)
  }

  @Test func avoidedAgentsAreTheLastResort() {
    var pool = AgentPool()
    for id in ["a", "b", "c"] { pool.upsert(agent(id)) }
    pool.reserve("c")
    #expect(pool.choose(anything, avoiding: ["a", "x"]) == "b")
    #expect(pool.choose(anything, avoiding: ["a", "b"]) == "c")
    #expect(pool.choose(anything, avoiding: ["a", "b", "c"]) == "a")
    #expect(pool.choose(anything) == "a")
  }

  @Test func anIncarnationStartsWithNothingReserved() {
    var pool = AgentPool()
    pool.upsert(agent("a", slots: 2))
    for _ in 0..<3 { #expect(pool.reserve("a") == true) }
    #expect(pool.usedSlots(of: "a") == 3 && pool.freeSlots == 0)
    pool.upsert(agent("a", slots: 4))
    #expect(pool.usedSlots(of: "a") == 3 && pool.freeSlots == 1)
    pool.upsert(agent("a", slots: 4, incarnation: 2))
    #expect(pool.usedSlots(of: "a") == 0 && pool.incarnation(of: "a") == 2)
    #expect(pool.release("a") == false)
    #expect(pool.reserve("z") == false)
    #expect(pool.release("z") == false)
  }

  @Test func newLabelsCount() throws {
    let gpu = requirement([try Constraint(text: "exists gpu")])
    var pool = AgentPool()
    pool.upsert(agent("a"))
    #expect(pool.choose(gpu) == nil)
    #expect(pool.canPlace(anything) == true)
    pool.upsert(agent("a", labels: ["gpu": "1"]))
    #expect(pool.choose(gpu) == "a")
    #expect(pool.agent("a")?.traits.labels == ["gpu": "1"])
    pool.upsert(agent("a"))
    #expect(pool.choose(gpu) == nil)
  }

  @Test func explains() throws {
    var pool = AgentPool()
    let gpu = requirement([try Constraint(text: "exists gpu"), try Constraint(text: "zone=eu")])
    #expect(pool.unplaceableReason(gpu) == "there are no agents")
    pool.upsert(agent("a", slots: 1))
    #expect(pool.unplaceableReason(gpu) == "1 agent: 1 without label gpu")
    let fit = ["gpu": "1", "zone": "eu"]
    pool.upsert(agent("b", slots: 0, labels: fit))
    pool.upsert(agent("c", slots: 1, labels: fit))
    pool.reserve("c")
    #expect(pool.unplaceableReason(gpu) == "3 agents: 1 without label gpu, 2 with no free slot")
    var d = agent("d", labels: fit)
    d.connected = false
    pool.upsert(d)
    var e = agent("e", labels: fit)
    e.draining = true
    pool.upsert(e)
    pool.upsert(agent("f", labels: ["gpu": "1", "zone": "us"]))
    pool.upsert(agent("g", labels: fit))
    #expect(
      pool.unplaceableReason(gpu)
        == "7 agents: 1 without label gpu, 1 without label zone=eu, 1 not connected, 1 draining, "
        + "2 with no free slot, 1 with a free slot")
  }

  @Test func tasksGoWhereTheyAreOffered() {
    let resize = Requirement(kind: .task, taskName: "resize", constraints: [])
    var pool = AgentPool()
    pool.upsert(agent("a"))
    pool.upsert(agent("b", kinds: [.task], tasks: ["rotate"]))
    #expect(pool.choose(resize) == nil && pool.choose(anything) == "a")
    #expect(pool.unplaceableReason(resize) == "2 agents: 2 do not offer task resize")
    #expect(pool.unplaceableReason(anything) == "2 agents: 1 does not run exec jobs, 1 with a free slot")
    pool.upsert(agent("b", kinds: [.task], tasks: ["rotate", "resize"]))
    #expect(pool.choose(resize) == "b" && pool.choose(anything) == "a")
    pool.remove("a")
    #expect(pool.choose(anything) == nil)
  }

  /// Every choice is compared with a search through all agents, while agents come, go and change and
  /// requirements are asked for at different rates.
  @Test(arguments: [1, 2]) func behavesAsASearch(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    var pool = AgentPool()
    var model: [String: (agent: AgentPool.Agent, used: Int)] = [:]
    let requirements = try ["", "zone=a", "zone!=a", "exists gpu", "zone in (a,b)"].map {
      requirement($0.isEmpty ? [] : [try Constraint(text: $0)])
    }
    for step in 0..<5_000 {
      let id = "a\(Int.random(in: 0..<25, using: &random))"
      switch Int.random(in: 0..<12, using: &random) {
      case 0, 1:
        var new = agent(
          id, slots: Int.random(in: 0..<4, using: &random),
          labels: ["zone": ["a", "b", "c"].randomElement(using: &random) ?? "a"],
          cpu: [0, 0.5, .nan].randomElement(using: &random) ?? 0,
          incarnation: Int64.random(in: 1...2, using: &random))
        if Bool.random(using: &random) { new.traits.labels["gpu"] = "1" }
        new.connected = Int.random(in: 0..<5, using: &random) > 0
        new.draining = Int.random(in: 0..<5, using: &random) == 0
        let isSame = model[id]?.agent.incarnation == new.incarnation
        model[id] = (new, isSame ? model[id]?.used ?? 0 : 0)
        pool.upsert(new)
      case 2 where step.isMultiple(of: 3):
        #expect(pool.remove(id) == (model.removeValue(forKey: id) != nil))
      case 2...5:
        let canRelease = (model[id]?.used ?? 0) > 0
        if canRelease { model[id]?.used -= 1 }
        #expect(pool.release(id) == canRelease)
      default:
        // The last requirement is asked for rarely, so that the log of changes outgrows it.
        let rare = step % 2_000 < 4
        let requirement = rare ? requirements[4] : requirements[Int.random(in: 0..<4, using: &random)]
        let avoided = Set((0..<3).map { _ in "a\(Int.random(in: 0..<25, using: &random))" })
        let fitting = model.values.filter {
          $0.agent.connected && !$0.agent.draining && $0.used < $0.agent.slots
            && requirement.isMet(by: $0.agent.traits)
        }
        let best = fitting.min { key($0, avoided) < key($1, avoided) }?.agent.id
        #expect(pool.canPlace(requirement) == !fitting.isEmpty)
        #expect(pool.choose(requirement, avoiding: avoided) == best)
        if let best {
          pool.reserve(best)
          model[best]?.used += 1
        }
      }
      let free = model.values.map { $0.agent.connected && !$0.agent.draining ? $0.agent.slots - $0.used : 0 }
      #expect(pool.freeSlots == free.reduce(0) { $0 + max(0, $1) })
    }
  }

  private func key(
    _ member: (agent: AgentPool.Agent, used: Int), _ avoided: Set<String>
  ) -> (Int, Double, Double, String) {
    let cpu = member.agent.health.cpu
    return (
      avoided.contains(member.agent.id) ? 1 : 0, Double(member.used) / Double(member.agent.slots),
      cpu.isNaN ? 0 : cpu, member.agent.id
    )
  }
}
