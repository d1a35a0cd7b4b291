import Proto
import SchedulerCore

/// A small seeded generator (SplitMix64), so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Random values of every message, within what the wire can carry.
struct Samples {
  var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  private static let alphabet: [Character] = [
    "a", "b", "Z", "0", " ", "\n", "\0", "é", "語", "🚀", "\"", "\u{1b}",
  ]

  mutating func bool() -> Bool { Bool.random(using: &random) }

  mutating func count(_ most: Int) -> Int { Int.random(in: 0...most, using: &random) }

  mutating func text(_ most: Int = 24) -> String {
    let length = Int.random(in: 1...most, using: &random)
    return String((0..<length).map { _ in Samples.alphabet[count(Samples.alphabet.count - 1)] })
  }

  mutating func maybe<Value>(_ make: (inout Samples) -> Value) -> Value? { bool() ? make(&self) : nil }

  mutating func many<Value>(_ most: Int = 3, _ make: (inout Samples) -> Value) -> [Value] {
    let length = count(most)
    return (0..<length).map { _ in make(&self) }
  }

  mutating func number() -> Int { Int(Int32.random(in: .min ... .max, using: &random)) }

  mutating func large() -> Int64 { Int64.random(in: .min ... .max, using: &random) }

  mutating func millis() -> Int64 { Int64.random(in: 0...1_000_000_000_000, using: &random) }

  mutating func time() -> Timestamp {
    Timestamp(
      microseconds: Int64.random(in: -62_135_596_800_000_000...253_402_300_799_999_999, using: &random))
  }

  mutating func bytes() -> [UInt8] { many(40) { UInt8.random(in: 0...255, using: &$0.random) } }

  mutating func map() -> [String: String] {
    Dictionary(many { ($0.text(), $0.text()) }, uniquingKeysWith: { $1 })
  }

  mutating func pick<Value>(_ values: [Value]) -> Value { values[count(values.count - 1)] }

  mutating func task() -> TaskSpec {
    switch count(4) {
    case 0: .exec(argv: many { $0.text() } + [""])
    case 1: .shell(script: text(), interpreter: bool() ? TaskSpec.defaultInterpreter : [text(), text()])
    case 2: .http(HTTPTask(method: text(), url: text(), headers: map(), body: text()))
    case 3: .task(name: text(), payload: bool() ? TaskSpec.defaultPayload : text())
    default: .noop
    }
  }

  mutating func backoff() -> Backoff {
    let jitter = pick([0, 0.1, 0.5, 1])
    if bool() { return Backoff(curve: .list([millis()] + many { $0.millis() }), jitter: jitter) }
    return Backoff(
      curve: .exponential(initialMillis: millis(), multiplier: 1.5, maxMillis: millis()), jitter: jitter)
  }

  mutating func spec() -> JobSpec {
    var spec = JobSpec(task: task())
    spec.userID = text()
    spec.env = map()
    spec.workingDirectory = maybe { $0.text() }
    spec.timeoutMillis = maybe { $0.millis() }
    spec.killGraceMillis = pick([JobSpec.Defaults.killGraceMillis, 0, 1, 1_500])
    spec.maxRetries = number()
    spec.backoff = bool() ? .standard : backoff()
    spec.priority = Int.random(in: 1...100, using: &random)
    spec.constraints = many {
      Constraint(label: $0.text(), op: $0.pick(Constraint.Operator.allCases), values: $0.many { $0.text() })
    }
    spec.executionTime = maybe { $0.time() }
    spec.onAgentLoss = pick(AgentLossPolicy.allCases)
    spec.agentLossWaitMillis = maybe { $0.millis() }
    spec.retryOn = maybe { $0.failures() }
    spec.noRetryOn = maybe { $0.failures() }
    spec.totalTimeoutMillis = maybe { $0.millis() }
    spec.schedules = many { $0.schedule() }
    spec.misfire = bool() ? MisfirePolicy() : misfire()
    spec.overlap = pick([.allow, .forbid, .queue(limit: 1), .queue(limit: 7), .replace])
    spec.params = map()
    spec.limits = bool() ? TaskLimits() : limits()
    spec.runAs = maybe { $0.text() }
    spec.resources = bool() ? Resources() : resources()
    spec.placement = bool() ? Placement() : placement()
    spec.queue = pick([JobSpec.Defaults.queue, text()])
    spec.labels = map()
    spec.alerts = many { $0.alertRule() }
    spec.concurrency = maybe {
      Concurrency(key: $0.text(), limit: 1 + $0.count(9), whenFull: $0.pick(Concurrency.WhenFull.allCases))
    }
    spec.maxRunning = number()
    spec.startDeadlineMillis = maybe { $0.millis() }
    return spec
  }

