import SchedulerCore
import Testing

/// Records with every field set, used by several suites.
enum Sample {
  static let time = Timestamp(microseconds: 1_795_384_569_123_456)
  static let job = JobKey(namespace: "default", jobID: "report")
  static let run = RunKey(job: job, runID: runID(for: time))

  static var spec: JobSpec {
    var spec = JobSpec(task: .exec(argv: ["/bin/sh", "-c", "echo \"hi\" \u{1F600}\n"]))
    spec.userID = "u003"
    spec.env = ["A": "1", "B": "two\tthree"]
    spec.workingDirectory = "/srv/data"
    spec.timeoutMillis = 1_800_000
    spec.killGraceMillis = 2_500
    spec.maxRetries = 3
    spec.backoff = Backoff(
      curve: .exponential(initialMillis: 1_000, multiplier: 1.5, maxMillis: 60_000), jitter: 0.25)
    spec.priority = 80
    spec.constraints = [
      Constraint(label: "zone", op: .isIn, values: ["a", "b"]), Constraint(label: "gpu", op: .exists),
    ]
    spec.executionTime = time
    spec.onAgentLoss = .wait
    spec.agentLossWaitMillis = 90_000
    spec.retryOn = FailureFilter(
      exitCodes: [CodeRange(75), CodeRange(100...119)], reasons: FailureFilter.Reason.allCases)
    spec.noRetryOn = FailureFilter(reasons: [.outOfMemory])
    spec.totalTimeoutMillis = 86_400_000
    spec.concurrency = Concurrency(key: "report-{{job_id}}", limit: 3, whenFull: .cancelOldest)
    spec.maxRunning = 7
    spec.startDeadlineMillis = 900_000
    return spec
  }

  static var jobRecord: JobRecord {
    var record = JobRecord(key: job, uid: "0123abcd", spec: spec, createdAt: time)
    record.nextRunTime = time.adding(milliseconds: 1)
    record.lastRunTime = time.adding(milliseconds: 2)
    record.cancelRequestedAt = time.adding(milliseconds: 3)
    record.cancelReason = "<script>\u{1B}[31m"
    return record
  }

  static var runRecord: RunRecord {
    var record = RunRecord(key: run, scheduledTime: time, createdAt: time.adding(milliseconds: 5))
    record.state = .retrying
    record.finishedAt = time.adding(milliseconds: 6)
    record.nextAttemptAt = time.adding(milliseconds: 7)
    record.waitsForWorker = "a2"
    record.waitsUntil = time.adding(milliseconds: 8)
    record.trigger = .retry
    record.retryOf = "20261122t215609.123z"
    record.retryCount = 2
    record.attempt = 3
    record.fence = .max
    record.message = "waiting"
    record.group = "report-a/b c"
    record.outputTail = Array("tail \0 \u{FEFF}é\r\n".utf8)
    var first = AttemptRecord(
      attempt: 2, agent: Incarnation(agentID: "a1", createRevision: 41), assignedAt: time)
    first.startedAt = time.adding(milliseconds: 8)
    first.endedAt = time.adding(milliseconds: 9)
    first.endReason = .startFailed
    first.exitCode = 0
    first.signal = 9
    first.httpStatus = 503
    first.error = "no such file"
    first.usage = ResourceUsage(
      userCPUMicros: 1, systemCPUMicros: 2, maxRSSKiB: 3, stdoutBytes: 4, stderrBytes: 5)
    record.attempts = [
      first,
      AttemptRecord(attempt: 3, agent: Incarnation(agentID: "a2", createRevision: 42), assignedAt: time),
    ]
    return record
  }
}

@Suite struct RecordCodingTests {
  @Test func fullRecordsComeBack() throws {
    let job = Sample.jobRecord
    #expect(try JobRecord(decoding: job.encoded(), key: job.key) == job)
    let run = Sample.runRecord
    #expect(try RunRecord(decoding: run.encoded(), key: run.key) == run)
    var agent = AgentRecord(
      agentID: "a1", host: "h", labels: ["zone": "eu"], slots: 4, version: "1", startedAt: Sample.time)
    agent.draining = true
    #expect(try AgentRecord(decoding: agent.encoded(), key: "a1") == agent)
    agent.kinds = ["task"]
    agent.tasks = ["resize", "rotate"]
    agent.isolation = "cgroup_v1:memory,pids"
    agent.runAsUsers = ["app", "web:www-data"]
    #expect(try AgentRecord(decoding: agent.encoded(), key: "a1") == agent)
    let server = ServerRecord(
      serverID: "s1", grpcAddress: "h:1", httpAddress: "h:2", version: "1", startedAt: Sample.time)
    #expect(try ServerRecord(decoding: server.encoded(), key: "s1") == server)
    #expect(try ServerRecord(decoding: server.encoded()) == server)
    #expect(try MetaRecord(decoding: MetaRecord.current.encoded()) == .current)
    let once = IdempotencyRecord(job: Sample.job, bodyHash: "00ff", uid: "u")
    #expect(try IdempotencyRecord(decoding: once.encoded()) == once)
  }

