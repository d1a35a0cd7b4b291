import CProto
import SchedulerCore

extension AgentView: Mapped, WireMessage {
  /// As `rota.v1.Agent`.
  public static var codec: WireCodec<AgentView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Agent>) throws(ProtoError) {
    let draining = raw.pointee.draining != 0
    var record = AgentRecord(
      agentID: try Decode.text(raw.pointee.worker_id, "worker_id"),
      host: try Decode.text(raw.pointee.host, "host"),
      labels: try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels"),
      slots: Int(raw.pointee.slots),
      version: try Decode.text(raw.pointee.version, "version"),
      startedAt: try Decode.requiredTime(raw.pointee.started_at, "started_at"),
      kinds: try Decode.texts(raw.pointee.n_kinds, raw.pointee.kinds, "kinds"),
      tasks: try Decode.texts(raw.pointee.n_tasks, raw.pointee.tasks, "tasks"))
    record.draining = draining
    record.isolation = try Decode.text(raw.pointee.isolation, "isolation")
    record.runAsUsers = try Decode.texts(raw.pointee.n_run_as_users, raw.pointee.run_as_users, "run_as_users")
    record.resources = try Decode.optional(raw.pointee.resources, "resources") ?? Resources()
    self.init(
      record: record, slotsUsed: Int(raw.pointee.slots_used), connected: raw.pointee.connected != 0,
      draining: draining, health: try Decode.optional(raw.pointee.health, "health"),
      incarnation: raw.pointee.incarnation)
    healthState = try Decode.choice(raw.pointee.health_state, "health_state")
    healthReason = try Decode.optionalText(raw.pointee.health_reason, "health_reason")
    drain = try Decode.optional(raw.pointee.drain, "drain")
    resourcesUsed = try Decode.optional(raw.pointee.resources_used, "resources_used") ?? Resources()
    keptFor = try Decode.optionalText(raw.pointee.kept_for, "kept_for")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Agent>, _ arena: Arena) {
    raw.pointee.worker_id = arena.text(record.agentID)
    raw.pointee.host = arena.text(record.host)
    raw.pointee.labels = arena.map(record.labels, &raw.pointee.n_labels)
    raw.pointee.slots = Int32(wire: record.slots)
    raw.pointee.slots_used = Int32(wire: slotsUsed)
    raw.pointee.version = arena.text(record.version)
    raw.pointee.started_at = arena.time(record.startedAt)
    raw.pointee.kinds = arena.texts(record.kinds, &raw.pointee.n_kinds)
    raw.pointee.tasks = arena.texts(record.tasks, &raw.pointee.n_tasks)
    raw.pointee.isolation = arena.text(record.isolation)
    raw.pointee.run_as_users = arena.texts(record.runAsUsers, &raw.pointee.n_run_as_users)
    raw.pointee.connected = connected ? 1 : 0
    raw.pointee.draining = draining ? 1 : 0
    raw.pointee.health = arena.optional(health)
    raw.pointee.incarnation = incarnation
    if let healthState { raw.pointee.health_state = healthState.raw }
    raw.pointee.health_reason = arena.text(healthReason)
    raw.pointee.drain = arena.optional(drain)
    raw.pointee.resources = arena.optional(record.resources.unlessEmpty)
    raw.pointee.resources_used = arena.optional(resourcesUsed.unlessEmpty)
    raw.pointee.kept_for = arena.text(keptFor)
  }
}

extension AgentHealth: Mapped {
  init(raw: UnsafePointer<Rota__V1__AgentHealth>) throws(ProtoError) {
    self.init()
    cpu = raw.pointee.cpu
    load1 = raw.pointee.load1
    memoryTotal = raw.pointee.memory_total_bytes
    memoryAvailable = raw.pointee.memory_available_bytes
    diskTotal = raw.pointee.disk_total_bytes
    diskAvailable = raw.pointee.disk_available_bytes
    unhealthyReason = try Decode.optionalText(raw.pointee.unhealthy_reason, "unhealthy_reason")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__AgentHealth>, _ arena: Arena) {
    raw.pointee.cpu = cpu
    raw.pointee.load1 = load1
    raw.pointee.memory_total_bytes = memoryTotal
    raw.pointee.memory_available_bytes = memoryAvailable
    raw.pointee.disk_total_bytes = diskTotal
    raw.pointee.disk_available_bytes = diskAvailable
    raw.pointee.unhealthy_reason = arena.text(unhealthyReason)
  }
}

extension DrainRecord: Mapped {
  init(raw: UnsafePointer<Rota__V1__Drain>) throws(ProtoError) {
    self.init(
      requestedAt: try Decode.requiredTime(raw.pointee.requested_at, "requested_at"),
      deadline: try Decode.time(raw.pointee.deadline, "deadline"),
      note: try Decode.optionalText(raw.pointee.note, "note"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Drain>, _ arena: Arena) {
    raw.pointee.requested_at = arena.time(requestedAt)
    raw.pointee.deadline = arena.time(deadline)
    raw.pointee.note = arena.text(note)
  }
}

extension ListAgentsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListAgentsRequest`.
  public static var codec: WireCodec<ListAgentsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListAgentsRequest>) throws(ProtoError) {
    self.init(
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListAgentsRequest>, _ arena: Arena) {
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListAgentsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListAgentsResponse`.
  public static var codec: WireCodec<ListAgentsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListAgentsResponse>) throws(ProtoError) {
    self.init(
      agents: try Decode.list(raw.pointee.n_agents, raw.pointee.agents, "agents"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListAgentsResponse>, _ arena: Arena) {
    raw.pointee.agents = arena.list(agents, &raw.pointee.n_agents)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}

extension DrainAgentRequest: Mapped, WireMessage {
  /// As `rota.v1.DrainAgentRequest`.
  public static var codec: WireCodec<DrainAgentRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DrainAgentRequest>) throws(ProtoError) {
    self.init(
      agentID: try Decode.text(raw.pointee.worker_id, "worker_id"),
      timeoutMillis: try Decode.millis(raw.pointee.timeout, "timeout"),
      deadline: try Decode.time(raw.pointee.deadline, "deadline"),
      note: try Decode.optionalText(raw.pointee.note, "note"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DrainAgentRequest>, _ arena: Arena) {
    raw.pointee.worker_id = arena.text(agentID)
    raw.pointee.timeout = arena.duration(millis: timeoutMillis)
    raw.pointee.deadline = arena.time(deadline)
    raw.pointee.note = arena.text(note)
  }
}

extension UndrainAgentRequest: Mapped, WireMessage {
  /// As `rota.v1.UndrainAgentRequest`.
  public static var codec: WireCodec<UndrainAgentRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__UndrainAgentRequest>) throws(ProtoError) {
    self.init(agentID: try Decode.text(raw.pointee.worker_id, "worker_id"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__UndrainAgentRequest>, _ arena: Arena) {
    raw.pointee.worker_id = arena.text(agentID)
  }
}

extension UndrainAgentResponse: Mapped, WireMessage {
  /// As `rota.v1.UndrainAgentResponse`.
  public static var codec: WireCodec<UndrainAgentResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__UndrainAgentResponse>) throws(ProtoError) {
    self.init(wasDrained: raw.pointee.was_drained != 0)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__UndrainAgentResponse>, _ arena: Arena) {
    raw.pointee.was_drained = wasDrained ? 1 : 0
  }
}
