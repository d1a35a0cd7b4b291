import CProto
import SchedulerCore

extension AgentMessage: Mapped, WireMessage {
  /// As `rota.v1.AgentMessage`.
  public static var codec: WireCodec<AgentMessage> { .mapped }

  init(raw: UnsafePointer<Rota__V1__AgentMessage>) throws(ProtoError) {
    switch raw.pointee.message_case {
    case ROTA__V1__AGENT_MESSAGE__MESSAGE_HELLO:
      self = .hello(try Decode.required(raw.pointee.hello, "hello"))
    case ROTA__V1__AGENT_MESSAGE__MESSAGE_STATUS:
      self = .status(try Decode.required(raw.pointee.status, "status"))
    case ROTA__V1__AGENT_MESSAGE__MESSAGE_CHECKPOINT:
      self = .checkpoint(try Decode.required(raw.pointee.checkpoint, "checkpoint"))
    default:
      throw ProtoError(.missing, field: "message", "is missing: expected hello, status or checkpoint")
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__AgentMessage>, _ arena: Arena) {
    switch self {
    case .hello(let hello):
      raw.pointee.message_case = ROTA__V1__AGENT_MESSAGE__MESSAGE_HELLO
      raw.pointee.hello = arena.message(hello)
    case .status(let status):
      raw.pointee.message_case = ROTA__V1__AGENT_MESSAGE__MESSAGE_STATUS
      raw.pointee.status = arena.message(status)
    case .checkpoint(let report):
      raw.pointee.message_case = ROTA__V1__AGENT_MESSAGE__MESSAGE_CHECKPOINT
      raw.pointee.checkpoint = arena.message(report)
    }
  }
}

extension CheckpointReport: Mapped {
  init(raw: UnsafePointer<Rota__V1__Checkpoint>) throws(ProtoError) {
    self.init(
      ref: try Decode.required(raw.pointee.attempt, "attempt"), sequence: raw.pointee.sequence,
      data: Decode.bytes(raw.pointee.data))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Checkpoint>, _ arena: Arena) {
    raw.pointee.attempt = arena.message(ref)
    raw.pointee.sequence = sequence
    raw.pointee.data = arena.bytes(data)
  }
}

extension AgentHello: Mapped {
  init(raw: UnsafePointer<Rota__V1__Hello>) throws(ProtoError) {
    self.init(
      agentID: try Decode.text(raw.pointee.worker_id, "worker_id"),
      incarnation: raw.pointee.incarnation,
      version: try Decode.text(raw.pointee.version, "version"),
      attempts: try Decode.list(raw.pointee.n_attempts, raw.pointee.attempts, "attempts"),
      health: try Decode.optional(raw.pointee.health, "health") ?? AgentHealth(),
      draining: raw.pointee.draining != 0)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Hello>, _ arena: Arena) {
    raw.pointee.worker_id = arena.text(agentID)
    raw.pointee.incarnation = incarnation
    raw.pointee.version = arena.text(version)
    raw.pointee.attempts = arena.list(attempts, &raw.pointee.n_attempts)
    raw.pointee.health = arena.message(health)
    raw.pointee.draining = draining ? 1 : 0
  }
}

extension AgentStatus: Mapped {
  init(raw: UnsafePointer<Rota__V1__Status>) throws(ProtoError) {
    self.init(
      sequence: raw.pointee.sequence,
      updates: try Decode.list(raw.pointee.n_updates, raw.pointee.updates, "updates"),
      health: try Decode.optional(raw.pointee.health, "health"),
      draining: raw.pointee.draining != 0)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Status>, _ arena: Arena) {
    raw.pointee.sequence = sequence
    raw.pointee.updates = arena.list(updates, &raw.pointee.n_updates)
    raw.pointee.health = arena.optional(health)
    raw.pointee.draining = draining ? 1 : 0
  }
}

extension AttemptRef: Mapped {
  init(raw: UnsafePointer<Rota__V1__AttemptRef>) throws(ProtoError) {
    let job = JobKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.text(raw.pointee.job_id, "job_id"))
    self.init(
      run: RunKey(job: job, runID: try Decode.text(raw.pointee.run_id, "run_id")),
      attempt: Int(raw.pointee.attempt), fence: raw.pointee.fence, incarnation: raw.pointee.incarnation)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__AttemptRef>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(run.job.namespace)
    raw.pointee.job_id = arena.text(run.job.jobID)
    raw.pointee.run_id = arena.text(run.runID)
    raw.pointee.attempt = Int32(wire: attempt)
    raw.pointee.fence = fence
    raw.pointee.incarnation = incarnation
  }
}

