import SchedulerCore

/// Asks how the cluster stands.
public struct GetClusterRequest: Hashable, Sendable {
  /// Makes a request.
  public init() {}
}

/// How the cluster stands: its servers, their segments, etcd.
public struct ClusterInfo: Hashable, Sendable {
  /// The leading server; nil while there is none.
  public var leader: String?
  /// The leader's term: the create revision of its key; 0 while there is none.
  public var leaderEpoch: Int64 = 0
  /// The servers that hold a lease, by id.
  public var servers: [ServerView] = []
  /// How many segments there are.
  public var segmentCount = 0
  /// Segments that nobody owns now.
  public var orphanedSegments: [Int] = []
  /// etcd's members.
  public var etcdMembers: [EtcdMemberView] = []
  /// Why etcd's members cannot be shown; nil when they are.
  public var etcdError: String?
  /// How many jobs are stored.
  public var jobs: Int64 = 0
  /// How many runs are stored.
  public var runs: Int64 = 0
  /// How many agents hold a lease.
  public var agents: Int64 = 0
  /// What the leader has counted; nil where it was not the leader that answered.
  public var term: TermFigures?
  /// Set while lost runs wait since most of the agents were lost at once.
  public var brake: BrakeView?
  /// How etcd's space stands, as the leader saw it last; nil where that is not known.
  public var storage: StorageStatus?

  /// Makes an empty picture.
  public init() {}
}

/// What a leader has counted since it took over.
public struct TermFigures: Hashable, Sendable {
  /// When it took over.
  public var since: Timestamp
  /// Agents whose lease lapsed.
  public var lostAgents: Int64 = 0
  /// Runs taken from agents that were lost.
  public var lostRuns: Int64 = 0
  /// Runs that an agent gave back or lost, and that were given to an agent again.
  public var reassignedRuns: Int64 = 0
  /// Agents' news refused as those of an attempt that was not the run's current one.
  public var staleUpdates: Int64 = 0
  /// Checkpoints refused for the same reason.
  public var staleCheckpoints: Int64 = 0
  /// Writes that etcd refused since the term, or the ownership of a segment, had ended.
  public var fencedWrites: Int64 = 0
  /// Attempts that agents killed since they could not trust their lease any more.
  public var fencedAttempts: Int64 = 0
  /// From the moment when an agent was seen to be lost until its run was given to another, milliseconds: the last.
  public var lastRecoveryMillis: Int64 = 0
  /// The longest.
  public var maxRecoveryMillis: Int64 = 0
  /// How long nobody gave out work between the last leader and this one, milliseconds; -1 where there was no other.
  public var failoverGapMillis: Int64 = -1
  /// Attempts that were told to end since a drain's deadline had passed.
  public var handedOver: Int64 = 0
  /// Agents that are drained now.
  public var drainedAgents: Int64 = 0
  /// Agents that say themselves that they are not well.
  public var unhealthyAgents: Int64 = 0
  /// Agents that get no new work, or one run only, since attempts on them failed.
  public var avoidedAgents: Int64 = 0

  /// Makes figures of zero.
  public init(since: Timestamp) { self.since = since }
}

/// The leader's brake on what follows from the loss of many agents.
public struct BrakeView: Hashable, Sendable {
  /// Since when.
  public var since: Timestamp
  /// Until then none of the lost runs is given back.
  public var pausedUntil: Timestamp
  /// Runs that wait.
  public var runsWaiting: Int64
  /// Agents that were lost and have not come back.
  public var agentsLost: Int64
  /// Agents that there were, with those.
  public var agentsKnown: Int64

  /// Makes a view.
  public init(
    since: Timestamp, pausedUntil: Timestamp, runsWaiting: Int64, agentsLost: Int64, agentsKnown: Int64
  ) {
    self.since = since
    self.pausedUntil = pausedUntil
    self.runsWaiting = runsWaiting
    self.agentsLost = agentsLost
    self.agentsKnown = agentsKnown
  }
}

/// How etcd's space stands.
public struct StorageStatus: Hashable, Sendable {
  /// What a member's database may take, bytes, as the server was told or has learned from an alarm.
  public var quotaBytes: Int64 = 0
  /// The largest database of a member, bytes.
  public var databaseBytes: Int64 = 0
  /// The most that is in use in one, bytes.
  public var databaseBytesInUse: Int64 = 0
  /// How far retention is tightened: each step halves it.
  public var pressure = 0
  /// Whether etcd has raised NOSPACE.
  public var noSpace = false
  /// How often this server has healed that.
  public var healed: Int64 = 0
  /// What is being done about it, or has to be; nil when nothing is.
  public var message: String?

  /// Makes a status of nothing.
  public init() {}
}

/// A server, as the API shows it.
public struct ServerView: Hashable, Sendable {
  /// How it describes itself; without its lease.
  public var record: ServerRecord
  /// Whether it leads.
  public var isLeader: Bool
  /// The segments that it owns, in order.
  public var segments: [Int]
  /// Its wall clock minus that of the answering server, milliseconds; 0 where that is not known.
  public var clockSkewMillis: Int64
  /// Why the leader gives it fewer segments than others; nil when it does not.
  public var heldBack: String?

  /// Makes a view.
  public init(
    record: ServerRecord, isLeader: Bool, segments: [Int], clockSkewMillis: Int64 = 0, heldBack: String? = nil
  ) {
    self.record = record
    self.isLeader = isLeader
    self.segments = segments
    self.clockSkewMillis = clockSkewMillis
    self.heldBack = heldBack
  }
}

/// A member of etcd's cluster, as the API shows it.
public struct EtcdMemberView: Hashable, Sendable {
  /// Its id, in hexadecimal.
  public var memberID: String
  /// Its name.
  public var name = ""
  /// Where clients reach it.
  public var clientURLs: [String] = []
  /// Whether it leads etcd.
  public var isLeader = false
  /// Whether it only follows, without a vote.
  public var isLearner = false
  /// etcd's version; empty where it does not answer.
  public var version = ""
  /// The size of its database, bytes.
  public var databaseBytes: Int64 = 0
  /// Bytes of it in use.
  public var databaseBytesInUse: Int64 = 0
  /// Why it does not answer; nil when it does.
  public var error: String?

  /// Makes a member of which nothing else is known.
  public init(memberID: String) { self.memberID = memberID }
}
