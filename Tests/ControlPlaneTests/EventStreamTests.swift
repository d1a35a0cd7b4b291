import EtcdClient
import Proto
import SchedulerCore
import Synchronization
import Testing

@testable import ControlPlane

/// A reader of a change stream, which may be made to wait, or take no more than so many steps.
private final class Reader: Sendable {
  private struct State {
    var steps: [WatchEventsResponse] = []
    var failure: (any Error)?
    var isHeld = false
  }

  private let state = Mutex(State())
  private let task: Mutex<Task<Void, Never>?> = Mutex(nil)

  /// Opens a stream and reads it.
  init(
    _ server: TestReplica, _ request: WatchEventsRequest, held: Bool = false, stopsAfter most: Int = .max,
    events: EventService? = nil
  ) async throws {
    state.withLock { $0.isHeld = held }
    let stream = try await (events ?? server.events).open(request)
    let reading = Task { [self] in
      do {
        try await stream.run { step in
          while state.withLock({ $0.isHeld || $0.steps.count >= most }) {
            try Task.checkCancellation()
            await Task.yield()
          }
          state.withLock { $0.steps.append(step) }
        }
      } catch {
        state.withLock { $0.failure = error }
      }
    }
    task.withLock { $0 = reading }
  }

  func stop() { task.withLock { $0?.cancel() } }
  func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }
  var steps: [WatchEventsResponse] { state.withLock { $0.steps } }
  var changes: [WatchEventsResponse.Change] { steps.flatMap(\.changes) }
  var failure: (any Error)? { state.withLock { $0.failure } }
  /// How far it has come.
  var revision: Int64 { steps.last?.revision ?? -1 }
}

@Suite struct EventStreamTests {
  private let smallRing = ChangeRing.Bounds(count: 3, bytes: .max)

  private func key(_ id: String, _ namespace: String = "default") -> JobKey {
    JobKey(namespace: namespace, jobID: id)
  }

  /// Writes a job as another server would; its revision.
  @discardableResult
  private func put(_ server: TestReplica, _ key: JobKey) async throws -> Int64 {
    let job = JobRecord(key: key, uid: "u", spec: JobSpec(task: .noop), createdAt: .now())
    return try await server.store.put(server.keyspace.job(key), job.encoded())
  }

  @discardableResult
  private func put(_ server: TestReplica, run id: String, of job: JobKey, _ state: RunState) async throws
    -> Int64
  {
    var run = RunRecord(key: RunKey(job: job, runID: id), scheduledTime: .now(), createdAt: .now())
    run.state = state
    return try await server.store.put(server.keyspace.run(run.key), run.encoded())
  }

  private func warm(_ server: TestReplica) async throws {
    try await eventually("the cache is warm") { await server.replica.isWarm }
  }

  private func caughtUp(_ server: TestReplica, to revision: Int64) async throws {
    try await eventually("the watch has come to \(revision)") {
      server.changes.held?.upperBound ?? 0 >= revision
    }
  }

  // MARK: Order and completeness

