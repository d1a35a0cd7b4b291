import ArgumentParser
import SchedulerCore

/// The flags that describe a job. What is not given leaves a specification as it is.
struct SpecOptions: ParsableArguments {
  @Option(help: "Who asks, for filters and fairness; of a new job $USER when not given.")
  var userID: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A variable of the task's environment; may be given several times.", valueName: "name=value"))
  var env: [PairArgument] = []

  @Option(
    help: ArgumentHelp("How long one attempt may run, as 30m; unlimited when not given.", valueName: "time"))
  var timeout: DurationArgument?

  @Option(
    help: ArgumentHelp(
      "How long the task may take to end after SIGTERM, before SIGKILL; 10s when not given.",
      valueName: "time"))
  var killGrace: DurationArgument?

  @OptionGroup(title: "Failures") var failures: FailureOptions

  @Option(help: ArgumentHelp("1 (last) to 100 (first); 50 when not given.", valueName: "number"))
  var priority: Int?

  @Option(help: ArgumentHelp("The queue that it waits in; default when not given.", valueName: "name"))
  var queue: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Which agents may run it, as zone=eu, 'zone in (eu,us)', 'cores>4' or 'exists gpu'; all must hold.",
      valueName: "condition"))
  var constraint: [String] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What it is filed under, for filters; may be given several times.", valueName: "name=value"))
  var label: [PairArgument] = []

  @Option(
    help: ArgumentHelp("Absolute; a scratch folder of the attempt when not given.", valueName: "folder"))
  var workingDirectory: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "When somebody is to be told, as late:5m, long:1h, stuck:10m or failed, with ,count=3,window=1h ,silence=30m ,command=name ,webhook=url (last); may be given several times.",
      valueName: "rule"))
  var alert: [String] = []

  @OptionGroup(title: "What it may use") var confinement: ConfinementOptions

  @OptionGroup(title: "Where") var placement: PlacementOptions
  @OptionGroup(title: "How many at once") var limits: LimitOptions

  @OptionGroup(title: "When") var schedule: ScheduleOptions

  @OptionGroup(title: "What to run (one of these, or the words behind --)") var task: TaskOptions

  /// The specification of a new job, unchecked where a flag's text is readable.
  func spec() throws -> JobSpec {
    guard let task = try task.spec() else { throw ValidationError(TaskOptions.nothingToRun) }
    var spec = JobSpec(task: task)
    spec.userID = EnvironmentFlags.variable("USER") ?? ""
    try apply(to: &spec)
    return spec
  }

  /// Changes what is given, the task included.
  func change(_ spec: inout JobSpec) throws {
    if let task = try task.spec() { spec.task = task }
    try apply(to: &spec)
  }

  private func apply(to spec: inout JobSpec) throws {
    if let userID { spec.userID = userID }
    if !env.isEmpty { spec.env = env.dictionary }
    if !alert.isEmpty {
      spec.alerts = try alert.map { text in try Self.reading("--alert") { try AlertRule(text: text) } }
    }
    if !label.isEmpty { spec.labels = label.dictionary }
    if let workingDirectory { spec.workingDirectory = workingDirectory }
    if let timeout { spec.timeoutMillis = timeout.millis }
    if let killGrace { spec.killGraceMillis = killGrace.millis }
    if let priority { spec.priority = priority }
    if let queue { spec.queue = queue }
    try failures.apply(to: &spec)
    if !constraint.isEmpty {
      spec.constraints = try constraint.map { text in
        try Self.reading("--constraint") { try Constraint(text: text) }
      }
    }
    try confinement.apply(to: &spec)
    try placement.apply(to: &spec)
    try limits.apply(to: &spec)
    try schedule.apply(to: &spec)
  }

  /// Turns the error of a text into wrong usage of a flag.
  static func reading<Value>(_ flag: String, _ body: () throws -> Value) throws -> Value {
    do { return try body() } catch { throw ValidationError("\(flag): \(error)") }
  }
}

