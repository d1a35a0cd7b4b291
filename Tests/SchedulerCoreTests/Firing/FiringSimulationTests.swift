import Testing

@testable import SchedulerCore

/// Seeded stories of servers that own segments and fire schedules, while they die, stall, drain and are wrong about the
/// time, and users pause, trigger, skip, change, delete and backfill; see `SimulationSeeds` for how many.
struct FiringSimulationTests {
  @Test(arguments: SimulationSeeds.parts) func eachOccurrenceIsDecidedOnceAndAsDocumented(part: Int) {
    let seeds = SimulationSeeds.asked
    var count = 0
    var fired = 0
    var leftOut = 0
    var backfilled = 0
    var moves = 0
    seeds.forEach(in: part) { seed in
      count += 1
      var world = LeaderSimulation(seed: seed, hasSchedules: true)
      let violations = world.run()
      fired += world.firingChecker.fired
      leftOut += world.firingChecker.leftOut
      backfilled += world.firingChecker.backfilled
      moves += world.firingChecker.takeovers
      return violations
    }
    // The stories are worth telling.
    guard seeds.areMany else { return }
    #expect(fired > 20 * count)
    #expect(leftOut > 5 * count)
    #expect(backfilled > count / 20)
    #expect(moves > 10 * count)
  }

  @Test func aSeedTellsTheSameStoryAgain() {
    for seed in SimulationSeeds.asked.all.prefix(5) {
      var first = LeaderSimulation(seed: seed, hasSchedules: true)
      var second = LeaderSimulation(seed: seed, hasSchedules: true)
      _ = first.run()
      _ = second.run()
      #expect(first.digest == second.digest, "seed \(seed)")
    }
  }

  /// A checker that cannot fail proves nothing.
  @Test(arguments: [
    (LeaderSimulation.Mutation.epochsIgnored, "wrote to segment"), (.jobsUnordered, ""),
    (.missedForgotten, "lost"), (.statesUnwritten, "no occurrence that was passed"),
    (.misfireTwice, "missed"),
  ])
  func theCheckerNotices(_ mutation: LeaderSimulation.Mutation, _ complaint: String) {
    let caught = (0..<60).contains { seed in
      var world = LeaderSimulation(seed: UInt64(seed), mutation: mutation, hasSchedules: true)
      return world.run().contains { complaint.isEmpty || $0.contains(complaint) }
    }
    #expect(caught, "\(mutation) went unnoticed")
  }
}
