import JSON
import Testing

@testable import SchedulerCore

private let key = RunKey(job: JobKey(namespace: "default", jobID: "j"), runID: "r")

private func time(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: seconds * 1_000) }

/// None where the text is none, for which the test fails.
private func rules(_ text: String) -> [AlertRule] { (try? [rule(text)]) ?? [] }

private func rule(_ text: String) throws -> AlertRule { try AlertRule(text: text) }

/// What a run gives a rule to tell.
struct AlertRuleTests {
  private func run(state: RunState = .queued, _ change: (inout RunRecord) -> Void = { _ in }) -> RunRecord {
    var run = RunRecord(key: key, scheduledTime: time(100), createdAt: time(101))
    run.state = state
    change(&run)
    return run
  }

  private func started(_ seconds: Int64, ended: Int64? = nil, state: RunState = .running) -> RunRecord {
    run {
      $0.assign(to: Incarnation(agentID: "a", createRevision: 1), at: time(seconds - 1))
      $0.state = state
      $0.attempts[0].startedAt = time(seconds)
      $0.attempts[0].endedAt = ended.map(time)
      if state.isTerminal { $0.finishedAt = ended.map(time) }
    }
  }

  @Test func lateIsWhatHasNotStarted() throws {
    let late = try rule("late:1m")
    #expect(late.occurrence(of: run())?.at == time(160))
    #expect(late.occurrence(of: started(160)) == nil)
    #expect(late.occurrence(of: started(161))?.at == time(160))
    #expect(late.occurrence(of: run(state: .cancelled) { $0.finishedAt = time(150) }) == nil)
    #expect(late.occurrence(of: run(state: .cancelled) { $0.finishedAt = time(170) })?.at == time(160))
    let backfilled = run {
      $0.trigger = .backfill
      $0.createdAt = time(10_000)
    }
    #expect(late.occurrence(of: backfilled)?.at == time(10_060))
    // Created when it was late already.
    #expect(late.occurrence(of: run { $0.createdAt = time(500) })?.at == time(500))
  }

  @Test func longIsOfOneAttempt() throws {
    let long = try rule("long:30s")
    #expect(long.occurrence(of: run()) == nil)
    #expect(long.occurrence(of: started(200)) == AlertRule.Occurrence(at: time(230), attempt: 1))
    #expect(long.occurrence(of: started(200, ended: 230, state: .completed)) == nil)
    #expect(long.occurrence(of: started(200, ended: 231, state: .completed))?.at == time(230))
  }

  @Test func stuckCountsFromTheLastSign() throws {
    let stuck = try rule("stuck:30s")
    var run = started(200)
    #expect(stuck.occurrence(of: run)?.at == time(230))
    run.progress = Progress(fraction: 0.5, message: "", at: time(210))
    #expect(stuck.occurrence(of: run)?.at == time(240))
    run.checkpoint = CheckpointNote(savedAt: time(220), bytes: 1, attempt: 1, sequence: 1)
    #expect(stuck.occurrence(of: run)?.at == time(250))
    run.checkpoint?.attempt = 0
    #expect(stuck.occurrence(of: run)?.at == time(240))
  }

  @Test func failedIsTheRunNotTheAttempt() throws {
    let failed = try rule("failed")
    #expect(failed.occurrence(of: started(200, ended: 201, state: .failed))?.at == time(201))
    #expect(failed.occurrence(of: started(200, ended: 201, state: .retrying)) == nil)
    #expect(failed.occurrence(of: started(200, ended: 201, state: .cancelled)) == nil)
  }

