import ArgumentParser
import SchedulerCore

/// The flags that say what of an agent an attempt is promised, and which agent is chosen.
struct PlacementOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What the agent has to have free and promises to each attempt, as cpus=2, memory=4GiB or gpu=1; may be given several times.",
      valueName: "name=amount"))
  var resource: [PairArgument] = []

  @Option(
    help: ArgumentHelp(
      "How agents are ordered: least_loaded (when not given), bin_pack, round_robin, consistent_hash or random.",
      valueName: "strategy"))
  var strategy: Placement.Strategy?

  @Option(
    help: ArgumentHelp(
      "What a consistent hash is of, as 'customer-{{params.customer}}'; the job when not given.",
      valueName: "text"))
  var hashKey: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Agents that are preferred, with a weight of -100 to 100: disk=ssd:50 or 'exists gpu:-100'; may be given several times.",
      valueName: "condition:weight"))
  var affinity: [String] = []

  @Option(
    help: ArgumentHelp(
      "Spread the job's runs over the values of a label, as zone or zone:80.", valueName: "label[:weight]"))
  var spread: String?

  @Option(
    help: ArgumentHelp("Keep the job's runs on different agents: preferred or required.", valueName: "how"))
  var antiAffinity: Placement.AntiAffinity?

  @Option(help: ArgumentHelp("The one agent that may run it.", valueName: "id"))
  var onAgent: String?

  /// Changes what is given.
  func apply(to spec: inout JobSpec) throws {
    if !resource.isEmpty { spec.resources = try Self.resources(resource, flag: "--resource") }
    if let strategy {
      spec.placement.strategy = strategy
      if strategy != .consistentHash { spec.placement.hashKey = nil }
    }
    if let hashKey { spec.placement.hashKey = hashKey }
    if !affinity.isEmpty {
      spec.placement.affinity = try affinity.map { text in
        try SpecOptions.reading("--affinity") { try Placement.Affinity(text: text) }
      }
    }
    if let spread {
      spec.placement.spread = try SpecOptions.reading("--spread") { try Placement.Spread(text: spread) }
    }
    if let antiAffinity { spec.placement.antiAffinity = antiAffinity }
    if let onAgent { spec.placement.agent = onAgent }
  }

  /// Resources by their names.
  static func resources(_ pairs: [PairArgument], flag: String) throws -> Resources {
    var resources = Resources()
    for pair in pairs {
      try SpecOptions.reading(flag) { try resources.set(pair.name, pair.value) }
    }
    return resources
  }
}

extension Placement.Strategy: ExpressibleByArgument {}
extension Placement.AntiAffinity: ExpressibleByArgument {}
