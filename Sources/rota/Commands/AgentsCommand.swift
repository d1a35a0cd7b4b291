import ArgumentParser
import Proto
import SchedulerCore

/// `rota agents`
struct AgentsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "agents", abstract: "List agents, and take them out of service.",
    discussion: """
      Examples:
        rota agents
        rota agents drain node-7 --timeout 1h --note 'kernel update'
        rota agents undrain node-7
      """,
    subcommands: [AgentsListCommand.self, AgentsDrainCommand.self, AgentsUndrainCommand.self],
    defaultSubcommand: AgentsListCommand.self)
}

/// `rota agents list`
struct AgentsListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the agents that hold a lease.")
  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let client = try server.client()
    let agents = try await Pages.collect(limit: 0) { size, token in
      let answer: ListAgentsResponse = try await client.call(
        "/rota.v1.Agents/List", ListAgentsRequest(pageSize: size, pageToken: token))
      return (answer.agents, answer.nextPageToken)
    }.entries
    if output.output == .json {
      return ViewJSON.print("agents", agents) { $0.write(to: &$1) }
    }
    var table = Table([
      "AGENT", "HOST", "STATE", "SLOTS", "LOAD", "FREE MEMORY", "FREE DISK", "STARTED", "LABELS", "RUNS",
      "LIMITS", "RESOURCES", "WHY",
    ])
    for agent in agents {
      let labels = agent.record.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      table.add([
        agent.record.agentID, agent.record.host,
        Self.state(agent),
        "\(agent.slotsUsed)/\(agent.record.slots)",
        agent.health.map { "\(($0.load1 * 10).rounded() / 10)" } ?? "-",
        agent.health.map { Texts.gibibytes($0.memoryAvailable) } ?? "-",
        agent.health.map { Texts.gibibytes($0.diskAvailable) } ?? "-", Texts.time(agent.record.startedAt),
        labels.isEmpty ? "-" : labels.joined(separator: ","), Self.work(agent.record),
        agent.record.isolation.isEmpty ? "-" : agent.record.isolation, Self.resources(agent),
        Self.reason(agent),
      ])
    }
    table.print()
  }

  private static func state(_ agent: AgentView) -> String {
    if agent.drain != nil { return agent.slotsUsed == 0 ? "drained" : "draining" }
    if agent.draining { return "leaving" }
    guard agent.connected else { return "not connected" }
    guard let state = agent.healthState, state != .healthy else { return "connected" }
    return state.rawValue
  }

  /// Why it gets no new work, or less.
  private static func reason(_ agent: AgentView) -> String {
    let drain = agent.drain.map { drain in
      (drain.note.map { "\($0); " } ?? "")
        + (drain.deadline.map { "what runs may go on until \(Texts.time($0))" } ?? "what runs may finish")
    }
    let kept = agent.keptFor.map { "kept for \($0)" }
    let reasons = [drain, agent.healthReason, kept].compactMap { $0 }
    return reasons.isEmpty ? "-" : reasons.joined(separator: "; ")
  }

  /// What is promised of what it has, as `cpus 2/8, memory 1GiB/16GiB`.
  private static func resources(_ agent: AgentView) -> String {
    let (used, all) = (agent.resourcesUsed, agent.record.resources)
    var parts: [String] = []
    if all.cpus > 0 { parts.append("cpus \(Resources.text(used.cpus))/\(Resources.text(all.cpus))") }
    if all.memoryBytes > 0 {
      parts.append("memory \(Texts.gibibytes(used.memoryBytes))/\(Texts.gibibytes(all.memoryBytes))")
    }
    for (name, amount) in all.custom.sorted(by: { $0.key < $1.key }) {
      parts.append("\(name) \(Resources.text(used.custom[name] ?? 0))/\(Resources.text(amount))")
    }
    return parts.isEmpty ? "-" : parts.joined(separator: ", ")
  }

  /// The kinds of work, and in place of `task` the tasks.
  private static func work(_ agent: AgentRecord) -> String {
    let kinds = agent.kinds.flatMap { $0 == TaskKind.task.rawValue ? agent.tasks.map { "task:\($0)" } : [$0] }
    return kinds.isEmpty ? "-" : kinds.joined(separator: ",")
  }
}

/// `rota agents drain`
struct AgentsDrainCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "drain",
    abstract: "Give an agent no new work; what it runs may finish, or go on for a while.",
    discussion: "It holds until it is taken back, also when the agent is restarted.")
  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  @Argument(help: "The agent's id.") var id: String
  @Option(
    help: ArgumentHelp(
      "How long what it runs may go on; then it is stopped and given to other agents. For ever when not given.",
      valueName: "time"))
  var timeout: DurationArgument?
  @Option(help: "Why; kept with the drain.") var note: String?

  func run() async throws {
    let agent: AgentView = try await server.client().call(
      "/rota.v1.Agents/Drain", DrainAgentRequest(agentID: id, timeoutMillis: timeout?.millis, note: note))
    if output.output == .json { return ViewJSON.print { agent.write(to: &$0) } }
    Terminal.print(
      "\(agent.record.agentID) is drained; \(agent.slotsUsed) of its slots are in use"
        + (agent.drain?.deadline.map { ", until \(Texts.time($0)) at most" } ?? ""))
  }
}

/// `rota agents undrain`
struct AgentsUndrainCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "undrain", abstract: "Give an agent work again.")
  static let environmentFlags = ServerOptions.environmentFlags

  @OptionGroup var server: ServerOptions

  @Argument(help: "The agent's id.") var id: String

  func run() async throws {
    let answer: UndrainAgentResponse = try await server.client().call(
      "/rota.v1.Agents/Undrain", UndrainAgentRequest(agentID: id))
    Terminal.print(answer.wasDrained ? "\(id) gets work again" : "\(id) was not drained")
  }
}
