import EtcdClient
import Logging
import Proto
import SchedulerCore

/// Quotas: what REST and gRPC call. Any server can do all of it; the others see each change by their watches.
struct QuotaService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let logger: Logger

  // MARK: Read

  /// The quota of a namespace, and what the namespace uses.
  func get(_ namespace: String) async throws -> QuotaView {
    try check(namespace)
    try await barrier.pass()
    guard let view = await replica.quotaView(namespace) else { throw Self.noQuota(namespace) }
    return view
  }

  /// A page of quotas, by namespace. A token is the last namespace of the page before.
  func list(_ request: ListQuotasRequest) async throws -> ListQuotasResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    if let token = request.pageToken, !Identifier.isValid(token) { throw JobService.badPageToken }
    try await barrier.pass()
    return await replica.listQuotas(after: request.pageToken, limit: size)
  }

  // MARK: Write

  /// Creates or replaces the quota of a namespace. Returns whether it is new. The specification that it has already
  /// changes nothing, nor does the quota's last change when it is sent again.
  func put(_ request: PutQuotaRequest) async throws -> (view: QuotaView, isNew: Bool) {
    let namespace = request.namespace
    try check(namespace)
    do {
      if let key = request.idempotencyKey { try SubmitRequest.validate(idempotencyKey: key) }
      try request.spec.validate()
    } catch {
      throw ServiceError.invalid(error)
    }
    let changeID = request.idempotencyKey ?? JobService.newChangeID()
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      let present = await replica.quota(namespace)
      if let present, present.record.changeID == changeID {
        guard present.record.spec == request.spec else {
          throw ServiceError.alreadyExists("idempotency_key", "was used for another change of this quota")
        }
        return (await view(present.record, present.createRevision), false)
      }
      try check(request.ifMatch, present, namespace)
      if let present, present.record.spec == request.spec {
        return (await view(present.record, present.createRevision), false)
      }
      if present == nil, await replica.quotaCount >= QuotaLimits.quotas {
        throw ServiceError.overloaded("there are \(QuotaLimits.quotas) quotas, and no more are kept")
      }
      var record =
        present?.record ?? QuotaRecord(namespace: namespace, spec: request.spec, createdAt: .now())
      if present != nil {
        record.spec = request.spec
        record.generation += 1
        record.updatedAt = .now()
      }
      record.changeID = changeID
      let proposal = Proposal(
        guards: [.quotaUnchanged(namespace, modRevision: present?.modRevision ?? 0)],
        writes: [.quota(record)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed(let revision):
        log(present == nil ? "created" : "changed", namespace, record.generation)
        return (await view(record, present?.createRevision ?? revision), present == nil)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, has been committed.
        if let pair = current[keyspace.quota(namespace)] ?? nil,
          try QuotaRecord(decoding: pair.value, namespace: namespace).changeID == changeID
        {
          return (await view(record, pair.createRevision), present == nil)
        }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(namespace)
  }

  /// Deletes the quota of a namespace: nothing bounds it any more.
  func delete(_ request: DeleteQuotaRequest) async throws {
    let namespace = request.namespace
    try check(namespace)
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      guard let present = await replica.quota(namespace) else { throw Self.noQuota(namespace) }
      try check(request.ifMatch, present, namespace)
      let proposal = Proposal(
        guards: [.quotaUnchanged(namespace, modRevision: present.modRevision)],
        writes: [.deleteQuota(namespace)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed: return log("deleted", namespace, present.record.generation)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, or somebody else: it was what was meant, and it is gone.
        if let pair = current[keyspace.quota(namespace)], pair == nil { return }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(namespace)
  }

  // MARK: Parts

  private func view(_ record: QuotaRecord, _ createRevision: Int64) async -> QuotaView {
    QuotaView(record, use: await replica.use(of: record.namespace), createRevision: createRevision)
  }

  private func check(_ namespace: String) throws {
    guard Identifier.isValid(namespace) else {
      throw ServiceError.invalid("namespace", "an identifier has \(Identifier.rule)")
    }
  }

  private func check(_ ifMatch: String?, _ present: Versioned<QuotaRecord>?, _ namespace: String) throws {
    guard let ifMatch else { return }
    guard let present else { throw ServiceError.stale("there is no quota for namespace '\(namespace)'") }
    try JobService.check(
      ifMatch: ifMatch, against: QuotaView.etag(present.record, present.createRevision),
      of: "the quota of namespace '\(namespace)'")
  }

  private func log(_ action: Logger.Message, _ namespace: String, _ generation: Int) {
    logger.info(
      "quota \(action)", metadata: ["namespace": "\(namespace)", "generation": "\(generation)"])
  }

  private static func noQuota(_ namespace: String) -> ServiceError {
    .notFound("there is no quota for namespace '\(namespace)': nothing bounds what it uses")
  }

  private static func keepsChanging(_ namespace: String) -> ServiceError {
    .aborted("the quota of namespace '\(namespace)' keeps changing; try again")
  }
}

extension QuotaView {
  /// - Parameter createRevision: Tells this quota from another that the namespace had.
  init(_ record: QuotaRecord, use: NamespaceUse, createRevision: Int64) {
    self.init(record: record, use: use, etag: Self.etag(record, createRevision))
  }

  static func etag(_ record: QuotaRecord, _ createRevision: Int64) -> String {
    "\(createRevision)-\(record.generation)"
  }
}
