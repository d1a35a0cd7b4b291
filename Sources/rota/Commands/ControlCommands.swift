import ArgumentParser
import Proto
import SchedulerCore

/// The flags of a command that is about one job.
struct JobOptions: ParsableArguments {
  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(help: "The job's id.") var id: String

  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  var key: JobKey { JobKey(namespace: namespace.namespace, jobID: id) }

  /// Makes a call that answers with the job, and shows that, or says `sentence`.
  func change<Request: WireMessage>(
    _ method: String, _ request: Request, _ sentence: (JobView) -> String
  ) async throws {
    let job: JobView = try await server.client().call("/rota.v1.Jobs/\(method)", request)
    if output.output == .json { return ViewJSON.print { job.write(to: &$0) } }
    Terminal.print(sentence(job))
  }

  /// When a job is due next, for people.
  static func next(_ job: JobView) -> String {
    job.nextRunTime.map { "next run: \(Texts.time($0))" } ?? "no next run"
  }
}

/// `rota pause`
struct PauseCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Keep a job from being due; runs that exist go on.",
    discussion: "Once it is resumed, the job's misfire policy decides about what was missed.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(help: "Why; kept with the job.") var note: String?

  func run() async throws {
    try await job.change("Pause", PauseJobRequest(key: job.key, note: note)) { "\($0.key.jobID) is paused" }
  }
}

/// `rota resume`
struct ResumeCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "End a pause; the job's misfire policy decides about what was missed.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions

  func run() async throws {
    try await job.change("Resume", ResumeJobRequest(key: job.key)) { "\($0.key.jobID) is not paused" }
  }
}

/// `rota trigger`
struct TriggerCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "trigger",
    abstract: "Run a job now, whatever its schedules say; print the run, as JOB/RUN.",
    discussion: "Also while it is paused. Its overlap policy may be against it.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A value in place of the job's own; may be given several times.", valueName: "name=value"))
  var param: [PairArgument] = []
  @Option(help: ArgumentHelp("Requests with the same key within 24 hours make one run.", valueName: "key"))
  var idempotencyKey: String?
  @Flag(name: .shortAndLong, help: "Show the run's output as it comes, and exit with its exit code.")
  var wait = false

  func run() async throws {
    let client = try job.server.client()
    let run: RunView = try await client.call(
      "/rota.v1.Jobs/Trigger",
      TriggerJobRequest(
        key: job.key, params: param.dictionary, idempotencyKey: idempotencyKey ?? RandomKey.make()))
    try await RunWaiter.tell(of: run, client, wait: wait, job.output.output)
  }
}

/// `rota skip-next`
struct SkipNextCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "skip-next", abstract: "Leave out a job's next occurrence.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(
    help: ArgumentHelp(
      "The occurrence that is meant: when it is not the next one any more, nothing is skipped.",
      valueName: "time"))
  var time: String?

  func run() async throws {
    var meant = try time.map { text in try SpecOptions.reading("--time") { try Timestamp(rfc3339: text) } }
    if meant == nil {
      // Named, so that a request whose answer was lost may be repeated.
      let before: JobView = try await job.server.client().call(
        "/rota.v1.Jobs/Get", GetJobRequest(key: job.key))
      meant = before.nextRunTime
    }
    let skipped = meant
    try await job.change("SkipNext", SkipNextRequest(key: job.key, scheduledTime: meant)) { view in
      "\(view.key.jobID): " + (skipped.map { "without \(Texts.time($0)); " } ?? "") + JobOptions.next(view)
    }
  }
}

/// `rota delete`
struct DeleteCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract:
      "Delete a job with its runs: what waits is cancelled, what runs is killed, then all is removed.",
    discussion: "To keep the job and its results, cancel it.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(help: ArgumentHelp("Only if the job has this etag.", valueName: "etag")) var ifMatch: String?

  func run() async throws {
    try await job.change("Delete", DeleteJobRequest(key: job.key, ifMatch: ifMatch)) {
      "\($0.key.jobID) is being deleted"
    }
  }
}

/// `rota update`
struct UpdateCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "update",
    abstract: "Change what is given of a job's specification.",
    discussion: """
      What runs goes on as it is; later attempts go by the new specification. Schedules that are given replace all that \
      the job had; so do variables, labels, constraints and parameters.
      Examples:
        rota update nightly --cron '0 4 * * *' --tz Europe/Berlin
        rota update nightly --timeout 2h --misfire all:3
      """)
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(help: ArgumentHelp("Only if the job has this etag.", valueName: "etag")) var ifMatch: String?
  @OptionGroup var author: AuthorOption
  @OptionGroup var spec: SpecOptions

  func run() async throws {
    guard spec.schedule.delay == nil else {
      throw ValidationError("--delay is for 'rota submit'; say when with --at")
    }
    let current: JobView = try await job.server.client().call(
      "/rota.v1.Jobs/Get", GetJobRequest(key: job.key))
    var changed = current.spec
    try spec.change(&changed)
    do { try changed.validate(zones: nil) } catch { throw CommandFailure("\(error)") }
    // What is changed is what was read: nobody else's change meanwhile is undone.
    let request = UpdateJobRequest(
      key: job.key, spec: changed, ifMatch: ifMatch ?? current.etag, idempotencyKey: RandomKey.make(),
      updatedBy: author.name)
    try await job.change("Update", request) { view in
      view.generation == current.generation
        ? "\(view.key.jobID) is as it was"
        : "\(view.key.jobID) is changed (generation \(view.generation)); \(JobOptions.next(view))"
    }
  }
}
