import Proto
import SchedulerCore

/// The queues as this server sees them.
extension Replica {
  /// A queue that somebody has put; nil when nobody has.
  func queue(_ name: String) -> Versioned<QueueRecord>? { cache.queues[name] }

  /// How many queues somebody has put.
  var queueCount: Int { cache.queues.count }

  /// A queue, with how it stands if this server leads.
  func queueView(_ name: String) -> QueueView {
    var view = cache.queues[name].map { QueueView($0) } ?? QueueView(name: name)
    view.figures = leader?.queueFigures(name, now: .now())
    return view
  }

  /// A page of the queues by name, after that of the token: those that somebody has put, the one of jobs that name
  /// none, and those that the leader knows of.
  func listQueues(after token: String?, limit: Int) -> ListQueuesResponse {
    var names = Set(cache.queues.keys)
    names.insert(JobSpec.Defaults.queue)
    names.formUnion(leader?.queuesInUse ?? [])
    let left = names.filter { name in token.map { name > $0 } ?? true }
    let page = left.sorted().prefix(limit)
    return ListQueuesResponse(
      queues: page.map { queueView($0) }, nextPageToken: left.count > limit ? page.last : nil)
  }

  /// The figures of queues for the metrics, while this server leads: of the first by name that somebody has put, then of
  /// those that are in use, up to a bound. There may be any number, so the rest is one sum.
  func queuesInMetrics() -> [(name: String, figures: QueueFigures)] {
    guard let leader else { return [] }
    let now = Timestamp.now()
    let known = cache.queues.keys.sorted()
    let others = leader.queuesInUse.union([JobSpec.Defaults.queue]).subtracting(known).sorted()
    let names = known + others
    var shown = names.prefix(ServerLimits.queuesInMetrics).map {
      (name: $0, figures: leader.queueFigures($0, now: now))
    }
    guard names.count > ServerLimits.queuesInMetrics else { return shown }
    var rest = QueueFigures()
    for name in names.dropFirst(ServerLimits.queuesInMetrics) {
      let figures = leader.queueFigures(name, now: now)
      rest.waiting += figures.waiting
      rest.running += figures.running
      rest.dispatched += figures.dispatched
    }
    // No queue can have that name.
    shown.append((name: "(others)", figures: rest))
    return shown
  }
}
