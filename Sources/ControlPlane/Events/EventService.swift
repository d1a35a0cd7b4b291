import Proto
import SchedulerCore

/// Following what changes: what REST and gRPC call. Any server can do all of it.
struct EventService: Sendable {
  let replica: Replica
  let barrier: ReadBarrier
  var hub: ChangeHub
  let decoder: RecordDecoder
  var history: EventHistory

  /// Opens a stream. What can be refused is refused here, before anything is sent.
  func open(_ request: WatchEventsRequest) async throws(ServiceError) -> EventStream {
    if let namespace = request.namespace, !Identifier.isValid(namespace) {
      throw .invalid("namespace", "an identifier has \(Identifier.rule)")
    }
    if let jobID = request.jobID, !Identifier.isValid(jobID) {
      throw .invalid("job_id", "an identifier has \(Identifier.rule)")
    }
    if request.startRevision == 0 {
      try await barrier.pass()
    } else {
      try await history.check(request.startRevision)
    }
    let view = EventView(request: request, replica: replica, decoder: decoder)
    return EventStream(
      request: request, news: try hub.subscribe(), view: view, hub: hub, history: history, replica: replica)
  }
}
