import ArgumentParser
import Proto
import SchedulerCore

/// `rota alerts`
struct AlertsCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "alerts",
    abstract: "List what was to be told of jobs, the latest first, and whom it was told to.",
    discussion: """
      Jobs ask for alerts with --alert of 'rota submit' and 'rota update'.
      """)
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions
  @Option(help: ArgumentHelp("Only this job's.", valueName: "id")) var job: String?

  func run() async throws {
    let client = try server.client()
    let found = try await Pages.collect(limit: 0) { size, token in
      let answer: ListAlertsResponse = try await client.call(
        "/rota.v1.Alerts/List",
        ListAlertsRequest(namespace: namespace.namespace, jobID: job, pageSize: size, pageToken: token))
      return (answer.alerts, answer.nextPageToken)
    }.entries
    let alerts = found.sorted { ($1.at, $1.key) < ($0.at, $0.key) }
    if output.output == .json { return ViewJSON.print("alerts", alerts) { $0.write(to: &$1) } }
    var table = Table(["AT", "NAMESPACE", "JOB", "ON", "STATE", "TOLD", "MESSAGE"])
    for alert in alerts {
      table.add([
        Texts.time(alert.at), alert.key.job.namespace, alert.key.job.jobID, alert.rule.on.rawValue,
        alert.deliveries.isEmpty ? "noted" : alert.state.rawValue,
        alert.deliveries.map(Self.text).joined(separator: ", "), alert.message,
      ])
    }
    table.print()
  }

  /// One receiver, as `page` or `page (3 tries: exit code 1)`.
  private static func text(_ delivery: AlertRecord.Delivery) -> String {
    guard let error = delivery.error, delivery.state != .delivered else { return delivery.to }
    return "\(delivery.to) (\(delivery.tries) tries: \(error))"
  }
}
