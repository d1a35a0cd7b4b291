import Foundation
import Testing

@testable import SchedulerCore

/// Writes histories of stories for `Tests/Faults/test_simulated.py`, into the folder that the environment names.
struct DiarySimulationTests {
  static let folder = ProcessInfo.processInfo.environment["ROTA_SIMULATION_HISTORIES"]
  /// How many of each kind.
  static let stories: UInt64 = 40

  @Test(
    .enabled(if: folder != nil, "ROTA_SIMULATION_HISTORIES names no folder"),
    arguments: [
      LeaderSimulation.Mutation.none, .guardsIgnored,
    ])
  func historiesAreWritten(_ mutation: LeaderSimulation.Mutation) throws {
    let folder = URL(filePath: try #require(Self.folder))
    for seed in 0..<Self.stories {
      var world = LeaderSimulation(seed: seed, mutation: mutation)
      world.checker.diary = SimulationDiary(keyspace: world.keyspace)
      world.endsAtViolation = false
      let violations = world.run()
      let diary = try #require(world.checker.diary)
      try diary.history(of: world.etcd, isOver: violations.isEmpty).write(
        to: folder.appending(path: "\(mutation)-\(seed).jsonl"), atomically: false, encoding: .utf8)
    }
  }
}
