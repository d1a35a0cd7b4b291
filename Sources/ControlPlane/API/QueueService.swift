import EtcdClient
import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Queues: what REST and gRPC call. Any server can change them; the leader sees each change by its watch. How many runs
/// wait and run it alone knows, so it is asked for that.
struct QueueService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let leaderLink: LeaderLink
  let logger: Logger

  // MARK: Read

  /// One queue, whether somebody has put it or not.
  func get(_ request: GetQueueRequest, isForwarded: Bool) async throws -> QueueView {
    try check(request.name)
    try await barrier.pass()
    let own = await replica.queueView(request.name)
    let told: QueueView? = await ask("Get", request, isForwarded: isForwarded)
    return own.with(told?.figures)
  }

  /// A page of queues by name: those that somebody has put, `default`, and those of which runs wait or have an agent.
  func list(_ request: ListQueuesRequest, isForwarded: Bool) async throws -> ListQueuesResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    if let token = request.pageToken, !Identifier.isValid(token) { throw JobService.badPageToken }
    try await barrier.pass()
    if let told: ListQueuesResponse = await ask("List", request, isForwarded: isForwarded) { return told }
    return await replica.listQueues(after: request.pageToken, limit: size)
  }

  /// What the leader says, where that is another server that can be reached; nil when this one's own view has to do.
  private func ask<Request: WireMessage, Answer: WireMessage>(
    _ method: String, _ request: Request, isForwarded: Bool
  ) async -> Answer? {
    guard !isForwarded, let leader = try? await replica.otherLeader() else { return nil }
    do {
      let answer = try await leaderLink.channel(to: leader).unary(
        "/rota.v1.Queues/\(method)", ByteBuffer(bytes: request.wire()),
        metadata: [LeaderLink.forwardedHeader: "1"], timeout: ServerLimits.leaderConnectTimeout)
      return try decode(Answer.self, answer)
    } catch {
      // The leader is changing: what etcd holds is still worth showing.
      logger.info(
        "the leader has not told how queues stand",
        metadata: ["leader": "\(leader.serverID)", "error": "\(error)"])
      return nil
    }
  }

  // MARK: Write

  /// Creates or replaces what a queue is set to. Returns whether it is new. The specification that it has already changes
  /// nothing, nor does the queue's last change when it is sent again.
  func put(_ request: PutQueueRequest) async throws -> (view: QueueView, isNew: Bool) {
    try check(request.name)
    do {
      if let key = request.idempotencyKey { try SubmitRequest.validate(idempotencyKey: key) }
      try request.spec.validate()
    } catch {
      throw ServiceError.invalid(error)
    }
    return try await change(
      request.name, "put", ifMatch: request.ifMatch, changeID: request.idempotencyKey,
      isRepeated: { $0.spec == request.spec }
    ) { record in record.spec = request.spec }
  }

  /// Has a queue give out nothing until it is resumed; pausing it again changes the note alone.
  func pause(_ request: PauseQueueRequest) async throws -> QueueView {
    try check(request.name)
    if let note = request.note, note.utf8.count > QueueLimits.noteBytes {
      throw ServiceError.invalid(
        "note", "has \(note.utf8.count) bytes; at most \(QueueLimits.noteBytes) are kept")
    }
    return try await change(request.name, "paused") { record in
      record.pausedAt = record.pausedAt ?? .now()
      record.pauseNote = request.note
    }.view
  }

  /// Ends a queue's pause.
  func resume(_ request: ResumeQueueRequest) async throws -> QueueView {
    try check(request.name)
    try await barrier.pass()
    let view = await replica.queueView(request.name)
    guard view.record?.pausedAt != nil else { return view }
    return try await change(request.name, "resumed") { record in
      record.pausedAt = nil
      record.pauseNote = nil
    }.view
  }

  /// Takes a queue back to the defaults.
  func delete(_ request: DeleteQueueRequest) async throws {
    try check(request.name)
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      guard let present = await replica.queue(request.name) else {
        throw ServiceError.notFound("nobody has put queue '\(request.name)'; it goes by the defaults")
      }
      try check(request.ifMatch, present, request.name)
      let proposal = Proposal(
        guards: [.queueUnchanged(request.name, modRevision: present.modRevision)],
        writes: [.deleteQueue(request.name)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed: return log("deleted", request.name, present.record.generation)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, or somebody else: it was what was meant, and it is gone.
        if let pair = current[keyspace.queue(request.name)], pair == nil { return }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(request.name)
  }

  /// Changes a queue's record, or makes one.
  /// - Parameters:
  ///   - id: Names the change; nil for a new name.
  ///   - isRepeated: Whether a record that this change has made already says what it was to say.
  private func change(
    _ name: String, _ action: String, ifMatch: String? = nil, changeID id: String? = nil,
    isRepeated: (QueueRecord) -> Bool = { _ in true }, _ apply: (inout QueueRecord) -> Void
  ) async throws -> (view: QueueView, isNew: Bool) {
    let changeID = id ?? JobService.newChangeID()
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      let present = await replica.queue(name)
      if let present, present.record.changeID == changeID {
        guard isRepeated(present.record) else {
          throw ServiceError.alreadyExists("idempotency_key", "was used for another change of this queue")
        }
        return (QueueView(present), false)
      }
      try check(ifMatch, present, name)
      if present == nil, await replica.queueCount >= QueueLimits.queues {
        throw ServiceError.overloaded(
          "\(QueueLimits.queues) queues have been put, and no more are kept; delete some that nobody uses")
      }
      let now = Timestamp.now()
      var record = present?.record ?? QueueRecord(name: name, createdAt: now)
      apply(&record)
      if let present, present.record == record { return (QueueView(present), false) }
      if present != nil { record.generation += 1 }
      record.updatedAt = now
      record.changeID = changeID
      let proposal = Proposal(
        guards: [.queueUnchanged(name, modRevision: present?.modRevision ?? 0)], writes: [.queue(record)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed(let revision):
        log(action, name, record.generation)
        let view = QueueView(record, createRevision: present?.createRevision ?? revision)
        // Who is answered may rely on it: to tell its figures the leader has to have seen all that was written before.
        let seen = try? await get(GetQueueRequest(name: name), isForwarded: false)
        return (view.with(seen?.figures), present == nil)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, has been committed.
        if let pair = current[keyspace.queue(name)] ?? nil,
          try QueueRecord(decoding: pair.value, name: name).changeID == changeID
        {
          return (QueueView(record, createRevision: pair.createRevision), present == nil)
        }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(name)
  }

  // MARK: Parts

  private func check(_ name: String) throws {
    guard Identifier.isValid(name) else {
      throw ServiceError.invalid("name", "an identifier has \(Identifier.rule)")
    }
  }

  private func check(_ ifMatch: String?, _ present: Versioned<QueueRecord>?, _ name: String) throws {
    guard let ifMatch else { return }
    guard let present else { throw ServiceError.stale("nobody has put queue '\(name)'") }
    try JobService.check(ifMatch: ifMatch, against: QueueView(present).etag, of: "queue '\(name)'")
  }

  private func log(_ action: String, _ name: String, _ generation: Int) {
    logger.info(
      "queue changed",
      metadata: ["queue": "\(name)", "action": "\(action)", "generation": "\(generation)"])
  }

  private static func keepsChanging(_ name: String) -> ServiceError {
    .aborted("queue '\(name)' keeps changing; try again")
  }
}

extension QueueView {
  /// - Parameter createRevision: Tells this queue from another that had the same name.
  init(_ record: QueueRecord, createRevision: Int64) {
    self.init(name: record.name, record: record, etag: "\(createRevision)-\(record.generation)")
  }

  init(_ queue: Versioned<QueueRecord>) { self.init(queue.record, createRevision: queue.createRevision) }

  /// The same with what the leader says of it.
  fileprivate func with(_ figures: QueueFigures?) -> QueueView {
    var view = self
    view.figures = figures ?? view.figures
    return view
  }
}
