import Testing

@testable import SchedulerCore

/// How a leader gives out the segments.
struct LeaderSegmentTests {
  /// A leader, its etcd, and a watch that brings what the test lets through.
  private struct Bench {
    var etcd = SimulatedEtcd()
    var cache = ClusterCache()
    var machine: LeaderMachine
    var watched = 0
    var now = Timestamp(milliseconds: 1_000_000)
    var inFlight: [(LeaderMachine.ProposalID, Proposal)] = []

    init(segments: Int = 256) {
      var configuration = LeaderMachine.Configuration()
      configuration.segmentCount = segments
      etcd.stand(Self.record("a", lease: 1), lease: 1)
      machine = LeaderMachine(
        epoch: LeaderEpoch(lease: 1, createRevision: etcd.revision), serverID: "a",
        configuration: configuration,
        seed: 1)
      machine.start(cache, now: now)
    }

    static func record(_ id: String, lease: Int64, draining: Bool = false) -> ServerRecord {
      var record = ServerRecord(
        serverID: id, grpcAddress: "\(id):1", httpAddress: "\(id):2", version: "1",
        startedAt: Timestamp(milliseconds: 0))
      record.lease = lease
      record.draining = draining
      return record
    }

    mutating func join(_ id: String, lease: Int64) {
      if lease != 1 { etcd.stand(Self.record(id, lease: lease), lease: lease) }
      etcd.register(Self.record(id, lease: lease))
      watch()
    }

    /// A server reports of itself.
    mutating func report(
      _ id: String, lease: Int64, skew: Int64 = 0, _ change: (inout ServerFigures) -> Void = { _ in }
    ) {
      var record = Self.record(id, lease: lease)
      var figures = ServerFigures(reportedAt: now.adding(milliseconds: skew))
      change(&figures)
      record.figures = figures
      etcd.register(record)
      watch()
    }

    /// The same server leads anew, as one that has just been elected does.
    mutating func leadAnew() {
      machine = LeaderMachine(
        epoch: machine.epoch, serverID: "a", configuration: machine.configuration, seed: 1 << 40)
      machine.start(cache, now: now)
    }

    mutating func watch() {
      for event in etcd.history[watched...] {
        guard cache.apply(event.change, at: event.revision) else { continue }
        switch event.change {
        case .server(let id, _): machine.serverChanged(id, cache, now: now)
        case .segment(let number, _): machine.segmentChanged(number)
        default: break
        }
      }
      watched = etcd.history.count
      cache.advance(to: etcd.revision)
    }

    mutating func turn() {
      for case .propose(let id, let proposal) in machine.turn(cache, now: now) {
        inFlight.append((id, proposal))
      }
    }

    /// etcd answers all that is in flight; the watch is left where it is.
    @discardableResult
    mutating func answer() -> [Bool] {
      let sent = inFlight
      inFlight = []
      return sent.map { id, proposal in
        let isCommitted = etcd.commit([proposal])
        machine.concluded(id, isCommitted ? .committed : .conflict, cache, now: now)
        return isCommitted
      }
    }

    mutating func settle() {
      repeat {
        turn()
        answer()
        watch()
        now = now.adding(milliseconds: LeaderMachine.Limits.conflictPauseMillis)
        turn()
      } while !inFlight.isEmpty
    }

    var counts: [String: Int] {
      etcd.segments.values.reduce(into: [:]) { $0[$1.record.serverID, default: 0] += 1 }
    }
  }

  @Test func aSingleServerHasAllAfterOneTurn() {
    var bench = Bench()
    bench.join("a", lease: 1)
    bench.turn()
    #expect(bench.inFlight.count == 3)
    for (_, proposal) in bench.inFlight {
      #expect(proposal.writes.count <= LeaderMachine.SegmentLimits.movesPerProposal)
      #expect(proposal.guards.count <= 110 && proposal.guards.contains(.serverPresent("a", lease: 1)))
    }
    #expect(bench.answer() == [true, true, true])
    #expect(bench.counts == ["a": 256])
  }

