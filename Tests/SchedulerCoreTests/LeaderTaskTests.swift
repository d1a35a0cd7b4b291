import Testing

@testable import SchedulerCore

/// What the leader does with what tasks say of themselves.
struct LeaderTaskTests {
  /// A run that an agent has started, on session 1.
  private func running(_ bench: inout LeaderBench, retries: Int = 0) throws -> (RunKey, AttemptRef) {
    bench.connect("a", session: 1)
    let run = bench.submit { spec in
      spec.maxRetries = retries
      spec.backoff = Backoff(curve: .list([100]), jitter: 0)
    }
    bench.settle()
    let ref = try bench.current(run)
    bench.say(1, 1, bench.started(ref))
    bench.settle()
    _ = bench.sent(1)
    return (run, ref)
  }

  /// What was answered to checkpoints: sequences, those that were refused negative.
  private func answers(_ messages: [ServerMessage]) -> [Int] {
    messages.compactMap {
      guard case .checkpointAck(_, let sequence, let error) = $0 else { return nil }
      return error == nil ? Int(sequence) : -Int(sequence)
    }
  }

  private func text(_ bytes: [UInt8]?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

  // MARK: Checkpoints

  @Test func aCheckpointIsAnsweredOnceItIsDurable() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench)
    bench.save(1, ref, 1, "one")
    #expect(answers(bench.sent(1)).isEmpty)
    let proposal = try #require(bench.server.inFlight.first?.proposal)
    #expect(proposal.writes.count == 2 && proposal.guards.count == 2)
    bench.settle()
    #expect(answers(bench.sent(1)) == [1])
    #expect(text(bench.etcd.checkpoints[run]?.data) == "one")
    let note = try #require(bench.etcd.runs[run]?.record.checkpoint)
    #expect(note == CheckpointNote(savedAt: bench.now, bytes: 3, attempt: 1, sequence: 1))
    #expect(bench.state(run) == .running)
    #expect(try bench.machine.checkpointBytes == 0)
  }

  @Test func ofSeveralOnlyTheNewestIsWritten() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench)
    for sequence in 1...4 { bench.save(1, ref, UInt64(sequence), "number \(sequence)") }
    #expect(bench.server.inFlight.count == 1)
    bench.settle()
    #expect(answers(bench.sent(1)).sorted() == [1, 2, 3, 4])
    #expect(text(bench.etcd.checkpoints[run]?.data) == "number 4")
    #expect(try bench.machine.counters.checkpoints == 2)
    // Said again, as after a failover, it is durable already.
    let revision = bench.etcd.revision
    bench.save(1, ref, 4, "number 4")
    bench.save(1, ref, 2, "number 2")
    bench.settle()
    #expect(answers(bench.sent(1)) == [4, 2] && bench.etcd.revision == revision)
  }

  @Test func theNextAttemptStartsFromIt() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench, retries: 1)
    bench.save(1, ref, 1, "half")
    bench.say(1, 2, bench.ended(ref, code: 1))
    bench.settle()
    #expect(bench.state(run) == .retrying && bench.etcd.checkpoints[run] != nil)
    _ = bench.sent(1)
    bench.pass(200)
    bench.settle()
    let assignments = bench.sent(1).flatMap { message -> [Assignment] in
      if case .assign(let some) = message { some } else { [] }
    }
    #expect(assignments.map { text($0.checkpoint) } == ["half"])
    #expect(assignments.first?.ref.attempt == 2)
    // It stays, however the attempt behaves, until the run ends.
    bench.say(1, 3, bench.ended(try bench.current(run)))
    bench.settle()
    #expect(bench.state(run) == .completed)
    #expect(bench.etcd.checkpoints.isEmpty && bench.etcd.runs[run]?.record.checkpoint == nil)
  }

  @Test func aStaleAttemptWritesNothing() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench, retries: 2)
    bench.say(1, 2, bench.ended(ref, code: 1))
    bench.settle()
    bench.pass(200)
    bench.settle()
    let second = try bench.current(run)
    bench.save(1, second, 1, "second")
    bench.settle()
    _ = bench.sent(1)
    bench.save(1, ref, 9, "first")
    bench.settle()
    let messages = bench.sent(1)
    #expect(answers(messages) == [-9])
    #expect(messages.contains { if case .stop([ref], true, _) = $0 { true } else { false } })
    #expect(text(bench.etcd.checkpoints[run]?.data) == "second")
    // Nor does anybody else in the name of the current one.
    bench.connect("b", session: 2)
    bench.save(2, second, 2, "thief")
    bench.settle()
    #expect(answers(bench.sent(2)) == [-2] && text(bench.etcd.checkpoints[run]?.data) == "second")
    #expect(try bench.machine.counters.staleCheckpoints == 2)
  }

  @Test func whatCannotBeIsRefusedAtOnce() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench)
    bench.save(1, ref, 0, "")
    bench.save(1, ref, .max, "")
    bench.save(1, ref, 1, String(repeating: "x", count: RunLimits.checkpointBytes + 1))
    #expect(bench.sent(1).count == 3 && bench.server.inFlight.isEmpty)
    bench.save(1, ref, 1, String(repeating: "x", count: RunLimits.checkpointBytes))
    bench.settle()
    #expect(answers(bench.sent(1)) == [1])
    #expect(bench.etcd.checkpoints[run]?.data.count == RunLimits.checkpointBytes)
  }

  @Test func tooManyAtOnceAreRefused() throws {
    var bench = LeaderBench()
    let (_, ref) = try running(&bench)
    let limit = LeaderMachine.Limits.checkpointsWaiting
    for sequence in 1...(limit + 2) { bench.save(1, ref, UInt64(sequence), "x") }
    // One is in the proposal.
    #expect(answers(bench.sent(1)) == [-(limit + 2)])
    bench.settle()
    #expect(answers(bench.sent(1)).count == limit + 1)
  }

  @Test func whatEtcdDoesNotTakeIsRefusedAndTheRestGoesOn() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench)
    bench.save(1, ref, 1, "one")
    bench.refuse()
    bench.report()
    #expect(answers(bench.sent(1)) == [-1] && bench.etcd.checkpoints.isEmpty)
    bench.say(1, 2, bench.ended(ref))
    bench.pass(2_000)
    bench.settle()
    #expect(bench.state(run) == .completed)
  }

  @Test func aConflictIsTriedAgain() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench)
    bench.save(1, ref, 1, "one")
    // Something else writes the record.
    var record = try #require(bench.etcd.runs[run])
    record.record.message = "touched"
    _ = bench.etcd.commit(
      Proposal(guards: [.runUnchanged(run, modRevision: record.modRevision)], writes: [.run(record.record)]))
    bench.settle()
    bench.pass(100)
    bench.settle()
    #expect(answers(bench.sent(1)) == [1] && text(bench.etcd.checkpoints[run]?.data) == "one")
    #expect(bench.etcd.runs[run]?.record.message == "touched")
  }

  @Test func anAssignmentWaitsUntilItsCheckpointCanBeRead() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench, retries: 1)
    bench.save(1, ref, 1, "half")
    bench.say(1, 2, bench.ended(ref, code: 1))
    bench.settle()
    bench.pass(200)
    bench.settle()
    let second = try bench.current(run)
    #expect(bench.assigned(1) == [second])
    bench.server.machine?.untold(second, on: 1, now: bench.now)
    bench.pass(500)
    #expect(bench.assigned(1).isEmpty)
    bench.pass(1_000)
    #expect(bench.assigned(1) == [second])
  }

  // MARK: Progress

  private func progress(_ ref: AttemptRef, _ fraction: Double, _ now: Timestamp) -> AttemptUpdate {
    AttemptUpdate(ref: ref, progress: Progress(fraction: fraction, message: "at work", at: now))
  }

  @Test func progressIsWrittenNowAndThenAndTheLatestWins() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench)
    var sequence: UInt64 = 1
    func written() -> Double? { bench.etcd.runs[run]?.record.progress?.fraction }
    let revision = bench.etcd.revision
    for step in 1...20 {
      sequence += 1
      bench.say(1, sequence, progress(ref, Double(step) / 100, bench.now))
      bench.settle()
      // What is not written is acknowledged all the same.
      #expect(bench.acknowledged(1).last == sequence)
    }
    #expect(written() == 0.01 && bench.etcd.revision == revision + 1)
    bench.pass(LeaderMachine.Limits.progressIntervalMillis)
    bench.settle()
    #expect(written() == 0.2 && bench.etcd.revision == revision + 2)
    bench.say(1, sequence + 1, progress(ref, 0.9, bench.now), bench.ended(ref))
    bench.settle()
    #expect(written() == 0.9 && bench.state(run) == .completed)
    #expect(try bench.machine.taskReports.isEmpty)
  }

  @Test func progressIsOfOneAttempt() throws {
    var bench = LeaderBench()
    let (run, ref) = try running(&bench, retries: 1)
    bench.say(1, 2, progress(ref, 0.5, bench.now), bench.ended(ref, code: 1))
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.progress?.fraction == 0.5)
    bench.pass(200)
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.progress == nil)
    bench.say(1, 3, progress(ref, 0.7, bench.now))
    bench.pass(5_000)
    bench.settle()
    #expect(bench.etcd.runs[run]?.record.progress == nil)
  }

  @Test func nonsenseIsKeptWithinBounds() {
    let now = Timestamp(milliseconds: 0)
    #expect(Progress(fraction: .nan, at: now).fraction == 0)
    #expect(Progress(fraction: -.infinity, at: now).fraction == 0)
    #expect(Progress(fraction: 7, at: now).fraction == 1)
    let message = Progress(fraction: 0, message: String(repeating: "語", count: 100), at: now).message
    #expect(message == String(repeating: "語", count: 85))
  }
}
