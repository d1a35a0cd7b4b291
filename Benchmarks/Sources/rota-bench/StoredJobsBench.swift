import EtcdClient
import Foundation
import SchedulerCore

/// What a server needs to keep very many jobs that are not due: time to start, memory, and what is left for others.
struct StoredJobsBench {
  let cluster: BenchCluster
  /// How many jobs.
  let count: Int
  /// How many agents run.
  let agents: Int
  /// No-op jobs of the throughput measurements, before and with the stored jobs.
  let noops: Int
  /// Connections of the raw puts.
  let connections: Int

  /// In one transaction; etcd's own default limit is 128.
  private static let jobsPerTransaction = 120
  /// Transactions in flight.
  private static let lanes = 8
  /// How long a start may take before the measurement is given up.
  private static let startPatience = 600.0
  /// How long the server is left alone before its memory is looked at.
  private static let settleSeconds = 5.0

  func rows() async throws -> [Row] {
    let measurements = Measurements(cluster: cluster)
    let puts = try await measurements.rawPuts(seconds: 4, connections: connections).figures[0].value
    let empty = try await measurements.throughput(
      "throughput: noop, nothing else stored", jobs: noops, task: .noop, rawPuts: puts,
      target: "at least 1,500 jobs/s")
    let emptyMiB = try cluster.server.process.residentMiB()
    cluster.stopServers()
    let storeSeconds = try await seconds { try await store() }
    let startSeconds = try await seconds { try await cluster.startServers(patience: Self.startPatience) }
    try await cluster.waitForAgents(agents)
    try await cluster.sleep(until: Date(timeIntervalSinceNow: Self.settleSeconds))
    let process = try cluster.server.process
    let (residentMiB, usage) = (process.residentMiB(), process.usage())
    let stored = Row(
      name: "\(count) jobs stored",
      figures: [
        ("jobs", Double(count)), ("seconds_to_store", storeSeconds),
        ("seconds_from_start_to_lead", startSeconds),
        ("resident_mib", residentMiB), ("peak_resident_mib", usage.peakRSSMiB),
        ("resident_mib_before", emptyMiB),
        ("bytes_per_job", max(0, residentMiB - emptyMiB) * 1_048_576 / Double(count)),
      ], usage: [(process.name, usage)], target: "1,000,000: under 400 MiB, ready in under 30 s")
    var busy = try await measurements.throughput(
      "throughput: noop, \(count) jobs stored", jobs: noops, task: .noop, rawPuts: puts,
      target: "as with nothing else stored")
    let rate = { (row: Row) in row.figures.first { $0.name == "jobs_per_second" }?.value ?? 0 }
    busy.figures.append(("ratio_to_nothing_stored", rate(busy) / max(1, rate(empty))))
    return [empty, stored, busy]
  }

  private func seconds(_ body: () async throws -> Void) async rethrows -> Double {
    let start = Date()
    try await body()
    return Date().timeIntervalSince(start)
  }

  // MARK: Writing

  /// Writes the jobs as servers would have, but many in a transaction.
  private func store() async throws {
    let etcd = try cluster.etcdClient().with(requestTimeout: .seconds(60))
    let keyspace = Keyspace()
    let time = try DueTime()
    let count = count
    try await withThrowingTaskGroup(of: Void.self) { group in
      for lane in 0..<Self.lanes {
        group.addTask {
          let step = Self.jobsPerTransaction
          for start in stride(from: lane * step, to: count, by: Self.lanes * step) {
            let puts = (start..<min(start + step, count)).map { number in
              let record = Self.record(number, time)
              return TxnOperation.put(key: keyspace.job(record.key), value: record.encoded())
            }
            try await etcd.txn(TxnRequest(success: puts))
          }
        }
      }
      try await group.waitForAll()
    }
    await etcd.shutdown()
  }

  private static func record(_ number: Int, _ time: DueTime) -> JobRecord {
    var spec = JobSpec(
      task: .exec(argv: ["/usr/bin/report", "--tenant", "t\(number % 1_000)", "--quiet"]))
    spec.userID = "u\(number % 50)"
    spec.schedules = [Schedule(.cron("\(number % 60) 3 1 \(time.month) *"))]
    var record = JobRecord(
      key: JobKey(namespace: "default", jobID: "report-\(number)"),
      uid: String(UInt64.random(in: 0 ... .max), radix: 36)
        + String(UInt64.random(in: 0 ... .max), radix: 36),
      spec: spec, createdAt: time.created)
    record.scheduleStates = [ScheduleState(decidedThrough: time.created)]
    record.nextRunTime = time.first.adding(milliseconds: Int64(number % 60) * 60_000)
    return record
  }

  /// The first of a month about half a year ahead, 3 o'clock UTC.
  private struct DueTime: Sendable {
    let created: Timestamp
    let month: Int
    let first: Timestamp

    init() throws {
      let now = Date()
      created = Timestamp(milliseconds: Int64(now.timeIntervalSince1970 * 1_000))
      var calendar = Calendar(identifier: .gregorian)
      guard let utc = TimeZone(identifier: "UTC") else { throw BenchError("there is no time zone UTC") }
      calendar.timeZone = utc
      let today = calendar.dateComponents([.year, .month], from: now)
      let months = (today.month ?? 1) + 5
      month = months % 12 + 1
      let due = DateComponents(year: (today.year ?? 1970) + months / 12, month: month, day: 1, hour: 3)
      guard let date = calendar.date(from: due) else { throw BenchError("there is no date for \(due)") }
      first = Timestamp(milliseconds: Int64(date.timeIntervalSince1970 * 1_000))
    }
  }
}
