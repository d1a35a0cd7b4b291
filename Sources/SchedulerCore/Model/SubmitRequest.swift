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
  private static let names = ["job_id", "namespace", "idempotency_key", "delay", "frequency", "time_zone"]

  /// Reads what a user sent: unknown members, members given twice and wrong types are errors; an error names
  /// the field. What is wrong with the text as a whole is said of `body`. `validate` checks the bounds.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    self = try FieldError.ofBody { try JSONReader.read(bytes) { try SubmitRequest(from: &$0) } }
  }

  private init(from reader: inout JSONReader) throws {
    var namespace = JobSpec.Defaults.namespace
    var jobID: String?
    var idempotencyKey: String?
    var delayMillis: Int64?
    var frequency: Frequency?
    var timeZone: String?
    var decoder = SpecDecoder(isStrict: true)
    try decoder.decodeMembers(&reader, known: Self.names + SpecDecoder.names) { decoder, name, reader in
      switch name {
      case "job_id": jobID = try reader.string()
      case "namespace": namespace = try reader.string()
      case "idempotency_key": idempotencyKey = try reader.string()
      case "delay": delayMillis = try decoder.duration(&reader)
      case "frequency": frequency = try decodeWord(&reader)
      case "time_zone": timeZone = try reader.string()
      default: try decoder.decodeMember(name, from: &reader)
      }
    }
    self.init(
      namespace: namespace, jobID: jobID, idempotencyKey: idempotencyKey, spec: try decoder.finished(),
      delayMillis: delayMillis, frequency: frequency, timeZone: timeZone)
  }

  /// Writes the request without what only names it: two requests of the same bytes want the same.
  public func writeBody(to json: inout JSONWriter) {
    if let jobID { json.member("job_id", jobID) }
    if let delayMillis { json.member("delay", DurationText.format(milliseconds: delayMillis)) }
    if let frequency { json.member("frequency", frequency.rawValue) }
    if let timeZone { json.member("time_zone", timeZone) }
    spec.writeJSON(to: &json)
  }

  /// The specification that the request comes to when it is accepted at `now`.
  public func spec(at now: Timestamp) -> JobSpec {
    var spec = spec
    if let delayMillis { spec.executionTime = now.adding(milliseconds: delayMillis) }
    let repetition: Schedule.Frequency? =
      switch frequency {
      case nil, .once: nil
      case .hourly: .hourly
      case .daily: .daily
      case .weekly: .weekly
      case .monthly: .monthly
      }
    if let repetition {
      var schedule = Schedule(.frequency(repetition))
      schedule.startTime = spec.executionTime ?? now
      schedule.timeZone = timeZone ?? Schedule.Defaults.timeZone
      spec.schedules = [schedule]
      spec.executionTime = nil
    }
    return spec
  }

  /// Checks every bound of the request, whatever format it came in.
  /// - Parameter zones: Nil to leave the rules of schedules to somebody who knows the zones.
  public func validate(zones: TimeZones?) throws(FieldError) {
    guard Identifier.isValid(namespace) else {
      throw FieldError(field: "namespace", message: "an identifier has " + Identifier.rule)
    }
    if let jobID, !Identifier.isValid(jobID) {
      throw FieldError(field: "job_id", message: "an identifier has " + Identifier.rule)
    }
    if let idempotencyKey { try Self.validate(idempotencyKey: idempotencyKey) }
    try spec.validate(zones: zones)
    try validateTimes(zones: zones)
  }

  /// Checks the key of a request.
  public static func validate(idempotencyKey: String) throws(FieldError) {
    let check = TextCheck(field: "idempotency_key")
    guard !idempotencyKey.isEmpty else { throw check.error("is empty") }
    try check.length(idempotencyKey, atMost: SpecLimits.idempotencyKeyBytes)
    try check.noControlCharacters(idempotencyKey)
  }

  /// Checks what stands for members of the specification.
  private func validateTimes(zones: TimeZones?) throws(FieldError) {
    func exclude(_ field: String, _ other: String, where isGiven: Bool) throws(FieldError) {
      if isGiven { throw FieldError(field: field, message: "stands for \(other), which is given as well") }
    }
    if let delayMillis {
      try JobSpec.check(millis: delayMillis, in: 0...SpecLimits.delayMillis, field: "delay")
      try exclude("delay", "execution_time", where: spec.executionTime != nil)
      guard spec.schedules.isEmpty else {
        throw FieldError(
          field: "delay", message: "is for a job that runs once, or for frequency; schedules have start_time")
      }
    }
    try exclude("frequency", "schedules", where: frequency != nil && !spec.schedules.isEmpty)
    guard let timeZone else { return }
    guard frequency != nil else {
      throw FieldError(field: "time_zone", message: "goes with frequency; each schedule has its own")
    }
    _ = try zones?.zone(timeZone)
  }
}
