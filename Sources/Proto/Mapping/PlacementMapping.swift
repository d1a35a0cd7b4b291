import CProto
import SchedulerCore

extension Resources: Mapped {
  init(raw: UnsafePointer<Rota__V1__Resources>) throws(ProtoError) {
    self.init(cpus: raw.pointee.cpus, memoryBytes: raw.pointee.memory_bytes)
    guard let list = raw.pointee.custom else { return }
    for index in 0..<raw.pointee.n_custom {
      guard let entry = list[index] else { continue }
      custom[try Decode.text(entry.pointee.key, "custom")] = entry.pointee.value
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Resources>, _ arena: Arena) {
    raw.pointee.cpus = cpus
    raw.pointee.memory_bytes = memoryBytes
    raw.pointee.custom = arena.list(
      custom.sorted { $0.key < $1.key }.map { NamedAmount(name: $0.key, amount: $0.value) },
      &raw.pointee.n_custom)
  }

  /// Nothing where there is nothing: on the wire that is the same.
  var unlessEmpty: Resources? { isEmpty ? nil : self }
}

/// An entry of a map from names to numbers.
private struct NamedAmount: Mapped {
  let name: String
  let amount: Double

  init(name: String, amount: Double) {
    self.name = name
    self.amount = amount
  }

  init(raw: UnsafePointer<Rota__V1__DoubleEntry>) throws(ProtoError) {
    self.init(name: try Decode.text(raw.pointee.key, "key"), amount: raw.pointee.value)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DoubleEntry>, _ arena: Arena) {
    raw.pointee.key = arena.text(name)
    raw.pointee.value = amount
  }
}

extension Placement: Mapped {
  init(raw: UnsafePointer<Rota__V1__Placement>) throws(ProtoError) {
    self.init()
    if let strategy = try Decode.choice(raw.pointee.strategy, "strategy", as: Strategy.self) {
      self.strategy = strategy
    }
    hashKey = try Decode.optionalText(raw.pointee.hash_key, "hash_key")
    affinity = try Decode.list(raw.pointee.n_affinity, raw.pointee.affinity, "affinity")
    spread = try Decode.optional(raw.pointee.spread, "spread")
    antiAffinity = try Decode.choice(raw.pointee.anti_affinity, "anti_affinity")
    agent = try Decode.optionalText(raw.pointee.agent, "agent")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Placement>, _ arena: Arena) {
    if strategy != .leastLoaded { raw.pointee.strategy = strategy.raw }
    raw.pointee.hash_key = arena.text(hashKey)
    raw.pointee.affinity = arena.list(affinity, &raw.pointee.n_affinity)
    raw.pointee.spread = arena.optional(spread)
    if let antiAffinity { raw.pointee.anti_affinity = antiAffinity.raw }
    raw.pointee.agent = arena.text(agent)
  }
}

extension Placement.Affinity: Mapped {
  init(raw: UnsafePointer<Rota__V1__Affinity>) throws(ProtoError) {
    self.init(
      try Decode.required(raw.pointee.constraint, "constraint"), weight: Int(raw.pointee.weight))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Affinity>, _ arena: Arena) {
    raw.pointee.constraint = arena.message(constraint)
    raw.pointee.weight = Int32(wire: weight)
  }
}

extension Placement.Spread: Mapped {
  init(raw: UnsafePointer<Rota__V1__Spread>) throws(ProtoError) {
    let weight = raw.pointee.weight
    self.init(
      label: try Decode.text(raw.pointee.label, "label"),
      weight: weight == 0 ? Self.defaultWeight : Int(weight))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Spread>, _ arena: Arena) {
    raw.pointee.label = arena.text(label)
    raw.pointee.weight = Int32(wire: weight)
  }
}

extension Placement.Strategy: WireEnum {
  static let wireValues: [(Placement.Strategy, Rota__V1__PlacementStrategy)] = [
    (.leastLoaded, ROTA__V1__PLACEMENT_STRATEGY__PLACEMENT_STRATEGY_LEAST_LOADED),
    (.binPack, ROTA__V1__PLACEMENT_STRATEGY__PLACEMENT_STRATEGY_BIN_PACK),
    (.roundRobin, ROTA__V1__PLACEMENT_STRATEGY__PLACEMENT_STRATEGY_ROUND_ROBIN),
    (.consistentHash, ROTA__V1__PLACEMENT_STRATEGY__PLACEMENT_STRATEGY_CONSISTENT_HASH),
    (.random, ROTA__V1__PLACEMENT_STRATEGY__PLACEMENT_STRATEGY_RANDOM),
  ]
}

extension Placement.AntiAffinity: WireEnum {
  static let wireValues: [(Placement.AntiAffinity, Rota__V1__AntiAffinity)] = [
    (.preferred, ROTA__V1__ANTI_AFFINITY__ANTI_AFFINITY_PREFERRED),
    (.required, ROTA__V1__ANTI_AFFINITY__ANTI_AFFINITY_REQUIRED),
  ]
}