  @Test func `whatever revision it starts from, in the ring or long before, each change comes once`()
    async throws
  {
    try await withReplica(ring: smallRing) { server in
      try await warm(server)
      var revisions: [Int64] = []
      for number in 0..<12 { revisions.append(try await put(server, key("j\(number)"))) }
      try await caughtUp(server, to: revisions[11])
      #expect(server.changes.held?.lowerBound == revisions[8], "three are in the ring")
      var readers: [(Int64, Reader)] = []
      for start in (revisions[0] - 1)...revisions[11] where start > 0 {
        readers.append((start, try await Reader(server, WatchEventsRequest(startRevision: start))))
      }
      // While some still read the past, the present goes on.
      for number in 12..<24 { revisions.append(try await put(server, key("j\(number)"))) }
      for (start, reader) in readers {
        try await eventually("the stream from \(start) has come to the end") {
          reader.revision >= revisions[23] || reader.failure != nil
        }
        #expect(reader.changes.map(\.revision) == revisions.filter { $0 > start })
        for step in reader.steps { #expect(step.changes.allSatisfy { $0.revision <= step.revision }) }
        #expect(reader.steps.map(\.revision) == reader.steps.map(\.revision).sorted())
        reader.stop()
      }
    }
  }

  @Test func `a slow reader gets all, and keeps nobody waiting`() async throws {
    try await withReplica(ring: smallRing) { server in
      try await warm(server)
      let start = try await put(server, key("first"))
      try await caughtUp(server, to: start)
      let slow = try await Reader(server, WatchEventsRequest(startRevision: start), held: true)
      let quick = try await Reader(server, WatchEventsRequest(startRevision: start))
      var revisions: [Int64] = []
      for number in 0..<50 { revisions.append(try await put(server, key("j\(number)"))) }
      try await eventually("the quick one has all") { quick.changes.count == 50 }
      #expect(slow.changes.isEmpty)
      slow.hold(false)
      try await eventually("the slow one has all") { slow.changes.count >= 50 }
      #expect(slow.changes.map(\.revision) == revisions)
      #expect(quick.changes.map(\.revision) == revisions)
      #expect(server.metrics.eventCatchUps.current > 0, "the slow one had to read the past")
      slow.stop()
      quick.stop()
    }
  }

  @Test func `readers that stop in the middle of the past keep nobody else from it`() async throws {
    try await withReplica(ring: smallRing) { server in
      try await warm(server)
      let start = try await put(server, key("first"))
      var last: Int64 = 0
      for number in 0..<20 { last = try await put(server, key("j\(number)")) }
      try await caughtUp(server, to: last)
      var stuck: [Reader] = []
      for _ in 0..<(2 * ServerLimits.catchUps) {
        stuck.append(try await Reader(server, WatchEventsRequest(startRevision: start), stopsAfter: 1))
      }
      let reader = try await Reader(server, WatchEventsRequest(startRevision: start))
      try await eventually("it has all") { reader.changes.count == 20 }
      try await eventually("all have had their turn") {
        server.metrics.eventCatchUps.current > 2 * ServerLimits.catchUps
      }
      #expect(stuck.allSatisfy { $0.steps.count == 1 })
      for one in stuck + [reader] { one.stop() }
    }
  }

  @Test func `a long past comes in bounded pieces`() async throws {
    try await withReplica(ring: smallRing) { server in
      try await warm(server)
      let start = try await put(server, key("first"))
      var revisions: [Int64] = []
      for number in 0..<(3 * ServerLimits.eventPieceCount) {
        revisions.append(try await put(server, key("j\(number)")))
      }
      try await caughtUp(server, to: revisions.last ?? 0)
      let reader = try await Reader(server, WatchEventsRequest(startRevision: start))
      try await eventually("it has all") { reader.changes.count >= revisions.count }
      #expect(reader.changes.map(\.revision) == revisions)
      // The fake tells up to 1,000 revisions at a time, and a batch is taken whole.
      #expect(reader.steps.allSatisfy { $0.changes.count <= ServerLimits.eventPieceCount + 1_000 })
      #expect(reader.steps.count > 2)
      reader.stop()
    }
  }

  @Test func `a listing in between leaves no gap and repeats nothing`() async throws {
    try await withReplica { server in
      try await warm(server)
      // A hub of its own, fed by hand as by a watch that ends at a, a listing at c, and a watch from there.
      let hub = ChangeHub(keyspace: server.keyspace, metrics: server.metrics)
      var events = server.events
      events.hub = hub
      events.history.hub = hub
      let start = try await put(server, key("a"))
      hub.restart(after: start)
      let reader = try await Reader(server, WatchEventsRequest(startRevision: start), events: events)
      try await eventually("it stands") { reader.revision == start }
      var revisions = [try await put(server, key("b")), try await put(server, key("c"))]
      hub.restart(after: revisions[1])
      revisions.append(try await put(server, key("d")))
      let d = try #require(try await server.store.get(server.keyspace.job(key("d"))))
      hub.publish([WatchEvent(kind: .put, kv: d)], upTo: d.modRevision)
      try await eventually("all have come") { reader.changes.count >= 3 }
      #expect(reader.changes.map(\.revision) == revisions)
      reader.stop()
    }
  }

  @Test func `changes of one revision come in one step`() async throws {
    try await withReplica(ring: smallRing) { server in
      try await warm(server)
      let start = try await put(server, key("a"))
      try await caughtUp(server, to: start)
      let reader = try await Reader(server, WatchEventsRequest(startRevision: start))
      // A job and its run are one transaction.
      _ = try await server.jobs.submit(SubmitRequest(jobID: "two", spec: JobSpec(task: .noop)))
      try await eventually("both have come") { reader.changes.count >= 2 }
      let step = try #require(reader.steps.first { !$0.changes.isEmpty })
      #expect(Set(step.changes.map(\.revision)).count == 1)
      #expect(step.changes.count == 2)
      reader.stop()
    }
  }

  // MARK: What stands

  @Test func `from 0, all that stands comes first, then what changes`() async throws {
    try await withReplica { server in
      try await warm(server)
      let total = ServerLimits.standingPage * 2 + 3
      for number in 0..<total { try await put(server, key("j\(number)")) }
      let run = try await put(server, run: "r1", of: key("j1"), .running)
      let reader = try await Reader(server, WatchEventsRequest())
      try await eventually("it stands") { reader.revision >= run }
      #expect(reader.steps.dropLast().allSatisfy { $0.revision == 0 })
      let jobs = reader.changes.compactMap { if case .job(let job) = $0.what { job } else { nil } }
      #expect(jobs.count == total)
      #expect(Set(jobs.map(\.key)).count == total)
      #expect(jobs.first { $0.key == key("j1") }?.status == .running)
      #expect(reader.changes.count == total + 1)
      let next = try await put(server, key("later"))
      try await eventually("the change has come") { reader.revision >= next }
      #expect(reader.changes.last?.revision == next)
      reader.stop()
    }
  }

  @Test func `what changes while what stands is sent is not told as standing, but as a change`() async throws
  {
    try await withReplica { server in
      try await warm(server)
      let total = ServerLimits.standingPage + 1
      for number in 0..<total { try await put(server, key("j\(number)")) }
      let reader = try await Reader(server, WatchEventsRequest(runs: false), held: true)
      // j0 is the oldest: on the second page, which is read only when the first has been sent.
      let changed = try await put(server, key("j0"))
      try await server.store.delete(.key(server.keyspace.job(key("j1"))))
      try await caughtUp(server, to: changed + 1)
      reader.hold(false)
      try await eventually("all has come") { reader.revision > changed }
      let standing = reader.steps.filter { $0.revision == 0 }.flatMap(\.changes)
      let after = reader.steps.filter { $0.revision > 0 }.flatMap(\.changes)
      #expect(!standing.contains { $0.revision >= changed })
      #expect(after.map(\.revision) == [changed, changed + 1])
      #expect(after.last?.what == .removedJob(key("j1")))
      reader.stop()
    }
  }

  // MARK: Filters

  @Test func `only what was asked for is told, and the others still move the revision`() async throws {
    try await withReplica { server in
      try await warm(server)
      let start = try await put(server, key("start"))
      try await caughtUp(server, to: start)
      func reader(_ change: (inout WatchEventsRequest) -> Void) async throws -> Reader {
        var request = WatchEventsRequest(startRevision: start)
        change(&request)
        return try await Reader(server, request)
      }
      let ofTeam = try await reader { $0.namespace = "team" }
      let ofJob = try await reader { ($0.namespace, $0.jobID) = ("default", "a") }
      let ofRuns = try await reader { $0.jobs = false }
      let a = try await put(server, key("a"))
      let b = try await put(server, key("b", "team"))
      let run = try await put(server, run: "r", of: key("a"), .queued)
      try await server.store.delete(.key(server.keyspace.run(RunKey(job: key("a"), runID: "r"))))
      let last = try await put(server, key("a"))
      for (reader, wanted) in [(ofTeam, [b]), (ofJob, [a, run, run + 1, last]), (ofRuns, [run, run + 1])] {
        try await eventually("the changes have come") { reader.changes.count >= wanted.count }
        #expect(reader.changes.map(\.revision) == wanted)
        reader.stop()
      }
      #expect(ofRuns.changes.last?.what == .removedRun(RunKey(job: key("a"), runID: "r")))
    }
  }

  @Test func `who asks for jobs alone hears of a job when its run moves on`() async throws {
    try await withReplica { server in
      try await warm(server)
      let start = try await put(server, key("a"))
      try await caughtUp(server, to: start)
      let reader = try await Reader(server, WatchEventsRequest(runs: false, startRevision: start))
      let running = try await put(server, run: "r", of: key("a"), .running)
      try await eventually("the job has come") { reader.changes.last?.revision == running }
      let done = try await put(server, run: "r", of: key("a"), .completed)
      try await eventually("the job has come again") { reader.changes.last?.revision == done }
      let statuses = reader.changes.compactMap { if case .job(let job) = $0.what { job.status } else { nil } }
      #expect(statuses == [.running, .completed])
      reader.stop()
    }
  }

  // MARK: Refusals

  @Test func `a revision that was compacted is out of range, before and while it is read`() async throws {
    try await withReplica(ring: smallRing) { server in
      try await warm(server)
      let start = try await put(server, key("first"))
      try await caughtUp(server, to: start)
      let slow = try await Reader(server, WatchEventsRequest(startRevision: start), held: true)
      for number in 0..<10 { try await put(server, key("j\(number)")) }
      let now = server.store.revision
      try await caughtUp(server, to: now)
      try await server.store.compact(revision: now - 1, physical: false)
      let error = await #expect(throws: ServiceError.self) {
        try await server.events.open(WatchEventsRequest(startRevision: start))
      }
      #expect(error?.kind == .outOfRange)
      #expect(error?.field == "start_revision")
      #expect(error?.message.contains("list") == true)
      slow.hold(false)
      try await eventually("the slow one has failed") { slow.failure != nil }
      #expect((slow.failure as? ServiceError)?.kind == .outOfRange)
      #expect(slow.changes.isEmpty)
      // From where it was compacted, the rest is there.
      let reader = try await Reader(server, WatchEventsRequest(startRevision: now - 1))
      try await eventually("the last has come") { reader.changes.map(\.revision) == [now] }
      reader.stop()
    }
  }