  @Test func aMoveThatIsUnderWayIsNotMadeAgain() {
    var bench = Bench()
    bench.join("a", lease: 1)
    bench.turn()
    bench.turn()
    #expect(bench.inFlight.count == 3)
    bench.answer()
    // The watch is late, and another server comes: its share comes out of what was given out just now.
    bench.etcd.register(Bench.record("b", lease: 2))
    let server = bench.etcd.servers["b"]
    bench.cache.apply(.server("b", server), at: bench.etcd.revision)
    bench.machine.serverChanged("b", bench.cache, now: bench.now)
    bench.turn()
    let moved = bench.inFlight.flatMap(\.1.writes).count
    #expect(moved == 128)
    #expect(bench.answer().contains(false), "it could not prove what the watch has not shown")
    bench.settle()
    #expect(bench.counts == ["a": 128, "b": 128])
  }

  @Test func serversThatLeaveAndLapse() {
    var bench = Bench(segments: 30)
    bench.join("a", lease: 1)
    bench.join("b", lease: 2)
    bench.join("c", lease: 3)
    bench.settle()
    #expect(bench.counts == ["a": 10, "b": 10, "c": 10])
    let before = bench.etcd.segments.filter { $0.value.record.serverID != "c" }
    bench.etcd.register(Bench.record("c", lease: 3, draining: true))
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 15, "b": 15])
    #expect(
      before.allSatisfy { bench.etcd.segments[$0.key]?.modRevision == $0.value.modRevision }, "no other moved"
    )
    bench.etcd.lapse(leader: 2)
    #expect(bench.counts == ["a": 15], "its keys went with its lease")
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 30])
    #expect(bench.machine.counters.segmentMoves == 30 + 10 + 15)
  }

  // MARK: Leaving in order

  @Test func aLeaderThatDrainsGivesItsOwnAway() {
    var bench = Bench(segments: 30)
    bench.join("a", lease: 1)
    bench.join("b", lease: 2)
    bench.settle()
    bench.etcd.register(Bench.record("a", lease: 1, draining: true))
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["b": 30])
  }

  @Test func whereAllDrainNothingMovesUntilSomebodyComes() {
    var bench = Bench(segments: 30)
    bench.join("a", lease: 1)
    bench.join("b", lease: 2)
    bench.settle()
    bench.etcd.register(Bench.record("a", lease: 1, draining: true))
    bench.etcd.register(Bench.record("b", lease: 2, draining: true))
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 15, "b": 15])
    bench.join("c", lease: 3)
    bench.settle()
    #expect(bench.counts == ["c": 30])
  }

  @Test func whoDrainsWhileItsShareIsOnItsWayGivesItBack() {
    var bench = Bench(segments: 30)
    bench.join("a", lease: 1)
    bench.settle()
    bench.join("b", lease: 2)
    bench.turn()
    #expect(bench.inFlight.flatMap(\.1.writes).count == 15)
    bench.etcd.register(Bench.record("b", lease: 2, draining: true))
    bench.watch()
    bench.turn()
    #expect(bench.inFlight.count == 1, "one change of mind at a time")
    #expect(bench.answer() == [true], "it is there still")
    #expect(bench.counts == ["a": 15, "b": 15])
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 30])
  }

  @Test func whoStaysAfterAllGetsItsShareBack() {
    var bench = Bench(segments: 30)
    bench.join("a", lease: 1)
    bench.join("b", lease: 2)
    bench.settle()
    for draining in [true, false] {
      bench.etcd.register(Bench.record("b", lease: 2, draining: draining))
      bench.watch()
      bench.settle()
      #expect(bench.counts == (draining ? ["a": 30] : ["a": 15, "b": 15]))
    }
  }

  // MARK: Held back

  @Test func anOverloadedServerShedsAQuarterAndNobodyElseMoves() {
    var bench = Bench(segments: 240)
    let leases: [(String, Int64)] = [("a", 1), ("b", 2), ("c", 3)]
    for (id, lease) in leases { bench.join(id, lease: lease) }
    bench.settle()
    func round(late: Bool) {
      bench.now = bench.now.adding(milliseconds: 2_000)
      for (id, lease) in leases {
        bench.report(id, lease: lease) { $0.overdue = late && id == "b" ? 9_000 : 0 }
      }
      bench.settle()
    }
    let before = bench.etcd.segments
    round(late: true)
    round(late: true)
    #expect(bench.etcd.segments == before)
    round(late: true)
    #expect(bench.counts == ["a": 90, "b": 60, "c": 90])
    let moved = before.filter { bench.etcd.segments[$0.key] != $0.value }
    #expect(moved.count == 20 && moved.values.allSatisfy { $0.record.serverID == "b" })
    #expect(bench.machine.heldBack("b") != nil && bench.machine.heldBack("a") == nil)
    for _ in 0..<31 { round(late: false) }
    #expect(bench.counts == ["a": 80, "b": 80, "c": 80])
    #expect(bench.machine.counters.segmentMoves == 240 + 20 + 20)
  }

  @Test(arguments: [false, true]) func aServerWithAWrongClockGetsNoneFromANewLeaderEither(isElected: Bool) {
    var bench = Bench(segments: 30)
    for (id, lease) in [("a", 1), ("b", 2)] as [(String, Int64)] {
      bench.join(id, lease: lease)
      bench.report(id, lease: lease)
    }
    bench.etcd.stand(Bench.record("c", lease: 3), lease: 3)
    bench.report("c", lease: 3, skew: 3_600_000)
    bench.settle()
    #expect(bench.counts == ["a": 15, "b": 15])
    if isElected { bench.leadAnew() }
    bench.settle()
    #expect(bench.counts == ["a": 15, "b": 15])
    // One of those that are right goes: that makes the other no better.
    bench.etcd.lapse(leader: 2)
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 30])
  }

  // MARK: Races

  @Test func aServerThatGoesMeanwhileGetsNothing() {
    var bench = Bench(segments: 20)
    bench.join("a", lease: 1)
    bench.join("b", lease: 2)
    bench.turn()
    bench.etcd.lapse(leader: 2)
    #expect(bench.answer() == [false])
    #expect(bench.counts.isEmpty)
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 20])
  }

  /// It came back with another lease before the first one ran out: what hangs on the old lease must not be written.
  @Test func aServerThatCameBackWithAnotherLease() {
    var bench = Bench(segments: 20)
    bench.join("a", lease: 1)
    bench.join("b", lease: 2)
    bench.turn()
    bench.etcd.register(Bench.record("b", lease: 7))
    #expect(bench.answer() == [false])
    bench.watch()
    bench.settle()
    #expect(bench.counts == ["a": 10, "b": 10])
    #expect(bench.etcd.segmentLeases.filter { $0.value == 7 }.count == 10)
  }

  @Test func aMoveThatTheWatchNeverShowsIsDoubted() {
    var bench = Bench(segments: 4)
    bench.join("a", lease: 1)
    bench.turn()
    bench.answer()
    // The watch brings nothing of it: it may have been deleted since.
    bench.turn()
    #expect(bench.inFlight.isEmpty)
    bench.now = bench.now.adding(milliseconds: LeaderMachine.SegmentLimits.patienceMillis)
    bench.turn()
    #expect(bench.inFlight.flatMap(\.1.writes).count == 4)
    #expect(bench.answer() == [false], "it was there all the time")
    bench.settle()
    #expect(bench.counts == ["a": 4])
  }

  /// The doubt must not be forgotten because other moves are on their way at that very time.
  @Test func aDoubtWaitsForMovesThatAreOnTheirWay() {
    var bench = Bench(segments: 4)
    bench.join("a", lease: 1)
    bench.turn()
    bench.answer()
    // The watch has lost it all.
    bench.watched = bench.etcd.history.count
    bench.join("b", lease: 2)
    bench.turn()
    #expect(bench.inFlight.flatMap(\.1.writes).count == 2)
    bench.now = bench.now.adding(milliseconds: LeaderMachine.SegmentLimits.patienceMillis)
    bench.turn()
    #expect(bench.answer() == [false])
    bench.now = bench.now.adding(milliseconds: LeaderMachine.SegmentLimits.patienceMillis)
    bench.turn()
    bench.answer()
    #expect(bench.machine.segmentDesk.pending.isEmpty, "what is held is what the cache shows")
  }
}
