import ArgumentParser
import Proto
import SchedulerCore

/// `rota jobs`
struct JobsCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "jobs", abstract: "List jobs, newest first.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions
  @OptionGroup var page: PageOptions

  @Option(help: "Only jobs that stand so: pending, running, completed, failed or cancelled.")
  var status: StatusArgument?

  @Option(help: "Only this user's jobs.")
  var userID: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Only jobs with this label; may be given several times, and then all must hold.",
      valueName: "name=value"))
  var label: [PairArgument] = []

  func run() async throws {
    let client = try server.client()
    let jobs = try await Pages.collect(limit: page.limit) { size, token in
      let request = ListJobsRequest(
        namespace: namespace.namespace, status: status?.status, userID: userID,
        labels: label.dictionary, pageSize: size, pageToken: token)
      let answer: ListJobsResponse = try await client.call("/rota.v1.Jobs/List", request)
      return (answer.jobs, answer.nextPageToken)
    }
    if output.output == .json {
      return ViewJSON.print("jobs", jobs.entries) { $0.write(to: &$1) }
    }
    var table = Table(["NAMESPACE", "JOB", "STATUS", "USER", "CREATED", "NEXT RUN", "SCHEDULE", "TASK"])
    for job in jobs.entries {
      table.add([
        job.key.namespace, job.key.jobID, ScheduleTexts.status(of: job),
        job.spec.userID.isEmpty ? "-" : job.spec.userID,
        Texts.time(job.createdAt), Texts.time(job.nextRunTime), ScheduleTexts.short(job.spec.schedules),
        JobTexts.task(job.spec.task),
      ])
    }
    table.print()
    jobs.noteWhatIsMissing()
  }
}

/// `rota job`
struct JobCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "job", abstract: "One job: show it and its runs, or how it has changed.",
    subcommands: [JobShowCommand.self, JobHistoryCommand.self], defaultSubcommand: JobShowCommand.self)
}

/// `rota job show`
struct JobShowCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "show", abstract: "Show one job and its runs.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(help: "The job's id.") var id: String

  func run() async throws {
    let key = JobKey(namespace: namespace.namespace, jobID: id)
    let job: JobView = try await server.client().call("/rota.v1.Jobs/Get", GetJobRequest(key: key))
    if output.output == .json { return ViewJSON.print { job.write(to: &$0) } }
    JobTexts.show(job)
  }
}

/// `rota cancel`
struct CancelCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "Cancel a job: what waits is cancelled at once, what runs is killed.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Option(help: "Why; kept with the job.") var reason: String?
  @Argument(help: "The job's id.") var id: String

  func run() async throws {
    let key = JobKey(namespace: namespace.namespace, jobID: id)
    let request = CancelJobRequest(key: key, reason: reason)
    let job: JobView = try await server.client().call("/rota.v1.Jobs/Cancel", request)
    if output.output == .json { return ViewJSON.print { job.write(to: &$0) } }
    Terminal.print(
      job.status.isTerminal ? "\(id) is \(job.status.rawValue)" : "\(id) is being cancelled")
  }
}

/// How jobs look to people.
enum JobTexts {
  /// What a job runs, in one short line.
  static func task(_ task: TaskSpec) -> String {
    let text =
      switch task {
      case .exec(let argv): argv.joined(separator: " ")
      case .shell(let script, _): "sh: " + script
      case .http(let request): request.method + " " + request.url
      case .noop: "noop"
      case .task(let name, let payload):
        "task: " + name + (payload == TaskSpec.defaultPayload ? "" : " " + payload)
      }
    return text.count > 40 ? text.prefix(39) + "…" : text
  }

  /// Labels in one line, in order.
  static func labels(_ labels: [String: String]) -> String {
    labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
  }

  /// Everything about a job.
  static func show(_ job: JobView) {
    var facts = Table(["Job:", "\(job.key.namespace)/\(job.key.jobID)"])
    facts.add(["Status:", ScheduleTexts.status(of: job)])
    facts.add(["Task:", task(job.spec.task)])
    if !job.spec.userID.isEmpty { facts.add(["User:", job.spec.userID]) }
    if !job.spec.labels.isEmpty { facts.add(["Labels:", labels(job.spec.labels)]) }
    facts.add(["Created:", Texts.time(job.createdAt)])
    if let updated = job.updated {
      let cause = VersionTexts.cause(updated)
      facts.add(["Changed:", "\(Texts.time(updated.at)): generation \(job.generation)\(cause)"])
    }
    ScheduleTexts.add(job, to: &facts)
    RetryTexts.add(job.spec, to: &facts)
    if let cancelled = job.cancelRequestedAt { facts.add(["Cancel requested:", Texts.time(cancelled)]) }
    if let run = job.runs.first?.record {
      if let progress = run.progress { facts.add(["Progress:", Texts.text(progress)]) }
      if let checkpoint = run.checkpoint {
        facts.add(["Checkpoint:", "\(checkpoint.bytes) bytes, \(Texts.time(checkpoint.savedAt))"])
      }
    }
    facts.print()
    guard !job.runs.isEmpty else { return }
    Terminal.print("")
    RunTexts.show(job.runs, namingJobs: false)
  }
}

/// Listings that come in pages.
struct Pages<Entry> {
  /// What was collected.
  let entries: [Entry]
  /// Whether there is more.
  let isCut: Bool

  /// Asks for pages until `limit` entries are there; 0 for all.
  static func collect(
    limit: Int, _ ask: (_ size: Int, _ token: String?) async throws -> ([Entry], String?)
  ) async throws -> Pages {
    var entries: [Entry] = []
    var token: String?
    repeat {
      let wanted = limit == 0 ? Paging.maximumSize : min(Paging.maximumSize, limit - entries.count)
      let (page, next) = try await ask(wanted, token)
      entries += page
      token = next
    } while token != nil && (limit == 0 || entries.count < limit)
    return Pages(entries: entries, isCut: token != nil)
  }

  /// Tells people that not all is shown.
  func noteWhatIsMissing() {
    if isCut { Terminal.note("(only the newest \(entries.count) are shown; --limit 0 shows all)") }
  }
}
