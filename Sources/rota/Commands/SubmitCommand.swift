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
        rota submit --cron '30 2 * * MON-FRI' --tz Europe/Berlin --overlap forbid -- /srv/backup
        rota submit --every 5m --jitter 30s --misfire skip --http https://example.org/poll
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

  @Option(help: ArgumentHelp("The job's id; made up when not given.", valueName: "id"))
  var jobID: String?

  @Option(help: ArgumentHelp("Requests with the same key within 24 hours make one job.", valueName: "key"))
  var idempotencyKey: String?

  @OptionGroup var spec: SpecOptions

  func run() async throws {
    let request = SubmitRequest(
      namespace: namespace.namespace, jobID: jobID,
      idempotencyKey: idempotencyKey ?? RandomKey.make(), spec: try spec.spec(),
      delayMillis: spec.schedule.delay?.millis)
    guard !wait || request.spec.schedules.isEmpty else {
      throw ValidationError("--wait is for a job that runs once; 'rota trigger --wait' waits for one run")
    }
    do { try request.validate(zones: nil) } catch { throw CommandFailure("\(error)") }
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
}

/// Idempotency keys of this program: with one, a request whose answer was lost may be repeated.
enum RandomKey {
  static func make() -> String {
    let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }
    return "rota-cli-" + words.joined()
  }
}
