import Logging
import Proto
import SchedulerCore

/// The agents as this server sees them, and what happens when many of them are lost.
extension Replica {
  // MARK: Agents

  /// A page of the agents that hold a lease, by id, after that of the token.
  func listAgents(after token: String?, limit: Int) -> ListAgentsResponse {
    let left = cache.agents.filter { agent in token.map { agent.key > $0 } ?? true }
    let page = left.sorted { $0.key < $1.key }.prefix(limit)
    return ListAgentsResponse(
      agents: page.map { view($0.value) }, nextPageToken: left.count > limit ? page.last?.key : nil)
  }

  /// An agent that holds a lease; nil when none does.
  func agentView(_ id: String) -> AgentView? { cache.agents[id].map(view) }

  /// Whether an agent holds a lease.
  func holdsLease(_ id: String) -> Bool { cache.agents[id] != nil }

  /// An agent's drain; nil when it is not drained.
  func drain(of id: String) -> Versioned<DrainRecord>? { cache.drains[id] }

  /// How many agents are drained, those that hold no lease included.
  var drainCount: Int { cache.drains.count }

  private func view(_ agent: Versioned<AgentRecord>) -> AgentView {
    let id = agent.record.agentID
    let drain = cache.drains[id]?.record
    var view = AgentView(
      record: agent.record, slotsUsed: cache.runsByAgent[id]?.count ?? 0,
      connected: leader?.isConnected(id) ?? false,
      draining: drain != nil || (leader?.isDraining(id) ?? agent.record.draining),
      health: leader?.health(of: id),
      incarnation: agent.createRevision)
    let judged = leader?.health(judgedOf: id)
    view.healthState = judged?.state
    view.healthReason = judged?.reason
    view.drain = drain
    view.resourcesUsed = cache.resourcesUsed(by: id)
    view.keptFor = leader?.keptAgents.first { $0.agentID == id }.map { kept in
      "\(kept.run.job.namespace)/\(kept.run.job.jobID)/\(kept.run.runID)"
    }
    return view
  }

  // MARK: The brake

  /// Says when the brake begins, and when it is over.
  func tellBrake() {
    let brake = leader?.braking(cache)
    guard (brake != nil) != brakeWasOn else { return }
    brakeWasOn = brake != nil
    guard let brake else {
      return surroundings.logger.notice("the brake is off: no lost run waits any more")
    }
    surroundings.metrics.brakes.add(1)
    surroundings.logger.critical(
      "more than half of the agents were lost at once: their runs wait, then follow at a bounded rate",
      metadata: [
        "lost": "\(brake.engagement.lost)", "agents": "\(brake.engagement.known)",
        "runs": "\(brake.waiting)", "until": "\(brake.engagement.pausedUntil.rfc3339)",
      ])
  }
}
