/// Resources as they are counted: in whole thousandths, so that what is added and taken away again leaves
/// nothing behind.
struct ResourceAmounts: Hashable, Sendable {
  /// Thousandths of processors.
  var cpus: Int64 = 0
  /// Bytes.
  var memory: Int64 = 0
  /// Thousandths; never one of zero.
  var custom: [String: Int64] = [:]

  init() {}

  /// A part of a thousandth counts as a whole one.
  init(_ resources: Resources) {
    guard !resources.isEmpty else { return }
    cpus = Self.thousandths(resources.cpus)
    memory = max(0, resources.memoryBytes)
    custom = resources.custom.mapValues(Self.thousandths).filter { $0.value > 0 }
  }

  private static func thousandths(_ amount: Double) -> Int64 {
    // Binary fractions of decimal numbers are a little off.
    Int64(exactly: (amount * 1_000 - 1e-6).rounded(.up)).map { max(0, $0) } ?? 0
  }

  /// What they are as numbers that people read.
  var resources: Resources {
    Resources(
      cpus: Double(cpus) / 1_000, memoryBytes: memory, custom: custom.mapValues { Double($0) / 1_000 })
  }

  var isEmpty: Bool { cpus == 0 && memory == 0 && custom.isEmpty }

  static func += (left: inout ResourceAmounts, right: ResourceAmounts) { left.add(right, 1) }
  static func -= (left: inout ResourceAmounts, right: ResourceAmounts) { left.add(right, -1) }

  // Sums that wrapped would come back the same way. They cannot: each part was promised out of what there was.
  private mutating func add(_ other: ResourceAmounts, _ sign: Int64) {
    cpus &+= sign &* other.cpus
    memory &+= sign &* other.memory
    for (name, amount) in other.custom {
      let sum = (custom[name] ?? 0) &+ sign &* amount
      custom[name] = sum == 0 ? nil : sum
    }
  }

  /// Whether so much is left of a capacity once these are promised.
  func leaves(_ demand: ResourceAmounts, of capacity: ResourceAmounts) -> Bool {
    if demand.cpus > 0, demand.cpus > capacity.cpus &- cpus { return false }
    if demand.memory > 0, demand.memory > capacity.memory &- memory { return false }
    return demand.custom.allSatisfy { name, amount in
      amount <= (capacity.custom[name] ?? 0) &- (custom[name] ?? 0)
    }
  }

  /// The largest share of a capacity's processors or memory that these are.
  func share(of capacity: ResourceAmounts) -> Double {
    max(
      capacity.cpus > 0 ? Double(cpus) / Double(capacity.cpus) : 0,
      capacity.memory > 0 ? Double(memory) / Double(capacity.memory) : 0)
  }

  /// Each resource by its name.
  var parts: [(name: String, amount: Int64)] {
    var parts: [(name: String, amount: Int64)] = []
    if cpus != 0 { parts.append((Resources.cpusName, cpus)) }
    if memory != 0 { parts.append((Resources.memoryName, memory)) }
    return parts + custom.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// How much there is of the resource with that name.
  subscript(name: String) -> Int64 {
    switch name {
    case Resources.cpusName: cpus
    case Resources.memoryName: memory
    default: custom[name] ?? 0
    }
  }
}
