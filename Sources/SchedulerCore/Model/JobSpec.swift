/// What a user asks to be run, and how. Lengths of time are in milliseconds.
public struct JobSpec: Hashable, Sendable {
  /// Who asks: free text, used for filters and fairness. May be empty.
  public var userID = ""
  /// What to run.
  public var task: TaskSpec
  /// Environment variables of the task.
  public var env: [String: String] = [:]
  /// The task's working directory, absolute; nil for the attempt's own scratch folder.
  public var workingDirectory: String?
  /// How long one attempt may run; nil for unlimited.
  public var timeoutMillis: Int64?
  /// How long a task may take to end after SIGTERM.
  public var killGraceMillis: Int64 = Defaults.killGraceMillis
  /// How often a failed attempt is followed by another.
  public var maxRetries = 0
  /// The waits before retries.
  public var backoff = Backoff.standard
  /// The only failures that are retried; nil for all.
  public var retryOn: FailureFilter?
  /// Failures that are never retried, whatever `retryOn` says.
  public var noRetryOn: FailureFilter?
  /// How long a run may take from its creation, with all attempts and waits; nil for unlimited.
  public var totalTimeoutMillis: Int64?
  /// 1 (last) to 100 (first).
  public var priority = Defaults.priority
  /// Which agents may run it; all must hold.
  public var constraints: [Constraint] = []
  /// When to run it; nil for at once.
  public var executionTime: Timestamp?
  /// What happens to a run whose agent is lost.
  public var onAgentLoss = AgentLossPolicy.restart
  /// With `on_agent_loss: wait`: how long it waits; nil for `Defaults.agentLossWaitMillis`.
  public var agentLossWaitMillis: Int64?
  /// When it runs again and again; without any it runs once, at `executionTime`. Never both.
  public var schedules: [Schedule] = []
  /// What becomes of occurrences that were missed.
  public var misfire = MisfirePolicy()
  /// What happens when it is due while a run of it has not ended.
  public var overlap = OverlapPolicy.allow
  /// Values for templates and for the task; a trigger may give others.
  public var params: [String: String] = [:]
  /// How much each attempt may use.
  public var limits = TaskLimits()
  /// The user whom its processes run as: `RunAs`; nil for the agent's own.
  public var runAs: String?
  /// What each attempt is promised of its agent: it is reserved while the attempt is there.
  public var resources = Resources()
  /// Which of the agents that may run it is chosen.
  public var placement = Placement()
  /// What people file it under, by name; for filters and for `rota apply`.
  public var labels: [String: String] = [:]
  /// When somebody is to be told of its runs.
  public var alerts: [AlertRule] = []

  /// The queue that its runs wait in for an agent.
  public var queue = Defaults.queue
  /// The group whose slots its runs share with others; nil for none.
  public var concurrency: Concurrency?
  /// How many of its runs may be with agents at once; 0 for any number.
  public var maxRunning = 0
  /// How long after it is due a run may start: later it is skipped. Nil for any time.
  public var startDeadlineMillis: Int64?

  /// Makes a specification with the defaults.
  public init(task: TaskSpec) { self.task = task }

  /// What is assumed where a specification is silent.
  public enum Defaults {
    /// SIGTERM to SIGKILL.
    public static let killGraceMillis: Int64 = 10_000
    /// How long a run waits for an agent that was lost, with `on_agent_loss: wait`.
    public static let agentLossWaitMillis: Int64 = 300_000
    /// The middle of the range.
    public static let priority = 50
    /// The namespace of a job that names none.
    public static let namespace = "default"
    /// The queue of a job that names none.
    public static let queue = "default"
  }
}

