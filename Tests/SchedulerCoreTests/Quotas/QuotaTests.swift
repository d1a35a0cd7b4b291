import Testing

@testable import SchedulerCore

/// Quotas: their records, what is counted of namespaces, and what is reserved.
@Suite struct QuotaTests {
  private static func spec(_ change: (inout QuotaSpec) -> Void) -> QuotaSpec {
    var spec = QuotaSpec()
    change(&spec)
    return spec
  }

  // MARK: Records

  @Test func aRecordIsReadAsItWasWritten() throws {
    var record = QuotaRecord(
      namespace: "n",
      spec: Self.spec {
        $0.maxJobs = 1
        $0.maxQueuedRuns = 2
        $0.maxRunningRuns = 3
        $0.submitRate = 4
        $0.submitBurst = 5
        $0.description = "for tests"
        $0.labels = ["team": "a"]
      }, createdAt: Timestamp(milliseconds: 1))
    record.generation = 7
    record.changeID = "c"
    record.updatedAt = Timestamp(milliseconds: 2)
    #expect(try QuotaRecord(decoding: record.encoded(), namespace: "n") == record)
    let bare = QuotaRecord(namespace: "n", spec: QuotaSpec(), createdAt: Timestamp(milliseconds: 1))
    #expect(try QuotaRecord(decoding: bare.encoded(), namespace: "n") == bare)
    // A newer program may have written more.
    let newer = #"{"spec":{"max_jobs":1,"max_cpus":2},"created_at":"1970-01-01T00:00:00Z","x":[]}"#
    #expect(try QuotaRecord(decoding: Array(newer.utf8), namespace: "n").spec.maxJobs == 1)
  }