  @Test func agentsOfAllAgesCanBeRead() throws {
    func agent(_ members: String) throws -> AgentRecord {
      let text = #"{"slots":1,"started_at":"2026-11-22T21:56:09Z"\#(members)}"#
      return try AgentRecord(decoding: Array(text.utf8), key: "a")
    }
    let old = try agent("")
    #expect(old.kinds == ["exec", "shell", "http", "noop"] && old.tasks.isEmpty)
    let new = try agent(#","kinds":["task","wasm"],"tasks":["resize","../x","Resize",""]"#)
    #expect(new.kinds == ["task", "wasm"] && new.tasks == ["resize"])
    #expect(AgentTraits(new).kinds == [.task])
    #expect(try agent(#","kinds":[]"#).kinds.isEmpty)
    let many = (0..<2_000).map { "\"t\($0)\"" }.joined(separator: ",")
    #expect(try agent(",\"tasks\":[\(many)]").tasks.count == AgentRecordLimits.tasks)
    #expect(throws: (any Error).self) { try agent(#","tasks":"resize""#) }
  }

  @Test func taskReportsComeBack() throws {
    var run = Sample.runRecord
    run.progress = Progress(fraction: 0.25, message: "page 1", at: Sample.time)
    let checkpoint = CheckpointRecord(
      attempt: 3, fence: 4, agent: Incarnation(agentID: "a1", createRevision: 7), sequence: 9,
      savedAt: Sample.time, data: [0, 255, 10])
    run.checkpoint = checkpoint.note
    #expect(try RunRecord(decoding: run.encoded(), key: run.key) == run)
    #expect(try CheckpointRecord(decoding: checkpoint.encoded()) == checkpoint)
    #expect(
      String(decoding: checkpoint.encoded(), as: UTF8.self)
        == #"{"attempt":3,"fence":4,"worker_id":"a1","incarnation":7,"sequence":9,"#
        + #""saved_at":"2026-11-22T21:56:09.123456Z","data":"AP8K"}"#)
    let keyspace = Keyspace()
    #expect(
      keyspace.checkpoint(run.key)
        == keyspace.run(run.key).replacing("/rota/runs/", with: "/rota/checkpoints/"))
    #expect(keyspace.parse(keyspace.checkpoint(run.key)) == .other)
  }

