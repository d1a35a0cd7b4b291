import ArgumentParser

/// What can be measured.
enum Scenario: String, CaseIterable {
  /// From submit to start on an idle cluster.
  case latency
  /// Short jobs, from submit to recorded result.
  case throughput
  /// Unary calls, beside other servers'.
  case gets
  /// Many jobs due within a minute, and at one instant.
  case due
  /// Many jobs due within a minute, on three servers of which one is killed.
  case failover
  /// The arithmetic of schedules, without any process.
  case next
  /// The choice of agents for many queued runs, without any process.
  case placement
  /// A server with a million jobs stored that are not due.
  case stored

  /// Those that share a cluster with one server.
  static let onOneServer: Set<Scenario> = [.latency, .throughput, .gets, .due]
}

/// `latency,due`.
struct ScenarioList: ExpressibleByArgument {
  let scenarios: Set<Scenario>

  init(_ scenarios: [Scenario]) { self.scenarios = Set(scenarios) }

  init?(argument: String) {
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    let scenarios = words.compactMap { Scenario(rawValue: String($0)) }
    guard !scenarios.isEmpty, scenarios.count == words.count else { return nil }
    self.init(scenarios)
  }

  var defaultValueDescription: String {
    scenarios.count == Scenario.allCases.count
      ? "all" : scenarios.map(\.rawValue).sorted().joined(separator: ",")
  }
}

extension FailoverBench.Victim: ExpressibleByArgument {}
