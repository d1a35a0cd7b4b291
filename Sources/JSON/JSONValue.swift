/// A JSON text as a tree, for texts that people write; records are read with `JSONReader`.
public enum JSONValue: Hashable, Sendable {
  /// `null`.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// A whole number of at most 64 bits.
  case int(Int64)
  /// Any other number that a double can hold.
  case double(Double)
  /// A string.
  case string(String)
  /// An array.
  case array([JSONValue])
  /// An object, its members in the order of the text.
  case object([Member])

  /// A name and its value.
  public struct Member: Hashable, Sendable {
    /// The name.
    public var name: String
    /// The value.
    public var value: JSONValue

    /// Makes a member.
    public init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  /// Reads a text strictly: as `JSONReader`, and a name given twice in one object is an error too,
  /// since readers differ in which of the two they believe.
  public init(parsing bytes: [UInt8]) throws {
    self = try JSONReader.read(bytes) { try JSONValue(from: &$0) }
  }

  /// Reads the next value of a text.
  public init(from reader: inout JSONReader) throws {
    switch try reader.peek() {
    case .null:
      guard reader.null() else { throw reader.error("null was expected") }
      self = .null
    case .bool: self = .bool(try reader.bool())
    case .string: self = .string(try reader.string())
    case .number: self = try JSONValue(numberFrom: &reader)
    case .array:
      var elements: [JSONValue] = []
      try reader.array { elements.append(try JSONValue(from: &$0)) }
      self = .array(elements)
    case .object:
      var members: [Member] = []
      var names = Set<String>()
      try reader.object { name, reader in
        guard names.insert(name).inserted else {
          throw reader.error("the member '\(name)' is given twice")
        }
        members.append(Member(name, try JSONValue(from: &reader)))
      }
      self = .object(members)
    }
  }

  private init(numberFrom reader: inout JSONReader) throws {
    let (bytes, isInteger) = try reader.numberText()
    let text = String(decoding: bytes, as: UTF8.self)
    if isInteger, let value = Int64(text) {
      self = .int(value)
    } else if let value = Double(text), value.isFinite, !isInteger {
      self = .double(value)
    } else {
      throw reader.error("the number \(text.prefix(40)) is out of range")
    }
  }

  /// The value of an object's member; nil for another kind of value.
  public subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// Writes the value.
  public func write(to writer: inout JSONWriter) {
    switch self {
    case .null: writer.null()
    case .bool(let value): writer.bool(value)
    case .int(let value): writer.int(value)
    case .double(let value): writer.double(value)
    case .string(let value): writer.string(value)
    case .array(let elements): writer.array { for element in elements { element.write(to: &$0) } }
    case .object(let members):
      writer.object {
        for member in members {
          $0.key(member.name)
          member.value.write(to: &$0)
        }
      }
    }
  }
}
