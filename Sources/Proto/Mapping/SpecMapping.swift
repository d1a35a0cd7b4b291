import CProto
import CProtobufC
import SchedulerCore

extension JobSpec: Mapped {
  init(raw: UnsafePointer<Rota__V1__JobSpec>) throws(ProtoError) {
    self.init(task: try TaskSpec(raw.pointee))
    userID = try Decode.text(raw.pointee.user_id, "user_id")
    env = try Decode.map(raw.pointee.n_env, raw.pointee.env, "env")
    workingDirectory = try Decode.optionalText(raw.pointee.working_directory, "working_directory")
    timeoutMillis = try Decode.millis(raw.pointee.timeout, "timeout")
    if let grace = try Decode.millis(raw.pointee.kill_grace, "kill_grace") { killGraceMillis = grace }
    maxRetries = Int(raw.pointee.max_retries)
    if let backoff = try Decode.optional(raw.pointee.backoff, "backoff", as: Backoff.self) {
      self.backoff = backoff
    }
    if raw.pointee.priority != 0 { priority = Int(raw.pointee.priority) }
    constraints = try Decode.list(raw.pointee.n_constraints, raw.pointee.constraints, "constraints")
    executionTime = try Decode.time(raw.pointee.execution_time, "execution_time")
    if let policy = try Decode.choice(raw.pointee.on_agent_loss, "on_agent_loss", as: AgentLossPolicy.self) {
      onAgentLoss = policy
    }
    schedules = try Decode.list(raw.pointee.n_schedules, raw.pointee.schedules, "schedules")
    if let policy = try Decode.optional(raw.pointee.misfire, "misfire", as: MisfirePolicy.self) {
      misfire = policy
    }
    if let policy = try Decode.optional(raw.pointee.overlap, "overlap", as: OverlapPolicy.self) {
      overlap = policy
    }
    params = try Decode.map(raw.pointee.n_params, raw.pointee.params, "params")
    retryOn = try Decode.optional(raw.pointee.retry_on, "retry_on")
    noRetryOn = try Decode.optional(raw.pointee.no_retry_on, "no_retry_on")
    totalTimeoutMillis = try Decode.millis(raw.pointee.total_timeout, "total_timeout")
    agentLossWaitMillis = try Decode.millis(raw.pointee.agent_loss_wait, "agent_loss_wait")
    if let limits = try Decode.optional(raw.pointee.limits, "limits", as: TaskLimits.self) {
      self.limits = limits
    }
    runAs = try Decode.optionalText(raw.pointee.run_as, "run_as")
    resources = try Decode.optional(raw.pointee.resources, "resources") ?? Resources()
    placement = try Decode.optional(raw.pointee.placement, "placement") ?? Placement()
    alerts = try Decode.list(raw.pointee.n_alerts, raw.pointee.alerts, "alerts")
    queue = try Decode.optionalText(raw.pointee.queue, "queue") ?? Defaults.queue
    concurrency = try Decode.optional(raw.pointee.concurrency, "concurrency")
    maxRunning = Int(raw.pointee.max_running)
    startDeadlineMillis = try Decode.millis(raw.pointee.start_deadline, "start_deadline")
    labels = try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__JobSpec>, _ arena: Arena) {
    task.fill(raw, arena)
    raw.pointee.user_id = arena.text(userID)
    raw.pointee.env = arena.map(env, &raw.pointee.n_env)
    raw.pointee.working_directory = arena.text(workingDirectory)
    raw.pointee.timeout = arena.duration(millis: timeoutMillis)
    // What is the default anyway is left out: assignments are the bulk of the traffic.
    if killGraceMillis != Defaults.killGraceMillis {
      raw.pointee.kill_grace = arena.duration(millis: killGraceMillis)
    }
    raw.pointee.max_retries = Int32(wire: maxRetries)
    if backoff != .standard { raw.pointee.backoff = arena.message(backoff) }
    raw.pointee.priority = Int32(wire: priority)
    raw.pointee.constraints = arena.list(constraints, &raw.pointee.n_constraints)
    raw.pointee.execution_time = arena.time(executionTime)
    if onAgentLoss != .restart { raw.pointee.on_agent_loss = onAgentLoss.raw }
    raw.pointee.schedules = arena.list(schedules, &raw.pointee.n_schedules)
    if misfire != MisfirePolicy() { raw.pointee.misfire = arena.message(misfire) }
    if overlap != .allow { raw.pointee.overlap = arena.message(overlap) }
    raw.pointee.params = arena.map(params, &raw.pointee.n_params)
    raw.pointee.retry_on = arena.optional(retryOn)
    raw.pointee.no_retry_on = arena.optional(noRetryOn)
    raw.pointee.total_timeout = arena.duration(millis: totalTimeoutMillis)
    raw.pointee.agent_loss_wait = arena.duration(millis: agentLossWaitMillis)
    if !limits.isEmpty { raw.pointee.limits = arena.message(limits) }
    raw.pointee.run_as = arena.text(runAs)
    raw.pointee.resources = arena.optional(resources.unlessEmpty)
    if !placement.isDefault { raw.pointee.placement = arena.message(placement) }
    raw.pointee.alerts = arena.list(alerts, &raw.pointee.n_alerts)
    if queue != Defaults.queue { raw.pointee.queue = arena.text(queue) }
    raw.pointee.concurrency = arena.optional(concurrency)
    raw.pointee.max_running = Int32(wire: maxRunning)
    raw.pointee.start_deadline = arena.duration(millis: startDeadlineMillis)
    raw.pointee.labels = arena.map(labels, &raw.pointee.n_labels)
  }
}

