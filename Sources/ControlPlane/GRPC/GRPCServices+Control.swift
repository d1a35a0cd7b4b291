import Proto
import Transport

/// What changes jobs that exist, and `rota.v1.Calendars`, on top of the services.
extension GRPCServices {
  var controlMethods: [RPCMethod] {
    [
      unary("/rota.v1.Jobs/Cancel") { (request: CancelJobRequest, _) in
        try await jobs.cancel(request.key, reason: request.reason)
      },
      unary("/rota.v1.Jobs/Pause") { (request: PauseJobRequest, _) in try await jobs.pause(request) },
      unary("/rota.v1.Jobs/Resume") { (request: ResumeJobRequest, _) in try await jobs.resume(request) },
      unary("/rota.v1.Jobs/Trigger") { (request: TriggerJobRequest, _) in try await jobs.trigger(request) },
      unary("/rota.v1.Runs/Retry") { (request: RetryRunRequest, _) in try await jobs.retry(request) },
      unary("/rota.v1.Jobs/SkipNext") { (request: SkipNextRequest, _) in try await jobs.skipNext(request) },
      unary("/rota.v1.Jobs/Update") { (request: UpdateJobRequest, context) in
        var request = request
        request.updatedBy = context.callerName ?? request.updatedBy
        do { return try await jobs.update(request) } catch let error as ServiceError {
          throw error.ofSpecMessage
        }
      },
      unary("/rota.v1.Jobs/Delete") { (request: DeleteJobRequest, _) in try await jobs.delete(request) },
    ]
  }

  var versionMethods: [RPCMethod] {
    [
      unary("/rota.v1.Jobs/ListVersions") { (request: ListVersionsRequest, _) in
        try await jobs.versions(of: request.key)
      },
      unary("/rota.v1.Jobs/GetVersion") { (request: GetVersionRequest, _) in
        try await jobs.version(request)
      },
      unary("/rota.v1.Jobs/Revert") { (request: RevertJobRequest, context) in
        var request = request
        request.updatedBy = context.callerName ?? request.updatedBy
        return try await jobs.revert(request)
      },
    ]
  }

  var calendarMethods: [RPCMethod] {
    [
      unary("/rota.v1.Calendars/Put") { (request: PutCalendarRequest, _) in
        do { return try await calendars.put(request).view } catch let error as ServiceError {
          throw error.ofCalendarMessage
        }
      },
      unary("/rota.v1.Calendars/Get") { (request: GetCalendarRequest, _) in
        try await calendars.get(request.key)
      },
      unary("/rota.v1.Calendars/List") { (request: ListCalendarsRequest, _) in
        try await calendars.list(request)
      },
      unary("/rota.v1.Calendars/Delete") { (request: DeleteCalendarRequest, _) in
        try await calendars.delete(request)
        return DeleteCalendarResponse()
      },
    ]
  }
}

extension ServiceError {
  /// The same error of a calendar that was put, with the field's path in `rota.v1.PutCalendarRequest`.
  fileprivate var ofCalendarMessage: ServiceError {
    guard let field, !["namespace", "name", "if_match", "idempotency_key"].contains(field) else {
      return self
    }
    var error = self
    error.field = "spec." + field
    return error
  }
}
