import EtcdClient
import Logging
import Proto
import SchedulerCore

/// The objects of concurrency groups: what REST and gRPC call. Any server can do all of it; the leader sees each change
/// by its watch.
struct GroupService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let logger: Logger

  // MARK: Read

  /// One group.
  func get(_ key: GroupKey) async throws -> GroupView {
    try check(key)
    try await barrier.pass()
    guard let group = await replica.group(key) else { throw Self.noGroup(key) }
    return await view(group)
  }

  /// A page of groups, by namespace and name.
  func list(_ request: ListGroupsRequest) async throws -> ListGroupsResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    var last: GroupKey?
    if let token = request.pageToken {
      guard let key = GroupKey(pageToken: token) else { throw JobService.badPageToken }
      last = key
    }
    try await barrier.pass()
    let left = await replica.groups(of: request.namespace, after: last)
    let page = left.sorted { $0.record.key < $1.record.key }.prefix(size)
    var views: [GroupView] = []
    for group in page { views.append(await view(group)) }
    return ListGroupsResponse(
      groups: views,
      nextPageToken: left.count > size ? page.last?.record.key.pageToken : nil)
  }

  // MARK: Write

  /// Creates or replaces a group. Returns whether it is new. The specification that it has already changes
  /// nothing, nor does the group's last change when it is sent again.
  func put(_ request: PutGroupRequest) async throws -> (view: GroupView, isNew: Bool) {
    try check(request.key)
    do {
      if let key = request.idempotencyKey { try SubmitRequest.validate(idempotencyKey: key) }
      try request.spec.validate()
    } catch {
      throw ServiceError.invalid(error)
    }
    let changeID = request.idempotencyKey ?? JobService.newChangeID()
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      let present = await replica.group(request.key)
      if let present, present.record.changeID == changeID {
        guard present.record.spec == request.spec else {
          throw ServiceError.alreadyExists("idempotency_key", "was used for another change of this group")
        }
        return (await view(present), false)
      }
      try check(request.ifMatch, present, request.key)
      if let present, present.record.spec == request.spec {
        return (await view(present), false)
      }
      if present == nil, await replica.groupCount >= ServerLimits.groups {
        throw ServiceError.overloaded(
          "there are objects of \(ServerLimits.groups) groups, and no more are kept")
      }
      var record = present?.record ?? GroupRecord(key: request.key, spec: request.spec, createdAt: .now())
      if present != nil {
        record.spec = request.spec
        record.generation += 1
        record.updatedAt = .now()
      }
      record.changeID = changeID
      let proposal = Proposal(
        guards: [.groupUnchanged(request.key, modRevision: present?.modRevision ?? 0)],
        writes: [.group(record)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed(let revision):
        log(present == nil ? "created" : "changed", request.key, record.generation)
        let created = present?.createRevision ?? revision
        return (await view(Versioned(record, createRevision: created, modRevision: revision)), present == nil)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, has been committed.
        if let pair = current[keyspace.group(request.key)] ?? nil,
          try GroupRecord(decoding: pair.value, key: request.key).changeID == changeID
        {
          let own = Versioned(record, createRevision: pair.createRevision, modRevision: pair.modRevision)
          return (await view(own), present == nil)
        }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(request.key)
  }

  /// Deletes a group's object: from then on the limits that jobs say count.
  func delete(_ request: DeleteGroupRequest) async throws {
    try check(request.key)
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      guard let present = await replica.group(request.key) else { throw Self.noGroup(request.key) }
      try check(request.ifMatch, present, request.key)
      let proposal = Proposal(
        guards: [.groupUnchanged(request.key, modRevision: present.modRevision)],
        writes: [.deleteGroup(request.key)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed: return log("deleted", request.key, present.record.generation)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, or somebody else: it was what was meant, and it is gone.
        if let pair = current[keyspace.group(request.key)], pair == nil { return }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(request.key)
  }

  // MARK: Parts

  private func view(_ group: Versioned<GroupRecord>) async -> GroupView {
    let use = await replica.use(of: group.record.key)
    return GroupView(
      record: group.record, etag: "\(group.createRevision)-\(group.record.generation)", running: use.running,
      waiting: use.waiting)
  }

  private func check(_ key: GroupKey) throws {
    for (field, value) in [("namespace", key.namespace), ("name", key.name)] where !Identifier.isValid(value)
    {
      throw ServiceError.invalid(field, "an identifier has \(Identifier.rule)")
    }
  }

  private func check(
    _ ifMatch: String?, _ present: Versioned<GroupRecord>?, _ key: GroupKey
  ) throws {
    guard let ifMatch else { return }
    guard let present else {
      throw ServiceError.stale("there is no object of group '\(key.name)' in namespace '\(key.namespace)'")
    }
    let view = GroupView(present.record, createRevision: present.createRevision)
    try JobService.check(ifMatch: ifMatch, against: view.etag, of: "group '\(key.name)'")
  }

  private func log(_ action: Logger.Message, _ key: GroupKey, _ generation: Int) {
    logger.info(
      "group \(action)",
      metadata: [
        "namespace": "\(key.namespace)", "group": "\(key.name)", "generation": "\(generation)",
      ])
  }

  private static func noGroup(_ key: GroupKey) -> ServiceError {
    .notFound("there is no object of group '\(key.name)' in namespace '\(key.namespace)'")
  }

  private static func keepsChanging(_ key: GroupKey) -> ServiceError {
    .aborted("group '\(key.name)' keeps changing; try again")
  }
}

extension GroupView {
  /// - Parameter createRevision: Tells this group from another that had the same name.
  init(_ record: GroupRecord, createRevision: Int64) {
    self.init(record: record, etag: "\(createRevision)-\(record.generation)")
  }
}

extension GroupKey {
  /// Asks for what comes after this one.
  fileprivate var pageToken: String { "\(namespace)/\(name)" }

  fileprivate init?(pageToken: String) {
    let parts = pageToken.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, parts.allSatisfy(Identifier.isValid) else { return nil }
    self.init(namespace: parts[0], name: parts[1])
  }
}
