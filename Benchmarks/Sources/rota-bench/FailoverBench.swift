import EtcdClient
import Foundation
import SchedulerCore

/// Jobs that fall due while one of several servers is killed.
struct FailoverBench {
  /// Which server is killed.
  enum Victim: String, CaseIterable {
    /// One that owns segments and does not lead.
    case owner
    /// The leader, which owns segments too.
    case leader
  }

  let cluster: BenchCluster
  let count: DueJobs.Count
  /// Over how many seconds they are due.
  let seconds: Double
  let victim: Victim

  func row() async throws -> Row {
    let etcd = try cluster.etcdClient()
    let row = try await row(SegmentTable(etcd: etcd))
    await etcd.shutdown()
    return row
  }

  private func row(_ segments: SegmentTable) async throws -> Row {
    try await cluster.wait(seconds: 30, for: "the servers share the segments") {
      let owners = try await segments.owners()
      return owners.count == segments.count && Set(owners.values).count == cluster.servers.count
    }
    let due = DueJobs(count, spread: seconds, cluster: cluster)
    let times = try await due.submit()
    try await cluster.sleep(until: due.start.addingTimeInterval(seconds / 2))
    let rebalance = try await killVictim(segments)
    let outcome = try await due.outcome(of: times)
    var figures = [
      ("jobs", Double(count.jobs)), ("segments_of_the_killed", Double(rebalance.lost)),
      ("kill_to_all_segments_owned_ms", rebalance.millis),
      ("created_over_1_s_late", Double(outcome.overASecondLate)),
    ]
    figures += outcome.creation.figures("created_late") + outcome.execution.figures("executed_late")
    return Row(
      name: "jobs due spread over \(Int(seconds)) s, \(cluster.servers.count) servers, "
        + "one (\(victim.rawValue)) killed",
      figures: figures,
      target: "none lost, none twice; segments owned again within lease TTL (5 s) + 0.5 s")
  }

  /// Kills the victim; returns how many segments it had, and how long it took until they had living owners.
  private func killVictim(_ segments: SegmentTable) async throws -> (lost: Int, millis: Double) {
    let leader = try await segments.leader()
    guard let server = cluster.servers.first(where: { ($0.id == leader) == (victim == .leader) }) else {
      throw BenchError("there is no server that could be killed as \(victim.rawValue)")
    }
    let lost = try await segments.owners().values.count { $0 == server.id }
    let killed = Date()
    server.process.killNow()
    try await cluster.wait(seconds: 60, for: "all segments are owned again") {
      let owners = try await segments.owners()
      return owners.count == segments.count && !owners.values.contains(server.id)
    }
    return (lost, Date().timeIntervalSince(killed) * 1_000)
  }
}

/// Who owns the segments, as etcd has it.
struct SegmentTable {
  let etcd: EtcdClient
  private let keyspace = Keyspace()

  init(etcd: EtcdClient) { self.etcd = etcd }

  /// How many there are.
  var count: Int { keyspace.segmentCount }

  /// The owner of each segment that has one.
  func owners() async throws -> [Int: String] {
    var owners: [Int: String] = [:]
    for pair in try await etcd.range(RangeRequest(.prefix(keyspace.segments))).kvs {
      guard case .segment(let number) = keyspace.parse(pair.key) else { continue }
      owners[number] = try SegmentRecord(decoding: pair.value).serverID
    }
    return owners
  }

  /// The server that leads: the oldest candidate.
  func leader() async throws -> String {
    let candidates = try await etcd.range(RangeRequest(.prefix(keyspace.leaders))).kvs
    guard let oldest = candidates.min(by: { $0.createRevision < $1.createRevision }) else {
      throw BenchError("no server leads")
    }
    return try ServerRecord(decoding: oldest.value).serverID
  }
}