  @Test(arguments: [
    "late:5m", "long:1h,silence=10m", "stuck:30s,command=page",
    "failed,count=3,window=1h,silence=2h,command=c",
    "failed,webhook=https://example.org/a,b?c=d,e",
  ])
  func textAndJSONSayTheSame(text: String) throws {
    let rule = try rule(text)
    try rule.validate()
    var json = JSONWriter()
    rule.write(to: &json)
    let again = try JSONReader.read(json.bytes) {
      try AlertRule(decoding: &$0, with: SpecDecoder(isStrict: true))
    }
    #expect(again == rule)
    if text.contains("webhook") { #expect(rule.webhook == "https://example.org/a,b?c=d,e") }
  }

  @Test(arguments: [
    ("late", "threshold"), ("failed:5m", "threshold"), ("late:10ms", "threshold"),
    ("failed,count=3", "window"),
    ("failed,window=1h", "count"), ("failed,count=101,window=1h", "count"), ("failed,silence=8d", "silence"),
    ("failed,webhook=ftp://x", "webhook"), ("failed,command=../x", "command"),
  ])
  func whatMakesNoSenseIsRefused(text: String, field: String) throws {
    var spec = JobSpec(task: .noop)
    spec.alerts = [try rule("failed"), try rule(text)]
    let error = #expect(throws: FieldError.self) { try spec.validate(zones: nil) }
    #expect(error?.field == "alerts[1].\(field)")
  }

  @Test(arguments: ["", "never", "late:x", "failed,often", "failed,every=2", "failed,count=x"])
  func textsThatAreNone(text: String) {
    #expect(throws: TextError.self) { try rule(text) }
  }

  @Test func tooManyRulesAreRefused() throws {
    var spec = JobSpec(task: .noop)
    spec.alerts = Array(repeating: try rule("failed"), count: 9)
    #expect(throws: FieldError.self) { try spec.validate(zones: nil) }
  }

  @Test func recordsComeBackAsTheyWere() throws {
    let rule = try rule("failed,count=2,window=1h,command=c,webhook=http://h/")
    var record = AlertRecord(
      key: AlertKey(job: key.job, alertID: AlertRecord.id(of: key, rule, at: time(5))), runID: "r",
      attempt: 2,
      rule: rule, at: time(5), createdAt: time(6), message: "m")
    record.count = 4
    record.deliveries[0].tries = 3
    record.deliveries[0].error = "e"
    record.deliveries[0].nextTryAt = time(7)
    record.deliveries[1].state = .givenUp
    record.deliveries[1].endedAt = time(8)
    #expect(try AlertRecord(decoding: record.encoded(), key: record.key) == record)
    let keyspace = Keyspace()
    #expect(keyspace.parse(alert: keyspace.alert(record.key)) == record.key)
    #expect(Identifier.isValid(record.key.alertID))
  }
}

/// What a leader makes of it.
struct LeaderAlertTests {
  private func bench(_ configuration: LeaderMachine.Configuration = .init()) -> LeaderBench {
    var bench = LeaderBench(configuration)
    bench.server.machine?.alertsLoaded([], bench.server.cache, now: bench.now)
    return bench
  }

  /// Has a run of the bench's agent fail, by that status of its session.
  private func fail(_ run: RunKey, _ sequence: UInt64, _ bench: inout LeaderBench) throws {
    var end = bench.ended(try bench.current(run))
    end.end?.exitCode = 1
    bench.say(1, sequence, end)
    bench.rest()
    #expect(bench.state(run) == .failed)
  }

  private func told(_ bench: LeaderBench) -> [String] {
    bench.etcd.alerts.values.sorted { $0.at < $1.at }.map(\.rule.on.rawValue)
  }

  @Test func whatDoesNotStartIsTold() throws {
    var bench = bench()
    let run = bench.submit { $0.alerts = rules("late:1m,command=c") }
    bench.rest()
    bench.pass(59_999)
    bench.rest()
    #expect(told(bench).isEmpty)
    bench.pass(1)
    bench.rest()
    #expect(told(bench) == ["late"])
    let alert = try #require(bench.etcd.alerts.values.first)
    #expect(alert.key.job == run.job && alert.runID == run.runID && alert.at == bench.now)
    #expect(bench.server.tellings.map(\.record.key) == [alert.key])
    bench.pass(600_000)
    bench.rest()
    #expect(told(bench) == ["late"], "once for each cause")
    #expect(bench.server.tellings.count == 1, "not again before it is known what became of it")
  }

  @Test func tryingAgainHasItsPausesAndItsEnd() throws {
    var bench = bench()
    _ = bench.submit { $0.alerts = rules("late:1s,command=c") }
    bench.pass(1_000)
    bench.rest()
    let key = try #require(bench.etcd.alerts.keys.first)
    var pauses: [Int64] = []
    for _ in 0..<400 {
      guard let telling = bench.server.tellings.popLast() else { break }
      #expect(bench.server.tellings.isEmpty)
      bench.server.machine?.told(telling.record.key, delivery: 0, .failed("no"), now: bench.now)
      bench.rest()
      guard let next = bench.etcd.alerts[key]?.deliveries[0].nextTryAt else { break }
      pauses.append(next.milliseconds - bench.now.milliseconds)
      bench.pass(pauses.last ?? 0)
      bench.rest()
    }
    let delivery = try #require(bench.etcd.alerts[key]?.deliveries.first)
    #expect(delivery.state == .givenUp && delivery.error == "no")
    #expect(pauses.allSatisfy { (800...360_000).contains($0) } && pauses[0] <= 1_200 && pauses[12] >= 240_000)
    #expect(pauses.reduce(0, +) <= LeaderMachine.AlertLimits.patienceMillis)
    #expect(pauses.reduce(0, +) > LeaderMachine.AlertLimits.patienceMillis - 400_000)
  }

  @Test func whatIsTakenIsTakenOnce() throws {
    var bench = bench()
    _ = bench.submit { $0.alerts = rules("late:1s,command=c,webhook=http://h/") }
    bench.pass(1_000)
    bench.rest()
    for _ in 0..<2 {
      let next = bench.server.tellings.popLast()
      let telling = try #require(next)
      bench.server.machine?.told(telling.record.key, delivery: telling.delivery, .taken, now: bench.now)
      bench.rest()
    }
    #expect(bench.server.tellings.isEmpty)
    #expect(bench.etcd.alerts.values.map(\.state) == [.delivered])
    #expect(try bench.machine.counters.alertsTold == 2)
  }

