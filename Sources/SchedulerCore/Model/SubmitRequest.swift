import JSON

/// A submission, as REST, gRPC and the command line make it.
public struct SubmitRequest: Hashable, Sendable {
  /// The namespace of the job.
  public var namespace: String
  /// The job's id; nil for one that the server makes.
  public var jobID: String?
  /// Requests with the same key within 24 hours make one job.
  public var idempotencyKey: String?
  /// What to run.
  public var spec: JobSpec
  /// Instead of `spec.executionTime`: so long after the submission, milliseconds.
  public var delayMillis: Int64?
  /// Instead of `spec.schedules`: one that repeats from `spec.executionTime`, or from the submission.
  public var frequency: Frequency?
  /// The IANA name of the zone for `frequency`; nil for UTC.
  public var timeZone: String?

  /// How often, in a word.
  public enum Frequency: String, Hashable, Sendable, CaseIterable {
    /// No repetition.
    case once
    /// As `Schedule.Frequency`.
    case hourly, daily, weekly, monthly
  }

  /// Makes a request.
  public init(
    namespace: String = JobSpec.Defaults.namespace, jobID: String? = nil, idempotencyKey: String? = nil,
    spec: JobSpec, delayMillis: Int64? = nil, frequency: Frequency? = nil, timeZone: String? = nil
  ) {
    self.namespace = namespace
    self.jobID = jobID
    self.idempotencyKey = idempotencyKey
    self.spec = spec
    self.delayMillis = delayMillis
    self.frequency = frequency
    self.timeZone = timeZone
  }

  /// The members that a request has besides those of its specification.
  private static let names = ["job_id", "namespace", "idempotency_key"]

  /// Reads and validates what a user sent: unknown members, members given twice and wrong types are
  /// errors; an error names the field. What is wrong with the text as a whole is said of `body`.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    do {
      self = try JSONReader.read(bytes) { try SubmitRequest(from: &$0) }
    } catch let error as FieldError {
      throw error
    } catch {
      throw FieldError(field: "body", message: "\(error)")
    }
    try validate()
  }

  private init(from reader: inout JSONReader) throws {
    var namespace = JobSpec.Defaults.namespace
    var jobID: String?
    var idempotencyKey: String?
    var decoder = SpecDecoder(isStrict: true)
    try decoder.decodeMembers(&reader, known: Self.names + SpecDecoder.names) { decoder, name, reader in
      switch name {
      case "job_id": jobID = try reader.string()
      case "namespace": namespace = try reader.string()
      case "idempotency_key": idempotencyKey = try reader.string()
      default: try decoder.decodeMember(name, from: &reader)
      }
    }
    self.init(
      namespace: namespace, jobID: jobID, idempotencyKey: idempotencyKey, spec: try decoder.finished())
  }

  /// Checks every bound of the request, whatever format it came in.
  public func validate() throws(FieldError) {
    guard Identifier.isValid(namespace) else {
      throw FieldError(field: "namespace", message: "an identifier has " + Identifier.rule)
    }
    if let jobID, !Identifier.isValid(jobID) {
      throw FieldError(field: "job_id", message: "an identifier has " + Identifier.rule)
    }
    if let idempotencyKey {
      let check = TextCheck(field: "idempotency_key")
      guard !idempotencyKey.isEmpty else { throw check.error("is empty") }
      try check.length(idempotencyKey, atMost: SpecLimits.idempotencyKeyBytes)
      try check.noControlCharacters(idempotencyKey)
    }
    try spec.validate()
  }
}
