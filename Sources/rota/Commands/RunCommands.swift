import ArgumentParser
import Proto
import SchedulerCore

/// `rota runs`
struct RunsCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "runs", abstract: "List runs, newest first.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions
  @OptionGroup var page: PageOptions

  @Option(help: "Only this job's runs.") var jobID: String?
  @Option(help: "Only runs of this agent.") var workerID: String?
  @Option(help: "Only runs that stand so: pending, running, completed, failed or cancelled.")
  var status: StatusArgument?

  func run() async throws {
    let client = try server.client()
    let runs = try await Pages.collect(limit: page.limit) { size, token in
      let request = ListRunsRequest(
        namespace: namespace.namespace, jobID: jobID, workerID: workerID, status: status?.status,
        pageSize: size,
        pageToken: token)
      let answer: ListRunsResponse = try await client.call("/rota.v1.Runs/List", request)
      return (answer.runs, answer.nextPageToken)
    }
    if output.output == .json {
      return ViewJSON.print("runs", runs.entries) { $0.write(to: &$1) }
    }
    RunTexts.show(runs.entries, namingJobs: true)
    runs.noteWhatIsMissing()
  }
}

/// `rota logs`
struct LogsCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "logs", abstract: "Print what a run wrote: its output to ours, its errors to ours.")
  static let environmentFlags = ServerOptions.environmentFlags + NamespaceOption.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption

  @Flag(name: .shortAndLong, help: "Go on until the run has ended.")
  var follow = false

  @Option(help: "Only this attempt; the last one when not given.") var attempt: Int?
  @Option(help: "Only stdout or stderr.") var stream: StreamArgument?
  @Option(name: [.customLong("tail-bytes")], help: "Only so many bytes at the end of each stream.")
  var tailBytes: Int64?

  @Argument(help: ArgumentHelp("JOB for its newest run, or JOB/RUN.", valueName: "run"))
  var run: RunArgument

  func validate() throws {
    if let attempt, attempt < 1 { throw ValidationError("--attempt has to be 1 or more") }
    if let tailBytes, tailBytes < 1 { throw ValidationError("--tail-bytes has to be 1 or more") }
  }

  func run() async throws {
    let request = LogsRequest(
      job: JobKey(namespace: namespace.namespace, jobID: run.jobID), runID: run.runID, attempt: attempt,
      stream: stream?.stream, follow: follow, tailBytes: tailBytes)
    try await LogPrinter(client: server.client()).show(request)
  }
}

/// `--stream`
enum StreamArgument: String, ExpressibleByArgument, CaseIterable {
  case stdout, stderr

  var stream: LogStream { self == .stdout ? .stdout : .stderr }
}
