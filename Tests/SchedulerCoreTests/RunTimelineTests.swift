import Testing

@testable import SchedulerCore

/// What has happened to a run, with who did it and the revision of the write that made it durable.
struct RunTimelineTests {
  @Test func everyEventHasTheRevisionOfItsWrite() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.maxRetries = 1 }
    var revisions: [Int64] = [try bench.revision(of: run)]
    bench.settle()
    revisions.append(try bench.revision(of: run))
    bench.say(1, 1, bench.started(try bench.current(run)))
    bench.settle()
    revisions.append(try bench.revision(of: run))
    bench.say(1, 2, bench.ended(try bench.current(run), code: 3))
    bench.settle()
    revisions.append(try bench.revision(of: run))
    bench.pass(1_000)
    bench.evaluate()
    revisions.append(try bench.revision(of: run))
    bench.report()
    bench.rest()
    revisions.append(try bench.revision(of: run))
    bench.say(1, 3, bench.ended(try bench.current(run)))
    bench.settle()
    revisions.append(try bench.revision(of: run))
    #expect(Set(revisions).count == 7)
    let timeline = try bench.timeline(of: run)
    #expect(
      timeline.map(\.kind) == [
        .created, .queued, .assigned, .started, .retried, .queued, .assigned, .started, .ended,
      ])
    let places = [0, 0, 1, 2, 3, 4, 5, 6, 6]
    #expect(timeline.map(\.revision) == places.map { revisions[$0] })
    #expect(timeline.map(\.attempt) == [nil, nil, 1, 1, 1, nil, 2, 2, 2])
    #expect(
      timeline.map(\.actor) == [
        nil, nil, "server:s0", "agent:a", "agent:a", "server:s0", "server:s0", "agent:a", "agent:a",
      ])
    #expect(timeline[4].message == "exit code 3" && timeline[8].message == "completed: exit code 0")
  }

  @Test func theReaderKnowsTheRevisionOfTheLastWrite() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    #expect(try bench.timeline(of: run).last?.kind == .assigned)
    #expect(try bench.timeline(of: run).last?.revision == bench.revision(of: run))
    bench.say(1, 1, bench.started(try bench.current(run)))
    bench.settle()
    let started = try bench.revision(of: run)
    bench.save(1, try bench.current(run), 1, "one")
    bench.settle()
    let saved = try bench.revision(of: run)
    bench.pass(2_000)
    bench.say(1, 2, bench.ended(try bench.current(run)))
    bench.settle()
    let timeline = try bench.timeline(of: run)
    #expect(timeline.map(\.kind) == [.created, .queued, .assigned, .started, .checkpoint, .ended])
    #expect(timeline[3].revision == started && timeline[4].revision == saved)
    #expect(timeline[4].actor == "agent:a" && timeline[4].message == "3 bytes")
  }

  @Test func whatIsLostAndByWhomItWasSeen() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit()
    bench.settle()
    bench.succeed()
    bench.lapse("a")
    bench.settle()
    let timeline = try bench.timeline(of: run)
    #expect(timeline.map(\.kind) == [.created, .queued, .assigned, .lost])
    #expect(timeline[2].actor == "server:s0" && timeline[3].actor == "server:s1")
    #expect(timeline[3].message == "the lease of agent 'a' lapsed")
    try bench.cancel(run.job)
    bench.settle()
    #expect(try bench.timeline(of: run).last?.kind == .ended)
    #expect(try bench.timeline(of: run).last?.actor == "server:s1")
    #expect(try bench.timeline(of: run).last?.message == "cancelled: enough")
  }

  @Test func aRunThatWaitsHasTheReasonNoted() throws {
    var bench = LeaderBench()
    let run = bench.submit()
    bench.settle()
    let created = try bench.revision(of: run)
    bench.pass(9_999)
    bench.settle()
    #expect(try bench.revision(of: run) == created)
    bench.pass(1)
    let subject = RunSubject(
      run: try #require(bench.etcd.runs[run]), job: try #require(bench.etcd.jobs[run.job]).record,
      now: bench.now)
    #expect(
      try bench.machine.findings(of: subject, bench.server.cache).map(\.code) == ["no_agents"],
      "a note that is being written is no decision")
    bench.settle()
    let timeline = try bench.timeline(of: run)
    #expect(timeline.map(\.kind) == [.created, .queued, .blocked])
    #expect(timeline[2].code == "no_agents" && timeline[2].actor == "server:s0")
    #expect(timeline[2].revision == (try bench.revision(of: run)))
    // The same reason is not noted again; another one is, in time.
    bench.pass(60_000)
    bench.settle()
    #expect(try bench.timeline(of: run).count == 3)
    bench.register("a")
    bench.pass(60_000)
    bench.settle()
    #expect(try bench.timeline(of: run).map(\.code) == [nil, nil, "no_agents", "agents_disconnected"])
    // Another leader goes on.
    bench.succeed()
    bench.pass(10_000)
    bench.settle()
    #expect(try bench.timeline(of: run).count == 4)
    bench.connect("b", session: 2)
    bench.settle()
    #expect(bench.state(run) == .assigned)
    #expect(try bench.timeline(of: run).last?.kind == .assigned)
  }

  @Test func notesAreWrittenAtABoundedRate() throws {
    var bench = LeaderBench()
    let runs = (0..<100).map { _ in bench.submit() }
    bench.settle()
    bench.pass(10_000)
    bench.settle()
    func noted() throws -> Int { try runs.count { try bench.timeline(of: $0).last?.kind == .blocked } }
    #expect(try noted() == WaitNotes.Limits.perSecond)
    for _ in 0..<4 {
      bench.pass(1_000)
      bench.settle()
    }
    #expect(try noted() == 100)
    #expect(try bench.machine.nextDeadline.map { $0 > bench.now } ?? false)
  }

  @Test func aRecordKeepsTheFirstAndTheLastEvents() throws {
    var history = RunHistory()
    for index in 1...100 {
      history.add(RunEvent(.blocked, at: Timestamp(milliseconds: Int64(index)), message: "\(index)"))
    }
    let kept = history.events.compactMap { $0.message.flatMap { Int($0) } }
    #expect(kept == Array(1...8) + Array(77...100))
    history.add(
      RunEvent(.blocked, at: Timestamp(milliseconds: 0), message: String(repeating: "é", count: 500)))
    #expect(history.events.last?.message?.utf8.count == RunLimits.eventMessageBytes)
  }

  @Test func aRecordComesBackAsItWas() throws {
    var bench = LeaderBench()
    bench.connect("a", session: 1)
    let run = bench.submit { $0.maxRetries = 1 }
    bench.settle()
    bench.say(1, 1, bench.ended(try bench.current(run), code: 3))
    bench.settle()
    bench.pass(1_000)
    bench.rest()
    bench.save(1, try bench.current(run), 1, "one")
    bench.settle()
    bench.lapse("a")
    bench.settle()
    bench.pass(10_000)
    bench.settle()
    let record = try #require(bench.etcd.runs[run]?.record)
    #expect(
      record.history.events.map(\.kind) == [.queued, .blocked] && record.history.checkpointRevision != nil)
    #expect(try RunRecord(decoding: record.encoded(), key: run) == record)
  }

  /// What a server of before there were timelines has written.
  @Test func anOldRecordHasWhatFollowsFromIt() throws {
    let key = RunKey(job: LeaderBench.job, runID: "r")
    let text = """
      {"state":"completed","scheduled_time":"1970-01-01T00:00:01Z","created_at":"1970-01-01T00:00:01Z",
      "finished_at":"1970-01-01T00:00:03Z","attempt":1,"fence":1,"attempts":[{"attempt":1,"worker_id":"a","incarnation":5,
      "assigned_at":"1970-01-01T00:00:02Z","start_time":"1970-01-01T00:00:02Z","end_time":"1970-01-01T00:00:03Z",
      "end_reason":"exited","exit_code":0}]}
      """
    let record = try RunRecord(decoding: Array(text.utf8), key: key)
    let timeline = Versioned(record, createRevision: 10, modRevision: 20).timeline
    #expect(timeline.map(\.kind) == [.created, .queued, .assigned, .started, .ended])
    #expect(timeline.map(\.revision) == [10, 10, nil, nil, 20])
    #expect(Versioned(record, createRevision: 10, modRevision: 20).noted == record)
  }
}

extension LeaderBench {
  fileprivate func timeline(of run: RunKey) throws -> [RunEvent] { try #require(etcd.runs[run]).timeline }

  fileprivate func revision(of run: RunKey) throws -> Int64 { try #require(etcd.runs[run]).modRevision }
}
