/// Stands for one update of one status: it is resolved once the update is durable or refused for good.
struct AckTicket: Hashable, Sendable {
  var session: LeaderMachine.SessionID
  var sequence: UInt64
}

/// Which statuses of a session are resolved, so that they can be acknowledged in order.
struct AckTracker: Sendable {
  private var unresolved: [UInt64: Int] = [:]
  private var highestSeen: UInt64 = 0
  private var acknowledged: UInt64 = 0

  /// Notes a status with so many updates. Returns false, and notes nothing, for one out of order.
  mutating func expect(_ sequence: UInt64, updates: Int) -> Bool {
    guard sequence == highestSeen + 1 else { return false }
    highestSeen = sequence
    if updates > 0 { unresolved[sequence] = updates }
    return true
  }

  mutating func resolve(_ sequence: UInt64) {
    guard let count = unresolved[sequence] else { return }
    unresolved[sequence] = count > 1 ? count - 1 : nil
  }

  /// The highest sequence up to which all is resolved, if it has risen.
  mutating func takeAcknowledgement() -> UInt64? {
    var next = acknowledged
    while next < highestSeen, unresolved[next + 1] == nil { next += 1 }
    guard next > acknowledged else { return nil }
    acknowledged = next
    return next
  }
}

extension LeaderMachine {
  /// An agent's session.
  struct Session: Sendable {
    var incarnation: Incarnation
    var health: AgentHealth
    var draining: Bool
    var acks = AckTracker()
    /// What the agent was told to run, or said itself that it has, of the runs that it owns.
    var known: [RunKey: AttemptRef] = [:]
    /// What the agent was told to stop, of the runs that it owns.
    var stopsSent: [RunKey: AttemptRef] = [:]
    /// What the agent was told to end so that another agent can have it, of the runs that it owns.
    var handOversSent: [RunKey: AttemptRef] = [:]
    /// Set after it fenced itself: it can reach this server but not etcd, and would end at once
    /// whatever it is given.
    var isDistrusted = false
  }

  /// What is to be sent on a session at the end of the turn.
  struct Outbox: Sendable {
    var assignments: [Assignment] = []
    /// Those that have to carry a checkpoint.
    var resumptions: [Assignment] = []
    var disowned: [AttemptRef] = []
    var stops: [(ref: AttemptRef, reason: String)] = []
    var handOvers: [(ref: AttemptRef, reason: String)] = []
    var checkpoints: [(ref: AttemptRef, sequence: UInt64, error: String?)] = []
  }

  /// An agent has said hello. Its incarnation must be the one in the cache.
  public mutating func opened(
    _ id: SessionID, _ hello: AgentHello, _ cache: ClusterCache, now: Timestamp
  ) {
    let incarnation = Incarnation(agentID: hello.agentID, createRevision: hello.incarnation)
    guard cache.agents[hello.agentID]?.createRevision == hello.incarnation else {
      effects.append(.close(id, reason: "agent '\(hello.agentID)' does not hold that lease"))
      return
    }
    if let old = sessionOfAgent[hello.agentID] { end(old, reason: "the agent has opened another session") }
    sessions[id] = Session(incarnation: incarnation, health: hello.health, draining: hello.draining)
    sessionOfAgent[hello.agentID] = id
    effects.append(.send(id, .welcome(serverID: serverID, leaderEpoch: epoch.createRevision)))
    refreshPool(hello.agentID, cache)
    disownStrangers(hello, id, cache)
    for ref in hello.attempts where cache.runs[ref.run]?.record.current == ref {
      sessions[id]?.known[ref.run] = ref
    }
    for key in cache.runsByAgent[hello.agentID] ?? [] { reconcile(key, cache, now: now) }
  }

  /// Tells an agent to drop attempts that are not the current ones of their runs.
  private mutating func disownStrangers(_ hello: AgentHello, _ id: SessionID, _ cache: ClusterCache) {
    for ref in hello.attempts where cache.runs[ref.run]?.record.current != ref {
      outboxes[id, default: Outbox()].disowned.append(ref)
    }
  }

  /// A session has ended, by whomever.
  public mutating func closed(_ id: SessionID, _ cache: ClusterCache) {
    guard let session = sessions.removeValue(forKey: id) else { return }
    outboxes[id] = nil
    let agentID = session.incarnation.agentID
    if sessionOfAgent[agentID] == id { sessionOfAgent[agentID] = nil }
    refreshPool(agentID, cache)
  }

  mutating func end(_ id: SessionID, reason: String) {
    guard let session = sessions.removeValue(forKey: id) else { return }
    outboxes[id] = nil
    if sessionOfAgent[session.incarnation.agentID] == id { sessionOfAgent[session.incarnation.agentID] = nil }
    effects.append(.close(id, reason: reason))
  }