/// The flags that say how much each attempt may use, and as whom.
struct ConfinementOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The memory of all processes of an attempt, as 512MiB; past it the kernel kills.", valueName: "bytes"))
  var memory: BytesArgument?

  @Option(
    help: ArgumentHelp("How many processes and threads an attempt may have at once.", valueName: "count"))
  var pids: Int?

  @Option(
    help: ArgumentHelp("Processor time for each second; 0.5 is half of one processor.", valueName: "number"))
  var cpus: Double?

  @Option(
    help: ArgumentHelp(
      "The user of the agent's machine to run as, which the agent has to allow.", valueName: "user[:group]"))
  var runAs: String?

  func apply(to spec: inout JobSpec) throws {
    if let memory { spec.limits.memoryBytes = memory.bytes }
    if let pids { spec.limits.pids = pids }
    if let cpus { spec.limits.cpus = cpus }
    if let runAs { spec.runAs = runAs }
  }
}

/// The flags that say what to run.
struct TaskOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A shell script.", valueName: "text"))
  var shell: String?

  @Option(help: ArgumentHelp("A file that holds a script; - for standard input.", valueName: "file"))
  var script: String?

  @Option(help: ArgumentHelp("What runs the script, words with spaces between them; /bin/sh when not given."))
  var interpreter: String?

  @Option(help: ArgumentHelp("An HTTP request to this URL, made by the agent.", valueName: "url"))
  var http: String?

  @Option(help: "The method of the HTTP request.")
  var method = "GET"

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A header of the HTTP request; may be given several times.", valueName: "name=value"))
  var header: [PairArgument] = []

  @Option(help: "The body of the HTTP request.")
  var body: String?

  @Option(help: ArgumentHelp("A task that workers offer under this name.", valueName: "name"))
  var task: String?

  @Option(
    help: ArgumentHelp(
      "What the task is given: a JSON text, @ and a file that holds one, or @- for standard input.",
      valueName: "json"))
  var payload: String?

  @Flag(help: "Nothing, which succeeds.")
  var noop = false

  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp("The program and its arguments, started without a shell.", valueName: "argv"))
  var argv: [String] = []

  /// Checks that the flags go together. Not ArgumentParser's `validate`, which would come before the
  /// complaint about a flag that does not exist.
  private func check() throws {
    guard given <= 1 else {
      throw ValidationError(
        "give only one of: a program behind --, --shell, --script, --http, --task, --noop")
    }
    if interpreter != nil && shell == nil && script == nil {
      throw ValidationError("--interpreter goes with --shell or --script")
    }
    if http == nil && (!header.isEmpty || body != nil || method != "GET") {
      throw ValidationError("--method, --header and --body go with --http")
    }
    if payload != nil && task == nil { throw ValidationError("--payload goes with --task") }
  }

  private var given: Int {
    [!argv.isEmpty, shell != nil, script != nil, http != nil, task != nil, noop].count { $0 }
  }

  static let nothingToRun =
    "nothing to run: give a program behind --, or --shell, --script, --http, --task or --noop"

  /// The task, of which there may be one; nil where nothing is said of it.
  func spec() throws -> TaskSpec? {
    try check()
    guard given == 1 else { return nil }
    if let task { return .task(name: task, payload: try Self.text(of: payload ?? TaskSpec.defaultPayload)) }
    let interpreter = interpreter?.split(separator: " ").map(String.init) ?? TaskSpec.defaultInterpreter
    if let shell { return .shell(script: shell, interpreter: interpreter) }
    if let script { return .shell(script: try TextFile.contents(of: script), interpreter: interpreter) }
    if let http {
      return .http(
        HTTPTask(method: method.uppercased(), url: http, headers: header.dictionary, body: body ?? ""))
    }
    return noop ? .noop : .exec(argv: argv)
  }

  /// A payload, which may be in a file.
  private static func text(of payload: String) throws -> String {
    payload.utf8.first == UInt8(ascii: "@") ? try TextFile.contents(of: String(payload.dropFirst())) : payload
  }
}
