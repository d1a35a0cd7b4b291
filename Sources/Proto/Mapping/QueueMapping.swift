import CProto
import SchedulerCore

extension QueueSpec: Mapped {
  init(raw: UnsafePointer<Rota__V1__QueueSpec>) throws(ProtoError) {
    self.init()
    description = try Decode.text(raw.pointee.description, "description")
    if raw.pointee.weight != 0 { weight = Int(raw.pointee.weight) }
    if raw.pointee.priority != 0 { priority = Int(raw.pointee.priority) }
    maxRunning = raw.pointee.max_running == 0 ? nil : Int(raw.pointee.max_running)
    dispatchRate = raw.pointee.dispatch_rate == 0 ? nil : raw.pointee.dispatch_rate
    dispatchBurst = raw.pointee.dispatch_burst == 0 ? nil : Int(raw.pointee.dispatch_burst)
    agents = try Decode.list(raw.pointee.n_agents, raw.pointee.agents, "agents")
    let weights = try Decode.list(
      raw.pointee.n_fairness_weights, raw.pointee.fairness_weights, "fairness_weights",
      of: WeightEntry.self)
    for entry in weights { fairnessWeights[entry.name] = entry.weight }
    labels = try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__QueueSpec>, _ arena: Arena) {
    raw.pointee.description = arena.text(description)
    raw.pointee.weight = Int32(wire: weight)
    raw.pointee.priority = Int32(wire: priority)
    raw.pointee.max_running = Int32(wire: maxRunning ?? 0)
    raw.pointee.dispatch_rate = dispatchRate ?? 0
    raw.pointee.dispatch_burst = Int32(wire: dispatchBurst ?? 0)
    raw.pointee.agents = arena.list(agents, &raw.pointee.n_agents)
    let weights = fairnessWeights.sorted { $0.key < $1.key }
      .map { WeightEntry(name: $0.key, weight: $0.value) }
    raw.pointee.fairness_weights = arena.list(weights, &raw.pointee.n_fairness_weights)
    raw.pointee.labels = arena.map(labels, &raw.pointee.n_labels)
  }
}

/// An entry of a map of shares.
private struct WeightEntry: Mapped {
  let name: String
  let weight: Int

  init(name: String, weight: Int) {
    self.name = name
    self.weight = weight
  }

  init(raw: UnsafePointer<Rota__V1__Int32Entry>) throws(ProtoError) {
    name = try Decode.text(raw.pointee.key, "key")
    weight = Int(raw.pointee.value)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Int32Entry>, _ arena: Arena) {
    raw.pointee.key = arena.text(name)
    raw.pointee.value = Int32(wire: weight)
  }
}

extension QueueFigures: Mapped {
  init(raw: UnsafePointer<Rota__V1__QueueFigures>) throws(ProtoError) {
    self.init()
    waiting = Int(raw.pointee.waiting)
    running = Int(raw.pointee.running)
    dispatched = Int(raw.pointee.dispatched)
    waitingSince = try Decode.time(raw.pointee.waiting_since, "waiting_since")
    // A newer leader may have other reasons.
    block = try Decode.optionalText(raw.pointee.blocked, "blocked").flatMap(Block.init(rawValue:))
    blockedUntil = try Decode.time(raw.pointee.blocked_until, "blocked_until")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__QueueFigures>, _ arena: Arena) {
    raw.pointee.waiting = Int64(waiting)
    raw.pointee.running = Int64(running)
    raw.pointee.dispatched = Int64(dispatched)
    raw.pointee.waiting_since = arena.time(waitingSince)
    raw.pointee.blocked = arena.text(block?.rawValue)
    raw.pointee.blocked_until = arena.time(blockedUntil)
  }
}

