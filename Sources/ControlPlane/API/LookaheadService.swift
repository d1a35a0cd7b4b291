import Proto
import SchedulerCore

/// Previews and forecasts: what REST and gRPC call. What takes time is computed beside the replica, from copies.
struct LookaheadService: Sendable {
  let replica: Replica
  let barrier: ReadBarrier
  let zones: TimeZones
  private let forecasts = TurnQueue(places: ServerLimits.forecasts)

  init(replica: Replica, barrier: ReadBarrier, zones: TimeZones) {
    self.replica = replica
    self.barrier = barrier
    self.zones = zones
  }

  // MARK: Preview

  /// The next occurrences of a job, or of schedules that no job has.
  func preview(_ request: PreviewRequest) async throws -> PreviewResponse {
    guard Identifier.isValid(request.namespace) else {
      throw ServiceError.invalid("namespace", "an identifier has \(Identifier.rule)")
    }
    guard (0...PreviewRequest.maximumCount).contains(request.count) else {
      throw ServiceError.invalid("count", "must be 1 to \(PreviewRequest.maximumCount)")
    }
    let count = request.count == 0 ? PreviewRequest.defaultCount : request.count
    let after = try Self.checked(request.after, "after") ?? .now()
    guard let jobID = request.jobID else {
      return try await preview(request.schedules, namespace: request.namespace, after: after, count: count)
    }
    guard request.schedules.isEmpty else {
      throw ServiceError.invalid("schedules", "are for a preview without job_id; leave one of them out")
    }
    let key = JobKey(namespace: request.namespace, jobID: jobID)
    try key.check()
    try await barrier.pass()
    let job = try await replica.requireRecord(key)
    let names = Set(job.record.spec.schedules.flatMap(\.calendars))
    let calendars = try await calendars(names, namespace: key.namespace)
    return PreviewResponse(
      try JobPreview(of: job.record, after: after, count: count, zones: zones) { calendars[$0] })
  }

  private func preview(
    _ schedules: [Schedule], namespace: String, after: Timestamp, count: Int
  ) async throws -> PreviewResponse {
    guard (1...LookaheadLimits.previewSchedules).contains(schedules.count) else {
      throw ServiceError.invalid(
        "schedules", "1 to \(LookaheadLimits.previewSchedules) are needed, or job_id")
    }
    try await barrier.pass()
    let calendars = try await calendars(Set(schedules.flatMap(\.calendars)), namespace: namespace)
    return PreviewResponse(
      try JobPreview(of: schedules, namespace: namespace, after: after, count: count, zones: zones) {
        calendars[$0]
      })
  }

  private func calendars(_ names: Set<String>, namespace: String) async throws -> [CalendarKey:
    CompiledCalendar]
  {
    guard !names.isEmpty else { return [:] }
    let keys = names.map { CalendarKey(namespace: namespace, name: $0) }
    return try await replica.calendars(keys).compiled(zones)
  }

  // MARK: Forecast

  /// How many runs the schedules of all jobs will create in each minute of a range.
  func forecast(_ request: ForecastRequest) async throws -> ForecastResponse {
    if let namespace = request.namespace, !Identifier.isValid(namespace) {
      throw ServiceError.invalid("namespace", "an identifier has \(Identifier.rule)")
    }
    let from = try Self.checked(request.from, "from") ?? .now()
    let to = try Self.checked(request.to, "to") ?? from.adding(milliseconds: Self.defaultRangeMillis)
    guard to > from else { throw ServiceError.invalid("to", "must be later than from") }
    guard to.milliseconds - from.milliseconds <= Int64(LookaheadLimits.forecastMinutes) * 60_000 else {
      throw ServiceError.invalid(
        "to", "must be at most \(LookaheadLimits.forecastMinutes / 1_440) days after from")
    }
    try await barrier.pass()
    try await forecasts.take()
    defer { forecasts.giveBack() }
    let counter = try await count(ForecastCounter(from: from, to: to), namespace: request.namespace)
    return ForecastResponse(
      from: counter.from, fires: counter.fires, total: counter.fires.reduce(0, +), jobs: counter.jobs,
      completeUntil: counter.isCut ? counter.end : nil)
  }

  private static let defaultRangeMillis: Int64 = 3_600_000

  private func count(_ empty: ForecastCounter, namespace: String?) async throws -> ForecastCounter {
    var counter = empty
    let calendars = try await replica.allCalendars(of: namespace).compiled(zones)
    var place: JobScanPlace?
    repeat {
      let page = await replica.forecastPage(namespace, until: counter.end, after: place)
      counter.addIdleJobs(page.idle)
      for record in page.records {
        try Task.checkCancellation()
        try counter.add(record, rules(of: record, calendars))
      }
      place = page.next
    } while place != nil
    return counter
  }

  /// The rules of a stored job. What cannot be read any more, since a zone is gone, is an error of the server.
  private func rules(
    of record: JobRecord, _ calendars: [CalendarKey: CompiledCalendar]
  ) throws -> JobPlan.Rules {
    do {
      return try JobPlan.Rules(record, zones: zones) { calendars[$0] }
    } catch {
      let job = "\(record.key.namespace)/\(record.key.jobID)"
      throw ServiceError(
        kind: .internalError, message: "the schedules of job '\(job)' cannot be read: \(error)")
    }
  }

  private static func checked(_ time: Timestamp?, _ field: String) throws -> Timestamp? {
    guard let time, !time.isInAcceptedYears else { return time }
    let years = Timestamp.years
    throw ServiceError.invalid(
      field, "a time from \(years.lowerBound) to \(years.upperBound) was expected")
  }
}

extension JobKey {
  /// - Throws: `ServiceError` that names the part that is no identifier.
  func check() throws(ServiceError) {
    guard Identifier.isValid(namespace) else {
      throw .invalid("namespace", "an identifier has \(Identifier.rule)")
    }
    guard Identifier.isValid(jobID) else { throw .invalid("job_id", "an identifier has \(Identifier.rule)") }
  }
}

extension [CalendarRecord] {
  /// The calendars made ready.
  /// - Throws: `ServiceError` where one that is stored cannot be read, since a zone is gone.
  func compiled(_ zones: TimeZones) throws(ServiceError) -> [CalendarKey: CompiledCalendar] {
    var compiled: [CalendarKey: CompiledCalendar] = [:]
    for record in self {
      do throws(FieldError) {
        compiled[record.key] = try CompiledCalendar(record.spec, name: record.key.name, zones: zones)
      } catch {
        throw ServiceError(
          kind: .internalError, message: "calendar '\(record.key.name)' cannot be read: \(error)")
      }
    }
    return compiled
  }
}
