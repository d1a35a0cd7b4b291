import JSON

/// Which of the agents that may run an attempt is chosen.
public struct Placement: Hashable, Sendable {
  /// How agents are ordered that are equally welcome.
  public enum Strategy: String, Hashable, Sendable, CaseIterable {
    /// The one that has promised the smallest share of what it has.
    case leastLoaded = "least_loaded"
    /// The one that has promised the largest share, so that others stay free.
    case binPack = "bin_pack"
    /// The one whose last attempt was given the longest ago.
    case roundRobin = "round_robin"
    /// The same one for the same `hash_key`, as long as it has room.
    case consistentHash = "consistent_hash"
    /// Any.
    case random

    static let list = allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
  }

  /// A preference for agents that meet a condition.
  public struct Affinity: Hashable, Sendable {
    /// The condition.
    public var constraint: Constraint
    /// What an agent gets that meets it: -100 to 100, not 0.
    public var weight: Int

    /// Makes a preference.
    public init(_ constraint: Constraint, weight: Int) {
      self.constraint = constraint
      self.weight = weight
    }
  }

  /// A preference for agents that share the value of a label with few running runs of the job.
  public struct Spread: Hashable, Sendable {
    /// The label whose values are to have equally many runs.
    public var label: String
    /// What it is worth, 1 to 100.
    public var weight: Int

    /// Makes a preference.
    public init(label: String, weight: Int = Spread.defaultWeight) {
      self.label = label
      self.weight = weight
    }

    /// The weight where none is said.
    public static let defaultWeight = 50
  }

  /// Whether runs of the job stay away from each other.
  public enum AntiAffinity: String, Hashable, Sendable, CaseIterable {
    /// Where it can be, no two on one agent.
    case preferred
    /// Never two on one agent: rather they wait.
    case required
  }

  /// The order of agents.
  public var strategy = Strategy.leastLoaded
  /// With `consistent_hash`: what the agent is chosen by, templates included; nil for the job itself.
  public var hashKey: String?
  /// Preferences.
  public var affinity: [Affinity] = []
  /// The label to be spread over.
  public var spread: Spread?
  /// Whether runs of the job stay away from each other; nil for no.
  public var antiAffinity: AntiAffinity?
  /// The one agent that may run it; nil for any.
  public var agent: String?

  /// Makes the default: the least loaded agent.
  public init() {}

  /// Whether nothing is asked for.
  public var isDefault: Bool { self == Placement() }

  /// About how much text it holds, bytes.
  var textBytes: Int {
    affinity.reduce(hashKey?.utf8.count ?? 0) { sum, affinity in
      affinity.constraint.values.reduce(sum + affinity.constraint.label.utf8.count) { $0 + $1.utf8.count }
    }
  }
}

// MARK: - Text

extension Placement.Affinity {
  /// Reads a condition and its weight as people write them: `disk=ssd:50`, `exists gpu:-100`.
  public init(text: String) throws(TextError) {
    guard let colon = text.lastIndex(of: ":"), let weight = Int(text[text.index(after: colon)...]) else {
      throw TextError("a condition and its weight were expected, such as 'disk=ssd:50' or 'exists gpu:-100'")
    }
    self.init(try Constraint(text: String(text[..<colon])), weight: weight)
  }
}

extension Placement.Spread {
  /// Reads a label, and a weight perhaps: `zone`, `zone:80`.
  public init(text: String) throws(TextError) {
    guard let colon = text.lastIndex(of: ":") else {
      self.init(label: text)
      return
    }
    guard let weight = Int(text[text.index(after: colon)...]) else {
      throw TextError("a label, or a label and a weight, was expected, such as 'zone' or 'zone:80'")
    }
    self.init(label: String(text[..<colon]), weight: weight)
  }
}

// MARK: - Validation

extension JobSpec {
  /// Checks what is asked of agents besides constraints.
  func validatePlacement() throws(FieldError) {
    do throws(FieldError) { try resources.validate() } catch { throw error.inside("resources") }
    do throws(FieldError) { try placement.validate() } catch { throw error.inside("placement") }
  }
}

