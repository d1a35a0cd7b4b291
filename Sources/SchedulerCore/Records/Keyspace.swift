/// The one place that spells Rota's keys in etcd. `P` is the prefix, `/rota` by default.
///
/// | key | value | written by | lease |
/// | --- | --- | --- | --- |
/// | `P/meta` | `MetaRecord` | first server | |
/// | `P/leader/<lease id>` | `ServerRecord`; the oldest key leads | servers | server's |
/// | `P/servers/<server>` | `ServerRecord` | that server | server's |
/// | `P/agents/<agent>` | `AgentRecord` | that agent | agent's |
/// | `P/drains/<agent>` | `DrainRecord` | any server | |
/// | `P/segments/<nnn>` | `SegmentRecord` | leader | owner's |
/// | `P/calendars/<namespace>/<name>` | `CalendarRecord` | any server | |
/// | `P/queues/<name>` | `QueueRecord` | any server | |
/// | `P/quotas/<namespace>` | `QuotaRecord` | any server | |
/// | `P/groups/<namespace>/<name>` | `GroupRecord` | any server | |
/// | `P/backfills/<nnn>/<namespace>/<job>/<backfill>` | `BackfillRecord` | any server (create, cancel); segment owner | |
/// | `P/jobs/<nnn>/<namespace>/<job>` | `JobRecord` | any server (create, control); segment owner (advance) | |
/// | `P/versions/<nnn>/<namespace>/<job>/<generation>` | `VersionRecord`: what the job was before; no server keeps a copy | any server (update); leader (removes it with the job) | |
/// | `P/alerts/<nnn>/<namespace>/<job>/<alert>` | `AlertRecord`; the leader alone has a copy | leader | |
/// | `P/runs/<nnn>/<namespace>/<job>/<run>` | `RunRecord` | any server, segment owner (create); leader (after) | |
/// | `P/checkpoints/<nnn>/<namespace>/<job>/<run>` | `CheckpointRecord`; while the run's record says so | leader | |
/// | `P/idempotency/<namespace>/<key hash>` | `IdempotencyRecord` | any server | 24 h |
///
/// `<nnn>` is the job's segment, so that a job and its runs share one.
public struct Keyspace: Hashable, Sendable {
  /// The prefix, without a slash at its end.
  public let prefix: String
  /// How many segments the cluster has.
  public let segmentCount: Int

  /// Makes a key space.
  public init(prefix: String = "/rota", segmentCount: Int = MetaRecord.current.segmentCount) {
    self.prefix = prefix
    self.segmentCount = segmentCount
  }

  /// Everything that Rota keeps.
  public var root: String { prefix + "/" }
  /// The key of the `MetaRecord`.
  public var meta: String { prefix + "/meta" }
  /// All candidates for leadership.
  public var leaders: String { prefix + "/leader/" }
  /// All servers.
  public var servers: String { prefix + "/servers/" }
  /// All agents.
  public var agents: String { prefix + "/agents/" }
  /// The agents that are drained.
  public var drains: String { prefix + "/drains/" }
  /// All jobs.
  public var jobs: String { prefix + "/jobs/" }
  /// All runs.
  public var runs: String { prefix + "/runs/" }
  /// The owners of all segments.
  public var segments: String { prefix + "/segments/" }
  /// All calendars.
  public var calendars: String { prefix + "/calendars/" }
  /// All queues that somebody has put.
  public var queues: String { prefix + "/queues/" }
  /// All quotas.
  public var quotas: String { prefix + "/quotas/" }
  /// The objects of concurrency groups.
  public var groups: String { prefix + "/groups/" }
  /// All backfills.
  public var backfills: String { prefix + "/backfills/" }
  /// All checkpoints.
  public var checkpoints: String { prefix + "/checkpoints/" }
  /// The earlier versions of all jobs.
  public var versions: String { prefix + "/versions/" }
  /// All alerts.
  public var alerts: String { prefix + "/alerts/" }
  /// What every server keeps a copy of.
  public var state: [String] {
    [
      calendars, quotas, queues, groups, drains, jobs, runs, backfills, agents, leaders, servers, segments,
    ]
  }
  /// Those of `state` of which there may be millions: their keys go by segment.
  public var bySegment: Set<String> { [jobs, runs, backfills] }
  /// All idempotency records.
  public var idempotency: String { prefix + "/idempotency/" }

