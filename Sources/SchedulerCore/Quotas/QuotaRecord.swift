import JSON

/// What a namespace may use; nil for as much as there is.
public struct QuotaSpec: Hashable, Sendable {
  /// Jobs that have not ended.
  public var maxJobs: Int?
  /// Runs that wait for an agent or for a retry.
  public var maxQueuedRuns: Int?
  /// Runs that are with an agent.
  public var maxRunningRuns: Int?
  /// Jobs submitted in a minute, whoever submits them.
  public var submitRate: Int?
  /// Jobs submitted at once; as many as in a minute when nil.
  public var submitBurst: Int?
  /// What it is for.
  public var description = ""
  /// What people file it under, as the labels of jobs.
  public var labels: [String: String] = [:]

  /// Makes a quota that bounds nothing.
  public init() {}

  /// The rate of submissions; nil for any.
  public var rate: SubmitRate? {
    submitRate.map { SubmitRate(count: $0, periodMillis: 60_000, burst: submitBurst) }
  }

  /// Checks the bounds.
  public func validate() throws(FieldError) {
    let limits = [
      ("max_jobs", maxJobs), ("max_queued_runs", maxQueuedRuns), ("max_running_runs", maxRunningRuns),
      ("submit_rate", submitRate), ("submit_burst", submitBurst),
    ]
    for (field, limit) in limits {
      guard let limit else { continue }
      guard QuotaLimits.values.contains(limit) else {
        throw FieldError(
          field: field,
          message: "must be 1 to \(QuotaLimits.values.upperBound); leave it out where there is no limit")
      }
    }
    if submitBurst != nil, submitRate == nil {
      throw FieldError(field: "submit_burst", message: "goes with submit_rate, which is not given")
    }
    let check = TextCheck(field: "description")
    try check.length(description, atMost: QuotaLimits.descriptionBytes)
    try check.noControlCharacters(description)
    try Labels.validate(labels)
  }
}

/// The bounds of quotas.
public enum QuotaLimits {
  /// What may be given as a limit.
  public static let values = 1...RateLimits.count
  /// The longest description, bytes.
  public static let descriptionBytes = 1_024
  /// Quotas in the cluster; every server keeps all of them.
  public static let quotas = 10_000
}

/// A quota as etcd holds it.
public struct QuotaRecord: Hashable, Sendable {
  /// The namespace that it is for, which is its name.
  public var namespace: String
  /// What the namespace may use.
  public var spec: QuotaSpec
  /// Rises with each change, from 1.
  public var generation = 1
  /// Names the change that made this generation: tells a change whose answer was lost from the same change made by
  /// somebody else.
  public var changeID: String?
  /// When it was created.
  public var createdAt: Timestamp
  /// When it was written last.
  public var updatedAt: Timestamp

  /// Makes a record of a new quota.
  public init(namespace: String, spec: QuotaSpec, createdAt: Timestamp) {
    self.namespace = namespace
    self.spec = spec
    self.createdAt = createdAt
    self.updatedAt = createdAt
  }
}

// MARK: - JSON

extension QuotaSpec {
  /// The members, as JSON spells them.
  public static let names = [
    "max_jobs", "max_queued_runs", "max_running_runs", "submit_rate", "submit_burst", "description", "labels",
  ]

  /// Reads what a user sent, strictly; `validate` checks the bounds. What is wrong with the text as a whole is
  /// said of `body`.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    self = try FieldError.ofBody {
      try JSONReader.read(bytes) { try QuotaSpec(decoding: &$0, with: SpecDecoder(isStrict: true)) }
    }
  }

  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    self.init()
    try decoder.object(&reader, known: Self.names) { name, reader in
      switch name {
      case "max_jobs": maxJobs = try reader.wholeNumber()
      case "max_queued_runs": maxQueuedRuns = try reader.wholeNumber()
      case "max_running_runs": maxRunningRuns = try reader.wholeNumber()
      case "submit_rate": submitRate = try reader.wholeNumber()
      case "submit_burst": submitBurst = try reader.wholeNumber()
      case "labels": labels = try decoder.stringMap(&reader)
      default: description = try reader.string()
      }
    }
  }

  /// Writes the members into the object that is open. What is not limited is not written.
  public func writeJSON(to json: inout JSONWriter) {
    json.optionalMember("max_jobs", maxJobs)
    json.optionalMember("max_queued_runs", maxQueuedRuns)
    json.optionalMember("max_running_runs", maxRunningRuns)
    json.optionalMember("submit_rate", submitRate)
    json.optionalMember("submit_burst", submitBurst)
    if !description.isEmpty { json.member("description", description) }
    if !labels.isEmpty { json.member("labels", labels) }
  }
}

extension QuotaRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 256)
    json.beginObject()
    json.member("namespace", namespace)
    json.key("spec")
    json.beginObject()
    spec.writeJSON(to: &json)
    json.endObject()
    if generation != 1 { json.member("generation", generation) }
    json.optionalMember("change_id", changeID)
    json.member("created_at", createdAt)
    json.member("updated_at", updatedAt)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its namespace is taken from the key, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no quota record.
  public init(decoding bytes: [UInt8], namespace: String) throws {
    var spec: QuotaSpec?
    var generation = 1
    var changeID: String?
    var createdAt: Timestamp?
    var updatedAt: Timestamp?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "spec": spec = try QuotaSpec(decoding: &reader, with: SpecDecoder(isStrict: false))
      case "generation": generation = try reader.wholeNumber()
      case "change_id": changeID = try reader.string()
      case "created_at": createdAt = try reader.timestamp()
      case "updated_at": updatedAt = try reader.timestamp()
      default: try reader.skip()
      }
    }
    self.init(
      namespace: namespace, spec: try required(spec, "spec"), createdAt: try required(createdAt, "created_at")
    )
    self.generation = generation
    self.changeID = changeID
    self.updatedAt = updatedAt ?? self.createdAt
  }
}