extension Placement {
  fileprivate func validate() throws(FieldError) {
    if let hashKey {
      guard strategy == .consistentHash else {
        throw FieldError(field: "hash_key", message: "goes with strategy: consistent_hash")
      }
      try TextCheck(field: "hash_key").length(hashKey, atMost: SpecLimits.hashKeyBytes)
    }
    guard affinity.count <= SpecLimits.affinities else {
      throw FieldError(
        field: "affinity",
        message: "there are \(affinity.count); at most \(SpecLimits.affinities) are allowed")
    }
    for (index, affinity) in affinity.enumerated() {
      do throws(FieldError) { try affinity.validate() } catch { throw error.inside("affinity[\(index)]") }
    }
    if let spread {
      guard Labels.isName(spread.label) else {
        throw FieldError(field: "spread.label", message: Labels.nameRule)
      }
      try JobSpec.check(spread.weight, in: SpecLimits.spreadWeight, field: "spread.weight")
    }
    if let agent, !Identifier.isValid(agent) {
      throw FieldError(field: "agent", message: "the id of an agent has " + Identifier.rule)
    }
  }
}

extension Placement.Affinity {
  fileprivate func validate() throws(FieldError) {
    try constraint.validate()
    let weights = SpecLimits.affinityWeight
    guard weight != 0, weights.contains(weight) else {
      throw FieldError(
        field: "weight",
        message: "a number from \(weights.lowerBound) to \(weights.upperBound), not 0, was expected")
    }
  }
}

// MARK: - JSON

extension Placement {
  /// Reads an object.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    self.init()
    let known = ["strategy", "hash_key", "affinity", "spread", "anti_affinity", "agent"]
    try decoder.object(&reader, known: known) { name, reader in
      switch name {
      case "strategy":
        guard let strategy = Strategy(rawValue: try reader.string()) else {
          throw TextError("one of \(Strategy.list) was expected")
        }
        self.strategy = strategy
      case "hash_key": hashKey = try reader.string()
      case "affinity": affinity = try decoder.list(&reader) { try Affinity(decoding: &$0, with: decoder) }
      case "spread": spread = try Spread(decoding: &reader, with: decoder)
      case "anti_affinity":
        guard let antiAffinity = AntiAffinity(rawValue: try reader.string()) else {
          throw TextError("'preferred' or 'required' was expected")
        }
        self.antiAffinity = antiAffinity
      default: agent = try reader.string()
      }
    }
  }

  /// Writes the placement as an object. Defaults are not written.
  func write(to json: inout JSONWriter) {
    json.beginObject()
    if strategy != .leastLoaded { json.member("strategy", strategy.rawValue) }
    json.optionalMember("hash_key", hashKey)
    if !affinity.isEmpty {
      json.key("affinity")
      json.beginArray()
      for affinity in affinity {
        json.beginObject()
        affinity.constraint.writeMembers(to: &json)
        json.member("weight", affinity.weight)
        json.endObject()
      }
      json.endArray()
    }
    if let spread {
      json.key("spread")
      json.beginObject()
      json.member("label", spread.label)
      if spread.weight != Spread.defaultWeight { json.member("weight", spread.weight) }
      json.endObject()
    }
    json.optionalMember("anti_affinity", antiAffinity?.rawValue)
    json.optionalMember("agent", agent)
    json.endObject()
  }
}

extension Placement.Affinity {
  /// An object, or a text such as `disk=ssd:50`.
  fileprivate init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    if try reader.peek() == .string {
      try self.init(text: try reader.string())
      return
    }
    var parts = ConstraintParts()
    var weight: Int?
    try decoder.object(&reader, known: ConstraintParts.names + ["weight"]) { name, reader in
      if name == "weight" {
        weight = try reader.wholeNumber()
      } else {
        try parts.read(name, &reader, with: decoder)
      }
    }
    guard let weight else { throw FieldError(field: "weight", message: "is required") }
    self.init(try parts.constraint(), weight: weight)
  }
}

extension Placement.Spread {
  /// An object, or a text such as `zone`.
  fileprivate init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    if try reader.peek() == .string {
      try self.init(text: try reader.string())
      return
    }
    var label: String?
    var weight = Self.defaultWeight
    try decoder.object(&reader, known: ["label", "weight"]) { name, reader in
      if name == "label" { label = try reader.string() } else { weight = try reader.wholeNumber() }
    }
    guard let label else { throw FieldError(field: "label", message: "is required") }
    self.init(label: label, weight: weight)
  }
}
