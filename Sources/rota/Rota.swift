import ArgumentParser
import Glibc
import Proto
import Transport

/// The one program: servers, agents, and the commands of users.
@main
struct Rota: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rota",
    abstract: "A distributed job scheduler.",
    discussion: """
      Start everything on this machine with 'rota dev', then 'rota submit --wait -- echo hi'.
      Client commands talk to --server, or ROTA_SERVER, or 127.0.0.1:7070.
      """,
    version: Version.text,
    subcommands: [
      SubmitCommand.self, JobsCommand.self, JobCommand.self, RunsCommand.self, RunCommand.self,
      LogsCommand.self, RetryCommand.self, ExplainCommand.self,
      CancelCommand.self, PauseCommand.self, ResumeCommand.self, TriggerCommand.self, SkipNextCommand.self,
      UpdateCommand.self, VersionsCommand.self, RevertCommand.self, DeleteCommand.self, CalendarCommand.self,
      QueuesCommand.self, GroupsCommand.self, QuotasCommand.self, NextCommand.self, ForecastCommand.self,
      BackfillCommand.self, CheckpointCommand.self, AgentsCommand.self, ClusterCommand.self,
      EventsCommand.self, AlertsCommand.self, ApplyCommand.self, DiffCommand.self, ExportCommand.self,
      ServerCommand.self, AgentCommand.self,
      DevCommand.self, CertsCommand.self,
      VersionCommand.self, CompletionsCommand.self,
    ])

  static func main() async {
    ChildProcess.becomeChildIfAsked()
    // A reader that has gone away (`rota jobs | head`) ends the command by an error of the write, and a
    // peer that has gone away must not end a server.
    signal(SIGPIPE, SIG_IGN)
    do {
      let arguments = try EnvironmentFlags.apply(to: Array(CommandLine.arguments.dropFirst()))
      var command = try parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      finish(error)
    }
  }

  /// Ends the process as an error says: 0 for help, 2 for wrong usage, 1 for what failed, or the code that
  /// the error carries.
  private static func finish(_ error: any Error) -> Never {
    if let failure = error as? CommandFailure {
      Terminal.complain(failure.message)
      Glibc.exit(failure.exitCode)
    }
    let code = exitCode(for: error)
    if error is ExitCode { Glibc.exit(code.rawValue) }
    let message = fullMessage(for: error)
    if code == .success {
      Terminal.print(message)
      Glibc.exit(0)
    }
    let prefix = "Error: "
    Terminal.complain(message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message)
    Glibc.exit(code == .validationFailure ? 2 : 1)
  }
}

/// Something that a command could not do; the message is a sentence for the user.
struct CommandFailure: Error, CustomStringConvertible {
  let message: String
  /// What a server answered with; nil where none did.
  var status: StatusCode?
  /// When a server that refused will take it, milliseconds from then; nil where waiting is of no use.
  var retryMillis: Int64?
  /// What the process ends with.
  var exitCode: Int32 = 1

  init(_ message: String) { self.message = message }

  /// What a server refused.
  init(_ error: RPCError) {
    message = APIClient.sentence(error)
    status = error.code
    retryMillis = error.metadata.firstBinary("grpc-status-details-bin").flatMap {
      try? StatusDetails(wire: $0).retryMillis
    }
  }

  var description: String { message }
}
