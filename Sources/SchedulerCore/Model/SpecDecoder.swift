import JSON

/// Reads the members of a job's specification: strictly where a user wrote them, so that a misspelt word
/// is not silently ignored, and leniently where a program wrote them, perhaps a newer one.
struct SpecDecoder {
  let isStrict: Bool
  private var spec = JobSpec(task: .noop)
  /// The member that said what to run.
  private var kind: String?

  init(isStrict: Bool) { self.isStrict = isStrict }

  /// The members of a specification.
  static let names = [
    "user_id", "exec", "shell", "http", "noop", "task", "timeout", "max_retries", "env", "priority",
    "execution_time",
    "constraints", "backoff", "working_directory", "kill_grace", "on_agent_loss", "schedules", "misfire",
    "overlap", "params", "retry_on", "no_retry_on", "total_timeout", "agent_loss_wait", "limits", "run_as",
    "resources", "placement", "concurrency", "max_running", "start_deadline", "labels", "alerts", "queue",
  ]

  /// What was read; it has not been validated.
  func finished() throws(FieldError) -> JobSpec {
    guard kind != nil else {
      throw FieldError(field: "task", message: "one of \(TaskKind.list) is required")
    }
    return spec
  }

  // MARK: Members

  /// Reads the value of the member `name`, one of `names`.
  mutating func decodeMember(_ name: String, from reader: inout JSONReader) throws {
    switch name {
    case "user_id": spec.userID = try reader.string()
    case "exec", "shell", "http", "noop", "task": try decodeTask(name, from: &reader)
    case "env": spec.env = try stringMap(&reader)
    case "working_directory": spec.workingDirectory = try reader.string()
    case "timeout": spec.timeoutMillis = try duration(&reader)
    case "kill_grace": spec.killGraceMillis = try duration(&reader)
    case "max_retries": spec.maxRetries = try reader.wholeNumber()
    case "backoff": spec.backoff = try backoff(&reader)
    case "priority": spec.priority = try reader.wholeNumber()
    case "constraints": spec.constraints = try list(&reader) { try constraint(&$0) }
    case "execution_time": spec.executionTime = try time(&reader)
    case "on_agent_loss":
      guard let policy = AgentLossPolicy(rawValue: try reader.string()) else {
        throw TextError("'restart', 'fail' or 'wait' was expected")
      }
      spec.onAgentLoss = policy
    case "agent_loss_wait": spec.agentLossWaitMillis = try duration(&reader)
    case "retry_on": spec.retryOn = try FailureFilter(decoding: &reader, with: self)
    case "no_retry_on": spec.noRetryOn = try FailureFilter(decoding: &reader, with: self)
    case "total_timeout": spec.totalTimeoutMillis = try duration(&reader)
    case "schedules": spec.schedules = try list(&reader) { try Schedule(decoding: &$0, with: self) }
    case "misfire": spec.misfire = try MisfirePolicy(decoding: &reader, with: self)
    case "overlap": spec.overlap = try OverlapPolicy(decoding: &reader, with: self)
    case "params": spec.params = try stringMap(&reader)
    case "limits": spec.limits = try TaskLimits(decoding: &reader, with: self)
    case "queue": spec.queue = try reader.string()
    case "run_as": spec.runAs = try reader.string()
    case "resources": spec.resources = try Resources(decoding: &reader, with: self)
    case "placement": spec.placement = try Placement(decoding: &reader, with: self)
    case "alerts": spec.alerts = try list(&reader) { try AlertRule(decoding: &$0, with: self) }
    case "concurrency": spec.concurrency = try Concurrency(decoding: &reader, with: self)
    case "max_running": spec.maxRunning = try reader.wholeNumber()
    case "start_deadline": spec.startDeadlineMillis = try duration(&reader)
    case "labels": spec.labels = try stringMap(&reader)
    default: try reader.skip()
    }
  }

  private mutating func decodeTask(_ name: String, from reader: inout JSONReader) throws {
    if let kind {
      throw TextError("only one of \(TaskKind.list) may be given, and \(kind) is given already")
    }
    kind = name
    switch name {
    case "exec": spec.task = .exec(argv: try list(&reader) { try $0.string() })
    case "shell": spec.task = try shell(&reader)
    case "http": spec.task = .http(try http(&reader))
    case "task": spec.task = try named(&reader)
    default: spec.task = try noop(&reader)
    }
  }

  private func shell(_ reader: inout JSONReader) throws -> TaskSpec {
    if try reader.peek() == .string {
      return .shell(script: try reader.string(), interpreter: TaskSpec.defaultInterpreter)
    }
    var script: String?
    var interpreter = TaskSpec.defaultInterpreter
    try object(&reader, known: ["script", "interpreter"]) { name, reader in
      if name == "script" {
        script = try reader.string()
      } else {
        interpreter = try list(&reader) { try $0.string() }
      }
    }
    guard let script else { throw FieldError(field: "script", message: "is required") }
    return .shell(script: script, interpreter: interpreter)
  }

  private func http(_ reader: inout JSONReader) throws -> HTTPTask {
    if try reader.peek() == .string { return HTTPTask(url: try reader.string()) }
    var request = HTTPTask(url: "")
    try object(&reader, known: ["method", "url", "headers", "body"]) { name, reader in
      switch name {
      case "method": request.method = try reader.string()
      case "url": request.url = try reader.string()
      case "headers": request.headers = try stringMap(&reader)
      default: request.body = try reader.string()
      }
    }
    return request
  }