extension Concurrency: Mapped {
  init(raw: UnsafePointer<Rota__V1__Concurrency>) throws(ProtoError) {
    self.init(
      key: try Decode.text(raw.pointee.key, "key"),
      limit: raw.pointee.limit == 0 ? Concurrency.defaultLimit : Int(raw.pointee.limit),
      whenFull: try Decode.choice(raw.pointee.when_full, "when_full", as: WhenFull.self) ?? .wait)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Concurrency>, _ arena: Arena) {
    raw.pointee.key = arena.text(key)
    raw.pointee.limit = Int32(wire: limit)
    raw.pointee.when_full = whenFull.raw
  }
}

extension TaskLimits: Mapped {
  init(raw: UnsafePointer<Rota__V1__TaskLimits>) throws(ProtoError) {
    self.init(
      memoryBytes: raw.pointee.memory_bytes == 0 ? nil : raw.pointee.memory_bytes,
      pids: raw.pointee.pids == 0 ? nil : Int(raw.pointee.pids),
      cpus: raw.pointee.cpus == 0 ? nil : raw.pointee.cpus)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__TaskLimits>, _ arena: Arena) {
    raw.pointee.memory_bytes = memoryBytes ?? 0
    raw.pointee.pids = Int32(wire: pids ?? 0)
    raw.pointee.cpus = cpus ?? 0
  }
}

extension TaskSpec {
  /// The task of a specification, which has to have one.
  fileprivate init(_ spec: Rota__V1__JobSpec) throws(ProtoError) {
    switch spec.kind_case {
    case ROTA__V1__JOB_SPEC__KIND_EXEC:
      guard let exec = spec.exec?.pointee else { throw Decode.missing("exec") }
      self = .exec(argv: try Decode.texts(exec.n_argv, exec.argv, "exec.argv"))
    case ROTA__V1__JOB_SPEC__KIND_SHELL:
      guard let shell = spec.shell?.pointee else { throw Decode.missing("shell") }
      let interpreter = try Decode.texts(shell.n_interpreter, shell.interpreter, "shell.interpreter")
      self = .shell(
        script: try Decode.text(shell.script, "shell.script"),
        interpreter: interpreter.isEmpty ? TaskSpec.defaultInterpreter : interpreter)
    case ROTA__V1__JOB_SPEC__KIND_HTTP:
      self = .http(try Decode.required(spec.http, "http"))
    case ROTA__V1__JOB_SPEC__KIND_NOOP:
      self = .noop
    case ROTA__V1__JOB_SPEC__KIND_TASK:
      guard let task = spec.task?.pointee else { throw Decode.missing("task") }
      self = .task(
        name: try Decode.text(task.name, "task.name"),
        payload: try Decode.optionalText(task.payload, "task.payload") ?? TaskSpec.defaultPayload)
    default:
      throw ProtoError(.missing, field: "task", "is missing: set one of exec, shell, http, noop and task")
    }
  }

