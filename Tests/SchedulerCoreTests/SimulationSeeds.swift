import Foundation
import Testing

/// Which seeds the simulations run. Every suite whose name ends in `SimulationTests` takes them from here, and is
/// run by `make simulate`:
///
///     @Test(arguments: SimulationSeeds.parts) func nothingForbiddenHappens(part: Int) {
///       SimulationSeeds.asked.forEach(in: part) { seed in Story(seed: seed).run() }
///     }
///
/// `ROTA_SIMULATION_SEEDS` is how many there are (200), `ROTA_SIMULATION_FIRST` the first of them (0): with 1 and 17
/// seed 17 runs alone.
struct SimulationSeeds {
  var first: UInt64
  var count: UInt64

  static let usualCount: UInt64 = 200
  /// Once so many seeds of a part have failed, the rest tells nothing new.
  static let mostFailures = 3

  /// What the environment asks for.
  static let asked = SimulationSeeds(environment: ProcessInfo.processInfo.environment)

  /// The seeds are dealt out to so many tests as there are processors, which run side by side.
  static let parts = 0..<max(1, ProcessInfo.processInfo.activeProcessorCount)

  init(first: UInt64, count: UInt64) {
    self.first = first
    self.count = count
  }

  init(environment: [String: String]) {
    func number(_ name: String, default usual: UInt64) -> UInt64 {
      guard let text = environment[name], !text.isEmpty else { return usual }
      // Not the usual number instead: who mistypes a seed would take its story for a good one.
      guard let value = UInt64(text) else { fatalError("\(name) is '\(text)'; expected a number from 0 on") }
      return value
    }
    self.init(
      first: number("ROTA_SIMULATION_FIRST", default: 0),
      count: number("ROTA_SIMULATION_SEEDS", default: Self.usualCount))
  }

  var all: [UInt64] { (0..<count).map { first &+ $0 } }

  /// Whether there are enough of them for a test to expect something of their average.
  var areMany: Bool { count >= Self.usualCount / 2 }

  /// The seeds of one of `parts`.
  func seeds(in part: Int, of parts: Int = Self.parts.count) -> [UInt64] {
    all.enumerated().filter { $0.offset % parts == part }.map(\.element)
  }

  /// Runs the story of each seed of a part. It returns what went wrong, which fails the test.
  func forEach(in part: Int, _ story: (UInt64) -> [String]) {
    for failure in failures(in: part, story) { Issue.record("\(failure)") }
  }

  /// A line for each seed whose story went wrong, with what to type to see it again.
  func failures(in part: Int, _ story: (UInt64) -> [String]) -> [String] {
    var failures: [String] = []
    for seed in seeds(in: part) where failures.count < Self.mostFailures {
      let violations = story(seed)
      guard !violations.isEmpty else { continue }
      failures.append(
        "seed \(seed): \(violations.joined(separator: "; ")) (again: make simulate FIRST=\(seed) SEEDS=1)")
    }
    return failures
  }
}

struct SimulationSeedsTests {
  @Test(arguments: 1...5) func partsHoldEachSeedOnce(parts: Int) {
    let seeds = SimulationSeeds(first: 40, count: 11)
    let dealt = (0..<parts).flatMap { seeds.seeds(in: $0, of: parts) }
    #expect(dealt.sorted() == Array(40...50))
  }

  @Test func theEnvironmentSaysWhich() {
    let usual = SimulationSeeds(environment: ["ROTA_SIMULATION_FIRST": ""])
    #expect((usual.first, usual.count) == (0, SimulationSeeds.usualCount))
    let one = SimulationSeeds(environment: ["ROTA_SIMULATION_SEEDS": "1", "ROTA_SIMULATION_FIRST": "17"])
    #expect(one.all == [17])
  }

  @Test func failuresAreToldWithTheirSeedAndEndThePart() {
    var ran: [UInt64] = []
    let failures = SimulationSeeds(first: 7, count: UInt64(20 * SimulationSeeds.parts.count)).failures(in: 0)
    { seed in
      ran.append(seed)
      return seed == 7 ? [] : ["wrong", "and worse"]
    }
    #expect(ran.count == SimulationSeeds.mostFailures + 1 && ran.first == 7)
    #expect(failures.count == SimulationSeeds.mostFailures)
    #expect(
      failures.first == "seed \(ran[1]): wrong; and worse (again: make simulate FIRST=\(ran[1]) SEEDS=1)")
  }
}
