import ArgumentParser
import Proto
import SchedulerCore

/// `rota agents`
struct AgentsCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "agents", abstract: "List the agents that hold a lease.")
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
      "LIMITS",
    ])
    for agent in agents {
      let labels = agent.record.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      table.add([
        agent.record.agentID, agent.record.host,
        agent.draining ? "draining" : agent.connected ? "connected" : "not connected",
        "\(agent.slotsUsed)/\(agent.record.slots)",
        agent.health.map { "\(($0.load1 * 10).rounded() / 10)" } ?? "-",
        agent.health.map { Texts.gibibytes($0.memoryAvailable) } ?? "-",
        agent.health.map { Texts.gibibytes($0.diskAvailable) } ?? "-", Texts.time(agent.record.startedAt),
        labels.isEmpty ? "-" : labels.joined(separator: ","), Self.work(agent.record),
        agent.record.isolation.isEmpty ? "-" : agent.record.isolation,
      ])
    }
    table.print()
  }

  /// The kinds of work, and in place of `task` the tasks.
  private static func work(_ agent: AgentRecord) -> String {
    let kinds = agent.kinds.flatMap { $0 == TaskKind.task.rawValue ? agent.tasks.map { "task:\($0)" } : [$0] }
    return kinds.isEmpty ? "-" : kinds.joined(separator: ",")
  }
}

/// `rota version`
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() { Terminal.print("rota \(Version.text)") }
}

/// `rota completions`
struct CompletionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completions", abstract: "Print a completion script for a shell.",
    discussion: "For bash: rota completions bash > /etc/bash_completion.d/rota")

  @Argument(help: "bash, zsh or fish.") var shell: ShellArgument

  func run() { Terminal.print(Rota.completionScript(for: shell.shell)) }
}

/// A shell that completion scripts can be made for.
enum ShellArgument: String, ExpressibleByArgument, CaseIterable {
  case bash, zsh, fish

  var shell: CompletionShell {
    switch self {
    case .bash: .bash
    case .zsh: .zsh
    case .fish: .fish
    }
  }
}
