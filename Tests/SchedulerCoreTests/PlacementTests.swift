import Testing

@testable import SchedulerCore

private func agent(
  _ id: String, slots: Int = 4, labels: [String: String] = [:], _ resources: Resources = Resources(),
  memoryAvailable: Int64 = 0, incarnation: Int64 = 1
) -> AgentPool.Agent {
  var health = AgentHealth()
  health.memoryAvailable = memoryAvailable
  return AgentPool.Agent(
    id: id, incarnation: incarnation, traits: AgentTraits(labels: labels, kinds: [.exec]), slots: slots,
    resources: resources, health: health)
}

private func requirement(
  _ resources: Resources = Resources(), _ constraints: [Constraint] = [], apartFrom: JobKey? = nil,
  on agent: String? = nil
) -> Requirement {
  Requirement(
    kind: .exec, constraints: constraints, agentID: agent, resources: resources, apartFrom: apartFrom)
}

private let job = JobKey(namespace: "n", jobID: "j")

private func wish(
  random: UInt64 = 1, hashKey: String = "", _ change: (inout Placement) throws -> Void
) rethrows -> PlacementWish {
  var placement = Placement()
  try change(&placement)
  return PlacementWish(placement, of: job, hashKey: hashKey, random: random)
}

/// Which agents are chosen.
@Suite struct PlacementTests {
  /// Chooses and reserves until nothing can be placed.
  private func fill(
    _ pool: inout AgentPool, _ requirement: Requirement, _ wish: PlacementWish = PlacementWish(),
    most: Int = 100
  ) -> [String] {
    var order: [String] = []
    while order.count < most, let id = pool.choose(requirement, wish) {
      pool.reserve(id, requirement.resources)
      pool.began(job, on: id)
      order.append(id)
    }
    return order
  }

  // MARK: Resources

  @Test func whatIsPromisedIsNotPromisedAgain() {
    var pool = AgentPool()
    pool.upsert(agent("a", slots: 10, Resources(cpus: 1, memoryBytes: 100, custom: ["gpu": 1])))
    pool.upsert(agent("b", slots: 20, Resources(cpus: 4)))
    #expect(fill(&pool, requirement(Resources(cpus: 0.3))).count == 3 + 13)
    #expect(pool.canPlace(requirement(Resources(cpus: 0.3))) == false)
    #expect(pool.choose(requirement(Resources(memoryBytes: 101))) == nil)
    #expect(fill(&pool, requirement(Resources(memoryBytes: 100))) == ["a"])
    #expect(fill(&pool, requirement(Resources(custom: ["gpu": 0.5]))) == ["a", "a"])
    #expect(pool.choose(requirement(Resources(custom: ["tpu": 1]))) == nil)
    // Who asks for nothing needs a slot alone.
    #expect(pool.choose(requirement()) == "a" || pool.choose(requirement()) == "b")
    #expect(pool.promised(by: "a") == Resources(cpus: 0.9, memoryBytes: 100, custom: ["gpu": 1]))
    for _ in 0..<3 { pool.release("a", Resources(cpus: 0.3)) }
    pool.release("a", Resources(memoryBytes: 100))
    for _ in 0..<2 { pool.release("a", Resources(custom: ["gpu": 0.5])) }
    #expect(pool.promised(by: "a") == Resources() && pool.usedSlots(of: "a") == 0)
  }

  @Test func theLargestShareIsTheLoad() {
    var pool = AgentPool()
    pool.upsert(agent("a", slots: 10, Resources(cpus: 4)))
    pool.upsert(agent("b", slots: 10, Resources(cpus: 4)))
    pool.reserve("a", Resources(cpus: 3))
    for _ in 0..<5 { pool.reserve("b") }
    #expect(pool.choose(requirement()) == "b")
  }

