import ArgumentParser
import Proto
import SchedulerCore

/// `rota quotas`
struct QuotasCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quotas", abstract: "Quotas: what each namespace may use.",
    discussion: """
      Examples:
        rota quotas put team-a --max-jobs 10000 --max-running-runs 50 --submit-rate 600
        rota quotas list
      """,
    subcommands: [
      QuotasPutCommand.self, QuotasShowCommand.self, QuotasListCommand.self, QuotasDeleteCommand.self,
    ])
}

/// The flags of a command that is about one quota.
struct QuotaOptions: ParsableArguments {
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  @Argument(help: "The namespace.") var namespace: String

  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags
}

/// `rota quotas put`
struct QuotasPutCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Set what a namespace may use, in place of what was said before.",
    discussion: "What is left out is not limited. What is there already stays, also where it is more.")
  static let environmentFlags = QuotaOptions.environmentFlags

  @OptionGroup var quota: QuotaOptions

  @Option(help: ArgumentHelp("Jobs that have not ended.", valueName: "count")) var maxJobs: Int?
  @Option(help: ArgumentHelp("Runs that wait for an agent or for a retry.", valueName: "count"))
  var maxQueuedRuns: Int?
  @Option(help: ArgumentHelp("Runs that are with an agent.", valueName: "count")) var maxRunningRuns: Int?
  @Option(help: ArgumentHelp("Jobs submitted in a minute, whoever submits them.", valueName: "count"))
  var submitRate: Int?
  @Option(help: ArgumentHelp("Jobs submitted at once; as many as in a minute otherwise.", valueName: "count"))
  var submitBurst: Int?
  @Option(help: "What it is for.") var description: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("What the quota is filed under; may be repeated.", valueName: "name=value"))
  var label: [PairArgument] = []
  @Option(help: ArgumentHelp("Only if the quota has this etag; * if it exists.", valueName: "etag"))
  var ifMatch: String?

  func run() async throws {
    var spec = QuotaSpec()
    spec.maxJobs = maxJobs
    spec.maxQueuedRuns = maxQueuedRuns
    spec.maxRunningRuns = maxRunningRuns
    spec.submitRate = submitRate
    spec.submitBurst = submitBurst
    spec.description = description ?? ""
    spec.labels = label.dictionary
    // On the wire 0 would be no limit.
    do throws(FieldError) { try spec.validate() } catch {
      throw ValidationError("--\(error.field.replacing("_", with: "-")) \(error.message)")
    }
    let request = PutQuotaRequest(
      namespace: quota.namespace, spec: spec, ifMatch: ifMatch, idempotencyKey: RandomKey.make())
    let view: QuotaView = try await quota.server.client().call("/rota.v1.Quotas/Put", request)
    if quota.output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    Terminal.print("\(view.record.namespace): generation \(view.record.generation)")
  }
}

/// `rota quotas show`
struct QuotasShowCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show what a namespace may use, and what it uses.")
  static let environmentFlags = QuotaOptions.environmentFlags

  @OptionGroup var quota: QuotaOptions

  func run() async throws {
    let view: QuotaView = try await quota.server.client().call(
      "/rota.v1.Quotas/Get", GetQuotaRequest(namespace: quota.namespace))
    if quota.output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    let (record, spec) = (view.record, view.record.spec)
    var facts = Table(["Namespace:", record.namespace])
    if !spec.description.isEmpty { facts.add(["For:", spec.description]) }
    facts.add(["Jobs:", QuotaTexts.use(view.use.jobs, of: spec.maxJobs)])
    facts.add(["Queued runs:", QuotaTexts.use(view.use.queuedRuns, of: spec.maxQueuedRuns)])
    facts.add(["Running runs:", QuotaTexts.use(view.use.runningRuns, of: spec.maxRunningRuns)])
    facts.add(["Submissions:", spec.rate?.description ?? "any"])
    if !spec.labels.isEmpty { facts.add(["Labels:", JobTexts.labels(spec.labels)]) }
    facts.add(["Created:", Texts.time(record.createdAt)])
    facts.add(["Changed:", Texts.time(record.updatedAt)])
    facts.add(["Generation:", "\(record.generation) (etag \(view.etag))"])
    facts.print()
  }
}

/// `rota quotas list`
struct QuotasListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List quotas and what their namespaces use.")
  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let client = try server.client()
    let quotas = try await Pages.collect(limit: 0) { size, token in
      let answer: ListQuotasResponse = try await client.call(
        "/rota.v1.Quotas/List", ListQuotasRequest(pageSize: size, pageToken: token))
      return (answer.quotas, answer.nextPageToken)
    }.entries
    if output.output == .json { return ViewJSON.print("quotas", quotas) { $0.write(to: &$1) } }
    var table = Table(["NAMESPACE", "JOBS", "QUEUED", "RUNNING", "SUBMISSIONS", "FOR"])
    for quota in quotas {
      let spec = quota.record.spec
      table.add([
        quota.record.namespace, QuotaTexts.use(quota.use.jobs, of: spec.maxJobs),
        QuotaTexts.use(quota.use.queuedRuns, of: spec.maxQueuedRuns),
        QuotaTexts.use(quota.use.runningRuns, of: spec.maxRunningRuns), spec.rate?.description ?? "any",
        spec.description.isEmpty ? "-" : spec.description,
      ])
    }
    table.print()
  }
}

/// `rota quotas delete`
struct QuotasDeleteCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Delete the quota of a namespace: nothing bounds it any more.")
  static let environmentFlags = QuotaOptions.environmentFlags

  @OptionGroup var quota: QuotaOptions
  @Option(help: ArgumentHelp("Only if the quota has this etag.", valueName: "etag")) var ifMatch: String?

  func run() async throws {
    let request = DeleteQuotaRequest(namespace: quota.namespace, ifMatch: ifMatch)
    let _: DeleteQuotaResponse = try await quota.server.client().call("/rota.v1.Quotas/Delete", request)
    if quota.output.output == .table { Terminal.print("the quota of \(quota.namespace) is deleted") }
  }
}

/// How quotas are said in tables.
private enum QuotaTexts {
  /// As `3 of 10`, or `3` where there is no limit.
  static func use(_ used: Int, of limit: Int?) -> String { limit.map { "\(used) of \($0)" } ?? "\(used)" }
}