  @Test func `a server that lags takes a revision that another has told, and none that nobody has`()
    async throws
  {
    try await withReplica { server in
      try await warm(server)
      let first = try await put(server, key("a"))
      try await caughtUp(server, to: first)
      server.store.stallWatches(true)
      let ahead = try await put(server, key("b"))
      let reader = try await Reader(server, WatchEventsRequest(startRevision: ahead))
      let error = await #expect(throws: ServiceError.self) {
        try await server.events.open(WatchEventsRequest(startRevision: ahead + 100))
      }
      #expect((error?.kind, error?.field) == (.invalid, "start_revision"))
      server.store.stallWatches(false)
      let next = try await put(server, key("c"))
      try await eventually("only what follows has come") { !reader.changes.isEmpty }
      #expect(reader.changes.map(\.revision) == [next])
      reader.stop()
    }
  }

  @Test func `names are checked, the number of streams is bounded, and a stopping server ends them`()
    async throws
  {
    try await withReplica { server in
      try await warm(server)
      for (request, field) in [
        (WatchEventsRequest(namespace: "Not/Valid"), "namespace"),
        (WatchEventsRequest(namespace: "default", jobID: ".."), "job_id"),
      ] {
        let error = await #expect(throws: ServiceError.self) { try await server.events.open(request) }
        #expect((error?.kind, error?.field) == (.invalid, field))
      }
      let reader = try await Reader(server, WatchEventsRequest())
      var others: [EventStream] = []
      while others.count < ServerLimits.eventStreams - 1 {
        others.append(try await server.events.open(WatchEventsRequest()))
      }
      let error = await #expect(throws: ServiceError.self) {
        try await server.events.open(WatchEventsRequest())
      }
      #expect(error?.kind == .overloaded)
      others = []
      try await eventually("those that left have made room") { server.metrics.eventStreams.current == 1 }
      server.changes.close()
      try await eventually("the stream has ended") { reader.failure != nil }
      #expect((reader.failure as? ServiceError)?.kind == .unavailable)
    }
  }

  // MARK: Large steps

  @Test func `a step cut in two tells no revision before it is whole`() throws {
    let changes = [5, 5, 7, 7, 7, 9].map { WatchEventsResponse.Change(.removedJob(key("j")), revision: $0) }
    let step = WatchEventsResponse(changes: changes, revision: 12)
    let (first, second) = try #require(step.halves(after: 3))
    #expect((first.changes.count, first.revision) == (3, 5))
    #expect((second.changes.count, second.revision) == (3, 12))
    let (head, tail) = try #require(first.halves(after: 3))
    #expect((head.changes.count, head.revision, tail.revision) == (1, 3, 5))
    let standing = WatchEventsResponse(changes: changes, revision: 0)
    #expect(standing.halves(after: 0).map { [$0.revision, $1.revision] } == [0, 0])
    #expect(WatchEventsResponse(changes: [changes[0]], revision: 5).halves(after: 0) == nil)
  }
}
