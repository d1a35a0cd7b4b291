import JSON

/// What a submission or a trigger with an idempotency key made, kept for 24 hours under the key's hash.
public struct IdempotencyRecord: Hashable, Sendable {
  /// The job that it made, or of which it made a run.
  public var job: JobKey
  /// A hash of the request's body: the same key with another body is a conflict.
  public var bodyHash: String
  /// The `uid` of that job, which may be gone or replaced by now.
  public var uid: String
  /// The run that it made, where it was a trigger of the job.
  public var runID: String?

  /// Makes a record.
  public init(job: JobKey, bodyHash: String, uid: String, runID: String? = nil) {
    self.job = job
    self.bodyHash = bodyHash
    self.uid = uid
    self.runID = runID
  }

  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 192)
    json.beginObject()
    json.keyMembers(job)
    json.member("uid", uid)
    json.optionalMember("run_id", runID)
    json.member("body_hash", bodyHash)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; all of it is in the value, since the key is a hash.
  /// - Throws: `JSONError` or `FieldError` for a value that is no idempotency record.
  public init(decoding bytes: [UInt8]) throws {
    var namespace: String?
    var jobID: String?
    var uid: String?
    var bodyHash: String?
    var runID: String?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "namespace": namespace = try reader.string()
      case "job_id": jobID = try reader.string()
      case "uid": uid = try reader.string()
      case "run_id": runID = try reader.string()
      case "body_hash": bodyHash = try reader.string()
      default: try reader.skip()
      }
    }
    self.init(
      job: JobKey(
        namespace: try required(namespace, "namespace"), jobID: try required(jobID, "job_id")),
      bodyHash: try required(bodyHash, "body_hash"), uid: try required(uid, "uid"), runID: runID)
  }
}