extension AttemptUpdate: Mapped {
  init(raw: UnsafePointer<Rota__V1__AttemptUpdate>) throws(ProtoError) {
    self.init(
      ref: try Decode.required(raw.pointee.attempt, "attempt"),
      startedAt: try Decode.time(raw.pointee.start_time, "start_time"),
      end: try AttemptUpdate.end(raw),
      progress: try Decode.optional(raw.pointee.progress, "progress"))
  }

  /// The end, which needs both a time and a reason.
  private static func end(_ raw: UnsafePointer<Rota__V1__AttemptUpdate>) throws(ProtoError) -> AttemptEnd? {
    let reason: EndReason? = try Decode.choice(raw.pointee.end_reason, "end_reason")
    guard let endedAt = try Decode.time(raw.pointee.end_time, "end_time") else {
      if reason != nil { throw Decode.missing("end_time") }
      return nil
    }
    guard let reason else { throw Decode.missing("end_reason") }
    let (exitCode, signal) = ExitOnWire.decode(reason, raw.pointee.exit_code, raw.pointee.signal)
    return AttemptEnd(
      endedAt: endedAt, reason: reason, exitCode: exitCode, signal: signal,
      httpStatus: raw.pointee.http_status == 0 ? nil : Int(raw.pointee.http_status),
      error: try Decode.optionalText(raw.pointee.error, "error"),
      outputTail: Decode.bytes(raw.pointee.output_tail),
      usage: try Decode.optional(raw.pointee.usage, "usage"), noRetry: raw.pointee.no_retry != 0,
      retryAfterMillis: try Decode.millis(raw.pointee.retry_after, "retry_after"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__AttemptUpdate>, _ arena: Arena) {
    raw.pointee.attempt = arena.message(ref)
    raw.pointee.start_time = arena.time(startedAt)
    raw.pointee.progress = arena.optional(progress)
    guard let end else { return }
    raw.pointee.end_time = arena.time(end.endedAt)
    raw.pointee.end_reason = end.reason.raw
    (raw.pointee.exit_code, raw.pointee.signal) = ExitOnWire.encode(end.reason, end.exitCode, end.signal)
    raw.pointee.http_status = Int32(wire: end.httpStatus ?? 0)
    raw.pointee.error = arena.text(end.error)
    raw.pointee.output_tail = arena.bytes(end.outputTail)
    raw.pointee.usage = arena.optional(end.usage)
    raw.pointee.no_retry = end.noRetry ? 1 : 0
    raw.pointee.retry_after = arena.duration(millis: end.retryAfterMillis)
  }
}

extension ServerMessage: Mapped, WireMessage {
  /// As `rota.v1.ServerMessage`.
  public static var codec: WireCodec<ServerMessage> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ServerMessage>) throws(ProtoError) {
    switch raw.pointee.message_case {
    case ROTA__V1__SERVER_MESSAGE__MESSAGE_WELCOME:
      guard let welcome = raw.pointee.welcome?.pointee else { throw Decode.missing("welcome") }
      self = .welcome(
        serverID: try Decode.text(welcome.server_id, "welcome.server_id"), leaderEpoch: welcome.leader_epoch)
    case ROTA__V1__SERVER_MESSAGE__MESSAGE_ASSIGN:
      guard let assign = raw.pointee.assign?.pointee else { throw Decode.missing("assign") }
      self = .assign(try Decode.list(assign.n_assignments, assign.assignments, "assign.assignments"))
    case ROTA__V1__SERVER_MESSAGE__MESSAGE_STOP:
      guard let stop = raw.pointee.stop?.pointee else { throw Decode.missing("stop") }
      let attempts: [AttemptRef] = try Decode.list(stop.n_attempts, stop.attempts, "stop.attempts")
      let reason = try Decode.text(stop.reason, "stop.reason")
      // What is not the agent's any more has nothing to hand over.
      self =
        stop.hand_over != 0 && stop.forget == 0
        ? .handOver(attempts, reason: reason) : .stop(attempts, forget: stop.forget != 0, reason: reason)
    case ROTA__V1__SERVER_MESSAGE__MESSAGE_ACK:
      guard let ack = raw.pointee.ack?.pointee else { throw Decode.missing("ack") }
      self = .ack(ack.sequence)
    case ROTA__V1__SERVER_MESSAGE__MESSAGE_CHECKPOINT_ACK:
      guard let ack = raw.pointee.checkpoint_ack?.pointee else { throw Decode.missing("checkpoint_ack") }
      self = .checkpointAck(
        try Decode.required(ack.attempt, "checkpoint_ack.attempt"), sequence: ack.sequence,
        error: try Decode.optionalText(ack.error, "checkpoint_ack.error"))
    default:
      throw ProtoError(
        .missing, field: "message", "is missing: expected welcome, assign, stop, ack or checkpoint_ack")
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ServerMessage>, _ arena: Arena) {
    switch self {
    case .welcome(let serverID, let leaderEpoch):
      let welcome = arena.blank(Rota__V1__Welcome.self)
      welcome.pointee.server_id = arena.text(serverID)
      welcome.pointee.leader_epoch = leaderEpoch
      raw.pointee.message_case = ROTA__V1__SERVER_MESSAGE__MESSAGE_WELCOME
      raw.pointee.welcome = welcome
    case .assign(let assignments):
      let assign = arena.blank(Rota__V1__Assign.self)
      assign.pointee.assignments = arena.list(assignments, &assign.pointee.n_assignments)
      raw.pointee.message_case = ROTA__V1__SERVER_MESSAGE__MESSAGE_ASSIGN
      raw.pointee.assign = assign
    case .stop(let attempts, let forget, let reason):
      let stop = arena.blank(Rota__V1__Stop.self)
      stop.pointee.attempts = arena.list(attempts, &stop.pointee.n_attempts)
      stop.pointee.forget = forget ? 1 : 0
      stop.pointee.reason = arena.text(reason)
      raw.pointee.message_case = ROTA__V1__SERVER_MESSAGE__MESSAGE_STOP
      raw.pointee.stop = stop
    case .handOver(let attempts, let reason):
      let stop = arena.blank(Rota__V1__Stop.self)
      stop.pointee.attempts = arena.list(attempts, &stop.pointee.n_attempts)
      stop.pointee.hand_over = 1
      stop.pointee.reason = arena.text(reason)
      raw.pointee.message_case = ROTA__V1__SERVER_MESSAGE__MESSAGE_STOP
      raw.pointee.stop = stop
    case .ack(let sequence):
      let ack = arena.blank(Rota__V1__Ack.self)
      ack.pointee.sequence = sequence
      raw.pointee.message_case = ROTA__V1__SERVER_MESSAGE__MESSAGE_ACK
      raw.pointee.ack = ack
    case .checkpointAck(let ref, let sequence, let error):
      let ack = arena.blank(Rota__V1__CheckpointAck.self)
      ack.pointee.attempt = arena.message(ref)
      ack.pointee.sequence = sequence
      ack.pointee.error = arena.text(error)
      raw.pointee.message_case = ROTA__V1__SERVER_MESSAGE__MESSAGE_CHECKPOINT_ACK
      raw.pointee.checkpoint_ack = ack
    }
  }
}

extension Assignment: Mapped {
  init(raw: UnsafePointer<Rota__V1__Assignment>) throws(ProtoError) {
    self.init(
      ref: try Decode.required(raw.pointee.attempt, "attempt"),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      scheduledTime: try Decode.requiredTime(raw.pointee.scheduled_time, "scheduled_time"),
      retryCount: Int(raw.pointee.retry_count), checkpoint: Decode.bytes(raw.pointee.checkpoint),
      context: try Decode.optional(raw.pointee.context, "context") ?? RunContext())
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Assignment>, _ arena: Arena) {
    raw.pointee.attempt = arena.message(ref)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.scheduled_time = arena.time(scheduledTime)
    raw.pointee.retry_count = Int32(wire: retryCount)
    raw.pointee.checkpoint = arena.bytes(checkpoint)
    // Most runs of one-off jobs have nothing around them.
    if context != RunContext() { raw.pointee.context = arena.message(context) }
  }
}

extension RunContext: Mapped {
  init(raw: UnsafePointer<Rota__V1__RunContext>) throws(ProtoError) {
    self.init()
    if let trigger = try Decode.choice(raw.pointee.trigger, "trigger", as: RunTrigger.self) {
      self.trigger = trigger
    }
    params = try Decode.map(raw.pointee.n_params, raw.pointee.params, "params")
    previousScheduledTime = try Decode.time(raw.pointee.previous_scheduled_time, "previous_scheduled_time")
    nextScheduledTime = try Decode.time(raw.pointee.next_scheduled_time, "next_scheduled_time")
    lastSuccessTime = try Decode.time(raw.pointee.last_success_time, "last_success_time")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__RunContext>, _ arena: Arena) {
    raw.pointee.trigger = trigger.raw
    raw.pointee.params = arena.map(params, &raw.pointee.n_params)
    raw.pointee.previous_scheduled_time = arena.time(previousScheduledTime)
    raw.pointee.next_scheduled_time = arena.time(nextScheduledTime)
    raw.pointee.last_success_time = arena.time(lastSuccessTime)
  }
}

extension LogQuery: Mapped, WireMessage {
  /// As `rota.v1.LogQuery`.
  public static var codec: WireCodec<LogQuery> { .mapped }

  init(raw: UnsafePointer<Rota__V1__LogQuery>) throws(ProtoError) {
    guard let stream = try Decode.choice(raw.pointee.stream, "stream", as: LogStream.self) else {
      throw Decode.missing("stream")
    }
    self.init(
      request: raw.pointee.request, ref: try Decode.required(raw.pointee.attempt, "attempt"), stream: stream,
      offset: raw.pointee.offset, limit: Int(raw.pointee.limit))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__LogQuery>, _ arena: Arena) {
    raw.pointee.request = request
    raw.pointee.attempt = arena.message(ref)
    raw.pointee.stream = stream.raw
    raw.pointee.offset = offset
    raw.pointee.limit = Int32(wire: limit)
  }
}

extension LogReply: Mapped, WireMessage {
  /// As `rota.v1.LogReply`.
  public static var codec: WireCodec<LogReply> { .mapped }

  init(raw: UnsafePointer<Rota__V1__LogReply>) throws(ProtoError) {
    self.init(
      request: raw.pointee.request, offset: raw.pointee.offset, data: Decode.bytes(raw.pointee.data),
      end: raw.pointee.end != 0, error: try Decode.optionalText(raw.pointee.error, "error"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__LogReply>, _ arena: Arena) {
    raw.pointee.request = request
    raw.pointee.offset = offset
    raw.pointee.data = arena.bytes(data)
    raw.pointee.end = end ? 1 : 0
    raw.pointee.error = arena.text(error)
  }
}
