import ArgumentParser
import ConfigFiles
import Glibc
import SchedulerCore

/// The flags of the commands that compare files with a cluster.
struct ConfigPlanOptions: ParsableArguments {
  @OptionGroup var server: ServerOptions
  @OptionGroup var files: ConfigFileOptions
  @OptionGroup var output: OutputOptions

  @Flag(help: "Also delete what has the labels of -l and is in none of the files, in all namespaces.")
  var prune = false

  @Option(
    name: .shortAndLong, parsing: .singleValue,
    help: ArgumentHelp(
      "With --prune: the labels of what the files are about, all of which must hold; may be given several times.",
      valueName: "name=value"))
  var label: [PairArgument] = []

  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  /// Checks that the flags go together.
  private func check() throws {
    guard prune == !label.isEmpty else {
      throw ValidationError(
        prune
          ? "--prune goes with -l NAME=VALUE, which says what may be deleted"
          : "-l goes with --prune; to put labels on objects, write them into the files")
    }
  }

  /// What has to be done to make the cluster as the files say.
  func plan(_ cluster: ConfigCluster) async throws -> ConfigPlan {
    try check()
    let entries = try files.read()
    do {
      let present = try await cluster.objects(Self.keys(of: entries))
      let plan = try ConfigPlan(entries, present: present, pruning: try await pruning(cluster))
      try ConfigFileOptions.refuse(plan.errors)
      if prune { noteWithoutLabels(entries) }
      return plan
    } catch let failure as CommandFailure {
      throw failure.asWrongFiles
    }
  }

  /// What the plan has to know: the objects and what they name.
  private static func keys(of entries: [ConfigEntry]) -> [ConfigKey] {
    Set(entries.flatMap { [$0.key] + $0.named }).sorted()
  }

  private func pruning(_ cluster: ConfigCluster) async throws -> [ConfigObject] {
    guard prune else { return [] }
    var objects: [ConfigObject] = []
    for kind in ConfigKind.allCases {
      objects += try await cluster.list(kind, namespace: nil, labels: label.dictionary)
    }
    return objects
  }

  /// What has not the labels will stay when it leaves the files.
  private func noteWithoutLabels(_ entries: [ConfigEntry]) {
    let without = entries.filter { !Labels.match(label.dictionary, $0.spec.labels) }
    guard let first = without.first else { return }
    Terminal.note(
      "(\(without.count) of \(entries.count) documents have not the labels of --prune, such as \(first.place); "
        + "once out of the files, they will stay)")
  }
}

/// `rota apply`
struct ApplyCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Make the cluster as files say: create what is missing, change what differs.",
    discussion: """
      Nothing is written unless all files are right. What is as it should be is not touched. Ends with 0 when all was \
      done, with 2 when nothing was, and with 1 when a server refused a part.
      Examples:
        rota apply -f jobs.yaml
        rota apply -f config/ --dry-run
        rota apply -f config/ --prune -l team=data --yes
      """)
  static let environmentFlags = ConfigPlanOptions.environmentFlags

  @OptionGroup var options: ConfigPlanOptions

  @Flag(help: "Show what would be done, field by field, and do nothing.")
  var dryRun = false

  @Flag(name: .shortAndLong, help: "Delete without asking.")
  var yes = false

  @OptionGroup var author: AuthorOption

  func run() async throws {
    let cluster = ConfigCluster(client: try options.server.client(), author: author.name)
    let plan = try await options.plan(cluster)
    let isJSON = options.output.output == .json
    if dryRun { return isJSON ? ConfigTexts.printJSON(plan, isApplied: false) : ConfigTexts.show(plan) }
    try confirm(plan)
    if !isJSON {
      for step in plan.steps where step.action == .unchanged { Terminal.print(ConfigTexts.done(step)) }
    }
    let (failures, undone) = try await cluster.carryOut(plan.steps) { step in
      if !isJSON { Terminal.print(ConfigTexts.done(step)) }
    }
    if isJSON {
      ConfigTexts.printJSON(plan, isApplied: failures.isEmpty, failures: failures)
    } else if failures.isEmpty {
      Terminal.print(ConfigTexts.summary(plan, isDone: true))
    }
    try Self.complain(plan, failures, undone)
  }

  /// Asks before anything is deleted.
  private func confirm(_ plan: ConfigPlan) throws {
    let count = plan.count(.delete)
    guard count > 0, !yes else { return }
    guard isatty(STDIN_FILENO) == 1, !options.files.files.contains("-") else {
      throw CommandFailure(
        "\(count) objects would be deleted; see them with --dry-run, and confirm with --yes; nothing was changed"
      ).asWrongFiles
    }
    for step in plan.steps where step.action == .delete { Terminal.note("- \(step.key)") }
    Terminal.note("Delete \(count == 1 ? "it" : "these \(count)")? [y/N]")
    guard ["y", "yes"].contains(readLine()?.lowercased()) else {
      throw CommandFailure("nothing was changed").asWrongFiles
    }
  }

  private static func complain(
    _ plan: ConfigPlan, _ failures: [ConfigCluster.Failure], _ undone: Int
  ) throws {
    guard !failures.isEmpty else { return }
    let entries = Dictionary(plan.steps.map { ($0.key, $0.entry) }) { $1 }
    for failure in failures.prefix(ConfigLimits.shownErrors) {
      let error = (entries[failure.key] ?? nil)?.error(refusal: failure.message).description
      Terminal.note(Terminal.sanitised(error ?? "\(failure.key): \(failure.message)"))
    }
    throw CommandFailure(
      "\(failures.count) could not be done" + (undone > 0 ? ", and \(undone) were not begun" : "")
        + "; the rest was; apply again once the cause is gone")
  }
}

/// `rota diff`
struct DiffCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract:
      "Show how the cluster differs from files, or one version of a job from another, field by field.",
    discussion: """
      Ends with 0 when nothing differs, with 1 when something does, and with 2 when it cannot tell.
      Examples:
        rota diff -f jobs.yaml
        rota diff nightly --from 3 --to 5
      """)
  static let environmentFlags = ConfigPlanOptions.environmentFlags

  @OptionGroup var options: ConfigPlanOptions

  @Option(
    help: ArgumentHelp(
      "With a job: the earlier version; that before --to when not given.", valueName: "generation"))
  var from: Int?
  @Option(
    help: ArgumentHelp(
      "With a job: the later version; the present one when not given.", valueName: "generation"))
  var to: Int?
  @Argument(help: "The id of a job whose versions are compared.") var job: String?

  func run() async throws {
    let differs: Bool
    do {
      if let job { differs = try await versions(of: job).show() } else { differs = try await files() }
    } catch let failure as CommandFailure {
      throw failure.asWrongFiles
    }
    if differs { throw ExitCode(1) }
  }

  private func versions(of id: String) throws -> VersionComparison {
    guard options.files.files.isEmpty, !options.prune else {
      throw ValidationError("give the id of a job, or files with -f, not both")
    }
    return VersionComparison(
      key: JobKey(namespace: options.files.namespace, jobID: id), client: try options.server.client(),
      from: from, to: to, output: options.output.output)
  }

  /// Compares with files; whether something differs.
  private func files() async throws -> Bool {
    guard from == nil, to == nil else { throw ValidationError("--from and --to go with the id of a job") }
    let plan = try await options.plan(ConfigCluster(client: try options.server.client()))
    if options.output.output == .json {
      ConfigTexts.printJSON(plan, isApplied: false)
    } else {
      ConfigTexts.show(plan)
    }
    return !plan.isEmpty
  }
}
