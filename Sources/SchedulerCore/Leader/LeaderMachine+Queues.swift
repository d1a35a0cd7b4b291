/// Queues: what they are set to, and which of them may give out runs.
extension LeaderMachine {
  /// A queue was put, paused or deleted.
  public mutating func queueChanged(_ name: String, _ cache: ClusterCache, now: Timestamp) {
    let record = cache.queues[name]?.record
    queues.set(name, record, now: now)
    ready.configure(name, record?.spec)
    deadlines.remove(.openQueue(name))
  }

  /// Before a round of assignments: brings back what was put aside and may go again.
  mutating func reopenReady() {
    for name in queues.takeReopened() { ready.open(queue: name) }
    guard pool.freeSlots > 0 else { return }
    for (id, requirement) in ready.blocked where pool.canPlace(requirement) { ready.open(classID: id) }
  }

  /// Whether a queue gives out nothing now. Sees to it that it is looked at again once its rate lets it.
  mutating func isBlocked(queue: String, now: Timestamp) -> Bool {
    guard let block = queues.block(of: queue, at: now) else { return false }
    if let until = block.until { deadlines.set(.openQueue(queue), at: until) }
    return true
  }

  /// How a queue stands.
  public func queueFigures(_ name: String, now: Timestamp) -> QueueFigures {
    var figures = QueueFigures()
    let waiting = ready.waiting(in: name)
    figures.waiting = waiting.count
    figures.waitingSince = waiting.since
    figures.running = queues.running(in: name)
    figures.dispatched = queues.dispatched(of: name)
    let block = queues.block(of: name, at: now)
    figures.block = block?.why
    figures.blockedUntil = block?.until
    return figures
  }

  /// The queues in which runs wait, or of which runs have an agent.
  public var queuesInUse: Set<String> { Set(ready.queues).union(queues.inUse) }

  /// What of a queue keeps a run that waits in it from an agent, in words; nil when nothing does.
  func queueReason(_ name: String, _ cache: ClusterCache, now: Timestamp) -> String? {
    guard let block = queues.block(of: name, at: now) else { return nil }
    switch block.why {
    case .paused:
      let note = cache.queues[name]?.record.pauseNote.map { ": \($0)" } ?? ""
      return "queue '\(name)' is paused\(note)"
    case .full:
      let most = cache.queues[name]?.record.spec.maxRunning.map(String.init) ?? "?"
      return "queue '\(name)' is full: \(queues.running(in: name)) of at most \(most) runs have an agent"
    case .rateLimited:
      let until = block.until.map { " until \($0.rfc3339)" } ?? ""
      return "queue '\(name)' has used up its rate of dispatches\(until)"
    }
  }
}
