/// The headers or trailers of a call: an ordered multi-map from lower-case names to text or bytes.
///
/// Names that end in `-bin` carry bytes, base64 on the wire; all others carry printable ASCII.
public struct Metadata: Sendable {
  /// One value.
  public enum Content: Sendable, Hashable {
    /// Printable ASCII.
    case text(String)
    /// Any bytes; only under names that end in `-bin`.
    case binary([UInt8])
  }

  /// A name with one value.
  public struct Entry: Sendable, Hashable {
    /// The name, in lower case.
    public var name: String
    /// The value.
    public var value: Content
  }

  /// All entries, in the order they were added.
  public private(set) var entries: [Entry] = []

  /// No entries.
  public init() {}

  /// Whether there is no entry.
  public var isEmpty: Bool { entries.isEmpty }

  /// Adds a value after those that the name already has. Under a `-bin` name the text's UTF-8 bytes are the value.
  public mutating func add(_ name: String, _ value: String) {
    let name = name.lowercased()
    let value = Metadata.isBinary(name) ? Content.binary(Array(value.utf8)) : .text(value)
    entries.append(Entry(name: name, value: value))
  }

  /// Adds bytes. The name has to end in `-bin`; otherwise sending the metadata fails.
  public mutating func add(_ name: String, binary value: [UInt8]) {
    entries.append(Entry(name: name.lowercased(), value: .binary(value)))
  }

  /// Adds all entries of `other`.
  public mutating func add(contentsOf other: Metadata) {
    entries += other.entries
  }

  /// Removes every value of a name.
  public mutating func remove(_ name: String) {
    let name = name.lowercased()
    entries.removeAll { $0.name == name }
  }

  /// The first text value of a name.
  public func first(_ name: String) -> String? {
    let name = name.lowercased()
    for entry in entries where entry.name == name {
      if case .text(let text) = entry.value { return text }
    }
    return nil
  }

  /// The first binary value of a `-bin` name.
  public func firstBinary(_ name: String) -> [UInt8]? {
    let name = name.lowercased()
    for entry in entries where entry.name == name {
      if case .binary(let bytes) = entry.value { return bytes }
    }
    return nil
  }

  /// All values of a name, in order.
  public func values(_ name: String) -> [Content] {
    let name = name.lowercased()
    return entries.filter { $0.name == name }.map(\.value)
  }

  static func isBinary(_ name: String) -> Bool { name.hasSuffix("-bin") }
}

extension Metadata: ExpressibleByDictionaryLiteral {
  /// Metadata from text values.
  public init(dictionaryLiteral elements: (String, String)...) {
    for (name, value) in elements { add(name, value) }
  }
}

extension Metadata: CustomStringConvertible {
  /// Names only: values may be secret, and metadata ends up in logs.
  public var description: String { "Metadata(\(entries.map(\.name).joined(separator: ", ")))" }
}

// MARK: - Wire form

extension Metadata {
  /// Fields that belong to the protocol and never show up as metadata.
  private static func isReserved(_ name: String) -> Bool {
    guard let first = name.utf8.first else { return true }
    switch first {
    case UInt8(ascii: ":"): return true
    case UInt8(ascii: "g"): return name.hasPrefix("grpc-") && name != "grpc-status-details-bin"
    default: return name == "te" || name == "content-type" || name == "content-length"
    }
  }

  /// The metadata among received header fields. Undecodable `-bin` values are dropped, as gRPC implementations do.
  init(receivedFields fields: [HeaderField]) {
    for field in fields where !Metadata.isReserved(field.name) {
      guard Metadata.isBinary(field.name) else {
        entries.append(Entry(name: field.name, value: .text(field.value)))
        continue
      }
      // Several values of one name may arrive joined by commas, which base64 does not contain.
      for part in field.value.split(separator: ",", omittingEmptySubsequences: false) {
        let trimmed = part.drop { $0 == " " }
        guard let bytes = Base64.decode(trimmed.utf8) else { continue }
        entries.append(Entry(name: field.name, value: .binary(bytes)))
      }
    }
  }

  /// Appends the wire form to `fields`.
  ///
  /// - Throws: INTERNAL, naming the entry that cannot be sent.
  func append(to fields: inout [HeaderField]) throws(RPCError) {
    for entry in entries {
      guard !Metadata.isReserved(entry.name), entry.name.utf8.allSatisfy(Metadata.isNameByte) else {
        throw RPCError(
          .internalError,
          "metadata name '\(entry.name)' cannot be sent: use a-z 0-9 _ . - and no reserved grpc- name")
      }
      switch entry.value {
      case .text(let text):
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 <= 0x7e }), !Metadata.isBinary(entry.name) else {
          throw RPCError(
            .internalError,
            "the value of metadata '\(entry.name)' is not printable ASCII: use a name that ends in -bin")
        }
        fields.append(HeaderField(entry.name, text))
      case .binary(let bytes):
        guard Metadata.isBinary(entry.name) else {
          throw RPCError(.internalError, "metadata '\(entry.name)' has bytes: its name has to end in -bin")
        }
        fields.append(HeaderField(entry.name, Base64.encode(bytes)))
      }
    }
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
      UInt8(ascii: "-"), UInt8(ascii: "."):
      true
    default: false
    }
  }
}
