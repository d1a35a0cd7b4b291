import JSON

/// How much an attempt may use, all of its processes together. An agent enforces it as well as its machine lets it, and
/// says how in its record (`AgentRecord.isolation`).
public struct TaskLimits: Hashable, Sendable {
  /// Memory, bytes; nil for no limit.
  public var memoryBytes: Int64?
  /// Processes and threads at once; nil for no limit.
  public var pids: Int?
  /// Processor time for each second; 0.5 is half of one processor. Nil for no limit.
  public var cpus: Double?

  /// Makes limits.
  public init(memoryBytes: Int64? = nil, pids: Int? = nil, cpus: Double? = nil) {
    self.memoryBytes = memoryBytes
    self.pids = pids
    self.cpus = cpus
  }

  /// Whether nothing is limited.
  public var isEmpty: Bool { self == TaskLimits() }

  /// These, and where they are silent, others.
  public func filled(from defaults: TaskLimits) -> TaskLimits {
    TaskLimits(
      memoryBytes: memoryBytes ?? defaults.memoryBytes, pids: pids ?? defaults.pids,
      cpus: cpus ?? defaults.cpus)
  }

  /// Checks the bounds; the paths of errors begin with the members.
  public func validate() throws(FieldError) {
    if let memoryBytes, !SpecLimits.memoryBytes.contains(memoryBytes) {
      let range = SpecLimits.memoryBytes
      let (low, high) = (ByteText.format(range.lowerBound), ByteText.format(range.upperBound))
      throw FieldError(field: "memory_bytes", message: "from \(low) to \(high) was expected")
    }
    if let pids { try JobSpec.check(pids, in: SpecLimits.pids, field: "pids") }
    // Not a number is in no range.
    if let cpus, !SpecLimits.cpus.contains(cpus) {
      let range = SpecLimits.cpus
      throw FieldError(
        field: "cpus", message: "a number from \(range.lowerBound) to \(range.upperBound) was expected")
    }
  }
}

extension TaskLimits {
  /// Reads an object; what the memory is may be a number of bytes or a text such as `512MiB`.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    var limits = TaskLimits()
    try decoder.object(&reader, known: ["memory_bytes", "pids", "cpus"]) { name, reader in
      switch name {
      case "memory_bytes":
        limits.memoryBytes =
          try reader.peek() == .number ? try reader.int() : try ByteText.parse(try reader.string())
      case "pids": limits.pids = try reader.wholeNumber()
      default: limits.cpus = try reader.double()
      }
    }
    self = limits
  }

  /// Writes the limits as an object.
  func write(to json: inout JSONWriter) {
    json.beginObject()
    if let memoryBytes { json.member("memory_bytes", memoryBytes) }
    if let pids { json.member("pids", pids) }
    if let cpus { json.member("cpus", cpus) }
    json.endObject()
  }
}

/// The user that a task runs as: `user` or `user:group`, each a name or a number of the agent's machine.
public struct RunAs: Hashable, Sendable {
  /// A name, or a number in decimal digits.
  public let user: String
  /// The primary group, where it is not the user's own.
  public let group: String?

  /// Reads `user` or `user:group`.
  public init(_ text: String) throws(TextError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, parts.allSatisfy(Self.isName) else {
      throw TextError(
        "a user, or user:group, was expected: names of at most \(SpecLimits.userNameBytes) letters, digits, '.', '_', "
          + "'@' and '-', or numbers")
    }
    user = parts[0]
    group = parts.count > 1 ? parts[1] : nil
  }

  /// What useradd(8) lets administrators choose, and the '@' of directory services.
  private static func isName(_ name: String) -> Bool {
    guard !name.isEmpty, name.utf8.count <= SpecLimits.userNameBytes, name.utf8.first != UInt8(ascii: "-")
    else {
      return false
    }
    return name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"),
        UInt8(ascii: "@"):
        true
      default: false
      }
    }
  }
}

extension JobSpec {
  /// Limits and another user are for processes that an agent starts: nothing else can be held to them, and what
  /// cannot be done is refused rather than ignored.
  func validateConfinement() throws(FieldError) {
    let isProcess = task.kind == .exec || task.kind == .shell
    if !limits.isEmpty {
      guard isProcess else { throw Self.needsProcess("limits") }
      do throws(FieldError) { try limits.validate() } catch { throw error.inside("limits") }
    }
    if let runAs {
      guard isProcess else { throw Self.needsProcess("run_as") }
      do throws(TextError) { _ = try RunAs(runAs) } catch {
        throw FieldError(field: "run_as", message: error.message)
      }
    }
  }

  private static func needsProcess(_ field: String) -> FieldError {
    FieldError(field: field, message: "is for exec and shell, which are processes of an agent")
  }
}
