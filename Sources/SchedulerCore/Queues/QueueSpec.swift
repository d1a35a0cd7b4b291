import JSON

/// How a queue gives its runs out, as its author writes it.
public struct QueueSpec: Hashable, Sendable {
  /// What it is for.
  public var description = ""
  /// Its share among the queues of the same priority.
  public var weight = Defaults.weight
  /// 1 (last) to 100 (first).
  public var priority = Defaults.priority
  /// How many of its runs may have an agent at once; nil for any number.
  public var maxRunning: Int?
  /// How many of its runs may be given to agents in a second, on average; nil for any number.
  public var dispatchRate: Double?
  /// How many at once after a rest; nil for as many as in a second, at least one.
  public var dispatchBurst: Int?
  /// What an agent has to meet to serve it, besides what a job asks for.
  public var agents: [Constraint] = []
  /// The shares of namespaces in it.
  public var fairnessWeights: [String: Int] = [:]
  /// What people file it under.
  public var labels: [String: String] = [:]

  /// Makes the specification of a queue that nobody has put.
  public init() {}

  /// What is assumed where a specification is silent.
  public enum Defaults {
    /// A queue's share, and a namespace's.
    public static let weight = 100
    /// The middle of the range.
    public static let priority = 50
  }

  /// How many may be given out at once after a rest, where there is a rate.
  public var burst: Int {
    dispatchBurst ?? max(1, Int((dispatchRate ?? 1).rounded(.up)))
  }

  /// A namespace's share.
  public func weight(ofNamespace namespace: String) -> Int {
    fairnessWeights[namespace] ?? Defaults.weight
  }
}

/// The bounds of queues.
public enum QueueLimits {
  /// Queues that somebody has put; every server keeps all of them.
  public static let queues = 10_000
  /// The longest description, bytes.
  public static let descriptionBytes = 1_024
  /// The longest note of a pause, bytes.
  public static let noteBytes = 1_024
  /// The range of a share, of a queue or of a namespace.
  public static let weight = 1...1_000
  /// The range of a queue's priority.
  public static let priority = 1...100
  /// The range of how many runs may have an agent at once.
  public static let running = 1...1_000_000
  /// The range of how many runs may be given to agents in a second.
  public static let rate = 0.001...100_000.0
  /// The range of how many may be given out at once after a rest.
  public static let burst = 1...100_000
  /// The most namespaces whose share is set.
  public static let fairnessWeights = 1_000
}

extension QueueSpec {
  /// Checks every bound, whatever format it came in.
  public func validate() throws(FieldError) {
    try TextCheck(field: "description").length(description, atMost: QueueLimits.descriptionBytes)
    try TextCheck(field: "description").noControlCharacters(description)
    try Labels.validate(labels)
    try JobSpec.check(weight, in: QueueLimits.weight, field: "weight")
    try JobSpec.check(priority, in: QueueLimits.priority, field: "priority")
    if let maxRunning { try JobSpec.check(maxRunning, in: QueueLimits.running, field: "max_running") }
    if let dispatchRate, !QueueLimits.rate.contains(dispatchRate) {
      throw FieldError(field: "dispatch_rate", message: "a number from 0.001 to 100000 was expected")
    }
    if let dispatchBurst {
      try JobSpec.check(dispatchBurst, in: QueueLimits.burst, field: "dispatch_burst")
      guard dispatchRate != nil else {
        throw FieldError(field: "dispatch_burst", message: "goes with dispatch_rate; give that as well")
      }
    }
    guard agents.count <= SpecLimits.constraints else {
      throw FieldError(
        field: "agents", message: "there are \(agents.count); at most \(SpecLimits.constraints)")
    }
    for (index, constraint) in agents.enumerated() {
      do throws(FieldError) { try constraint.validate() } catch { throw error.inside("agents[\(index)]") }
    }
    guard fairnessWeights.count <= QueueLimits.fairnessWeights else {
      throw FieldError(
        field: "fairness_weights",
        message: "there are \(fairnessWeights.count); at most \(QueueLimits.fairnessWeights)")
    }
    for (namespace, weight) in fairnessWeights {
      guard Identifier.isValid(namespace) else {
        throw FieldError(
          field: "fairness_weights.\(FieldError.shown(namespace))",
          message: "is no namespace; one has \(Identifier.rule)")
      }
      try JobSpec.check(weight, in: QueueLimits.weight, field: "fairness_weights.\(namespace)")
    }
  }
}

// MARK: - JSON

extension QueueSpec {
  /// The members of a specification.
  public static let names = [
    "description", "weight", "priority", "max_running", "dispatch_rate", "dispatch_burst", "agents",
    "fairness_weights", "labels",
  ]

  /// Reads what a user sent, strictly; `validate` checks the bounds. What is wrong with the text as a whole is said of
  /// `body`.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    self = try FieldError.ofBody {
      try JSONReader.read(bytes) { try QueueSpec(decoding: &$0, with: SpecDecoder(isStrict: true)) }
    }
  }

  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    self.init()
    try decoder.object(&reader, known: Self.names) { name, reader in
      switch name {
      case "description": description = try reader.string()
      case "weight": weight = try reader.wholeNumber()
      case "priority": priority = try reader.wholeNumber()
      case "max_running": maxRunning = try reader.wholeNumber()
      case "dispatch_rate": dispatchRate = try reader.double()
      case "dispatch_burst": dispatchBurst = try reader.wholeNumber()
      case "agents": agents = try decoder.list(&reader) { try decoder.constraint(&$0) }
      case "labels": labels = try decoder.stringMap(&reader)
      default: fairnessWeights = try decoder.weights(&reader)
      }
    }
  }

  /// Writes the members into the object that is open. Defaults are not written.
  public func writeJSON(to json: inout JSONWriter) {
    if !description.isEmpty { json.member("description", description) }
    if weight != Defaults.weight { json.member("weight", weight) }
    if priority != Defaults.priority { json.member("priority", priority) }
    if let maxRunning { json.member("max_running", maxRunning) }
    if let dispatchRate { json.member("dispatch_rate", dispatchRate) }
    if let dispatchBurst { json.member("dispatch_burst", dispatchBurst) }
    if !agents.isEmpty {
      json.key("agents")
      json.array { json in for constraint in agents { constraint.write(to: &json) } }
    }
    if !fairnessWeights.isEmpty {
      json.key("fairness_weights")
      json.object { json in
        for (namespace, weight) in fairnessWeights.sorted(by: { $0.key < $1.key }) {
          json.member(namespace, weight)
        }
      }
    }
    if !labels.isEmpty { json.member("labels", labels) }
  }
}

extension SpecDecoder {
  /// Reads an object of whole numbers.
  fileprivate func weights(_ reader: inout JSONReader) throws -> [String: Int] {
    var weights: [String: Int] = [:]
    try reader.object { name, reader in
      try FieldError.at(FieldError.shown(name)) {
        guard weights.updateValue(try reader.wholeNumber(), forKey: name) == nil || !isStrict else {
          throw TextError("is given twice")
        }
      }
    }
    return weights
  }
}
