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

  /// Makes an empty picture.
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
