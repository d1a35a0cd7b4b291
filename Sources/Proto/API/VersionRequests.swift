import JSON
import SchedulerCore

/// A version of a job as the API shows it: the present one, or one that it had before.
public struct VersionView: Hashable, Sendable {
  /// The job.
  public var job: JobKey
  /// Which generation of it.
  public var generation: Int
  /// The etag that the job has or had with it.
  public var etag: String
  /// The specification; nil in lists, and of one that was too large to be kept.
  public var spec: JobSpec?
  /// How it came to be.
  public var origin: VersionOrigin
  /// When it was replaced; nil of the present one.
  public var replacedAt: Timestamp?
  /// Who asked for that, where it is known.
  public var replacedBy: String?
  /// In lists: the fields of the specification that differ from the version before, where that is kept.
  public var changedFields: [String] = []

  /// Makes a view.
  public init(
    job: JobKey, generation: Int, etag: String, spec: JobSpec?, origin: VersionOrigin,
    replacedAt: Timestamp? = nil, replacedBy: String? = nil
  ) {
    self.job = job
    self.generation = generation
    self.etag = etag
    self.spec = spec
    self.origin = origin
    self.replacedAt = replacedAt
    self.replacedBy = replacedBy
  }

  /// What a job is at present.
  public init(present job: JobRecord) {
    self.init(
      job: job.key, generation: job.generation, etag: job.etag, spec: job.spec, origin: job.origin)
  }

  /// What a job was before.
  public init(_ record: VersionRecord) {
    self.init(
      job: record.key.job, generation: record.key.generation, etag: record.etag, spec: record.spec,
      origin: record.origin, replacedAt: record.replacedAt, replacedBy: record.replacedBy)
  }

  /// Whether it is of this job, and of no other that had the same id.
  public func isOf(_ job: JobRecord) -> Bool { etag == "\(job.uid)-\(generation)" }

  /// Writes the version as an object.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("namespace", job.namespace)
      json.member("job_id", job.jobID)
      json.member("generation", generation)
      json.member("etag", etag)
      json.member("created_at", origin.at.rfc3339)
      if let by = origin.by { json.member("created_by", by) }
      if let generation = origin.revertOf { json.member("revert_of", generation) }
      if let replacedAt { json.member("replaced_at", replacedAt.rfc3339) }
      if let replacedBy { json.member("replaced_by", replacedBy) }
      if !changedFields.isEmpty { json.member("changed_fields", changedFields) }
      if let spec {
        json.key("spec")
        json.object { spec.writeJSON(to: &$0) }
      }
    }
  }
}

/// Asks for the versions of a job.
public struct ListVersionsRequest: Hashable, Sendable {
  /// Which job.
  public var key: JobKey

  /// Makes a request.
  public init(key: JobKey) { self.key = key }
}

/// The versions of a job, without their specifications.
public struct ListVersionsResponse: Hashable, Sendable {
  /// The present one first, then the ones before.
  public var versions: [VersionView]

  /// Makes an answer.
  public init(versions: [VersionView]) { self.versions = versions }
}

/// Asks for one version of a job.
public struct GetVersionRequest: Hashable, Sendable {
  /// Which job.
  public var key: JobKey
  /// Which generation of it.
  public var generation: Int

  /// Makes a request.
  public init(key: JobKey, generation: Int) {
    self.key = key
    self.generation = generation
  }
}

/// Asks for a job to be given the specification of one of its versions again.
public struct RevertJobRequest: Hashable, Sendable {
  /// Which job.
  public var key: JobKey
  /// The generation that has the specification.
  public var generation: Int
  /// The etag that the job must have; nil for any.
  public var ifMatch: String?
  /// Names the change, so that it may be sent again when its answer was lost; nil for a new name each time.
  public var idempotencyKey: String?
  /// Who asks, where no certificate says so.
  public var updatedBy: String?

  /// Makes a request.
  public init(
    key: JobKey, generation: Int, ifMatch: String? = nil, idempotencyKey: String? = nil,
    updatedBy: String? = nil
  ) {
    self.key = key
    self.generation = generation
    self.ifMatch = ifMatch
    self.idempotencyKey = idempotencyKey
    self.updatedBy = updatedBy
  }
}
