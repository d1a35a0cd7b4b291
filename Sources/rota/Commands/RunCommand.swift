import ArgumentParser
import Proto
import SchedulerCore

/// `rota run`
struct RunCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Show one run: its attempts, what comes next, and why.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(help: ArgumentHelp("JOB for its newest run, or JOB/RUN.", valueName: "run"))
  var run: RunArgument

  func run() async throws {
    let request = GetRunRequest(
      job: JobKey(namespace: namespace.namespace, jobID: run.jobID), runID: run.runID)
    let view: RunView = try await server.client().call("/rota.v1.Runs/Get", request)
    if output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    RunTexts.show(view.record)
    RunTexts.showTimeline(view)
  }
}

/// `rota retry`
struct RetryCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Run a run again that has ended, as a new run; print it, as JOB/RUN.",
    discussion:
      "It has the scheduled time and the parameters of the old one. The job's overlap policy may be against it."
  )
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Option(help: ArgumentHelp("Requests with the same key within 24 hours make one run.", valueName: "key"))
  var idempotencyKey: String?
  @Flag(name: .shortAndLong, help: "Show the run's output as it comes, and exit with its exit code.")
  var wait = false

  @Argument(help: ArgumentHelp("JOB for its newest run that failed, or JOB/RUN.", valueName: "run"))
  var run: RunArgument

  func run() async throws {
    let client = try server.client()
    let retried: RunView = try await client.call(
      "/rota.v1.Runs/Retry",
      RetryRunRequest(
        job: JobKey(namespace: namespace.namespace, jobID: run.jobID), runID: run.runID,
        idempotencyKey: idempotencyKey ?? RandomKey.make()))
    try await RunWaiter.tell(of: retried, client, wait: wait, output.output)
  }
}

extension RunWaiter {
  /// Prints a run that has been made, or waits for its end and exits as it does.
  static func tell(of run: RunView, _ client: APIClient, wait: Bool, _ format: OutputFormat) async throws {
    let name = "\(run.record.key.job.jobID)/\(run.record.key.runID)"
    guard wait else {
      if format == .json { return ViewJSON.print { run.write(to: &$0) } }
      return Terminal.print(name)
    }
    Terminal.note("rota: run \(name)")
    let code = try await RunWaiter(client: client, key: run.record.key).run()
    if code != 0 { throw ExitCode(code) }
  }
}
