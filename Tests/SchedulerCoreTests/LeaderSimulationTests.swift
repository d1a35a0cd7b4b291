import Testing

@testable import SchedulerCore

/// Seeded stories of a whole cluster with faults; see `SimulationSeeds` for how many.
struct LeaderSimulationTests {
  @Test(arguments: SimulationSeeds.parts) func nothingForbiddenHappensAndEverythingEnds(part: Int) {
    let seeds = SimulationSeeds.asked
    var commits = 0
    var takeovers = 0
    var resumptions = 0
    var retries = 0
    var waits = 0
    var retriedByHand = 0
    var adoptions = 0
    var promises = 0
    var (full, skipped, displaced) = (0, 0, 0)
    var count = 0
    seeds.forEach(in: part) { seed in
      count += 1
      var world = LeaderSimulation(seed: seed)
      let violations = world.run()
      commits += world.etcd.history.count
      takeovers += world.servers.reduce(0) { $0 + Int($1.terms) }
      resumptions += world.checker.resumptions
      retries += world.checker.retries
      waits += world.checker.waits
      retriedByHand += world.checker.retriedByHand
      adoptions += world.checker.adoptions
      promises += world.checker.promises
      full += world.checker.limits.full
      skipped += world.checker.limits.skipped
      displaced += world.checker.limits.displaced
      return violations
    }
    // The stories are worth telling.
    guard seeds.areMany else { return }
    #expect(commits > 100 * count)
    #expect(resumptions > count)
    #expect(retries > count && retriedByHand > count && waits > count / 4)
    #expect(takeovers > count)
    #expect(adoptions > count / 2)
    #expect(promises > count)
    #expect(full > count && skipped > count && displaced > 0)
  }

  @Test func aSeedTellsTheSameStoryAgain() {
    for seed in SimulationSeeds.asked.all.prefix(10) {
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
    let caught = (0..<200).contains { seed in
      var world = LeaderSimulation(seed: UInt64(seed), mutation: mutation)
      let violations = world.run()
      return !violations.isEmpty
    }
    #expect(caught, "\(mutation) went unnoticed")
  }

  /// What leaders and users may not do about failures and losses.
  @Test(arguments: [
    (LeaderSimulation.Mutation.filtersForgotten, "its filters exclude"),
    (.totalTimeoutsForgotten, "total timeout"), (.waitsForgotten, "waits for nobody"),
    (.atMostOnceForgotten, "which its job forbids"), (.endsReopened, "became queued"),
    (.limitsForgotten, "runs of g"),
  ])
  func theCheckerNoticesForgottenPolicies(_ mutation: LeaderSimulation.Mutation, _ what: String) {
    let caught = (0..<60).contains { seed in
      var world = LeaderSimulation(seed: UInt64(seed), mutation: mutation)
      return world.run().contains { $0.contains(what) }
    }
    #expect(caught, "\(mutation) went unnoticed")
  }

  /// Written by themselves, without the guards of their runs, checkpoints go wrong.
  @Test func theCheckerNoticesUnguardedCheckpoints() {
    let caught = (0..<150).contains { seed in
      var world = LeaderSimulation(seed: UInt64(seed), mutation: .checkpointsUnguarded)
      return world.run().contains { $0.contains("checkpoint") }
    }
    #expect(caught, "they went unnoticed")
  }
}