  @Test(arguments: [
    (#"{"max_jobs": 0}"#, "max_jobs"), (#"{"max_queued_runs": -1}"#, "max_queued_runs"),
    (#"{"submit_burst": 5}"#, "submit_burst"), (#"{"max_job": 5}"#, "max_job"),
    (#"{"submit_rate": "fast"}"#, "submit_rate"), (#"[]"#, "body"),
    (#"{"max_jobs": 1, "max_jobs": 2}"#, "max_jobs"),
    (#"{"description": "\u0000"}"#, "description"),
    (#"{"max_running_runs": 1000000001}"#, "max_running_runs"),
  ])
  func whatIsWrongIsNamed(_ json: String, _ field: String) {
    let error = #expect(throws: FieldError.self) {
      try QuotaSpec(parsingJSON: Array(json.utf8)).validate()
    }
    #expect(error?.field == field)
  }

  @Test func theKeyIsReadAndWritten() {
    let keyspace = Keyspace()
    #expect(keyspace.quota("team") == "/rota/quotas/team")
    #expect(keyspace.parse("/rota/quotas/team") == .quota("team"))
    #expect(keyspace.state.contains(keyspace.quotas))
  }

  // MARK: Use

  /// Whatever happens to jobs and runs, in whatever order it is told, the counts are those of a count.
  @Test func useIsWhatACountSays() {
    for seed in 1...20 as ClosedRange<UInt64> {
      var random = SplitMix(seed: seed)
      var cache = ClusterCache()
      var revision: Int64 = 0
      for _ in 0..<400 {
        revision += 1
        let namespace = ["a", "b"].randomElement(using: &random) ?? "a"
        let job = JobKey(namespace: namespace, jobID: "j\(Int.random(in: 0..<6, using: &random))")
        let run = RunKey(job: job, runID: "r\(Int.random(in: 0..<3, using: &random))")
        let change: CacheChange
        switch Int.random(in: 0..<10, using: &random) {
        case 0: change = .job(job, nil)
        case 1: change = .run(run, nil)
        case 2...4:
          var record = JobRecord(
            key: job, uid: "u", spec: JobSpec(task: .noop), createdAt: Timestamp(milliseconds: 0))
          if Bool.random(using: &random) { record.cancelRequestedAt = Timestamp(milliseconds: 1) }
          if Bool.random(using: &random) { record.nextRunTime = Timestamp(milliseconds: 1) }
          let created = cache.jobs.facts(of: job)?.createRevision ?? revision
          change = .job(job, Versioned(record, createRevision: created, modRevision: revision))
        default:
          var record = RunRecord(
            key: run, scheduledTime: Timestamp(milliseconds: 0), createdAt: Timestamp(milliseconds: 0))
          let state = RunState.allCases.randomElement(using: &random) ?? .queued
          if state.isOwned {
            record.assign(to: Incarnation(agentID: "x", createRevision: 1), at: record.createdAt)
          }
          record.state = state
          let created = cache.runs[run]?.createRevision ?? revision
          change = .run(run, Versioned(record, createRevision: created, modRevision: revision))
        }
        cache.apply(change, at: revision)
        cache.advance(to: revision)
        for name in ["a", "b", "c"] {
          #expect(cache.use(of: name) == counted(name, cache), "seed \(seed), revision \(revision)")
        }
      }
      #expect(cache.useOfNamespaces.values.allSatisfy { $0 != NamespaceUse() })
    }
  }

  private func counted(_ namespace: String, _ cache: ClusterCache) -> NamespaceUse {
    var use = NamespaceUse()
    for slot in 0..<cache.jobs.slotEnd where cache.jobs.key(at: slot)?.namespace == namespace {
      if cache.jobs.facts(at: slot)?.status.isTerminal == false { use.jobs += 1 }
    }
    for run in cache.runs.values where run.record.key.job.namespace == namespace {
      if run.record.state.isTerminal { continue }
      if run.record.state.isOwned { use.runningRuns += 1 } else { use.queuedRuns += 1 }
    }
    return use
  }

  // MARK: Reservations

  private func job(_ id: String) -> JobKey { JobKey(namespace: "n", jobID: id) }
  private func run(_ id: String) -> RunKey { RunKey(job: job(id), runID: "r") }

  @Test func whatComesAtOnceCannotPassTogether() throws {
    let quota = Self.spec {
      $0.maxJobs = 5
      $0.maxQueuedRuns = 3
    }
    var desk = QuotaDesk()
    var used = NamespaceUse()
    used.jobs = 3
    try desk.reserve(.init(job: job("a")), in: "n", quota, used: used)
    try desk.reserve(.init(job: job("b")), in: "n", quota, used: used)
    #expect(throws: QuotaDesk.Excess(field: "max_jobs", what: "jobs that have not ended", used: 5, limit: 5))
    {
      try desk.reserve(.init(job: job("c")), in: "n", quota, used: used)
    }
    // The cache shows one of them: it counts once.
    desk.settled(job("a"))
    used.jobs = 4
    #expect(throws: QuotaDesk.Excess.self) {
      try desk.reserve(.init(job: job("c")), in: "n", quota, used: used)
    }
    desk.release(.init(job: job("b")))
    try desk.reserve(.init(job: job("c")), in: "n", quota, used: used)
    desk.release(.init(job: job("c")))
    #expect(desk.isEmpty)
  }

  @Test func runsAreCountedBesideJobs() throws {
    let quota = Self.spec { $0.maxQueuedRuns = 1 }
    var desk = QuotaDesk()
    try desk.reserve(.init(job: job("a")), in: "n", quota, used: NamespaceUse())
    try desk.reserve(.init(job: job("b"), run: run("b")), in: "n", quota, used: NamespaceUse())
    let excess = #expect(throws: QuotaDesk.Excess.self) {
      try desk.reserve(.init(run: run("c")), in: "n", quota, used: NamespaceUse())
    }
    #expect(excess?.field == "max_queued_runs")
    // A job that is not due needs no room for a run.
    try desk.reserve(.init(job: job("d")), in: "n", quota, used: NamespaceUse())
    desk.settled(run("b"))
    #expect(desk.isEmpty, "of what is not limited nothing is kept")
  }
}