  /// Each with one of the numbers that are not zero, which on the wire is "none".
  mutating func limits() -> TaskLimits {
    TaskLimits(
      memoryBytes: maybe { 1 + Int64($0.count(1 << 40)) }, pids: maybe { 1 + $0.count(1_000) },
      cpus: maybe { Double.random(in: 0.01...64, using: &$0.random) })
  }

  mutating func resources() -> Resources {
    let names = many { $0.text() }
    return Resources(
      cpus: Double.random(in: 0...64, using: &random), memoryBytes: large(),
      custom: Dictionary(names.map { ($0, Double(count(9)) / 4) }, uniquingKeysWith: { $1 }))
  }

  mutating func placement() -> Placement {
    var placement = Placement()
    placement.strategy = pick(Placement.Strategy.allCases)
    placement.hashKey = maybe { $0.text() }
    placement.affinity = many { samples in
      Placement.Affinity(
        Constraint(
          label: samples.text(), op: samples.pick(Constraint.Operator.allCases), values: [samples.text()]),
        weight: samples.number())
    }
    placement.spread = maybe { Placement.Spread(label: $0.text(), weight: 1 + $0.count(99)) }
    placement.antiAffinity = maybe { $0.pick(Placement.AntiAffinity.allCases) }
    placement.agent = maybe { $0.text() }
    return placement
  }

  mutating func jobKey() -> JobKey { JobKey(namespace: text(), jobID: text()) }

  mutating func usage() -> ResourceUsage {
    ResourceUsage(
      userCPUMicros: large(), systemCPUMicros: large(), maxRSSKiB: large(), stdoutBytes: large(),
      stderrBytes: large())
  }

  /// A reason with the code or signal that may go with it.
  mutating func exit() -> (EndReason, Int?, Int?) {
    let reason = pick(EndReason.allCases)
    if bool() { return (reason, nil, Int.random(in: 1...64, using: &random)) }
    return (reason, reason.hasExitStatus ? maybe { $0.count(255) } : nil, nil)
  }

  mutating func attempt() -> AttemptRecord {
    let agent = Incarnation(agentID: text(), createRevision: large())
    var attempt = AttemptRecord(
      attempt: number(), agent: agent, assignedAt: time(), generation: 1 + count(9))
    attempt.startedAt = maybe { $0.time() }
    if bool() {
      attempt.endedAt = time()
      let (reason, code, signal) = exit()
      attempt.endReason = reason
      attempt.exitCode = code
      attempt.signal = signal
    }
    attempt.error = maybe { $0.text() }
    attempt.usage = maybe { $0.usage() }
    attempt.resources = bool() ? Resources() : resources()
    return attempt
  }

  mutating func run() -> RunView {
    var record = RunRecord(
      key: RunKey(job: jobKey(), runID: text()), scheduledTime: time(), createdAt: time())
    record.state = pick(RunState.allCases)
    record.finishedAt = maybe { $0.time() }
    record.nextAttemptAt = maybe { $0.time() }
    record.retryCount = number()
    record.fence = large()
    record.attempts = many { $0.attempt() }
    record.attempt = record.attempts.last?.attempt ?? 0
    record.message = maybe { $0.text() }
    record.outputTail = bytes()
    record.progress = maybe { $0.progress() }
    record.checkpoint = maybe {
      CheckpointNote(savedAt: $0.time(), bytes: $0.number(), attempt: 0, sequence: 0)
    }
    record.trigger = pick(RunTrigger.allCases)
    record.params = map()
    record.backfillID = maybe { $0.text() }
    record.retryOf = maybe { $0.text() }
    record.waitsForWorker = maybe { $0.text() }
    record.waitsUntil = maybe { $0.time() }
    record.group = maybe { $0.text() }
    var view = RunView(record: record, revision: large())
    view.timeline = many { $0.event() }
    return view
  }

