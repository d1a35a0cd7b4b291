import Testing

@testable import SchedulerCore

/// Runs that are run again on request: what the new run is, and what stands against it.
struct RunRetryTests {
  private static let key = JobKey(namespace: "default", jobID: "j")
  private static let due = Timestamp(milliseconds: 1_000_000)
  private static let now = Timestamp(milliseconds: 9_000_000)

  private static func plan(_ change: (inout JobSpec) -> Void = { _ in }) throws -> JobPlan {
    var spec = JobSpec(task: .noop)
    change(&spec)
    return try JobPlan(JobRecord(key: key, uid: "u", spec: spec, createdAt: due), zones: .utcOnly) { _ in nil
    }
  }

  private static func failed(_ id: String = runID(for: due)) -> RunRecord {
    var run = RunRecord(key: RunKey(job: key, runID: id), scheduledTime: due, createdAt: due)
    run.assign(to: Incarnation(agentID: "a", createRevision: 1), at: due)
    run.assign(to: Incarnation(agentID: "b", createRevision: 2), at: due)
    run.state = .failed
    run.params = ["region": "eu"]
    run.trigger = .backfill
    return run
  }

  @Test func itHasTheTimeAndTheParametersOfTheOldOne() throws {
    let old = Self.failed()
    let outcome = try Self.plan().retried(old, at: Self.now, JobActivity()) { $0 == old.key.runID }
    guard case .run(let run, let job)? = outcome else { return #expect(Bool(false), "refused") }
    #expect(run.key.runID == "19700101t001640.000z-r001" && run.key.runID > old.key.runID)
    #expect(Identifier.isValid(run.key.runID))
    #expect(run.state == .queued && run.attempts.isEmpty && run.attempt == 0)
    #expect(run.scheduledTime == Self.due && run.createdAt == Self.now && run.params == old.params)
    #expect(run.trigger == .retry && run.retryOf == old.key.runID)
    // What the old one's last attempt still writes somewhere can be told from what this one writes.
    #expect(run.fence == old.fence && run.fence == 2)
    #expect(job.lastRunTime == Self.due)
    // Before the run of the next occurrence, however soon that is.
    #expect(run.key.runID < runID(for: Self.due.adding(milliseconds: 1)))
  }

  @Test func theLastOccurrenceStaysTheLast() throws {
    var plan = try Self.plan()
    var record = plan.record
    record.lastRunTime = Self.now
    plan = JobPlan(record, plan.rules)
    guard
      case .run(_, let job)? = plan.retried(
        Self.failed(), at: Self.now, JobActivity(), exists: { _ in false })
    else { return #expect(Bool(false), "refused") }
    #expect(job.lastRunTime == Self.now)
  }

  @Test(arguments: [
    ("r", [String](), "r-r001"), ("r", ["r-r001"], "r-r002"), ("r-r001", ["r-r001"], "r-r002"),
    ("r-r001", ["r-r001", "r-r002", "r-r010"], "r-r011"), ("r-rabc", [], "r-rabc-r001"),
    ("r-r01", [], "r-r01-r001"), ("x", ["x-r998"], "x-r999"), ("x", ["x-r999"], nil),
  ])
  func idsAreNumbered(old: String, present: [String], next: String?) {
    #expect(RetryID.next(of: old, exists: present.contains) == next)
  }

  @Test func theOverlapPolicyHolds() throws {
    var activity = JobActivity()
    activity.unended = 1
    activity.newestUnended = "busy"
    func outcome(_ policy: OverlapPolicy) throws -> JobPlan.Trigger? {
      try Self.plan { $0.overlap = policy }.retried(Self.failed(), at: Self.now, activity) { _ in false }
    }
    #expect(try outcome(.forbid) == .refused(.overlap, runID: "busy"))
    for policy in [OverlapPolicy.allow, .queue(limit: 1), .replace] {
      guard case .run? = try outcome(policy) else { return #expect(Bool(false), "\(policy) refused") }
    }
    activity.unended = 2
    #expect(try outcome(.queue(limit: 1)) == .refused(.queueFull, runID: "busy"))
  }
}