  /// An agent reports.
  public mutating func received(
    _ status: AgentStatus, on id: SessionID, _ cache: ClusterCache, now: Timestamp
  ) {
    guard var session = sessions[id] else { return }
    let isInOrder =
      status.sequence > 0
      ? session.acks.expect(status.sequence, updates: status.updates.count) : status.updates.isEmpty
    guard isInOrder else {
      end(id, reason: "status \(status.sequence) is out of order: they are numbered from 1, one by one")
      refreshPool(session.incarnation.agentID, cache)
      return
    }
    if let health = status.health { session.health = health }
    let changesPool = status.draining != session.draining || status.health != nil
    session.draining = status.draining
    if status.sequence > 0, outboxes[id] == nil { outboxes[id] = Outbox() }
    sessions[id] = session
    let agentID = session.incarnation.agentID
    if changesPool { refreshPool(agentID, cache) }
    for update in status.updates {
      let ticket = AckTicket(session: id, sequence: status.sequence)
      news[update.ref.run, default: []].append(News(update: update, agentID: agentID, ticket: ticket))
    }
    for update in status.updates { reconcile(update.ref.run, cache, now: now) }
  }

  // MARK: Trust

  /// The agent fenced itself although its key is there: it gets no new work for a while. Otherwise, being
  /// empty, it would be the first choice for everything.
  mutating func distrust(_ item: News, _ cache: ClusterCache, now: Timestamp) {
    let id = item.ticket.session
    guard sessions[id]?.incarnation.createRevision == item.update.ref.incarnation else { return }
    sessions[id]?.isDistrusted = true
    deadlines.set(.trust(id), at: now.adding(milliseconds: Limits.distrustMillis))
    refreshPool(item.agentID, cache)
  }

  mutating func trust(_ id: SessionID, _ cache: ClusterCache) {
    guard let agentID = sessions[id]?.incarnation.agentID else { return }
    sessions[id]?.isDistrusted = false
    refreshPool(agentID, cache)
  }

  // MARK: Sending

  mutating func acknowledge(_ ticket: AckTicket) {
    guard sessions[ticket.session] != nil else { return }
    sessions[ticket.session]?.acks.resolve(ticket.sequence)
    if outboxes[ticket.session] == nil { outboxes[ticket.session] = Outbox() }
  }

  mutating func sendStop(_ ref: AttemptRef, to agentID: String, reason: String) {
    guard let id = sessionOfAgent[agentID], sessions[id]?.stopsSent[ref.run] != ref else { return }
    sessions[id]?.stopsSent[ref.run] = ref
    outboxes[id, default: Outbox()].stops.append((ref, reason))
  }

  /// Puts what has gathered for each session into messages, assignments before what stops them.
  mutating func flushSessions() {
    for (id, outbox) in outboxes {
      sendAssignments(outbox.assignments, on: id)
      for assignment in outbox.resumptions { effects.append(.resume(id, assignment)) }
      var disowned = outbox.disowned[...]
      while !disowned.isEmpty {
        let part = Array(disowned.prefix(Limits.stopsPerMessage))
        disowned = disowned.dropFirst(part.count)
        let reason = "the attempt is not the run's current one"
        effects.append(.send(id, .stop(part, forget: true, reason: reason)))
      }
      for stop in outbox.stops {
        effects.append(.send(id, .stop([stop.ref], forget: false, reason: stop.reason)))
      }
      for handOver in outbox.handOvers {
        effects.append(.send(id, .handOver([handOver.ref], reason: handOver.reason)))
      }
      for answer in outbox.checkpoints {
        effects.append(
          .send(id, .checkpointAck(answer.ref, sequence: answer.sequence, error: answer.error)))
      }
      if let sequence = sessions[id]?.acks.takeAcknowledgement() { effects.append(.send(id, .ack(sequence))) }
    }
    outboxes.removeAll(keepingCapacity: true)
  }

  /// In messages that stay well below what a peer takes.
  private mutating func sendAssignments(_ assignments: [Assignment], on id: SessionID) {
    var part: [Assignment] = []
    var bytes = 0
    for assignment in assignments {
      let size = assignment.textBytes
      let isFull =
        part.count == Limits.assignmentsPerMessage || bytes + size > Limits.assignmentBytesPerMessage
      if isFull && !part.isEmpty {
        effects.append(.send(id, .assign(part)))
        part = []
        bytes = 0
      }
      part.append(assignment)
      bytes += size
    }
    if !part.isEmpty { effects.append(.send(id, .assign(part))) }
  }
}
