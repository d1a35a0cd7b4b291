import Proto
import SchedulerCore

/// Random values of the cluster's picture.
extension Samples {
  mutating func cluster() -> ClusterInfo {
    var info = ClusterInfo()
    info.leader = maybe { "s" + $0.text() }
    info.leaderEpoch = large()
    info.servers = many { $0.server() }
    info.segmentCount = count(1_000)
    info.orphanedSegments = many { $0.count(255) }
    info.etcdMembers = many { $0.etcdMember() }
    info.etcdError = maybe { "e" + $0.text() }
    info.jobs = large()
    info.runs = large()
    info.agents = large()
    info.term = maybe { $0.term() }
    info.brake = maybe {
      BrakeView(
        since: $0.time(), pausedUntil: $0.time(), runsWaiting: $0.large(), agentsLost: $0.large(),
        agentsKnown: $0.large())
    }
    info.storage = maybe { $0.storage() }
    return info
  }

  private mutating func server() -> ServerView {
    var record = ServerRecord(
      serverID: text(), grpcAddress: text(), httpAddress: text(), version: text(), startedAt: time())
    record.draining = bool()
    record.figures = maybe {
      var figures = ServerFigures(reportedAt: $0.time())
      figures.fires = $0.count(1_000_000)
      figures.latenessP50Millis = $0.large()
      figures.latenessP99Millis = $0.large()
      figures.latenessMaxMillis = $0.large()
      figures.scheduledJobs = $0.count(1_000_000)
      figures.overdue = $0.count(1_000_000)
      return figures
    }
    return ServerView(
      record: record, isLeader: bool(), segments: many { $0.count(255) }, clockSkewMillis: large(),
      heldBack: maybe { "h" + $0.text() })
  }

  private mutating func term() -> TermFigures {
    var term = TermFigures(since: time())
    term.lostAgents = large()
    term.lostRuns = large()
    term.reassignedRuns = large()
    term.staleUpdates = large()
    term.staleCheckpoints = large()
    term.fencedWrites = large()
    term.fencedAttempts = large()
    term.lastRecoveryMillis = large()
    term.maxRecoveryMillis = large()
    term.failoverGapMillis = large()
    term.handedOver = large()
    term.drainedAgents = large()
    term.unhealthyAgents = large()
    term.avoidedAgents = large()
    return term
  }

  private mutating func storage() -> StorageStatus {
    var storage = StorageStatus()
    storage.quotaBytes = large()
    storage.databaseBytes = large()
    storage.databaseBytesInUse = large()
    storage.pressure = count(8)
    storage.noSpace = bool()
    storage.healed = large()
    storage.message = maybe { "m" + $0.text() }
    return storage
  }

  private mutating func etcdMember() -> EtcdMemberView {
    var member = EtcdMemberView(memberID: text())
    member.name = text()
    member.clientURLs = many { $0.text() }
    member.isLeader = bool()
    member.isLearner = bool()
    member.version = text()
    member.databaseBytes = large()
    member.databaseBytesInUse = large()
    member.error = maybe { "e" + $0.text() }
    return member
  }
}

extension MessageKind {
  /// Those of the cluster itself.
  static let clusterKinds: [MessageKind] = [
    MessageKind { _ in GetClusterRequest() },
    MessageKind { $0.cluster() },
  ]
}