  @Test func payloadsAreKeptAsTheyWereWritten() throws {
    var spec = JobSpec(task: .task(name: "resize", payload: #"{"width" : 1e400, "name": "\u0000é"}"#))
    spec.userID = "u"
    try spec.validate(zones: .utcOnly)
    let job = JobRecord(key: Sample.job, uid: "u", spec: spec, createdAt: Sample.time)
    #expect(try JobRecord(decoding: job.encoded(), key: job.key) == job)
    let deepest = String(repeating: "[", count: 48) + String(repeating: "]", count: 48)
    var deep = job
    deep.spec.task = .task(name: "deep", payload: deepest)
    try deep.spec.validate(zones: .utcOnly)
    #expect(try JobRecord(decoding: deep.encoded(), key: job.key) == deep)
  }

  @Test func defaultsAreNotWritten() throws {
    let job = JobRecord(key: Sample.job, uid: "u", spec: JobSpec(task: .noop), createdAt: Sample.time)
    #expect(
      String(decoding: job.encoded(), as: UTF8.self)
        == #"{"namespace":"default","job_id":"report","uid":"u","spec":{"noop":true},"#
        + #""created_at":"2026-11-22T21:56:09.123456Z"}"#)
    #expect(try JobRecord(decoding: job.encoded(), key: job.key) == job)
    let run = RunRecord(key: Sample.run, scheduledTime: Sample.time, createdAt: Sample.time)
    #expect(
      String(decoding: run.encoded(), as: UTF8.self)
        == #"{"namespace":"default","job_id":"report","run_id":"20261122t215609.123z","state":"queued","#
        + #""scheduled_time":"2026-11-22T21:56:09.123456Z","created_at":"2026-11-22T21:56:09.123456Z"}"#)
    #expect(try RunRecord(decoding: run.encoded(), key: run.key) == run)
  }

  @Test(arguments: [
    TaskSpec.noop, .shell(script: "exit 1\n", interpreter: TaskSpec.defaultInterpreter),
    .shell(script: "x", interpreter: ["/usr/bin/env", "python3"]), .exec(argv: ["true"]),
    .http(HTTPTask(method: "POST", url: "http://h/", headers: ["X-A": "b"], body: "{}")),
    .http(HTTPTask(url: "https://h/")),
  ])
  func everyTaskComesBack(task: TaskSpec) throws {
    var record = Sample.jobRecord
    record.spec.task = task
    record.spec.backoff = Backoff(curve: .list([0, 1_500]))
    #expect(try JobRecord(decoding: record.encoded(), key: record.key) == record)
  }

  @Test func theKeyWins() throws {
    let other = JobKey(namespace: "n", jobID: "other")
    #expect(try JobRecord(decoding: Sample.jobRecord.encoded(), key: other).key == other)
    let run = RunKey(job: other, runID: "r")
    #expect(try RunRecord(decoding: Sample.runRecord.encoded(), key: run).key == run)
  }

  @Test func unknownMembersAreSkipped() throws {
    let run =
      #"{"new":{"a":[1,null]},"state":"running","scheduled_time":"2026-11-22T21:56:09Z","#
      + #""created_at":"2026-11-22T21:56:09Z","attempts":[{"attempt":1,"worker_id":"a","incarnation":7,"#
      + #""assigned_at":"2026-11-22T21:56:09Z","x":1,"usage":{"y":2}}]}"#
    let record = try RunRecord(decoding: Array(run.utf8), key: Sample.run)
    #expect(record.state == .running)
    #expect(record.attempts.first?.usage?.maxRSSKiB == 0)
    let job =
      #"{"uid":"u","spec":{"noop":true,"cron":"* * * * *","shell":null},"paused":false,"#
      + #""created_at":"2026-11-22T21:56:09Z"}"#
    #expect(try JobRecord(decoding: Array(job.utf8), key: Sample.job).spec == JobSpec(task: .noop))
  }

  @Test(arguments: [
    "", "{}", "[]", #"{"state":"queued","scheduled_time":"2026-11-22T21:56:09Z"}"#,
    #"{"state":"odd","scheduled_time":"2026-11-22T21:56:09Z","created_at":"2026-11-22T21:56:09Z"}"#,
    #"{"state":"queued","scheduled_time":"soon","created_at":"2026-11-22T21:56:09Z"}"#,
    #"{"state":"queued","scheduled_time":"2026-11-22T21:56:09Z","created_at":"2026-11-22T21:56:09Z"} x"#,
    #"{"state":"queued","scheduled_time":"2026-11-22T21:56:09Z","created_at":"2026-11-22T21:56:09Z","#
      + #""output_tail_base64":"A"}"#,
  ])
  func brokenRunsAreRefused(text: String) {
    #expect(throws: (any Error).self) { try RunRecord(decoding: Array(text.utf8), key: Sample.run) }
  }

  @Test func otherRecordsNeedTheirMembers() {
    let empty = Array("{}".utf8)
    #expect(throws: FieldError.self) { try JobRecord(decoding: empty, key: Sample.job) }
    #expect(throws: FieldError.self) { try AgentRecord(decoding: empty, key: "a") }
    #expect(throws: FieldError.self) { try ServerRecord(decoding: empty, key: "s") }
    #expect(throws: FieldError.self) { try MetaRecord(decoding: empty) }
    #expect(throws: FieldError.self) { try IdempotencyRecord(decoding: empty) }
    #expect(throws: FieldError.self) {
      try MetaRecord(decoding: Array(#"{"format_version":1,"segment_count":0}"#.utf8))
    }
  }

  @Test func outputThatIsNoTextLosesNothing() throws {
    var random = SplitMix(seed: 3)
    for length in 0..<70 {
      var record = RunRecord(key: Sample.run, scheduledTime: Sample.time, createdAt: Sample.time)
      record.outputTail = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      record.outputTail.append(0xFF)
      #expect(try RunRecord(decoding: record.encoded(), key: record.key) == record)
    }
  }
}
