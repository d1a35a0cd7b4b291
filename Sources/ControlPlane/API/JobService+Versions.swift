import EtcdClient
import Proto
import SchedulerCore

// What a job was before. Earlier versions are written with the change that replaces them (`JobRecord.versionWrites`), no
// server keeps a copy of them, and they are read from etcd when somebody asks.

extension JobService {
  /// The versions of a job, the present one first, without their specifications.
  func versions(of key: JobKey) async throws -> ListVersionsResponse {
    let job = try await present(key)
    let kept = job.keptGenerations
    var versions = [VersionView(present: job)]
    guard !kept.isEmpty else { return ListVersionsResponse(versions: versions) }
    let pairs: [KeyValue]
    do throws(EtcdError) {
      pairs = try await store.range(RangeRequest(.prefix(keyspace.versions(of: key)))).kvs
    } catch {
      throw ServiceError(error)
    }
    for pair in pairs.reversed() {
      guard let name = keyspace.parse(version: pair.key, of: key), kept.contains(name.generation) else {
        continue
      }
      let earlier = VersionView(try VersionRecord(decoding: pair.value, key: name))
      // Of another job that has had the id since the cache was read.
      if earlier.isOf(job) { versions.append(earlier) }
    }
    for index in versions.indices.dropLast() {
      versions[index].changedFields = Self.changedFields(from: versions[index + 1], to: versions[index])
    }
    for index in versions.indices { versions[index].spec = nil }
    return ListVersionsResponse(versions: versions)
  }

  /// One version of a job, with its specification.
  func version(_ request: GetVersionRequest) async throws -> VersionView {
    let job = try await present(request.key)
    let generation = request.generation
    if generation == job.generation { return VersionView(present: job) }
    guard job.keptGenerations.contains(generation) else { throw Self.noVersion(generation, of: job) }
    let name = VersionKey(job: request.key, generation: generation)
    let pair: KeyValue?
    do throws(EtcdError) {
      pair = try await store.get(keyspace.version(name))
    } catch {
      throw ServiceError(error)
    }
    guard let pair else { throw Self.noVersion(generation, of: job) }
    let version = VersionView(try VersionRecord(decoding: pair.value, key: name))
    guard version.isOf(job) else { throw Self.noVersion(generation, of: job) }
    return version
  }

  /// Gives a job the specification of one of its versions again: an update like any other.
  func revert(_ request: RevertJobRequest) async throws -> JobView {
    let job = try await present(request.key)
    if let key = request.idempotencyKey, job.updateID == key {
      // Done already, and what it took may be kept no more.
      guard job.updated?.revertOf == request.generation else {
        throw ServiceError.alreadyExists("idempotency_key", "was used for another update of this job")
      }
      return try await require(request.key)
    }
    let version = try await version(GetVersionRequest(key: request.key, generation: request.generation))
    guard let spec = version.spec else {
      throw ServiceError.failedPrecondition(
        "the specification of generation \(request.generation) was too large to be kept beside its successor")
    }
    return try await update(
      UpdateJobRequest(
        key: request.key, spec: spec, ifMatch: request.ifMatch, idempotencyKey: request.idempotencyKey,
        updatedBy: request.updatedBy), reverted: version)
  }

  // MARK: Parts

  private func present(_ key: JobKey) async throws -> JobRecord {
    try check(key)
    try await barrier.pass()
    guard let job = await replica.standingRecord(of: key) else { throw Self.noJob(key) }
    return job.record
  }

  /// The fields of the specification that two versions differ in; none where one of them was not kept.
  private static func changedFields(from old: VersionView, to new: VersionView) -> [String] {
    guard let old = old.spec, let new = new.spec else { return [] }
    return new.fields(changedFrom: old)
  }

  /// Refuses the name of who asks that is too long to be kept.
  static func check(author: String?) throws {
    if let author, author.utf8.count > VersionRecord.Limits.authorBytes {
      throw ServiceError.invalid("updated_by", "must be at most \(VersionRecord.Limits.authorBytes) bytes")
    }
  }

  static func noVersion(_ generation: Int, of job: JobRecord) -> ServiceError {
    let name = "job '\(job.key.jobID)'"
    guard let oldest = job.keptGenerations.first else {
      return .notFound("\(name) has no generation \(generation): it has generation \(job.generation) alone")
    }
    return .notFound(
      "generation \(generation) of \(name) is not kept: \(oldest) to \(job.generation) are, if they were recorded"
    )
  }
}