  /// A candidate's key; the lease id is written as etcd's tools do, in hexadecimal.
  public func leader(lease: Int64) -> String { leaders + String(lease, radix: 16) }
  /// A server's key.
  public func server(_ id: String) -> String { servers + id }
  /// The keys that servers write to see how far their watches have come.
  public var syncs: String { prefix + "/sync/" }
  /// Such a key.
  public func serverSync(_ id: String) -> String { syncs + id }
  /// An agent's key.
  public func agent(_ id: String) -> String { agents + id }
  /// The key of an agent's drain.
  public func drain(_ agentID: String) -> String { drains + agentID }
  /// The key of a segment's owner.
  public func segment(_ number: Int) -> String { segments + Self.digits(of: number) }
  /// A calendar's key.
  public func calendar(_ key: CalendarKey) -> String { calendars + key.namespace + "/" + key.name }
  /// A queue's key.
  public func queue(_ name: String) -> String { queues + name }
  /// The key of a namespace's quota.
  public func quota(_ namespace: String) -> String { quotas + namespace }
  /// The key of a concurrency group's object.
  public func group(_ key: GroupKey) -> String { groups + key.namespace + "/" + key.name }
  /// A backfill's key.
  public func backfill(_ key: BackfillKey) -> String { backfills + jobPath(key.job) + "/" + key.backfillID }
  /// All backfills of a job.
  public func backfills(of key: JobKey) -> String { backfills + jobPath(key) + "/" }
  /// All alerts of a job.
  public func alerts(of key: JobKey) -> String { alerts + jobPath(key) + "/" }
  /// An alert's key.
  public func alert(_ key: AlertKey) -> String { alerts(of: key.job) + key.alertID }
  /// What an alert's key names; nil for another one.
  public func parse(alert key: String) -> AlertKey? {
    guard key.hasPrefix(alerts) else { return nil }
    let parts = key.dropFirst(alerts.count).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    return AlertKey(
      job: JobKey(namespace: String(parts[1]), jobID: String(parts[2])), alertID: String(parts[3]))
  }
  /// All earlier versions of a job, the oldest first.
  public func versions(of key: JobKey) -> String { versions + jobPath(key) + "/" }
  /// The key of an earlier version of a job: its generation with as many digits as sort well.
  public func version(_ key: VersionKey) -> String {
    let digits = String(key.generation)
    return versions(of: key.job) + String(repeating: "0", count: max(0, 10 - digits.count)) + digits
  }
  /// What such a key names; nil for another one.
  public func parse(version key: String, of job: JobKey) -> VersionKey? {
    let path = versions(of: job)
    guard key.hasPrefix(path) else { return nil }
    return Int(key.dropFirst(path.count)).map { VersionKey(job: job, generation: $0) }
  }
  /// A job's key.
  public func job(_ key: JobKey) -> String { jobs + jobPath(key) }
  /// A run's key.
  public func run(_ key: RunKey) -> String { runs + jobPath(key.job) + "/" + key.runID }
  /// The key of a run's checkpoint.
  public func checkpoint(_ key: RunKey) -> String { checkpoints + jobPath(key.job) + "/" + key.runID }
  /// All runs of a job.
  public func runs(of key: JobKey) -> String { runs + jobPath(key) + "/" }
  /// The record of an idempotency key; hashed, since the key is free text.
  public func idempotency(namespace: String, key: String) -> String {
    idempotency + namespace + "/" + Self.hex(Self.stableHash(key.utf8, seed: 0))
      + Self.hex(Self.stableHash(key.utf8, seed: 1))
  }

  private func jobPath(_ key: JobKey) -> String {
    Self.digits(of: segment(of: key)) + "/" + key.namespace + "/" + key.jobID
  }

  /// Keys that cut `jobs`, `runs` or `backfills` into pieces of whole segments, ascending.
  /// - Parameter pieces: How many pieces, at least one; there are never more than segments.
  public func cuts(of prefix: String, pieces: Int) -> [String] {
    let pieces = min(max(1, pieces), segmentCount)
    return (1..<max(1, pieces)).map { prefix + Self.digits(of: $0 * segmentCount / pieces) }.sorted()
  }

