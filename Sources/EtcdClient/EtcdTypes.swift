/// One key with its value and where it stands in etcd's history.
public struct KeyValue: Sendable, Hashable {
  /// The key. Keys that are not UTF-8 appear with replacement characters: use UTF-8 keys.
  public var key: String
  /// The value; empty when only keys were asked for, and in delete events.
  public var value: [UInt8]
  /// Revision at which the key was created (this life of it).
  public var createRevision: Int64
  /// Revision of the last change.
  public var modRevision: Int64
  /// 1 at creation, one more with every change.
  public var version: Int64
  /// Lease that the key is attached to; 0 for none.
  public var lease: Int64

  /// Makes a key-value pair.
  public init(
    key: String, value: [UInt8] = [], createRevision: Int64 = 0, modRevision: Int64 = 0, version: Int64 = 0,
    lease: Int64 = 0
  ) {
    self.key = key
    self.value = value
    self.createRevision = createRevision
    self.modRevision = modRevision
    self.version = version
    self.lease = lease
  }
}

/// What to read.
public struct RangeRequest: Sendable, Hashable {
  /// Order of the returned pairs.
  public struct Sort: Sendable, Hashable {
    /// What to sort by.
    public enum Target: Int, Sendable { case key, version, createRevision, modRevision, value }
    /// By what.
    public var target: Target
    /// Largest first.
    public var descending: Bool
    /// Makes an order.
    public init(by target: Target, descending: Bool = false) {
      self.target = target
      self.descending = descending
    }
  }

  /// Which keys.
  public var range: KeyRange
  /// Most pairs returned; 0 for no limit.
  public var limit: Int64
  /// Read at this revision; 0 for the newest.
  public var revision: Int64
  /// Leave the values out.
  public var keysOnly: Bool
  /// Only count.
  public var countOnly: Bool
  /// Read what this member has, without asking the leader: faster, possibly stale, works without quorum.
  public var serializable: Bool
  /// Order; nil is by key.
  public var sort: Sort?

  /// Makes a linearizable read of everything in a range.
  public init(
    _ range: KeyRange, limit: Int64 = 0, revision: Int64 = 0, keysOnly: Bool = false, countOnly: Bool = false,
    serializable: Bool = false, sort: Sort? = nil
  ) {
    self.range = range
    self.limit = limit
    self.revision = revision
    self.keysOnly = keysOnly
    self.countOnly = countOnly
    self.serializable = serializable
    self.sort = sort
  }
}

/// What was read.
public struct RangeResponse: Sendable, Hashable {
  /// The pairs.
  public var kvs: [KeyValue]
  /// How many keys are in the range, whatever the limit.
  public var count: Int64
  /// Whether the limit cut the answer short.
  public var more: Bool
  /// The store's revision when it answered. Inside a transaction's response this is the transaction's.
  public var revision: Int64

  /// Makes a response.
  public init(kvs: [KeyValue] = [], count: Int64 = 0, more: Bool = false, revision: Int64 = 0) {
    self.kvs = kvs
    self.count = count
    self.more = more
    self.revision = revision
  }
}

/// The outcome of a deletion.
public struct DeleteResponse: Sendable, Hashable {
  /// How many keys were deleted.
  public var deleted: Int64
  /// The store's revision after it.
  public var revision: Int64
  /// Makes a response.
  public init(deleted: Int64, revision: Int64) {
    self.deleted = deleted
    self.revision = revision
  }
}

/// A condition of a transaction. A key that does not exist has version, revisions and lease 0, and fails every
/// comparison of its value.
public struct Compare: Sendable, Hashable {
  /// How the key's property relates to the given value. Raw values are etcd's.
  public enum Relation: Int, Sendable { case equal, greater, less, notEqual }
  /// What is compared, and with what.
  public enum Target: Sendable, Hashable {
    /// The revision of creation; 0 asks for absence.
    case createRevision(Int64)
    /// The revision of the last change.
    case modRevision(Int64)
    /// The count of changes; 0 asks for absence.
    case version(Int64)
    /// The value, in byte order.
    case value([UInt8])
    /// The lease.
    case lease(Int64)
  }

  /// Key whose property is compared.
  public var key: String
  /// How.
  public var relation: Relation
  /// With what.
  public var target: Target

  /// Makes a condition.
  public init(_ key: String, _ relation: Relation, _ target: Target) {
    self.key = key
    self.relation = relation
    self.target = target
  }

  /// The key does not exist.
  public static func absent(_ key: String) -> Compare { Compare(key, .equal, .createRevision(0)) }
  /// The key exists.
  public static func present(_ key: String) -> Compare { Compare(key, .greater, .createRevision(0)) }
  /// The key was last changed at exactly this revision.
  public static func unchanged(_ key: String, since revision: Int64) -> Compare {
    Compare(key, .equal, .modRevision(revision))
  }
  /// The key is the incarnation that was created at exactly this revision.
  public static func incarnation(_ key: String, created revision: Int64) -> Compare {
    Compare(key, .equal, .createRevision(revision))
  }
}