  fileprivate func fill(_ spec: UnsafeMutablePointer<Rota__V1__JobSpec>, _ arena: Arena) {
    switch self {
    case .exec(let argv):
      let exec = arena.blank(Rota__V1__ExecTask.self)
      exec.pointee.argv = arena.texts(argv, &exec.pointee.n_argv)
      spec.pointee.kind_case = ROTA__V1__JOB_SPEC__KIND_EXEC
      spec.pointee.exec = exec
    case .shell(let script, let interpreter):
      let shell = arena.blank(Rota__V1__ShellTask.self)
      shell.pointee.script = arena.text(script)
      if interpreter != TaskSpec.defaultInterpreter {
        shell.pointee.interpreter = arena.texts(interpreter, &shell.pointee.n_interpreter)
      }
      spec.pointee.kind_case = ROTA__V1__JOB_SPEC__KIND_SHELL
      spec.pointee.shell = shell
    case .http(let request):
      spec.pointee.kind_case = ROTA__V1__JOB_SPEC__KIND_HTTP
      spec.pointee.http = arena.message(request)
    case .noop:
      let noop = arena.blank(Rota__V1__NoopTask.self)
      spec.pointee.kind_case = ROTA__V1__JOB_SPEC__KIND_NOOP
      spec.pointee.noop = noop
    case .task(let name, let payload):
      let task = arena.blank(Rota__V1__NamedTask.self)
      task.pointee.name = arena.text(name)
      if payload != TaskSpec.defaultPayload { task.pointee.payload = arena.text(payload) }
      spec.pointee.kind_case = ROTA__V1__JOB_SPEC__KIND_TASK
      spec.pointee.task = task
    }
  }
}