  mutating func event() -> RunEvent {
    RunEvent(
      pick(RunEvent.Kind.allCases), at: time(), actor: maybe { $0.text() },
      attempt: maybe { 1 + $0.count(9) },
      code: maybe { $0.text() }, message: maybe { $0.text() }, revision: maybe { 1 + $0.millis() })
  }

  mutating func explanation() -> ExplanationView {
    var explanation = Explanation(
      job: jobKey(), runID: maybe { $0.text() }, status: pick(JobStatus.allCases),
      state: maybe { $0.pick(RunState.allCases) })
    explanation.unendedRuns = number()
    explanation.findings = many {
      Finding(
        code: $0.text(), kind: $0.pick(Finding.Kind.allCases), runID: $0.maybe { $0.text() },
        message: $0.text(), facts: $0.map(), fix: $0.text(), until: $0.maybe { $0.time() })
    }
    return ExplanationView(explanation, serverID: text(), byLeader: bool(), revision: large())
  }

  mutating func job() -> JobView {
    var job = JobView(
      key: jobKey(), etag: text(), spec: spec(), status: pick(JobStatus.allCases), createdAt: time(),
      nextRunTime: maybe { $0.time() }, lastRunTime: maybe { $0.time() },
      cancelRequestedAt: maybe { $0.time() },
      cancelReason: maybe { $0.text() }, runs: many { $0.run() }, revision: large())
    job.generation = 1 + count(9)
    job.scheduleStates = many { ScheduleState(decidedThrough: $0.time(), runs: $0.count(1_000)) }
    job.pausedAt = maybe { $0.time() }
    job.pauseNote = maybe { $0.text() }
    job.pausedBy = maybe { $0.text() }
    job.cancelRequestedBy = maybe { $0.text() }
    job.skips.count = count(1_000)
    job.skips.lastTime = maybe { $0.time() }
    job.skips.lastReason = maybe { $0.pick(SkipReason.allCases) }
    job.deleteRequestedAt = maybe { $0.time() }
    job.updated = maybe { $0.origin() }
    return job
  }

  mutating func health() -> AgentHealth {
    var health = AgentHealth()
    health.cpu = Double.random(in: 0...1, using: &random)
    health.load1 = Double.random(in: 0...100, using: &random)
    health.memoryTotal = large()
    health.memoryAvailable = large()
    health.diskTotal = large()
    health.diskAvailable = large()
    health.unhealthyReason = maybe { "u" + $0.text() }
    return health
  }

  mutating func agent() -> AgentView {
    var record = AgentRecord(
      agentID: text(), host: text(), labels: map(), slots: number(), version: text(), startedAt: time(),
      kinds: many { $0.text() }, tasks: many { $0.text() })
    record.draining = bool()
    record.isolation = text()
    record.runAsUsers = many { $0.text() }
    record.resources = bool() ? Resources() : resources()
    var view = AgentView(
      record: record, slotsUsed: number(), connected: bool(), draining: record.draining,
      health: maybe { $0.health() }, incarnation: large())
    view.healthState = maybe { $0.pick(HealthState.allCases) }
    view.healthReason = maybe { "h" + $0.text() }
    view.resourcesUsed = bool() ? Resources() : resources()
    view.keptFor = maybe { $0.text() }
    view.drain = maybe {
      DrainRecord(
        requestedAt: $0.time(), deadline: $0.maybe { $0.time() }, note: $0.maybe { "n" + $0.text() })
    }
    return view
  }

