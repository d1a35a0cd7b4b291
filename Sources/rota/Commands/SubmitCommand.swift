import ArgumentParser
import Proto
import SchedulerCore

/// `rota submit`
struct SubmitCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "submit",
    abstract: "Submit a job; print its id, or wait for it and exit as it does.",
    discussion: """
      Examples:
        rota submit -- echo hi
        rota submit --wait --max-retries 2 --backoff 30s -- /usr/bin/make test
        rota submit --at 2026-12-24T18:00:00Z --shell 'date > /tmp/party'
        rota submit --task resize --payload '{"width": 320}'
        rota submit --http https://example.org/hook --method POST --body '{}'
      """)

  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Flag(name: .shortAndLong, help: "Show the job's output as it comes, and exit with its exit code.")
  var wait = false

  @Option(help: ArgumentHelp("Requests with the same key within 24 hours make one job.", valueName: "key"))
  var idempotencyKey: String?

  @OptionGroup var spec: SpecOptions

  func run() async throws {
    let request = SubmitRequest(
      namespace: namespace.namespace, jobID: spec.jobID,
      // With a key, a submit whose answer was lost may be repeated.
      idempotencyKey: idempotencyKey ?? "rota-cli-\(Self.randomText())", spec: try spec.spec())
    do { try request.validate() } catch { throw CommandFailure("\(error)") }
    let client = try server.client()
    let response: SubmitResponse = try await client.call("/rota.v1.Jobs/Submit", request)
    let key = response.job.key
    guard wait else {
      switch output.output {
      case .table: Terminal.print(key.jobID)
      case .json: ViewJSON.print { response.job.write(to: &$0) }
      }
      return
    }
    Terminal.note("rota: job \(key.jobID)")
    let code = try await JobWaiter(client: client, key: key, servers: server.server).run()
    if code != 0 { throw ExitCode(code) }
  }

  private static func randomText() -> String {
    String(UInt64.random(in: .min ... .max), radix: 36) + String(UInt64.random(in: .min ... .max), radix: 36)
  }
}
