import Testing

@testable import SchedulerCore

/// A time so many seconds after `OwnerBench.start`.
func after(_ seconds: Int64) -> Timestamp { OwnerBench.start.adding(milliseconds: seconds * 1_000) }

/// The owner of all segments, with one job, `anyJob`, and what etcd holds: each proposal is committed at once.
struct OwnerBench {
  static let start = Timestamp(milliseconds: 1_800_000_000_000)
  static let calendar = CalendarKey(namespace: anyJob.namespace, name: "closed")

  private(set) var machine = FiringMachine(serverID: "s", zones: .utcOnly, seed: 1)
  private(set) var cache = ClusterCache()
  /// The scheduled times of all runs, in the order of their creation.
  private(set) var created: [Timestamp] = []
  private var revision: Int64 = 0

  init() { takeOver(now: Self.start) }

  func job() throws -> JobRecord { try #require(cache.jobs[anyJob]?.job.record) }

  var status: JobStatus? { cache.status(of: anyJob) }

  /// All segments have a new owner, which knows nothing yet.
  mutating func takeOver(now: Timestamp) {
    revision += 1
    machine = FiringMachine(serverID: "s\(revision)", zones: .utcOnly, seed: UInt64(revision) << 32)
    for segment in 0..<MetaRecord.current.segmentCount {
      machine.ownershipChanged(segment, epoch: revision, cache, now: now)
    }
    turn(now: now)
  }

  /// Submits the job, at the start.
  mutating func submit(_ schedule: Schedule) throws {
    var spec = JobSpec(task: .noop)
    spec.schedules = [schedule]
    let record = JobRecord(key: anyJob, uid: "u", spec: spec, createdAt: Self.start)
    write(try JobPlan(record, zones: .utcOnly) { _ in nil }.started(at: Self.start), now: Self.start)
    turn(now: Self.start)
  }

  /// Changes the job's record, as a request does.
  mutating func change(now: Timestamp, _ change: (inout JobRecord) -> Void) throws {
    var record = try job()
    change(&record)
    write(record, now: now)
    turn(now: now)
  }

  /// Puts the calendar; the owner is told only where it says so.
  mutating func exclude(_ days: [String], now: Timestamp, tellsOwner: Bool = true) {
    var spec = CalendarSpec()
    spec.days = days
    let versioned = next(CalendarRecord(key: Self.calendar, spec: spec, createdAt: now), after: nil)
    cache.apply(.calendar(Self.calendar, versioned), at: revision)
    cache.advance(to: revision)
    guard tellsOwner else { return }
    machine.calendarChanged(Self.calendar, cache, now: now)
    turn(now: now)
  }

  /// Puts the quota of the job's namespace.
  mutating func limit(queuedRuns: Int?) {
    var spec = QuotaSpec()
    spec.maxQueuedRuns = queuedRuns
    let namespace = anyJob.namespace
    let record = QuotaRecord(namespace: namespace, spec: spec, createdAt: Self.start)
    let versioned = next(record, after: cache.quotas[namespace]?.createRevision)
    cache.apply(.quota(namespace, versioned), at: revision)
    cache.advance(to: revision)
  }

  /// Lets the newest run end; its owner is told only where it says so.
  mutating func endRun(now: Timestamp, tellsOwner: Bool = true) throws {
    var run = try #require(cache.runs(of: anyJob).first)
    run.record.state = .completed
    run.record.finishedAt = now
    write(run.record)
    guard tellsOwner else { return }
    machine.runChanged(run.record.key, cache, now: now)
    turn(now: now)
  }

  mutating func turn(now: Timestamp) {
    for _ in 0..<10 {
      let effects = machine.turn(cache, now: now)
      if effects.isEmpty { return }
      for case .propose(let id, let proposal, _) in effects {
        for case .run(let run) in proposal.writes {
          created.append(run.scheduledTime)
          write(run)
        }
        for case .job(let record) in proposal.writes { write(record, now: now) }
        machine.concluded(id, .committed, cache, now: now)
      }
    }
    Issue.record("it never comes to rest")
  }

  // MARK: The watch

  private mutating func next<Record>(_ record: Record, after old: Int64?) -> Versioned<Record> {
    revision += 1
    return Versioned(record, createRevision: old ?? revision, modRevision: revision)
  }

  private mutating func write(_ record: JobRecord, now: Timestamp) {
    let versioned = next(record, after: cache.jobs[anyJob]?.job.createRevision)
    cache.apply(.job(anyJob, versioned), at: revision)
    cache.advance(to: revision)
    machine.jobChanged(anyJob, cache, now: now)
  }

  private mutating func write(_ run: RunRecord) {
    let versioned = next(run, after: cache.runs[run.key]?.createRevision)
    cache.apply(.run(run.key, versioned), at: revision)
    cache.advance(to: revision)
  }
}
