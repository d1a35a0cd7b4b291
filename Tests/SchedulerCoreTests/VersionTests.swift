import JSON
import Testing

@testable import SchedulerCore

private let key = JobKey(namespace: "team", jobID: "j")

/// A job of some generation, as if it had been updated so often.
private func job(_ generation: Int, script: String = "true") -> JobRecord {
  var spec = JobSpec(task: .shell(script: script, interpreter: []))
  spec.userID = "ada"
  var job = JobRecord(key: key, uid: "u", spec: spec, createdAt: Timestamp(milliseconds: 1_000))
  job.generation = generation
  if generation > 1 {
    job.updated = VersionOrigin(at: Timestamp(milliseconds: Int64(generation) * 1_000), by: "bob")
  }
  return job
}

struct VersionTests {
  @Test func aVersionIsKeptAsItWas() throws {
    var replaced = job(3)
    replaced.updated?.revertOf = 1
    let next = job(4, script: "false")
    let writes = next.versionWrites(replacing: replaced)
    guard case .version(let version)? = writes.first, writes.count == 1 else {
      Issue.record("\(writes)")
      return
    }
    #expect(version.spec == replaced.spec && version.etag == replaced.etag)
    #expect(version.origin == VersionOrigin(at: Timestamp(milliseconds: 3_000), by: "bob", revertOf: 1))
    #expect(version.replacedAt == Timestamp(milliseconds: 4_000) && version.replacedBy == "bob")
    #expect(try VersionRecord(decoding: version.encoded(), key: version.key) == version)
    #expect(try JobRecord(decoding: replaced.encoded(), key: key) == replaced)
  }

  @Test func theFirstOneIsOfWhomTheJobIs() {
    #expect(job(1).origin == VersionOrigin(at: Timestamp(milliseconds: 1_000), by: "ada"))
    #expect(job(1).keptGenerations.isEmpty)
  }

  /// What etcd holds after each of many updates is what the job says is kept.
  @Test func theLastTenAreKept() {
    var held: Set<Int> = []
    for generation in 2...40 {
      for write in job(generation).versionWrites(replacing: job(generation - 1)) {
        switch write {
        case .version(let version): held.insert(version.key.generation)
        case .deleteVersion(let key): held.remove(key.generation)
        default: Issue.record("\(write)")
        }
      }
      #expect(held == Set(job(generation).keptGenerations))
      #expect(held.count == min(generation - 1, VersionRecord.Limits.kept))
    }
  }

  @Test func otherChangesKeepNothing() {
    var paused = job(5)
    paused.pausedAt = Timestamp(milliseconds: 9_000)
    #expect(paused.versionWrites(replacing: job(5)).isEmpty)
  }

  /// A transaction of etcd has its bounds: the change goes through, the specification is not kept.
  @Test func whatIsTooLargeForOneTransactionIsNotKept() {
    let large = job(1, script: String(repeating: "x", count: 700 << 10))
    let writes = job(2, script: String(repeating: "y", count: 700 << 10)).versionWrites(replacing: large)
    guard case .version(let version)? = writes.first else {
      Issue.record("nothing is kept")
      return
    }
    #expect(version.spec == nil && version.etag == large.etag)
    guard case .version(let kept)? = job(2).versionWrites(replacing: large).first else { return }
    #expect(kept.spec == large.spec)
  }

  @Test func keysSortByGeneration() {
    let keyspace = Keyspace()
    let keys = [1, 2, 9, 10, 11, 99, 100].map { VersionKey(job: key, generation: $0) }
    let names = keys.map(keyspace.version)
    #expect(names == names.sorted())
    #expect(names.map { keyspace.parse(version: $0, of: key) } == keys)
    #expect(keyspace.parse(version: keyspace.job(key), of: key) == nil)
    #expect(keyspace.parse(names[0]) == .other)
  }

  @Test func versionsGoWithTheirJob() throws {
    var configuration = LeaderMachine.Configuration()
    configuration.retentionMillis = 60_000
    var bench = LeaderBench(configuration)
    let (mine, other) = (bench.submit("mine"), bench.submit("other"))
    for name in [mine.job, other.job] {
      for _ in 0..<12 {
        let old = try #require(bench.etcd.jobs[name])
        var new = old.record
        new.generation += 1
        new.updated = VersionOrigin(at: bench.now)
        _ = bench.etcd.commit(
          Proposal(guards: [], writes: [.job(new)] + new.versionWrites(replacing: old.record)))
      }
    }
    bench.watch()
    #expect(bench.etcd.versions.count == 20)
    try bench.cancel(mine.job)
    bench.pass(60_000)
    bench.settle()
    #expect(Array(bench.etcd.jobs.keys) == [other.job])
    #expect(bench.etcd.versions.count == 10 && bench.etcd.versions.keys.allSatisfy { $0.job == other.job })
  }

  @Test func fieldsThatDifferAreNamed() {
    var spec = job(1).spec
    spec.maxRetries = 3
    spec.userID = ""
    #expect(spec.fields(changedFrom: job(1).spec) == ["max_retries", "user_id"])
    #expect(spec.fields(changedFrom: spec).isEmpty)
  }
}