  private func noop(_ reader: inout JSONReader) throws -> TaskSpec {
    if try reader.peek() == .object {
      try object(&reader, known: []) { _, reader in try reader.skip() }
    } else if try !reader.bool() {
      throw TextError("true or {} was expected")
    }
    return .noop
  }

  private func named(_ reader: inout JSONReader) throws -> TaskSpec {
    if try reader.peek() == .string {
      return .task(name: try reader.string(), payload: TaskSpec.defaultPayload)
    }
    var name: String?
    var payload = TaskSpec.defaultPayload
    try object(&reader, known: ["name", "payload"]) { member, reader in
      if member == "name" {
        name = try reader.string()
      } else {
        payload = String(decoding: try reader.rawValue(), as: UTF8.self)
      }
    }
    guard let name else { throw FieldError(field: "name", message: "is required") }
    return .task(name: name, payload: payload)
  }

  private func backoff(_ reader: inout JSONReader) throws -> Backoff {
    if try reader.peek() == .array { return Backoff(curve: .list(try list(&reader) { try duration(&$0) })) }
    var list: [Int64]?
    var initial: Int64?
    var multiplier: Double?
    var max: Int64?
    var jitter: Double?
    try object(&reader, known: ["list", "initial", "multiplier", "max", "jitter"]) { name, reader in
      switch name {
      case "list": list = try self.list(&reader) { try duration(&$0) }
      case "initial": initial = try duration(&reader)
      case "multiplier": multiplier = try reader.double()
      case "max": max = try duration(&reader)
      default: jitter = try reader.double()
      }
    }
    return try Backoff(
      list: list, initialMillis: initial, multiplier: multiplier, maxMillis: max, jitter: jitter)
  }

  /// Reads a condition on an agent's labels.
  func constraint(_ reader: inout JSONReader) throws -> Constraint {
    if try reader.peek() == .string { return try Constraint(text: try reader.string()) }
    var parts = ConstraintParts()
    try object(&reader, known: ConstraintParts.names) { try parts.read($0, &$1, with: self) }
    return try parts.constraint()
  }

  // MARK: Values

  /// A length of time: a text, or a whole number of seconds.
  func duration(_ reader: inout JSONReader) throws -> Int64 {
    guard try reader.peek() == .number else { return try DurationText.parse(try reader.string()) }
    let seconds = try reader.int()
    guard seconds >= 0 else { throw TextError("a length of time cannot be negative") }
    guard seconds <= DurationText.maxMillis / 1_000 else {
      throw TextError("the number of seconds is too big; is it milliseconds? A text such as 500ms says them")
    }
    return seconds * 1_000
  }

  /// A point in time: a text, or a whole number of seconds since 1970.
  func time(_ reader: inout JSONReader) throws -> Timestamp {
    guard try reader.peek() == .number else { return try Timestamp(rfc3339: try reader.string()) }
    let seconds = try reader.int()
    guard seconds >= 0 else { throw TextError("a time before 1970 cannot be scheduled") }
    guard seconds <= Timestamp.latest.milliseconds / 1_000 else {
      throw TextError(
        "a number is seconds since 1970, and this one is beyond the year \(Timestamp.years.upperBound); "
          + "is it milliseconds?")
    }
    return Timestamp(milliseconds: seconds * 1_000)
  }
}

extension SpecDecoder {
  // MARK: Containers

  /// Reads an object with the members `known`. A member that is `null` counts as absent.
  func object(
    _ reader: inout JSONReader, known: [String], _ member: (String, inout JSONReader) throws -> Void
  ) throws {
    var seen = Set<String>()
    try reader.object { name, reader in
      guard try isWanted(name, known: known, seen: &seen, &reader) else { return }
      try FieldError.at(name) { try member(name, &reader) }
    }
  }

  /// As `object`, for members that are kept in the decoder itself.
  mutating func decodeMembers(
    _ reader: inout JSONReader, known: [String],
    _ member: (inout SpecDecoder, String, inout JSONReader) throws -> Void
  ) throws {
    var seen = Set<String>()
    try reader.object { name, reader in
      guard try isWanted(name, known: known, seen: &seen, &reader) else { return }
      try FieldError.at(name) { try member(&self, name, &reader) }
    }
  }

  /// Whether a member is to be read; one that is not has been consumed.
  private func isWanted(
    _ name: String, known: [String], seen: inout Set<String>, _ reader: inout JSONReader
  ) throws -> Bool {
    let isKnown = known.contains(name)
    if isStrict {
      guard isKnown else { throw FieldError.unknownField(name, known: known) }
      guard seen.insert(name).inserted else { throw FieldError(field: name, message: "is given twice") }
    } else if !isKnown {
      try reader.skip()
      return false
    }
    return !reader.null()
  }

  /// Reads an array.
  func list<Element>(
    _ reader: inout JSONReader, _ element: (inout JSONReader) throws -> Element
  ) throws -> [Element] {
    var elements: [Element] = []
    try reader.array { reader in
      elements.append(try FieldError.at("[\(elements.count)]") { try element(&reader) })
    }
    return elements
  }

  /// Reads an object of strings.
  func stringMap(_ reader: inout JSONReader) throws -> [String: String] {
    var values: [String: String] = [:]
    try reader.object { name, reader in
      try FieldError.at(FieldError.shown(name)) {
        guard values.updateValue(try reader.string(), forKey: name) == nil || !isStrict else {
          throw TextError("is given twice")
        }
      }
    }
    return values
  }
}
