import ArgumentParser
import Proto
import SchedulerCore

/// `rota forecast`
struct ForecastCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "forecast",
    abstract: "Show how many runs all schedules will create, and the busiest minutes.",
    discussion: "Paused jobs count as creating none; of a fixed delay only the next run is known.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions

  @Option(help: ArgumentHelp("From when, as 2026-12-24T00:00:00Z; now when not given.", valueName: "time"))
  var from: String?
  @Option(help: ArgumentHelp("To when; an hour later when not given, at most 7 days.", valueName: "time"))
  var to: String?
  @Option(help: "How many of the busiest minutes to show.")
  var busiest = 10

  private static let barWidth = 40

  func validate() throws {
    guard (0...LookaheadLimits.forecastMinutes).contains(busiest) else {
      throw ValidationError("--busiest has to be 0 to \(LookaheadLimits.forecastMinutes)")
    }
  }

  func run() async throws {
    let request = ForecastRequest(
      namespace: namespace.namespace, from: try NextCommand.time(from, "--from"),
      to: try NextCommand.time(to, "--to"))
    let forecast: ForecastResponse = try await server.client().call("/rota.v1.Schedules/Forecast", request)
    if output.output == .json { return ViewJSON.print { forecast.write(to: &$0) } }
    show(forecast)
  }

  private func show(_ forecast: ForecastResponse) {
    let end = forecast.minute(forecast.fires.count)
    Terminal.print(
      "\(Texts.time(forecast.from)) to \(Texts.time(end)): \(forecast.total) runs of \(forecast.jobs) jobs")
    if let cut = forecast.completeUntil {
      Terminal.note("(counted up to \(Texts.time(cut)) only: there is more than one forecast counts)")
    }
    let busy = forecast.fires.indices.filter { forecast.fires[$0] > 0 }
      .sorted { (-forecast.fires[$0], $0) < (-forecast.fires[$1], $1) }.prefix(busiest)
    guard let most = busy.first.map({ forecast.fires[$0] }) else { return }
    var table = Table(["MINUTE", "RUNS", ""])
    for minute in busy {
      let count = forecast.fires[minute]
      let width = max(1, Int(Int64(Self.barWidth) * count / most))
      table.add([
        Texts.time(forecast.minute(minute)), "\(count)", String(repeating: "#", count: width),
      ])
    }
    table.print()
  }
}

extension ForecastResponse {
  /// When a minute begins.
  fileprivate func minute(_ index: Int) -> Timestamp {
    Timestamp(microseconds: from.microseconds + Int64(index) * 60_000_000)
  }
}