extension HTTPTask: Mapped {
  init(raw: UnsafePointer<Rota__V1__HttpTask>) throws(ProtoError) {
    self.init(
      method: try Decode.optionalText(raw.pointee.method, "method") ?? "GET",
      url: try Decode.text(raw.pointee.url, "url"),
      headers: try Decode.map(raw.pointee.n_headers, raw.pointee.headers, "headers"),
      body: try Decode.text(raw.pointee.body, "body"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__HttpTask>, _ arena: Arena) {
    raw.pointee.method = arena.text(method)
    raw.pointee.url = arena.text(url)
    raw.pointee.headers = arena.map(headers, &raw.pointee.n_headers)
    raw.pointee.body = arena.text(body)
  }
}

extension Backoff: Mapped {
  /// What stands for "no jitter": proto3 does not tell a double of 0 from an absent one, which means the
  /// default. As a share of any wait this is nothing.
  private static let noJitter = Double.leastNonzeroMagnitude

  init(raw: UnsafePointer<Rota__V1__Backoff>) throws(ProtoError) {
    let list = try Decode.list(raw.pointee.n_list, raw.pointee.list, "list", of: WireDuration.self).map(
      \.millis)
    let initial = try Decode.millis(raw.pointee.initial, "initial")
    let max = try Decode.millis(raw.pointee.max, "max")
    let multiplier = raw.pointee.multiplier == 0 ? nil : raw.pointee.multiplier
    let jitter: Double? =
      switch raw.pointee.jitter {
      case 0: nil
      case Backoff.noJitter: 0
      default: raw.pointee.jitter
      }
    do {
      try self.init(
        list: list.isEmpty ? nil : list, initialMillis: initial, multiplier: multiplier, maxMillis: max,
        jitter: jitter)
    } catch {
      throw ProtoError(.invalid, field: error.field, error.message)
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Backoff>, _ arena: Arena) {
    switch curve {
    case .list(let waits):
      raw.pointee.list = arena.list(waits.map(WireDuration.init(millis:)), &raw.pointee.n_list)
    case .exponential(let initial, let multiplier, let max):
      raw.pointee.initial = arena.duration(millis: initial)
      raw.pointee.multiplier = multiplier
      raw.pointee.max = arena.duration(millis: max)
    }
    raw.pointee.jitter = jitter == 0 ? Backoff.noJitter : jitter
  }
}

extension FailureFilter: Mapped {
  init(raw: UnsafePointer<Rota__V1__FailureFilter>) throws(ProtoError) {
    self.init(
      exitCodes: try Self.codes(raw.pointee.n_exit_codes, raw.pointee.exit_codes, "exit_codes"),
      httpStatuses: try Self.codes(raw.pointee.n_http_statuses, raw.pointee.http_statuses, "http_statuses"))
    let words = try Decode.texts(raw.pointee.n_reasons, raw.pointee.reasons, "reasons")
    for (index, word) in words.enumerated() {
      guard let reason = Reason(rawValue: word) else {
        let known = Reason.allCases.map(\.rawValue).joined(separator: ", ")
        throw ProtoError(.invalid, field: "reasons[\(index)]", "is not one of \(known)")
      }
      reasons.append(reason)
    }
  }

  private static func codes(
    _ count: Int, _ list: UnsafeMutablePointer<ProtobufCBinaryData>?, _ field: StaticString
  ) throws(ProtoError) -> [CodeRange] {
    var codes: [CodeRange] = []
    for (index, text) in try Decode.texts(count, list, field).enumerated() {
      do throws(TextError) { codes.append(try CodeRange(text: text)) } catch {
        throw ProtoError(.invalid, field: "\(field)[\(index)]", error.message)
      }
    }
    return codes
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__FailureFilter>, _ arena: Arena) {
    raw.pointee.exit_codes = arena.texts(exitCodes.map(\.text), &raw.pointee.n_exit_codes)
    raw.pointee.http_statuses = arena.texts(httpStatuses.map(\.text), &raw.pointee.n_http_statuses)
    raw.pointee.reasons = arena.texts(reasons.map(\.rawValue), &raw.pointee.n_reasons)
  }
}

/// A duration as an element of a list.
struct WireDuration: Mapped {
  let millis: Int64

  init(millis: Int64) { self.millis = millis }

  init(raw: UnsafePointer<Google__Protobuf__Duration>) throws(ProtoError) {
    guard let millis = try Decode.millis(raw, "") else { throw Decode.missing("") }
    self.millis = millis
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Protobuf__Duration>, _ arena: Arena) {
    guard let duration = arena.duration(millis: millis) else { return }
    raw.pointee.seconds = duration.pointee.seconds
    raw.pointee.nanos = duration.pointee.nanos
  }
}

extension Constraint: Mapped {
  init(raw: UnsafePointer<Rota__V1__Constraint>) throws(ProtoError) {
    guard let op = try Decode.choice(raw.pointee.operator_, "operator", as: Operator.self) else {
      throw Decode.missing("operator")
    }
    self.init(
      label: try Decode.text(raw.pointee.label, "label"), op: op,
      values: try Decode.texts(raw.pointee.n_values, raw.pointee.values, "values"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Constraint>, _ arena: Arena) {
    raw.pointee.label = arena.text(label)
    raw.pointee.operator_ = op.raw
    raw.pointee.values = arena.texts(values, &raw.pointee.n_values)
  }
}
