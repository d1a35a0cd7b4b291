import Foundation
import SchedulerCore

/// How long it takes to choose an agent for each of many queued runs. No process is involved: it is what the leader does in
/// memory before it commits.
struct PlacementBench {
  private static let runs = 10_000
  private static let agents = 1_000
  private static let slots = 16

  /// What a kind of runs asks for and wishes.
  private struct Kind {
    var name: String
    /// The requirement of each run, and its wish.
    var asks: (Int) throws -> (Requirement, PlacementWish)
  }

  static func row() throws -> Row {
    var figures: [(name: String, value: Double)] = []
    for kind in try kinds() { figures.append((kind.name + "_ms", try millis(kind))) }
    return Row(
      name: "placement: 10,000 runs, 1,000 agents", figures: figures, target: "milliseconds, not seconds")
  }

  private static func kinds() throws -> [Kind] {
    let job = JobKey(namespace: "default", jobID: "bench")
    let plain = Requirement(kind: .exec, constraints: [])
    func placed(_ name: String, _ change: (inout Placement) throws -> Void) throws -> Kind {
      var placement = Placement()
      try change(&placement)
      return Kind(name: name) { index in
        (plain, PlacementWish(placement, of: job, hashKey: "key-\(index % 500)", random: UInt64(index)))
      }
    }
    return [
      Kind(name: "least_loaded") { _ in (plain, PlacementWish()) },
      Kind(name: "twenty_classes") { index in
        let zone = try Constraint(text: "zone=z\(index % 5)")
        let resources = Resources(cpus: Double(index / 5 % 4 + 1) / 4, memoryBytes: 1 << 28)
        return (Requirement(kind: .exec, constraints: [zone], resources: resources), PlacementWish())
      },
      try placed("bin_pack") { $0.strategy = .binPack },
      try placed("round_robin") { $0.strategy = .roundRobin },
      try placed("random") { $0.strategy = .random },
      try placed("consistent_hash") { $0.strategy = .consistentHash },
      try placed("affinity_and_spread") { placement in
        placement.affinity = [
          .init(try Constraint(text: "disk=ssd"), weight: 50),
          .init(try Constraint(text: "exists gpu"), weight: -20),
        ]
        placement.spread = .init(label: "zone")
      },
    ]
  }

  private static func pool() -> AgentPool {
    var pool = AgentPool()
    for index in 0..<agents {
      var labels = ["zone": "z\(index % 5)", "disk": index % 3 == 0 ? "ssd" : "hdd"]
      if index % 10 == 0 { labels["gpu"] = "1" }
      pool.upsert(
        AgentPool.Agent(
          id: "agent-\(index)", incarnation: 1, traits: AgentTraits(labels: labels), slots: slots,
          resources: Resources(cpus: 16, memoryBytes: 1 << 36)))
    }
    return pool
  }

  /// From a queue of all runs, behind a class that no agent can take, to the last one's agent.
  private static func millis(_ kind: Kind) throws -> Double {
    var pool = pool()
    var queue = ReadyQueue()
    let job = JobKey(namespace: "default", jobID: "bench")
    let blocked = Requirement(kind: .exec, constraints: [try Constraint(text: "zone=nowhere")])
    let now = Timestamp(milliseconds: 1_000)
    var wishes: [RunKey: PlacementWish] = [:]
    for index in 0..<runs {
      let (requirement, wish) = try kind.asks(index)
      let run = RunKey(job: job, runID: "r\(index)")
      wishes[run] = wish
      queue.insert(.init(run: run, priority: 50, enqueuedAt: now, requirement: requirement))
    }
    queue.insert(
      .init(run: RunKey(job: job, runID: "blocked"), priority: 100, enqueuedAt: now, requirement: blocked))
    let start = ContinuousClock.now
    var placed = 0
    while true {
      let batch = queue.drain(limit: 2_000, now: now) { entry in
        guard let id = pool.choose(entry.requirement, wishes[entry.run] ?? PlacementWish()) else {
          return .noAgent
        }
        pool.reserve(id, entry.requirement.resources)
        pool.began(job, on: id)
        return .placed
      }
      placed += batch
      if batch < 2_000 { break }
    }
    let took = ContinuousClock.now - start
    guard placed == runs else { throw BenchError("\(placed) of \(runs) runs were placed: \(kind.name)") }
    return Double(took.components.seconds) * 1_000 + Double(took.components.attoseconds) / 1e15
  }
}
