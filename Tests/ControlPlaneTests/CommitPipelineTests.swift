import EtcdClient
import Logging
import SchedulerCore
import Synchronization
import Testing

@testable import ControlPlane

/// Remembers what it is told.
private final class Recorder: CommitObserver {
  let settled = Mutex<[SettledChange]>([])
  func settled(_ changes: [SettledChange]) async { settled.withLock { $0 += changes } }
  var count: Int { settled.withLock { $0.count } }
}

private func put(_ key: String, _ value: String, _ compare: Compare? = nil) -> Change {
  Change(
    compares: [compare ?? .absent(key)], operations: [.put(key: key, value: Array(value.utf8))], writes: [])
}

extension CommitResult {
  fileprivate var revision: Int64? { if case .committed(let revision) = self { revision } else { nil } }
  fileprivate var isConflict: Bool { if case .conflict = self { true } else { false } }
  fileprivate var error: EtcdError? { if case .failed(let error) = self { error } else { nil } }
}

@Suite struct CommitPipelineTests {
  private let store = FakeEtcd()
  private let metrics = ServerMetrics()
  private let recorder = Recorder()

  private func withPipeline<Value: Sendable>(
    _ body: @Sendable @escaping (CommitPipeline) async throws -> Value
  ) async throws -> Value {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let pipeline = CommitPipeline(store: store, metrics: metrics, logger: logger)
    let lanes = Task { await pipeline.run(observer: recorder) }
    defer { lanes.cancel() }
    return try await body(pipeline)
  }

  @Test func `a change is durable when its caller hears of it, and the observer heard first`() async throws {
    let revision = try await withPipeline { [recorder] pipeline in
      let result = await pipeline.commit(put("/a", "1"))
      #expect(recorder.count == 1)
      return result.revision
    }
    #expect(try await store.get("/a")?.modRevision == revision)
  }

  @Test func `many changes share few transactions`() async throws {
    try await withPipeline { pipeline in
      await withTaskGroup(of: CommitResult.self) { group in
        for number in 0..<2_000 { group.addTask { await pipeline.commit(put("/many/\(number)", "x")) } }
        for await result in group { #expect(result.revision != nil) }
      }
    }
    #expect(try await store.range(RangeRequest(.prefix("/many/"), countOnly: true)).count == 2_000)
    #expect(metrics.transactions.current < 1_000)
    #expect(recorder.count == 2_000)
  }

  @Test func `one conflict does not fail its neighbours`() async throws {
    try await store.put("/c/7", Array("taken".utf8))
    let results = try await withPipeline { pipeline in
      await withTaskGroup(of: (Int, CommitResult).self) { group in
        for number in 0..<50 { group.addTask { (number, await pipeline.commit(put("/c/\(number)", "x"))) } }
        var results: [Int: CommitResult] = [:]
        for await (number, result) in group { results[number] = result }
        return results
      }
    }
    for (number, result) in results { #expect(result.isConflict == (number == 7), "\(number)") }
    guard case .conflict(let current, _)? = results[7] else { return }
    #expect((current["/c/7"] ?? nil)?.value == Array("taken".utf8))
    #expect(try await store.get("/c/7")?.value == Array("taken".utf8))
  }

  @Test func `an answer lost after the commit is found out, and nothing is written twice`() async throws {
    store.inject(.loseResponse, on: [.txn])
    let result = try await withPipeline { await $0.commit(put("/lost", "mine")) }
    let pair = try await store.get("/lost")
    #expect(pair?.version == 1)
    #expect(result.revision == pair?.modRevision)
  }

  @Test func `an answer lost before the commit is made good`() async throws {
    store.inject(.loseRequest, on: [.txn])
    let result = try await withPipeline { await $0.commit(put("/again", "mine")) }
    #expect(try await store.get("/again")?.modRevision == result.revision)
  }

  @Test func `what took the last space is found to be written`() async throws {
    store.inject(.takeLastSpace, on: [.txn])
    let result = try await withPipeline { await $0.commit(put("/last", "mine")) }
    #expect(try await store.get("/last")?.modRevision == result.revision)
  }

  @Test func `no space after a lost answer does not hide that it was written`() async throws {
    store.inject(.loseResponse, on: [.txn])
    store.inject(.failBefore(.noSpace), on: [.txn])
    let result = try await withPipeline { await $0.commit(put("/perhaps", "mine")) }
    #expect(try await store.get("/perhaps")?.modRevision == result.revision)
  }

  @Test func `a refusal of the first try says that nothing was written`() async throws {
    store.inject(.failBefore(.noSpace), on: [.txn])
    let error = try await withPipeline { await $0.commit(put("/no", "mine")) }.error
    #expect(error?.code == .noSpace && error?.outcome == .notApplied)
    #expect(try await store.get("/no") == nil)
  }

  @Test func `somebody else's value is a conflict, not one's own success`() async throws {
    try await store.put("/other", Array("theirs".utf8))
    store.inject(.loseRequest, on: [.txn])
    let result = try await withPipeline { await $0.commit(put("/other", "mine")) }
    #expect(result.isConflict)
  }

  @Test func `a leader's results come with its term and id`() async throws {
    let term = LeaderEpoch(lease: 7, createRevision: 9)
    try await withPipeline { [recorder] pipeline in
      pipeline.submit([(1, put("/l/1", "x")), (2, put("/l/2", "x"))], term: term)
      while recorder.count < 2 { await Task.yield() }
    }
    let ids = recorder.settled.withLock { settled in
      settled.compactMap { change -> LeaderMachine.ProposalID? in
        guard case .leader(term, let id) = change.origin else { return nil }
        return id
      }
    }
    #expect(Set(ids) == [1, 2])
  }

  @Test func `what waits when the pipeline closes is refused, not lost`() async throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let pipeline = CommitPipeline(store: store, metrics: metrics, logger: logger)
    let waiting = Task { await pipeline.commit(put("/late", "x")) }
    while pipeline.queuedCount == 0 { await Task.yield() }
    let lanes = Task { await pipeline.run(observer: recorder) }
    lanes.cancel()
    let result = await waiting.value
    let stored = try await store.get("/late")
    // Either a lane was faster than the end, or nothing was written.
    #expect((result.revision != nil) == (stored != nil))
    await lanes.value
    #expect(await pipeline.commit(put("/later", "x")).error?.outcome == .notApplied)
  }
}

@Suite struct CommitPipelineNeighbourTests {
  @Test func `a change that etcd refuses for itself does not fail its neighbours`() async throws {
    let store = FakeEtcd()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let pipeline = CommitPipeline(store: store, metrics: ServerMetrics(), logger: logger)
    let recorder = Recorder()
    let changes = (0..<40).map { number -> Change in
      var change = put("/n/\(number)", "x")
      if number == 13 { change.operations = [.put(key: "/n/13", value: [], lease: 4_711)] }
      return change
    }
    // All of them wait before a lane runs, so that they share a transaction.
    let results = Task {
      await withTaskGroup(of: (Int, CommitResult).self) { group in
        for (number, change) in changes.enumerated() {
          group.addTask { (number, await pipeline.commit(change)) }
        }
        return await group.reduce(into: [Int: CommitResult]()) { $0[$1.0] = $1.1 }
      }
    }
    while pipeline.queuedCount < changes.count { await Task.yield() }
    let lanes = Task { await pipeline.run(observer: recorder) }
    for (number, result) in await results.value {
      #expect((result.revision == nil) == (number == 13), "\(number)")
      if number == 13 { #expect(result.error?.code == .leaseNotFound) }
    }
    lanes.cancel()
  }
}