  @Test func severalCausesMakeOne() throws {
    var bench = bench()
    bench.connect("a", session: 1)
    let job = bench.submit("j") { $0.alerts = rules("failed,count=3,window=1h,command=c") }
    var run = job
    for number in 1...7 {
      bench.rest()
      try fail(run, UInt64(number), &bench)
      #expect(told(bench).count == number / 3)
      bench.pass(1_000)
      run = try bench.add(to: job.job)
    }
    #expect(bench.etcd.alerts.values.allSatisfy { $0.count == 3 })
  }

  @Test func causesOutsideTheWindowDoNotCount() throws {
    var bench = bench()
    bench.connect("a", session: 1)
    let job = bench.submit("j") { $0.alerts = rules("failed,count=2,window=1m") }
    var run = job
    for number in 1...3 {
      bench.rest()
      try fail(run, UInt64(number), &bench)
      bench.pass(61_000)
      run = try bench.add(to: job.job)
    }
    #expect(told(bench).isEmpty)
  }

  @Test func silenceIsKeptOverLeaders() throws {
    var bench = bench()
    bench.connect("a", session: 1)
    let job = bench.submit("j") { $0.alerts = rules("failed,silence=10m,command=c") }
    bench.rest()
    try fail(job, 1, &bench)
    #expect(told(bench).count == 1)
    bench.pass(60_000)
    let second = try bench.add(to: job.job)
    bench.rest()
    bench.succeed()
    let records = Array(bench.etcd.alerts.values)
    bench.server.machine?.alertsLoaded(records, bench.server.cache, now: bench.now)
    bench.connect("a", session: 1)
    bench.rest()
    try fail(second, 1, &bench)
    #expect(told(bench).count == 1, "within the silence")
    bench.pass(600_000)
    let third = try bench.add(to: job.job)
    bench.rest()
    try fail(third, 2, &bench)
    #expect(told(bench).count == 2)
    #expect(bench.server.tellings.contains { $0.record.runID == job.runID }, "what is pending is told again")
  }

  /// The run has failed, and its leader is gone before it has written the alert.
  @Test func whatFailedUnderAnotherLeaderIsTold() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let job = bench.submit("j") { $0.alerts = rules("failed,command=c") }
    bench.rest()
    try fail(job, 1, &bench)
    #expect(told(bench).isEmpty, "it does not know the alerts yet")
    bench.succeed()
    bench.server.machine?.alertsLoaded([], bench.server.cache, now: bench.now)
    bench.rest()
    #expect(told(bench) == ["failed"])
    bench.succeed()
    bench.server.machine?.alertsLoaded(
      Array(bench.etcd.alerts.values), bench.server.cache, now: bench.now)
    bench.rest()
    #expect(told(bench) == ["failed"])
  }

  @Test func aRuleIsNotAboutWhatWasBefore() throws {
    var bench = bench()
    bench.connect("a", session: 1)
    let job = bench.submit("j")
    bench.rest()
    try fail(job, 1, &bench)
    bench.pass(1_000)
    let now = bench.now
    let added = try rule("failed")
    try bench.change(job.job) {
      $0.spec.alerts = [added]
      $0.generation = 2
      $0.updated = VersionOrigin(at: now)
    }
    bench.rest()
    #expect(told(bench).isEmpty)
  }

  @Test func theyGoWhenTheirTimeIsOver() throws {
    var configuration = LeaderMachine.Configuration()
    configuration.retentionMillis = 60_000
    var bench = bench(configuration)
    _ = bench.submit { $0.alerts = rules("late:1s") }
    bench.pass(1_000)
    bench.rest()
    #expect(told(bench) == ["late"])
    bench.pass(59_999)
    bench.rest()
    #expect(told(bench) == ["late"])
    bench.pass(1)
    bench.rest()
    #expect(told(bench).isEmpty)
  }

  @Test func theyAreBounded() throws {
    var desk = AlertDesk()
    _ = desk.load([], retention: 60_000)
    let late = try rule("late:1s")
    func record(_ number: Int, told: Bool) throws -> AlertRecord {
      AlertRecord(
        key: AlertKey(job: key.job, alertID: "a\(number)"), runID: "r",
        rule: told ? late : try rule("failed,command=c"),
        at: time(Int64(number)), createdAt: time(Int64(number)), message: "")
    }
    for number in 0..<LeaderMachine.AlertLimits.kept {
      #expect(desk.raise(try record(number, told: number.isMultiple(of: 2))))
    }
    func settle(_ now: Timestamp) {
      while true {
        let steps = desk.steps(now: now, retention: 60_000)
        if steps.isEmpty { return }
        for step in steps {
          switch step {
          case .write(let record, _): desk.written(record.key, retention: 60_000)
          case .delete(let key): desk.deleted(key)
          case .tell(let record, let delivery):
            desk.told(record.key, delivery: delivery) { $0.nextTryAt = time(1_000_000) }
          }
        }
      }
    }
    #expect(!desk.raise(try record(1_000_000, told: true)))
    settle(time(2))
    #expect(desk.count > LeaderMachine.AlertLimits.kept - 600 && desk.count < LeaderMachine.AlertLimits.kept)
    #expect(desk.raise(try record(1_000_000, told: true)))
  }
}
