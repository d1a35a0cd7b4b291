import Proto
import SchedulerCore

/// Servers, and the segments that they own.
extension Replica {
  /// How many segments this server owns, as the watch shows.
  var segmentsHeld: Int {
    cache.segments.values.count { $0.record.serverID == surroundings.serverID }
  }

  /// Whether this server owns segments and another one could take them.
  var canHandSegmentsOver: Bool {
    segmentsHeld > 0
      && cache.servers.contains { id, server in
        id != surroundings.serverID && server.record.lease != 0 && !server.record.draining
      }
  }

  /// How the cluster stands, but for etcd's members; what only the leader knows is there only if this server leads.
  func clusterInfo() -> ClusterInfo {
    var info = ClusterInfo()
    info.leader = cache.leader?.candidate.record.serverID
    info.leaderEpoch = cache.leader?.candidate.createRevision ?? 0
    info.segmentCount = surroundings.keyspace.segmentCount
    let numbers = cache.segments.keys.sorted()
    var owned: [String: [Int]] = [:]
    for number in numbers {
      if let owner = cache.segments[number]?.record.serverID { owned[owner, default: []].append(number) }
    }
    info.servers = cache.servers.sorted { $0.key < $1.key }.map { id, server in
      ServerView(
        record: server.record, isLeader: id == info.leader, segments: owned[id] ?? [],
        clockSkewMillis: leader?.clockOffsetMillis(of: id) ?? 0, heldBack: leader?.heldBack(id))
    }
    info.orphanedSegments = (0..<info.segmentCount).filter { cache.segments[$0] == nil }
    info.jobs = Int64(cache.jobs.count)
    info.runs = Int64(cache.runs.count)
    info.agents = Int64(cache.agents.count)
    info.term = termFigures()
    info.brake = leader?.braking(cache).map { brake in
      BrakeView(
        since: brake.engagement.since, pausedUntil: brake.engagement.pausedUntil,
        runsWaiting: Int64(brake.waiting), agentsLost: Int64(brake.engagement.lost),
        agentsKnown: Int64(brake.engagement.known))
    }
    return info
  }

  /// What this server has counted as the leader; nil where it does not lead.
  private func termFigures() -> TermFigures? {
    guard let leader else { return nil }
    let counters = leader.counters
    var term = TermFigures(since: leadsSince)
    term.lostAgents = Int64(counters.lostAgents)
    term.lostRuns = Int64(counters.lostRuns)
    term.reassignedRuns = Int64(counters.reassigned)
    term.staleUpdates = Int64(counters.staleUpdates)
    term.staleCheckpoints = Int64(counters.staleCheckpoints)
    term.fencedWrites = Int64(surroundings.metrics.fencedWrites.current)
    term.fencedAttempts = Int64(counters.fencedAttempts)
    term.lastRecoveryMillis = counters.lastRecoveryMillis
    term.maxRecoveryMillis = counters.maxRecoveryMillis
    term.failoverGapMillis = leader.failoverGapMillis ?? -1
    term.handedOver = Int64(counters.handedOver)
    term.drainedAgents = Int64(cache.agents.keys.count { cache.drains[$0] != nil })
    term.unhealthyAgents = Int64(leader.unfitAgents.unhealthy)
    term.avoidedAgents = Int64(leader.unfitAgents.avoided)
    return term
  }
}
