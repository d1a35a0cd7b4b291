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
    return info
  }
}
