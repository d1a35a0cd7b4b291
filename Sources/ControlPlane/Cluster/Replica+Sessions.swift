import SchedulerCore

/// What agents say on their sessions with this server.
extension Replica {
  /// Opens an agent's session once the cache knows the agent's incarnation.
  func open(_ id: LeaderMachine.SessionID, _ hello: AgentHello) throws(NotTheLeader) {
    guard leader != nil else { throw NotTheLeader(leader: cache.leader?.candidate.record) }
    let now = Timestamp.now()
    leader?.opened(id, hello, cache, now: now)
    turn(now: now)
  }

  /// Whether the cache holds that incarnation of an agent.
  func knows(_ incarnation: Incarnation) -> Bool {
    cache.agents[incarnation.agentID]?.createRevision == incarnation.createRevision
  }

  /// An agent reports.
  func received(_ news: [AgentNews], on session: LeaderMachine.SessionID) {
    let now = Timestamp.now()
    for item in news {
      switch item {
      case .status(let status): leader?.received(status, on: session, cache, now: now)
      case .checkpoint(let report): leader?.received(report, on: session, cache, now: now)
      }
    }
    turn(now: now)
  }

  /// An assignment was not sent, since the checkpoint that it has to carry could not be read.
  func untold(_ ref: AttemptRef, on session: LeaderMachine.SessionID) {
    let now = Timestamp.now()
    leader?.untold(ref, on: session, now: now)
    turn(now: now)
  }

  /// A session has ended.
  func closed(_ session: LeaderMachine.SessionID) {
    leader?.closed(session, cache)
    turn(now: .now())
  }
}