  mutating func submit() -> SubmitRequest {
    SubmitRequest(
      namespace: text(), jobID: maybe { $0.text() }, idempotencyKey: maybe { $0.text() }, spec: spec(),
      delayMillis: maybe { $0.millis() }, frequency: maybe { $0.pick(SubmitRequest.Frequency.allCases) },
      timeZone: maybe { $0.text() })
  }

  mutating func ref() -> AttemptRef {
    AttemptRef(
      run: RunKey(job: jobKey(), runID: text()), attempt: number(), fence: large(), incarnation: large())
  }

  mutating func end() -> AttemptEnd {
    let (reason, code, signal) = exit()
    return AttemptEnd(
      endedAt: time(), reason: reason, exitCode: code, signal: signal,
      httpStatus: maybe { 100 + $0.count(499) }, error: maybe { $0.text() }, outputTail: bytes(),
      usage: maybe { $0.usage() }, noRetry: bool(), retryAfterMillis: maybe { $0.millis() })
  }

  mutating func failures() -> FailureFilter {
    FailureFilter(
      exitCodes: many { CodeRange($0.count(99)...100 + $0.count(155)) },
      httpStatuses: many { CodeRange(100 + $0.count(499)) },
      reasons: many { $0.pick(FailureFilter.Reason.allCases) })
  }

  mutating func progress() -> Progress {
    Progress(fraction: Double.random(in: 0...1, using: &random), message: text(), at: time())
  }

  mutating func agentMessage() -> AgentMessage {
    switch count(2) {
    case 0:
      return .hello(
        AgentHello(
          agentID: text(), incarnation: large(), version: text(), attempts: many { $0.ref() },
          health: health(),
          draining: bool()))
    case 1:
      return .checkpoint(CheckpointReport(ref: ref(), sequence: random.next(), data: bytes()))
    default:
      return .status(
        AgentStatus(
          sequence: random.next(),
          updates: many {
            AttemptUpdate(
              ref: $0.ref(), startedAt: $0.maybe { $0.time() }, end: $0.maybe { $0.end() },
              progress: $0.maybe { $0.progress() })
          },
          health: maybe { $0.health() }, draining: bool()))
    }
  }

  mutating func assignment() -> Assignment {
    Assignment(
      ref: ref(), spec: spec(), scheduledTime: time(), retryCount: number(), checkpoint: bytes(),
      context: bool() ? RunContext() : context())
  }

  mutating func context() -> RunContext {
    var context = RunContext()
    context.trigger = pick(RunTrigger.allCases)
    context.params = map()
    context.previousScheduledTime = maybe { $0.time() }
    context.nextScheduledTime = maybe { $0.time() }
    context.lastSuccessTime = maybe { $0.time() }
    return context
  }

  mutating func serverMessage() -> ServerMessage {
    switch count(5) {
    case 0: .welcome(serverID: text(), leaderEpoch: large())
    case 1: .assign(many { $0.assignment() })
    case 2: .checkpointAck(ref(), sequence: random.next(), error: maybe { $0.text() })
    case 3: .stop(many { $0.ref() }, forget: bool(), reason: text())
    case 4: .handOver(many { $0.ref() }, reason: text())
    default: .ack(random.next())
    }
  }
}

extension Samples {
  mutating func reflectionRequest() -> ReflectionRequest {
    let question: ReflectionRequest.Question? =
      switch count(5) {
      case 0: .file(named: text())
      case 1: .fileContaining(symbol: text())
      case 2: .fileContainingExtension(of: text(), number: Int32(count(100)))
      case 3: .extensionNumbers(of: text())
      case 4: .services(text())
      default: nil
      }
    return ReflectionRequest(host: text(), question: question)
  }

  mutating func reflectionResponse() -> ReflectionResponse {
    let answer: ReflectionResponse.Answer? =
      switch count(4) {
      case 0: .files(many { $0.bytes() })
      case 1: .extensionNumbers(of: text(), many { Int32($0.count(1_000)) })
      case 2: .services(many { $0.text() })
      case 3: .error(code: Int32(count(16)), message: text())
      default: nil
      }
    return ReflectionResponse(request: reflectionRequest(), answer: answer)
  }
}