extension QueueView: Mapped, WireMessage {
  /// As `rota.v1.Queue`.
  public static var codec: WireCodec<QueueView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Queue>) throws(ProtoError) {
    self.init(
      name: try Decode.text(raw.pointee.name, "name"), etag: try Decode.text(raw.pointee.etag, "etag"),
      figures: try Decode.optional(raw.pointee.figures, "figures"))
    guard raw.pointee.generation > 0 else { return }
    var record = QueueRecord(
      name: name, spec: try Decode.required(raw.pointee.spec, "spec"),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"))
    record.generation = Int(raw.pointee.generation)
    record.updatedAt = try Decode.requiredTime(raw.pointee.updated_at, "updated_at")
    record.pausedAt = try Decode.time(raw.pointee.paused_at, "paused_at")
    record.pauseNote = try Decode.optionalText(raw.pointee.pause_note, "pause_note")
    self.record = record
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Queue>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.etag = arena.text(etag)
    raw.pointee.figures = arena.optional(figures)
    guard let record else { return }
    raw.pointee.generation = Int64(record.generation)
    raw.pointee.created_at = arena.time(record.createdAt)
    raw.pointee.updated_at = arena.time(record.updatedAt)
    raw.pointee.paused_at = arena.time(record.pausedAt)
    raw.pointee.pause_note = arena.text(record.pauseNote)
  }
}

// MARK: - Requests

extension Decode {
  /// The name of a queue, which has to be said.
  fileprivate static func queueName(_ name: ProtobufCBinaryData) throws(ProtoError) -> String {
    guard let name = try optionalText(name, "name") else { throw missing("name") }
    return name
  }
}

extension PutQueueRequest: Mapped, WireMessage {
  /// As `rota.v1.PutQueueRequest`.
  public static var codec: WireCodec<PutQueueRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PutQueueRequest>) throws(ProtoError) {
    self.init(
      name: try Decode.queueName(raw.pointee.name), spec: try Decode.required(raw.pointee.spec, "spec"),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PutQueueRequest>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.if_match = arena.text(ifMatch)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
  }
}

extension GetQueueRequest: Mapped, WireMessage {
  /// As `rota.v1.GetQueueRequest`.
  public static var codec: WireCodec<GetQueueRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetQueueRequest>) throws(ProtoError) {
    self.init(name: try Decode.queueName(raw.pointee.name))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetQueueRequest>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
  }
}

extension ListQueuesRequest: Mapped, WireMessage {
  /// As `rota.v1.ListQueuesRequest`.
  public static var codec: WireCodec<ListQueuesRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListQueuesRequest>) throws(ProtoError) {
    self.init(
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListQueuesRequest>, _ arena: Arena) {
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListQueuesResponse: Mapped, WireMessage {
  /// As `rota.v1.ListQueuesResponse`.
  public static var codec: WireCodec<ListQueuesResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListQueuesResponse>) throws(ProtoError) {
    self.init(
      queues: try Decode.list(raw.pointee.n_queues, raw.pointee.queues, "queues"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListQueuesResponse>, _ arena: Arena) {
    raw.pointee.queues = arena.list(queues, &raw.pointee.n_queues)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}

extension DeleteQueueRequest: Mapped, WireMessage {
  /// As `rota.v1.DeleteQueueRequest`.
  public static var codec: WireCodec<DeleteQueueRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteQueueRequest>) throws(ProtoError) {
    self.init(
      name: try Decode.queueName(raw.pointee.name),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteQueueRequest>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
    raw.pointee.if_match = arena.text(ifMatch)
  }
}

extension DeleteQueueResponse: Mapped, WireMessage {
  /// As `rota.v1.DeleteQueueResponse`.
  public static var codec: WireCodec<DeleteQueueResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteQueueResponse>) throws(ProtoError) { self.init() }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteQueueResponse>, _ arena: Arena) {}
}

extension PauseQueueRequest: Mapped, WireMessage {
  /// As `rota.v1.PauseQueueRequest`.
  public static var codec: WireCodec<PauseQueueRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PauseQueueRequest>) throws(ProtoError) {
    self.init(
      name: try Decode.queueName(raw.pointee.name),
      note: try Decode.optionalText(raw.pointee.note, "note"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PauseQueueRequest>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
    raw.pointee.note = arena.text(note)
  }
}

extension ResumeQueueRequest: Mapped, WireMessage {
  /// As `rota.v1.ResumeQueueRequest`.
  public static var codec: WireCodec<ResumeQueueRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ResumeQueueRequest>) throws(ProtoError) {
    self.init(name: try Decode.queueName(raw.pointee.name))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ResumeQueueRequest>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
  }
}
