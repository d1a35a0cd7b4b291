import EtcdClient
import Logging
import Proto
import SchedulerCore

/// Calendars: what REST and gRPC call. Any server can do all of it; the owners of segments see each change by their
/// watches.
struct CalendarService: Sendable {
  let replica: Replica
  let pipeline: CommitPipeline
  let barrier: ReadBarrier
  let keyspace: Keyspace
  let zones: TimeZones
  let logger: Logger

  // MARK: Read

  /// One calendar.
  func get(_ key: CalendarKey) async throws -> CalendarView {
    try check(key)
    try await barrier.pass()
    guard let calendar = await replica.calendar(key) else { throw Self.noCalendar(key) }
    return CalendarView(calendar.record, createRevision: calendar.createRevision)
  }

  /// A page of calendars, by namespace and name.
  func list(_ request: ListCalendarsRequest) async throws -> ListCalendarsResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    var last: CalendarKey?
    if let token = request.pageToken {
      guard let key = CalendarKey(pageToken: token) else { throw JobService.badPageToken }
      last = key
    }
    try await barrier.pass()
    let left = await replica.calendars(of: request.namespace, after: last)
    let page = left.sorted { $0.record.key < $1.record.key }.prefix(size)
    return ListCalendarsResponse(
      calendars: page.map { CalendarView($0.record, createRevision: $0.createRevision) },
      nextPageToken: left.count > size ? page.last?.record.key.pageToken : nil)
  }

  // MARK: Write

  /// Creates or replaces a calendar. Returns whether it is new. The specification that it has already changes
  /// nothing, nor does the calendar's last change when it is sent again.
  func put(_ request: PutCalendarRequest) async throws -> (view: CalendarView, isNew: Bool) {
    try check(request.key)
    do {
      if let key = request.idempotencyKey { try SubmitRequest.validate(idempotencyKey: key) }
      try request.spec.validate(zones: zones)
    } catch {
      throw ServiceError.invalid(error)
    }
    let changeID = request.idempotencyKey ?? JobService.newChangeID()
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      let present = await replica.calendar(request.key)
      if let present, present.record.changeID == changeID {
        guard present.record.spec == request.spec else {
          throw ServiceError.alreadyExists("idempotency_key", "was used for another change of this calendar")
        }
        return (CalendarView(present.record, createRevision: present.createRevision), false)
      }
      try check(request.ifMatch, present, request.key)
      if let present, present.record.spec == request.spec {
        return (CalendarView(present.record, createRevision: present.createRevision), false)
      }
      if present == nil, await replica.calendarCount >= ServerLimits.calendars {
        throw ServiceError.overloaded("there are \(ServerLimits.calendars) calendars, and no more are kept")
      }
      var record = present?.record ?? CalendarRecord(key: request.key, spec: request.spec, createdAt: .now())
      if present != nil {
        record.spec = request.spec
        record.generation += 1
        record.updatedAt = .now()
      }
      record.changeID = changeID
      let proposal = Proposal(
        guards: [.calendarUnchanged(request.key, modRevision: present?.modRevision ?? 0)],
        writes: [.calendar(record)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed(let revision):
        log(present == nil ? "created" : "changed", request.key, record.generation)
        return (CalendarView(record, createRevision: present?.createRevision ?? revision), present == nil)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, has been committed.
        if let pair = current[keyspace.calendar(request.key)] ?? nil,
          try CalendarRecord(decoding: pair.value, key: request.key).changeID == changeID
        {
          return (CalendarView(record, createRevision: pair.createRevision), present == nil)
        }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(request.key)
  }

  /// Deletes a calendar that no job names.
  func delete(_ request: DeleteCalendarRequest) async throws {
    try check(request.key)
    for _ in 0..<ServerLimits.casTries {
      try await barrier.pass()
      guard let present = await replica.calendar(request.key) else { throw Self.noCalendar(request.key) }
      try check(request.ifMatch, present, request.key)
      let users = try await jobs(naming: request.key)
      guard users.isEmpty else {
        let some = users.prefix(ServerLimits.namedJobs).map { "'\($0)'" }.joined(separator: ", ")
        throw ServiceError.failedPrecondition(
          "calendar '\(request.key.name)' is named by jobs, such as \(some); change or delete them first")
      }
      let proposal = Proposal(
        guards: [.calendarUnchanged(request.key, modRevision: present.modRevision)],
        writes: [.deleteCalendar(request.key)])
      switch await pipeline.commit(keyspace.change(for: proposal)) {
      case .committed: return log("deleted", request.key, present.record.generation)
      case .conflict(let current, _):
        // Its own first try, whose answer was lost, or somebody else: it was what was meant, and it is gone.
        if let pair = current[keyspace.calendar(request.key)], pair == nil { return }
      case .failed(let error): throw ServiceError(error)
      }
    }
    throw Self.keepsChanging(request.key)
  }

  /// Some of the jobs that name a calendar. Page by page, so that the replica does other things meanwhile; a job that
  /// is submitted beside goes by a calendar that does not exist, which excludes nothing.
  private func jobs(naming calendar: CalendarKey) async throws -> [String] {
    var found: [String] = []
    var token: String?
    repeat {
      let page = try await replica.listJobs(
        JobFilter(namespace: calendar.namespace), after: token, limit: Paging.maximumSize)
      for job in page.jobs where job.cancelRequestedAt == nil {
        if job.spec.schedules.contains(where: { $0.calendars.contains(calendar.name) }) {
          found.append(job.key.jobID)
        }
      }
      token = page.nextPageToken
    } while token != nil && found.count < ServerLimits.namedJobs
    return found
  }

  // MARK: Parts

  private func check(_ key: CalendarKey) throws {
    for (field, value) in [("namespace", key.namespace), ("name", key.name)] where !Identifier.isValid(value)
    {
      throw ServiceError.invalid(field, "an identifier has \(Identifier.rule)")
    }
  }

  private func check(
    _ ifMatch: String?, _ present: Versioned<CalendarRecord>?, _ key: CalendarKey
  ) throws {
    guard let ifMatch else { return }
    guard let present else {
      throw ServiceError.stale("there is no calendar '\(key.name)' in namespace '\(key.namespace)'")
    }
    let view = CalendarView(present.record, createRevision: present.createRevision)
    try JobService.check(ifMatch: ifMatch, against: view.etag, of: "calendar '\(key.name)'")
  }

  private func log(_ action: Logger.Message, _ key: CalendarKey, _ generation: Int) {
    logger.info(
      "calendar \(action)",
      metadata: [
        "namespace": "\(key.namespace)", "calendar": "\(key.name)", "generation": "\(generation)",
      ])
  }

  private static func noCalendar(_ key: CalendarKey) -> ServiceError {
    .notFound("there is no calendar '\(key.name)' in namespace '\(key.namespace)'")
  }

  private static func keepsChanging(_ key: CalendarKey) -> ServiceError {
    .aborted("calendar '\(key.name)' keeps changing; try again")
  }
}

extension CalendarView {
  /// - Parameter createRevision: Tells this calendar from another that had the same name.
  init(_ record: CalendarRecord, createRevision: Int64) {
    self.init(record: record, etag: "\(createRevision)-\(record.generation)")
  }
}

extension CalendarKey {
  /// Asks for what comes after this one.
  fileprivate var pageToken: String { "\(namespace)/\(name)" }

  fileprivate init?(pageToken: String) {
    let parts = pageToken.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, parts.allSatisfy(Identifier.isValid) else { return nil }
    self.init(namespace: parts[0], name: parts[1])
  }
}
