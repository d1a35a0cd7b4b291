import ArgumentParser
import Glibc
import SchedulerCore

/// The flags that describe a job.
struct SpecOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The job's id; made up when not given.", valueName: "id"))
  var jobID: String?

  @Option(help: "Who asks, for filters and fairness; $USER when not given.")
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
    help: ArgumentHelp("How long the task may take to end after SIGTERM, before SIGKILL.", valueName: "time"))
  var killGrace = DurationArgument(millis: JobSpec.Defaults.killGraceMillis)

  @Option(help: ArgumentHelp("How often a failed attempt is followed by another.", valueName: "count"))
  var maxRetries = 0

  @Option(
    help: ArgumentHelp("The waits before retries, as 1m,5m; the last one for more.", valueName: "times"))
  var backoff: String?

  @Option(help: ArgumentHelp("1 (last) to 100 (first).", valueName: "number"))
  var priority = JobSpec.Defaults.priority

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Which agents may run it, as zone=eu, 'zone in (eu,us)' or 'exists gpu'; all must hold.",
      valueName: "condition"))
  var constraint: [String] = []

  @Option(
    help: ArgumentHelp("When to run it, as 2026-12-24T18:00:00Z; at once when not given.", valueName: "time"))
  var at: String?

  @Option(
    help: ArgumentHelp(
      "What happens when the agent is lost: restart (elsewhere) or fail.", valueName: "policy"))
  var onAgentLoss: LossArgument = .restart

  @Option(
    help: ArgumentHelp("Absolute; a scratch folder of the attempt when not given.", valueName: "folder"))
  var workingDirectory: String?

  @OptionGroup(title: "What to run (one of these, or the words behind --)") var task: TaskOptions

  /// The specification, unchecked where a flag's text is readable.
  func spec() throws -> JobSpec {
    var spec = JobSpec(task: try task.spec())
    spec.userID = userID ?? EnvironmentFlags.variable("USER") ?? ""
    spec.env = env.dictionary
    spec.workingDirectory = workingDirectory
    spec.timeoutMillis = timeout?.millis
    spec.killGraceMillis = killGrace.millis
    spec.maxRetries = maxRetries
    spec.priority = priority
    spec.onAgentLoss = onAgentLoss.policy
    if let backoff {
      let waits = try backoff.split(separator: ",").map { wait in
        try Self.reading("--backoff") { try DurationText.parse(String(wait)) }
      }
      spec.backoff = Backoff(curve: .list(waits))
    }
    spec.constraints = try constraint.map { text in
      try Self.reading("--constraint") { try Constraint(text: text) }
    }
    if let at { spec.executionTime = try Self.reading("--at") { try Timestamp(rfc3339: at) } }
    return spec
  }

  /// Turns the error of a text into wrong usage of a flag.
  private static func reading<Value>(_ flag: String, _ body: () throws -> Value) throws -> Value {
    do { return try body() } catch { throw ValidationError("\(flag): \(error)") }
  }
}

/// `--on-agent-loss`.
enum LossArgument: String, ExpressibleByArgument, CaseIterable {
  case restart, fail

  var policy: AgentLossPolicy { self == .restart ? .restart : .fail }
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
    let given = [!argv.isEmpty, shell != nil, script != nil, http != nil, task != nil, noop].count { $0 }
    guard given == 1 else {
      throw ValidationError(
        given == 0
          ? "nothing to run: give a program behind --, or --shell, --script, --http, --task or --noop"
          : "give only one of: a program behind --, --shell, --script, --http, --task, --noop")
    }
    if interpreter != nil && shell == nil && script == nil {
      throw ValidationError("--interpreter goes with --shell or --script")
    }
    if http == nil && (!header.isEmpty || body != nil || method != "GET") {
      throw ValidationError("--method, --header and --body go with --http")
    }
    if payload != nil && task == nil { throw ValidationError("--payload goes with --task") }
  }

  /// The task, of which there has to be exactly one.
  func spec() throws -> TaskSpec {
    try check()
    if let task { return .task(name: task, payload: try Self.text(of: payload ?? TaskSpec.defaultPayload)) }
    let interpreter = interpreter?.split(separator: " ").map(String.init) ?? TaskSpec.defaultInterpreter
    if let shell { return .shell(script: shell, interpreter: interpreter) }
    if let script { return .shell(script: try Self.contents(of: script), interpreter: interpreter) }
    if let http {
      return .http(
        HTTPTask(method: method.uppercased(), url: http, headers: header.dictionary, body: body ?? ""))
    }
    return noop ? .noop : .exec(argv: argv)
  }

  /// A payload, which may be in a file.
  private static func text(of payload: String) throws -> String {
    payload.utf8.first == UInt8(ascii: "@") ? try contents(of: String(payload.dropFirst())) : payload
  }

  /// A file with a text, up to what a server takes at most anyway.
  private static func contents(of path: String) throws -> String {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    defer { if descriptor != STDIN_FILENO { close(descriptor) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))")
      }
      if count == 0 { break }
      bytes += chunk[..<count]
      guard bytes.count <= maximumFileBytes else {
        throw CommandFailure("\(path) is larger than \(maximumFileBytes) bytes, which no server takes")
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw CommandFailure("\(path) is not UTF-8 text")
    }
    return text
  }

  private static let maximumFileBytes = 1 << 20
}