/// The kinds of work.
public enum TaskSpec: Hashable, Sendable {
  /// A program and its arguments, started without a shell.
  case exec(argv: [String])
  /// A script, fed to an interpreter as a file whose path is appended to the interpreter's argv.
  case shell(script: String, interpreter: [String])
  /// An HTTP request, made by the agent.
  case http(HTTPTask)
  /// Nothing, successfully.
  case noop
  /// What workers implement: the name that they offer it under, and any JSON value as its own text.
  case task(name: String, payload: String)

  /// The payload of a named task that is given none.
  public static let defaultPayload = "null"

  /// The interpreter of a script that names none.
  public static let defaultInterpreter = ["/bin/sh"]

  /// Which kind it is.
  public var kind: TaskKind {
    switch self {
    case .exec: .exec
    case .shell: .shell
    case .http: .http
    case .noop: .noop
    case .task: .task
    }
  }
}

/// The kinds of work by their names, which are also the fields that hold them, in every format.
public enum TaskKind: String, Hashable, Sendable, CaseIterable {
  case exec, shell, http, noop, task

  /// What an agent runs that does not say what it runs: those of before there were named tasks.
  public static let builtIn: [TaskKind] = [.exec, .shell, .http, .noop]

  /// All of them, for error messages.
  static let list = "exec, shell, http, noop and task"
}

/// An HTTP request; an answer of 2xx is success.
public struct HTTPTask: Hashable, Sendable {
  /// The method, upper case.
  public var method: String
  /// An absolute http or https URL.
  public var url: String
  /// Request headers.
  public var headers: [String: String]
  /// Request body.
  public var body: String

  /// Makes a request.
  public init(method: String = "GET", url: String, headers: [String: String] = [:], body: String = "") {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
  }
}

/// How long to wait before a retry.
public struct Backoff: Hashable, Sendable {
  /// How the wait before retry n, from 1, is found.
  public enum Curve: Hashable, Sendable {
    /// Entry n, the last one for more; milliseconds; never empty.
    case list([Int64])
    /// initial × multiplier^(n-1), at most max; milliseconds.
    case exponential(initialMillis: Int64, multiplier: Double, maxMillis: Int64)
  }

  /// The waits.
  public var curve: Curve
  /// Each wait is varied at random by up to this share of itself, 0 to 1.
  public var jitter: Double

  /// Makes a backoff.
  public init(curve: Curve, jitter: Double = Backoff.defaultJitter) {
    self.curve = curve
    self.jitter = jitter
  }

  /// The jitter where none is said.
  public static let defaultJitter = 0.1
  /// 1 m, 5 m, 10 m.
  public static let standard = Backoff(curve: .list([60_000, 300_000, 600_000]))
}

/// A condition on an agent's labels.
public struct Constraint: Hashable, Sendable {
  /// How a label is compared.
  public enum Operator: String, Hashable, Sendable, CaseIterable {
    /// The label is there and equals the one value.
    case equal = "="
    /// The label is absent or differs from the one value.
    case notEqual = "!="
    /// The label is there and equals one of the values.
    case isIn = "in"
    /// The label is absent or equals none of the values.
    case notIn = "not_in"
    /// The label is there.
    case exists
    /// The label is absent.
    case notExists = "not_exists"
    /// The label is there, is a number, and greater than the one value.
    case greater = ">"
    /// The label is there, is a number, and less than the one value.
    case less = "<"
    /// The label is there, and all of it matches the one value, a `LabelPattern`.
    case regex
  }

  /// The label's name.
  public var label: String
  /// How it is compared.
  public var op: Operator
  /// With what.
  public var values: [String]

  /// Makes a constraint.
  public init(label: String, op: Operator, values: [String] = []) {
    self.label = label
    self.op = op
    self.values = values
  }
}

/// What happens to a run whose agent is lost.
public enum AgentLossPolicy: String, Hashable, Sendable, CaseIterable {
  /// It runs again on another agent: at least once.
  case restart
  /// It fails, unless the agent itself says that the task has stopped: at most once.
  case fail
  /// It waits for that agent for a while, and then runs again on any: at least once.
  case wait
}
