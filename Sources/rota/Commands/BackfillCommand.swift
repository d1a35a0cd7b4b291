import ArgumentParser
import Proto
import SchedulerCore

/// `rota backfill`
struct BackfillCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backfill",
    abstract: "Create a job's runs for a past range; list, show and cancel backfills.",
    discussion: """
      Occurrences that have a run already are not run again.
      Examples:
        rota backfill nightly --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --dry-run
        rota backfill nightly --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --parallelism 4
        rota backfill list nightly
      """,
    subcommands: [
      BackfillCreateCommand.self, BackfillListCommand.self, BackfillGetCommand.self,
      BackfillCancelCommand.self,
    ], defaultSubcommand: BackfillCreateCommand.self)
}

/// `rota backfill JOB`
struct BackfillCreateCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Start a backfill, or with --dry-run say what it would do.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(help: "The job's id.") var job: String
  @Option(help: ArgumentHelp("The first instant, as 2026-11-01T00:00:00Z.", valueName: "time")) var from:
    String
  @Option(help: ArgumentHelp("The last instant, not in the future.", valueName: "time")) var to: String
  @Option(help: ArgumentHelp("oldest_first or newest_first.", valueName: "order"))
  var order = OrderArgument.oldestFirst
  @Option(help: "How many of its runs may be unfinished at a time.") var parallelism = 1
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A value for its runs; may be given several times.", valueName: "name=value"))
  var param: [PairArgument] = []
  @Option(help: ArgumentHelp("The backfill's id; made up when not given.", valueName: "id")) var backfillID:
    String?
  @Flag(help: "Only say which runs it would create.") var dryRun = false

  func run() async throws {
    guard let from = try NextCommand.time(from, "--from"), let to = try NextCommand.time(to, "--to") else {
      throw ValidationError("--from and --to are needed")
    }
    // With an id, a request whose answer was lost may be repeated.
    let id = backfillID ?? "b-cli-\(String(UInt64.random(in: .min ... .max), radix: 36))"
    let request = CreateBackfillRequest(
      job: JobKey(namespace: namespace.namespace, jobID: job), backfillID: dryRun ? backfillID : id,
      from: from,
      to: to, order: order.order, parallelism: parallelism, params: param.dictionary, dryRun: dryRun)
    let view: BackfillView = try await server.client().call("/rota.v1.Backfills/Create", request)
    if output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    guard dryRun else { return Terminal.print(view.record.key.backfillID) }
    let missing = view.occurrences - view.record.existing
    Terminal.print(
      "\(view.occurrences) occurrences, \(view.record.existing) have run; it would create \(missing) runs")
    if view.decided > 0 {
      Terminal.print(
        "\(view.decided) of these were decided before: left out, or run and removed since; they would run (again)"
      )
    }
    for time in view.preview { Terminal.print(Texts.time(time)) }
    if missing > view.preview.count { Terminal.note("(only the first \(view.preview.count) are shown)") }
  }
}

/// `rota backfill list`
struct BackfillListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List a job's backfills, newest first.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions
  @Argument(help: "The job's id.") var job: String

  func run() async throws {
    let request = ListBackfillsRequest(job: JobKey(namespace: namespace.namespace, jobID: job))
    let answer: ListBackfillsResponse = try await server.client().call("/rota.v1.Backfills/List", request)
    if output.output == .json { return ViewJSON.print("backfills", answer.backfills) { $0.write(to: &$1) } }
    BackfillTexts.show(answer.backfills)
  }
}

/// `rota backfill get`
struct BackfillGetCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "get", abstract: "Show a backfill.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var which: BackfillArguments

  func run() async throws {
    let request = GetBackfillRequest(key: which.key(namespace.namespace))
    let view: BackfillView = try await server.client().call("/rota.v1.Backfills/Get", request)
    if output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    BackfillTexts.show([view])
  }
}

/// `rota backfill cancel`
struct BackfillCancelCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "Let a backfill create no further runs; those that exist go on.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var which: BackfillArguments

  func run() async throws {
    let request = GetBackfillRequest(key: which.key(namespace.namespace))
    let view: BackfillView = try await server.client().call("/rota.v1.Backfills/Cancel", request)
    if output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    Terminal.print("\(which.id) is \(view.record.state.rawValue)")
  }
}

/// A job's backfill.
struct BackfillArguments: ParsableArguments {
  @Argument(help: "The job's id.") var job: String
  @Argument(help: "The backfill's id.") var id: String

  func key(_ namespace: String) -> BackfillKey {
    BackfillKey(job: JobKey(namespace: namespace, jobID: job), backfillID: id)
  }
}

/// `--order`
enum OrderArgument: String, ExpressibleByArgument, CaseIterable {
  case oldestFirst = "oldest_first"
  case newestFirst = "newest_first"

  var order: BackfillRecord.Order { self == .oldestFirst ? .oldestFirst : .newestFirst }
}

/// How backfills look to people.
private enum BackfillTexts {
  static func show(_ backfills: [BackfillView]) {
    var table = Table([
      "BACKFILL", "STATE", "FROM", "TO", "ORDER", "PARALLELISM", "CREATED", "EXISTING", "OF",
    ])
    for view in backfills {
      let record = view.record
      table.add([
        record.key.backfillID, record.state.rawValue, Texts.time(record.from), Texts.time(record.to),
        record.order.rawValue, "\(record.parallelism)", "\(record.created)", "\(record.existing)",
        "\(view.occurrences)",
      ])
    }
    table.print()
  }
}