  /// A segment's number as keys spell it.
  private static func digits(of segment: Int) -> String {
    let digits = String(segment)
    return String(repeating: "0", count: max(0, 3 - digits.count)) + digits
  }

  /// The segment of a job: a stable hash of `namespace/job`.
  public func segment(of key: JobKey) -> Int {
    var hash = Self.stableHash(key.namespace.utf8, seed: 0)
    hash = Self.stableHash(CollectionOfOne(UInt8(ascii: "/")), from: hash)
    hash = Self.stableHash(key.jobID.utf8, from: hash)
    return Int(Self.mix(hash) % UInt64(segmentCount))
  }

  /// A 128-bit digest in hexadecimal, to tell whether two requests are the same. Not cryptographic.
  public static func digest(of bytes: [UInt8]) -> String {
    hex(stableHash(bytes, seed: 2)) + hex(stableHash(bytes, seed: 3))
  }

  /// 64-bit FNV-1a. Never changes: keys in etcd depend on it.
  static func stableHash(_ bytes: some Sequence<UInt8>, seed: UInt64) -> UInt64 {
    stableHash(bytes, from: 0xcbf2_9ce4_8422_2325 ^ (seed &* 0x9e37_79b9_7f4a_7c15))
  }

  private static func stableHash(_ bytes: some Sequence<UInt8>, from start: UInt64) -> UInt64 {
    var hash = start
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }

  /// The finalizer of MurmurHash3: FNV's low bits alone spread short names badly.
  private static func mix(_ value: UInt64) -> UInt64 {
    var h = value
    h = (h ^ (h >> 33)) &* 0xff51_afd7_ed55_8ccd
    h = (h ^ (h >> 33)) &* 0xc4ce_b9fe_1a85_ec53
    return h ^ (h >> 33)
  }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// What a key under the prefix names.
public enum ParsedKey: Hashable, Sendable {
  /// The `MetaRecord`.
  case meta
  /// A candidate for leadership, by its lease.
  case leader(lease: Int64)
  /// A server.
  case server(String)
  /// An agent.
  case agent(String)
  /// A job.
  case job(JobKey)
  /// A run.
  case run(RunKey)
  /// A segment's owner.
  case segment(Int)
  /// A calendar.
  case calendar(CalendarKey)
  /// A queue.
  case queue(String)
  /// The object of a concurrency group.
  case group(GroupKey)
  /// A backfill.
  case backfill(BackfillKey)
  /// An agent's drain.
  case drain(String)
  /// The quota of a namespace.
  case quota(String)
  /// A key of no interest to the cluster's state.
  case other
}

extension Keyspace {
  /// Takes a key apart; `.other` for what is not Rota's or not state.
  public func parse(_ key: String) -> ParsedKey {
    guard key.hasPrefix(root) else { return .other }
    let parts = key.utf8.dropFirst(root.utf8.count).split(
      separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    func part(_ index: Int) -> String { String(Substring(parts[index])) }
    switch (part(0), parts.count) {
    case ("meta", 1): return .meta
    case ("leader", 2): return Int64(part(1), radix: 16).map { .leader(lease: $0) } ?? .other
    case ("servers", 2): return .server(part(1))
    case ("agents", 2): return .agent(part(1))
    case ("drains", 2): return .drain(part(1))
    case ("quotas", 2): return .quota(part(1))
    case ("jobs", 4): return .job(JobKey(namespace: part(2), jobID: part(3)))
    case ("runs", 5):
      return .run(RunKey(job: JobKey(namespace: part(2), jobID: part(3)), runID: part(4)))
    case ("segments", 2): return Int(part(1)).map { .segment($0) } ?? .other
    case ("calendars", 3): return .calendar(CalendarKey(namespace: part(1), name: part(2)))
    case ("queues", 2): return .queue(part(1))
    case ("groups", 3): return .group(GroupKey(namespace: part(1), name: part(2)))
    case ("backfills", 5):
      return .backfill(
        BackfillKey(job: JobKey(namespace: part(2), jobID: part(3)), backfillID: part(4)))
    default: return .other
    }
  }
}
