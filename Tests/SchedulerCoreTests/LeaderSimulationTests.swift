import Foundation
import Testing

@testable import SchedulerCore

/// Seeded stories of a whole cluster with faults. `ROTA_SIMULATION_SEEDS=2000` runs more of them,
/// `ROTA_SIMULATION_SEED=17` the one that failed.
struct LeaderSimulationTests {
  static let seeds: [UInt64] = {
    let environment = ProcessInfo.processInfo.environment
    if let one = environment["ROTA_SIMULATION_SEED"].flatMap(UInt64.init) { return [one] }
    let count = environment["ROTA_SIMULATION_SEEDS"].flatMap(UInt64.init) ?? 200
    return Array(0..<count)
  }()

  /// Two at a time.
  @Test(arguments: 0..<2) func nothingForbiddenHappensAndEverythingEnds(half: Int) {
    var commits = 0
    var takeovers = 0
    var resumptions = 0
    var count = 0
    for seed in Self.seeds where Self.seeds.count == 1 || seed % 2 == UInt64(half) {
      count += 1
      var world = LeaderSimulation(seed: seed)
      let violations = world.run()
      #expect(violations.isEmpty, "seed \(seed): \(violations.joined(separator: "; "))")
      commits += world.etcd.history.count
      takeovers += world.servers.reduce(0) { $0 + Int($1.terms) }
      resumptions += world.checker.resumptions
    }
    // The stories are worth telling.
    #expect(commits > 100 * count)
    #expect(resumptions > count)
    #expect(takeovers > count)
  }

  @Test func aSeedTellsTheSameStoryAgain() {
    for seed in Self.seeds.prefix(10) {
      var first = LeaderSimulation(seed: seed)
      var second = LeaderSimulation(seed: seed)
      _ = first.run()
      _ = second.run()
      #expect(first.digest == second.digest, "seed \(seed)")
    }
  }

  /// A checker that cannot fail proves nothing.
  @Test(arguments: [LeaderSimulation.Mutation.guardsIgnored, .agentsNeverFence])
  func theCheckerNotices(_ mutation: LeaderSimulation.Mutation) {
    let caught = (0..<60).contains { seed in
      var world = LeaderSimulation(seed: UInt64(seed), mutation: mutation)
      let violations = world.run()
      return !violations.isEmpty
    }
    #expect(caught, "\(mutation) went unnoticed")
  }

  /// Written by themselves, without the guards of their runs, checkpoints go wrong.
  @Test func theCheckerNoticesUnguardedCheckpoints() {
    let caught = (0..<60).contains { seed in
      var world = LeaderSimulation(seed: UInt64(seed), mutation: .checkpointsUnguarded)
      return world.run().contains { $0.contains("checkpoint") }
    }
    #expect(caught, "they went unnoticed")
  }
}
