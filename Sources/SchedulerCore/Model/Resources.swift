import JSON

/// What an attempt is promised of its agent, or what an agent has to promise. Unlike `TaskLimits`, nothing is
/// enforced: the sum of what is promised never exceeds what the agent has.
public struct Resources: Hashable, Sendable {
  /// Processors; 0.5 is half of one.
  public var cpus: Double
  /// Memory, bytes.
  public var memoryBytes: Int64
  /// What else there is, by name: `gpu`, `licence`.
  public var custom: [String: Double]

  /// Makes resources.
  public init(cpus: Double = 0, memoryBytes: Int64 = 0, custom: [String: Double] = [:]) {
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.custom = custom
  }

  /// Whether there is nothing.
  public var isEmpty: Bool { cpus == 0 && memoryBytes == 0 && custom.isEmpty }

  /// The names that are no custom resource's.
  public static let cpusName = "cpus"
  /// Of memory.
  public static let memoryName = "memory"

  /// As `cpus=2,memory=4GiB,gpu=1`.
  public var text: String {
    var parts: [String] = []
    if cpus != 0 { parts.append("\(Self.cpusName)=\(Self.text(cpus))") }
    if memoryBytes != 0 { parts.append("\(Self.memoryName)=\(ByteText.format(memoryBytes))") }
    parts += custom.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.text($0.value))" }
    return parts.joined(separator: ",")
  }

  /// A number without a fraction that is zero.
  public static func text(_ number: Double) -> String {
    number == number.rounded() && abs(number) < 1e15 ? "\(Int64(number))" : "\(number)"
  }

  /// Adds one resource as people write it: `cpus=2`, `memory=4GiB`, `gpu=1`.
  public mutating func set(_ name: String, _ text: String) throws(TextError) {
    if name == Self.memoryName {
      memoryBytes = try ByteText.parse(text)
      return
    }
    guard let amount = Constraint.number(text), amount >= 0 else {
      throw TextError("a number was expected behind \(name)=, such as 2 or 0.5")
    }
    if name == Self.cpusName { cpus = amount } else { custom[name] = amount }
  }

  /// Checks the bounds; the paths of errors begin with the members.
  public func validate() throws(FieldError) {
    let processors = SpecLimits.resourceAmount.lowerBound...SpecLimits.cpus.upperBound
    if cpus != 0 { try Self.check(cpus, in: processors, field: "cpus") }
    if memoryBytes != 0, !SpecLimits.reservedMemoryBytes.contains(memoryBytes) {
      let most = ByteText.format(SpecLimits.reservedMemoryBytes.upperBound)
      throw FieldError(field: "memory_bytes", message: "from 1 byte to \(most) was expected")
    }
    guard custom.count <= SpecLimits.customResources else {
      throw FieldError(
        field: "custom",
        message: "there are \(custom.count); at most \(SpecLimits.customResources) are allowed")
    }
    for (name, amount) in custom.sorted(by: { $0.key < $1.key }) {
      let field = "custom.\(FieldError.shown(name))"
      guard Identifier.isValid(name) else {
        throw FieldError(field: field, message: "the name of a resource has " + Identifier.rule)
      }
      guard name != Self.cpusName, name != Self.memoryName else {
        throw FieldError(field: field, message: "has a member of its own beside custom")
      }
      try Self.check(amount, in: SpecLimits.resourceAmount, field: field)
    }
  }

  private static func check(
    _ amount: Double, in range: ClosedRange<Double>, field: String
  ) throws(FieldError) {
    // Not a number is in no range.
    guard range.contains(amount) else {
      throw FieldError(
        field: field,
        message: "a number from \(text(range.lowerBound)) to \(text(range.upperBound)) was expected")
    }
  }
}

extension Resources {
  /// Reads an object; what the memory is may be a number of bytes or a text such as `4GiB`.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    self.init()
    try decoder.object(&reader, known: ["cpus", "memory_bytes", "custom"]) { name, reader in
      switch name {
      case "cpus": cpus = try reader.double()
      case "memory_bytes":
        memoryBytes =
          try reader.peek() == .number ? try reader.int() : try ByteText.parse(try reader.string())
      default:
        try reader.object { name, reader in
          try FieldError.at(FieldError.shown(name)) {
            let amount = try reader.double()
            guard custom.updateValue(amount, forKey: name) == nil || !decoder.isStrict else {
              throw TextError("is given twice")
            }
          }
        }
      }
    }
  }

  /// Reads what a program has written into a record: what cannot be is left out.
  init(record reader: inout JSONReader) throws {
    try self.init(decoding: &reader, with: SpecDecoder(isStrict: false))
    cpus = Self.sane(cpus, atMost: SpecLimits.cpus.upperBound)
    memoryBytes = min(max(0, memoryBytes), SpecLimits.reservedMemoryBytes.upperBound)
    let names = custom.keys.filter(Identifier.isValid).sorted().prefix(SpecLimits.customResources)
    custom = Dictionary(
      uniqueKeysWithValues: names.map {
        ($0, Self.sane(custom[$0] ?? 0, atMost: SpecLimits.resourceAmount.upperBound))
      })
  }

  private static func sane(_ amount: Double, atMost limit: Double) -> Double {
    amount.isFinite ? min(max(0, amount), limit) : 0
  }

  /// Writes the resources as an object.
  public func write(to json: inout JSONWriter) {
    json.beginObject()
    if cpus != 0 { json.member("cpus", cpus) }
    if memoryBytes != 0 { json.member("memory_bytes", memoryBytes) }
    if !custom.isEmpty {
      json.key("custom")
      json.beginObject()
      for (name, amount) in custom.sorted(by: { $0.key < $1.key }) { json.member(name, amount) }
      json.endObject()
    }
    json.endObject()
  }
}
