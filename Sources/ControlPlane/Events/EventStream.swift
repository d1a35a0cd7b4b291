import EtcdClient
import Proto
import SchedulerCore

/// One stream of changes, for gRPC and REST alike. It holds nothing but its position.
struct EventStream: Sendable {
  /// Sends a step, and waits while the reader takes its time.
  typealias Send = (WatchEventsResponse) async throws -> Void

  let request: WatchEventsRequest
  /// Says when to look for changes. It was opened before anything is read, so that nothing is missed.
  let news: AsyncStream<Void>
  let view: EventView
  let hub: ChangeHub
  let history: EventHistory
  let replica: Replica

  /// Sends until the reader leaves or the server stops; ends by throwing.
  func run(_ send: Send) async throws {
    var position = request.startRevision
    if position == 0 { position = try await sendWhatStands(send) }
    // Says that the stream stands, and where.
    try await send(WatchEventsResponse(revision: position))
    var lastSent = ContinuousClock.now
    for await _ in news {
      let (reached, hasSent) = try await drain(after: position, send)
      position = reached
      if hasSent {
        lastSent = .now
      } else if lastSent + ServerLimits.eventMarkerInterval / 2 < .now {
        try await send(WatchEventsResponse(revision: position))
        lastSent = .now
      }
    }
    try Task.checkCancellation()
    throw ServiceError.unavailable("this server is stopping; go on at another from the last revision")
  }

  /// Sends all there is after a position. Returns how far that was, and whether anything was sent.
  private func drain(after start: Int64, _ send: Send) async throws -> (position: Int64, hasSent: Bool) {
    var (position, hasSent) = (start, false)
    while let reading = hub.read(after: position) {
      let events: [WatchEvent]
      let upTo: Int64
      var isPast = false
      switch reading {
      case .nothingNew(let head): return (max(position, head), hasSent)
      case .events(let found, let revision): (events, upTo) = (found, revision)
      case .tooOld:
        let piece = try await history.read(after: position)
        (events, upTo, isPast) = (piece.events, piece.upTo, true)
        // What is told of how jobs stand must not be older than the change.
        _ = await replica.reached(upTo, within: ServerLimits.barrierPatience)
      }
      let changes = await view.changes(in: events)
      position = upTo
      // A long past in which nothing concerns the reader is told as progress, so that it need not be read again.
      guard !changes.isEmpty || isPast else { continue }
      try await send(WatchEventsResponse(changes: changes, revision: position))
      hasSent = true
    }
    return (position, hasSent)
  }

  // MARK: What stands

  /// Sends all records as they were at one revision, and returns it. The pages are read one after the other from
  /// the warm copy, which moves on meanwhile: a record that has changed since is left out, for its change follows.
  private func sendWhatStands(_ send: Send) async throws -> Int64 {
    let revision = await replica.revision
    var token: String?
    repeat {
      let page = try await replica.standingJobs(request, upTo: revision, after: token)
      try await sendStanding(page.items.map { .job($0) }, send)
      token = page.nextToken
    } while token != nil
    repeat {
      let page = try await replica.standingRuns(request, upTo: revision, after: token)
      try await sendStanding(page.items.map { .run($0) }, send)
      token = page.nextToken
    } while token != nil
    return revision
  }

  private func sendStanding(_ items: [WatchEventsResponse.What], _ send: Send) async throws {
    guard !items.isEmpty else { return }
    let changes = items.map { WatchEventsResponse.Change($0, revision: $0.revision) }
    try await send(WatchEventsResponse(changes: changes, revision: 0))
  }
}

extension WatchEventsResponse.What {
  /// The revision of the record; 0 for a removal, which tells none.
  fileprivate var revision: Int64 {
    switch self {
    case .job(let job): job.revision
    case .run(let run): run.revision
    case .removedJob, .removedRun: 0
    }
  }
}

extension WatchEventsResponse {
  /// The step in two, where it has more than one change: `before` is the revision that was reached before it.
  func halves(after before: Int64) -> (WatchEventsResponse, WatchEventsResponse)? {
    guard changes.count > 1 else { return nil }
    let middle = changes.count / 2
    let first = Array(changes[..<middle])
    // A revision that goes on in the second half has not been sent whole.
    let cut = changes[middle].revision
    let whole = revision == 0 ? 0 : first.last { $0.revision < cut }?.revision ?? before
    return (
      WatchEventsResponse(changes: first, revision: whole),
      WatchEventsResponse(changes: Array(changes[middle...]), revision: revision)
    )
  }
}