  @Test func memoryThatOthersUseIsNotThere() {
    var pool = AgentPool()
    pool.upsert(agent("a", Resources(memoryBytes: 1_000), memoryAvailable: 500))
    #expect(pool.choose(requirement(Resources(memoryBytes: 501))) == nil)
    #expect(pool.choose(requirement(Resources(memoryBytes: 500))) == "a")
    #expect(
      pool.unplaceableReason(requirement(Resources(memoryBytes: 501)))
        == "1 agent: 1 with less than 501 of memory that nothing else on the machine uses")
    pool.upsert(agent("a", Resources(memoryBytes: 1_000), memoryAvailable: 900))
    #expect(pool.choose(requirement(Resources(memoryBytes: 501))) == "a")
  }

  // MARK: Strategies

  private func three() -> AgentPool {
    var pool = AgentPool()
    for id in ["a", "b", "c"] { pool.upsert(agent(id, slots: 3)) }
    return pool
  }

  @Test func binPackFillsOneAfterAnother() {
    var pool = three()
    #expect(fill(&pool, requirement(), wish { $0.strategy = .binPack }).joined() == "aaabbbccc")
  }

  @Test func roundRobinGoesAround() {
    var pool = three()
    pool.reserve("a")
    pool.reserve("a")
    #expect(fill(&pool, requirement(), wish { $0.strategy = .roundRobin }, most: 6).joined() == "bcabcb")
  }

  @Test func randomReachesAll() {
    var pool = three()
    var seen: [String: Int] = [:]
    for seed in 0..<300 {
      let id = pool.choose(requirement(), wish(random: UInt64(seed)) { $0.strategy = .random })
      seen[id ?? "", default: 0] += 1
    }
    #expect(seen.count == 3 && seen.values.allSatisfy { $0 > 60 })
    #expect(pool.choose(requirement(), wish { $0.strategy = .random }, avoiding: ["a", "c"]) == "b")
  }

  @Test func aKeyStaysWithItsAgent() {
    var pool = AgentPool()
    for index in 0..<20 { pool.upsert(agent("a\(index)", slots: 100)) }
    func choices() -> [String?] {
      (0..<200).map { pool.choose(requirement(), wish(hashKey: "k\($0)") { $0.strategy = .consistentHash }) }
    }
    let before = choices()
    #expect(Set(before).count == 20)
    #expect(choices() == before)
    // Only the keys of an agent that goes move, and they come back with it.
    pool.remove("a7")
    let without = choices()
    for (old, new) in zip(before, without) { #expect(old == new || old == "a7") }
    pool.upsert(agent("a7", slots: 100, incarnation: 2))
    #expect(choices() == before)
  }

  @Test func aKeyGoesOnWhereItsAgentIsFull() throws {
    var pool = three()
    let wish = wish(hashKey: "k") { $0.strategy = .consistentHash }
    let order = fill(&pool, requirement(), wish)
    #expect(Set(order.prefix(3)).count == 1 && Set(order[3..<6]).count == 1 && Set(order).count == 3)
  }

  // MARK: Preferences

  @Test func affinitiesOutweighTheLoad() throws {
    var pool = AgentPool()
    pool.upsert(agent("a", labels: ["disk": "hdd"]))
    pool.upsert(agent("b", labels: ["disk": "ssd"]))
    pool.upsert(agent("c", labels: ["disk": "ssd", "gpu": "1"]))
    let ssd = try wish { placement in
      placement.affinity = [
        .init(try Constraint(text: "disk=ssd"), weight: 50),
        .init(try Constraint(text: "exists gpu"), weight: -20),
      ]
    }
    #expect(fill(&pool, requirement(), ssd).joined() == "bbbbccccaaaa")
    let faint = try wish { $0.affinity = [.init(try Constraint(text: "disk=ssd"), weight: 2)] }
    pool = AgentPool()
    pool.upsert(agent("a", labels: ["disk": "hdd"]))
    pool.upsert(agent("b", labels: ["disk": "ssd"]))
    // A quarter of an agent's slots is worth 2.5.
    #expect(fill(&pool, requirement(), faint, most: 3).joined() == "bab")
  }

  @Test func newLabelsAreWeighedAnew() throws {
    var pool = AgentPool()
    pool.upsert(agent("a"))
    pool.upsert(agent("b", labels: ["x": "1"]))
    let x = try wish { $0.affinity = [.init(try Constraint(text: "exists x"), weight: 100)] }
    #expect(pool.choose(requirement(), x) == "b")
    pool.upsert(agent("b"))
    pool.upsert(agent("a", labels: ["x": "1"]))
    #expect(pool.choose(requirement(), x) == "a")
  }

  @Test func runsAreSpreadOverTheValuesOfALabel() throws {
    var pool = AgentPool()
    // Zone b has one agent, and as many runs nevertheless.
    for index in 0..<9 { pool.upsert(agent("a\(index)", slots: 20, labels: ["zone": "a"])) }
    pool.upsert(agent("b", slots: 20, labels: ["zone": "b"]))
    pool.upsert(agent("none", slots: 20))
    let order = fill(&pool, requirement(), wish { $0.spread = .init(label: "zone") }, most: 30)
    #expect(order.count { $0 == "b" } == 15 && !order.contains("none"))
    // Another job's runs do not count.
    let other = JobKey(namespace: "n", jobID: "other")
    for _ in 0..<3 { pool.began(other, on: "b") }
    #expect(
      order.last.map { $0 == "b" }
        != (pool.choose(requirement(), wish { $0.spread = .init(label: "zone") }) == "b"))
    // Once runs have ended their zone has fewer.
    for _ in 0..<4 {
      pool.release("b")
      pool.ended(job, on: "b")
    }
    let next = fill(&pool, requirement(), wish { $0.spread = .init(label: "zone") }, most: 4)
    #expect(next == ["b", "b", "b", "b"])
  }

  @Test func ownRunsAreKeptApart() {
    var pool = three()
    let preferred = wish { $0.antiAffinity = .preferred }
    pool.reserve("a")
    pool.reserve("a")
    #expect(Set(fill(&pool, requirement(), preferred, most: 3)) == ["a", "b", "c"])
    #expect(pool.choose(requirement(), preferred) != nil)
    pool = three()
    let apart = requirement(apartFrom: job)
    #expect(fill(&pool, apart).joined() == "abc")
    #expect(pool.canPlace(apart) == false && pool.canPlace(requirement()) == true)
    #expect(pool.unplaceableReason(apart) == "3 agents: 3 with a run of the job")
    pool.release("b")
    pool.ended(job, on: "b")
    #expect(pool.choose(apart) == "b")
    // Also of an agent that has gone and come back, whose run has not been given back yet.
    pool.remove("a")
    pool.upsert(agent("a", slots: 3, incarnation: 2))
    #expect(pool.choose(apart, avoiding: ["b"]) == "b")
  }

  @Test func aPinnedRunTakesNoOther() {
    var pool = three()
    #expect(fill(&pool, requirement(on: "c")).joined() == "ccc")
    #expect(pool.unplaceableReason(requirement(on: "c")) == "3 agents: 2 not agent c, 1 with no free slot")
    #expect(pool.choose(requirement(on: "z")) == nil)
    #expect(pool.report(requirement(on: "z")).suitable == 0)
  }

  // MARK: Reports

  @Test func reportsSayHowManyEachThingExcludes() throws {
    var pool = AgentPool()
    pool.upsert(agent("a", slots: 1, labels: ["zone": "eu"], Resources(cpus: 2)))
    pool.upsert(agent("b", slots: 1, labels: ["zone": "us"], Resources(cpus: 2)))
    pool.upsert(agent("c", slots: 1, labels: ["zone": "eu"], Resources(cpus: 8)))
    pool.upsert(agent("d", slots: 2, labels: ["zone": "eu"], Resources(cpus: 8)))
    pool.reserve("c")
    pool.reserve("d", Resources(cpus: 6))
    let zone = try Constraint(text: "zone=eu")
    let asked = requirement(Resources(cpus: 4), [zone])
    let report = pool.report(asked)
    #expect(report.agents == 4 && report.suitable == 2 && report.free == 0)
    #expect(
      report.exclusions.map { "\($0.excluded) \($0.text)" } == [
        "1 without label zone=eu", "2 with less than 4 cpus", "1 with less than 4 cpus free",
        "1 with no free slot",
      ])
    #expect(report.lasting.map(\.excluded) == [2, 1])
    #expect(
      report.summary
        == "4 agents: 1 without label zone=eu, 1 with less than 4 cpus, 1 with less than 4 cpus free, "
        + "1 with no free slot")
    #expect(pool.whyNot("a", asked) == "has less than 4 cpus")
    #expect(pool.whyNot("b", asked) == "is without label zone=eu")
    #expect(pool.whyNot("c", asked) == "has no free slot")
    #expect(pool.whyNot("e", asked) == "is not there")
  }

  // MARK: Kept agents

  private let now = Timestamp(milliseconds: 1_000)
  private let run = RunKey(job: job, runID: "r")

  @Test func anAgentIsKeptForALargeRun() {
    var pool = AgentPool()
    pool.upsert(agent("a", slots: 8, Resources(cpus: 8)))
    pool.upsert(agent("b", slots: 8, Resources(cpus: 8)))
    pool.upsert(agent("small", slots: 8, Resources(cpus: 2)))
    let small = requirement(Resources(cpus: 1))
    for _ in 0..<5 { pool.reserve("a", small.resources) }
    for _ in 0..<4 { pool.reserve("b", small.resources) }
    let large = requirement(Resources(cpus: 6))
    #expect(pool.choose(large) == nil)
    #expect(pool.keep(for: run, large, at: now) == "b")
    #expect(pool.keep(for: run, large, at: now) == nil)
    // What becomes free there is for nobody else.
    for _ in 0..<2 { pool.release("b", small.resources) }
    #expect(pool.choose(small) == "small" && pool.choose(requirement()) == "small")
    #expect(pool.choose(requirement(on: "b")) == nil)
    #expect(pool.report(small).exclusions.contains { $0.obstacle == .kept && $0.excluded == 1 })
    #expect(pool.choose(large) == "b")
    pool.reserve("b", large.resources)
    pool.endKeeping(for: large)
    #expect(pool.kept.isEmpty && pool.choose(requirement(on: "b")) == "b")
  }

  @Test func oneOfTenIsKeptAndNotForEver() {
    var pool = AgentPool()
    for index in 0..<20 { pool.upsert(agent("a\(10 + index)", slots: 1, Resources(cpus: 8))) }
    for index in 0..<20 { pool.reserve("a\(10 + index)", Resources(cpus: 1)) }
    let kept = (1...5).map { pool.keep(for: run, requirement(Resources(cpus: Double($0) + 1)), at: now) }
    #expect(kept == ["a10", "a11", nil, nil, nil])
    let end = now.adding(milliseconds: PlacementLimits.keepMillis)
    #expect(pool.keptUntil == end)
    pool.reviewKept(at: end.adding(milliseconds: -1)) { _ in true }
    #expect(pool.kept.count == 2)
    pool.reviewKept(at: end) { _ in true }
    #expect(pool.kept.isEmpty)
    // Others have their turn for a while.
    let large = requirement(Resources(cpus: 2))
    #expect(pool.keep(for: run, large, at: end) == nil)
    #expect(
      pool.keep(for: run, large, at: end.adding(milliseconds: PlacementLimits.keepPauseMillis)) == "a10")
    pool.reviewKept(at: end) { _ in false }
    #expect(pool.kept.isEmpty)
  }

  @Test func noAgentIsKeptForWhatNoneHas() {
    var pool = AgentPool()
    pool.upsert(agent("a", Resources(cpus: 8)))
    #expect(pool.keep(for: run, requirement(Resources(cpus: 9)), at: now) == nil)
    #expect(pool.keep(for: run, requirement(), at: now) == nil)
    pool.reserve("a", Resources(cpus: 8))
    #expect(pool.keep(for: run, requirement(Resources(cpus: 8)), at: now) == "a")
    pool.remove("a")
    #expect(pool.kept.isEmpty)
  }

  // MARK: Properties

  private struct Life {
    var agent: AgentPool.Agent
    var runs: [(job: JobKey, resources: Resources)] = []

    var promised: ResourceAmounts {
      runs.reduce(into: ResourceAmounts()) { $0 += ResourceAmounts($1.resources) }
    }
  }

  /// Agents come, go, are replaced and change while runs begin and end: whatever the strategy and the wishes, no agent
  /// is given more than it has, what could be placed is placed, and nothing is left over.
  @Test(arguments: [1, 2, 3] as [UInt64]) func neverMoreThanThereIs(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var pool = AgentPool()
    var model: [String: Life] = [:]
    var placed = 0
    for _ in 0..<2_000 {
      let id = "a\(Int.random(in: 0..<12, using: &random))"
      switch Int.random(in: 0..<12, using: &random) {
      case 0:
        let capacity = Resources(
          cpus: Double.random(in: 0...4, using: &random),
          memoryBytes: Int64.random(in: 0...100, using: &random),
          custom: Bool.random(using: &random) ? ["gpu": 2] : [:])
        let isNext = Bool.random(using: &random)
        let incarnation = (model[id]?.agent.incarnation ?? 0) + (isNext ? 1 : 0)
        let new = agent(
          id, slots: Int.random(in: 0...4, using: &random),
          labels: ["zone": ["x", "y"].randomElement(using: &random) ?? "x"], capacity,
          incarnation: incarnation)
        if isNext { for run in model[id]?.runs ?? [] { pool.ended(run.job, on: id) } }
        model[id] = Life(agent: new, runs: isNext ? [] : model[id]?.runs ?? [])
        pool.upsert(new)
      case 1:
        #expect(pool.remove(id) == (model[id] != nil))
        for run in model.removeValue(forKey: id)?.runs ?? [] { pool.ended(run.job, on: id) }
      case 2...5:
        guard let count = model[id]?.runs.count, count > 0 else { continue }
        let run = model[id]?.runs.remove(at: Int.random(in: 0..<count, using: &random))
        if let run {
          pool.release(id, run.resources)
          pool.ended(run.job, on: id)
        }
      default:
        place(&pool, &model, &random, &placed)
      }
      for (id, life) in model {
        #expect(pool.promised(by: id) == life.promised.resources && pool.usedSlots(of: id) == life.runs.count)
      }
    }
    #expect(placed > 200)
    for (id, life) in model {
      for run in life.runs {
        pool.release(id, run.resources)
        pool.ended(run.job, on: id)
      }
      #expect(pool.usedSlots(of: id) == 0 && pool.promised(by: id) == Resources())
    }
    #expect(pool.ownRuns.isEmpty)
  }

  private func place(
    _ pool: inout AgentPool, _ model: inout [String: Life], _ random: inout SplitMix, _ placed: inout Int
  ) {
    let key = JobKey(namespace: "n", jobID: "j\(Int.random(in: 0..<3, using: &random))")
    // Few different ones, so that they are asked for again.
    let asked = [
      Resources(), Resources(cpus: 0.7), Resources(cpus: 1.1, memoryBytes: 30),
      Resources(custom: ["gpu": 0.4]),
    ].randomElement(using: &random)
    let isApart = Int.random(in: 0..<4, using: &random) == 0
    let requirement = requirement(asked ?? Resources(), apartFrom: isApart ? key : nil)
    var placement = Placement()
    placement.strategy = Placement.Strategy.allCases.randomElement(using: &random) ?? .random
    if Bool.random(using: &random) { placement.spread = .init(label: "zone") }
    if Bool.random(using: &random) { placement.antiAffinity = .preferred }
    let wish = PlacementWish(placement, of: key, hashKey: "k", random: random.next())
    let fitting = model.values.filter { life in
      life.runs.count < life.agent.slots && (!isApart || !life.runs.contains { $0.job == key })
        && life.promised.leaves(requirement.demand, of: ResourceAmounts(life.agent.resources))
    }
    #expect(pool.canPlace(requirement) == !fitting.isEmpty)
    let id = pool.choose(requirement, wish)
    #expect((id != nil) == !fitting.isEmpty)
    guard let id else { return }
    #expect(fitting.contains { $0.agent.id == id })
    placed += 1
    pool.reserve(id, requirement.resources)
    pool.began(key, on: id)
    model[id]?.runs.append((key, requirement.resources))
  }
}