/// One operation of a transaction. etcd refuses a transaction that changes one key twice.
public enum TxnOperation: Sendable, Hashable {
  /// Writes a key, attached to a lease unless that is 0.
  case put(key: String, value: [UInt8], lease: Int64 = 0)
  /// Deletes keys.
  case delete(KeyRange)
  /// Reads keys; sees the transaction's earlier operations.
  case range(RangeRequest)
}

/// If all conditions hold, the success operations; otherwise the failure operations; atomically.
public struct TxnRequest: Sendable, Hashable {
  /// Conditions, all of which must hold.
  public var compares: [Compare]
  /// Done when they hold.
  public var success: [TxnOperation]
  /// Done when they do not.
  public var failure: [TxnOperation]

  /// Makes a transaction.
  public init(compares: [Compare] = [], success: [TxnOperation] = [], failure: [TxnOperation] = []) {
    self.compares = compares
    self.success = success
    self.failure = failure
  }

  /// Whether no branch can change anything.
  var isReadOnly: Bool {
    (success + failure).allSatisfy { if case .range = $0 { true } else { false } }
  }
}

/// The outcome of a transaction.
public struct TxnResponse: Sendable, Hashable {
  /// One operation's outcome.
  public enum Operation: Sendable, Hashable {
    /// The key was written.
    case put
    /// So many keys were deleted.
    case delete(deleted: Int64)
    /// What was read.
    case range(RangeResponse)
  }

  /// Whether the conditions held.
  public var succeeded: Bool
  /// The store's revision after it: the transaction's own when it changed anything.
  public var revision: Int64
  /// The outcome of each operation of the branch that was taken.
  public var responses: [Operation]

  /// Makes a response.
  public init(succeeded: Bool, revision: Int64, responses: [Operation] = []) {
    self.succeeded = succeeded
    self.revision = revision
    self.responses = responses
  }
}

/// A granted lease.
public struct LeaseGrant: Sendable, Hashable {
  /// The lease's id, never 0.
  public var id: Int64
  /// Seconds granted; etcd may grant more than asked for (its minimum follows the election timeout).
  public var ttlSeconds: Int64
  /// The store's revision when it was granted.
  public var revision: Int64
  /// Makes a grant.
  public init(id: Int64, ttlSeconds: Int64, revision: Int64 = 0) {
    self.id = id
    self.ttlSeconds = ttlSeconds
    self.revision = revision
  }
}

/// A lease's state.
public struct LeaseStatus: Sendable, Hashable {
  /// The lease.
  public var id: Int64
  /// Seconds left; -1 when the lease does not exist.
  public var ttlSeconds: Int64
  /// Seconds granted; 0 when it does not exist.
  public var grantedTTLSeconds: Int64
  /// Attached keys, when they were asked for.
  public var keys: [String]
  /// Makes a status.
  public init(id: Int64, ttlSeconds: Int64, grantedTTLSeconds: Int64, keys: [String] = []) {
    self.id = id
    self.ttlSeconds = ttlSeconds
    self.grantedTTLSeconds = grantedTTLSeconds
    self.keys = keys
  }
}

/// What one etcd member says of itself.
public struct MemberStatus: Sendable, Hashable {
  /// etcd's version, such as `3.4.23`.
  public var version = ""
  /// Bytes of the database file.
  public var dbSize: Int64 = 0
  /// Bytes of it in use; the rest is what defragmentation gives back.
  public var dbSizeInUse: Int64 = 0
  /// Member id of the leader; 0 for none.
  public var leader: UInt64 = 0
  /// The answering member's id.
  public var memberID: UInt64 = 0
  /// Index of the newest raft entry.
  public var raftIndex: Int64 = 0
  /// Raft term.
  public var raftTerm: Int64 = 0
  /// The store's revision.
  public var revision: Int64 = 0
  /// Makes an empty status.
  public init() {}
}

/// A member of the etcd cluster.
public struct Member: Sendable, Hashable {
  /// Its id.
  public var id: UInt64 = 0
  /// Its name; empty until it has started once.
  public var name = ""
  /// Where other members reach it.
  public var peerURLs: [String] = []
  /// Where clients reach it.
  public var clientURLs: [String] = []
  /// Whether it only follows, without a vote.
  public var isLearner = false
  /// Makes an empty member.
  public init() {}
}

/// An alarm that a member has raised.
public struct Alarm: Sendable, Hashable {
  /// What is wrong; extensible.
  public struct Kind: Sendable, Hashable, CustomStringConvertible {
    /// etcd's name for it.
    public let description: String
    /// Makes a kind by etcd's name.
    public init(_ name: String) { description = name }
    /// The database quota is used up: no more writes until compaction, defragmentation and disarming.
    public static let noSpace = Kind("NOSPACE")
    /// Members disagree about the data.
    public static let corrupt = Kind("CORRUPT")
  }

  /// Member that raised it.
  public var memberID: UInt64
  /// What is wrong.
  public var kind: Kind
  /// Makes an alarm.
  public init(memberID: UInt64, kind: Kind) {
    self.memberID = memberID
    self.kind = kind
  }
}
