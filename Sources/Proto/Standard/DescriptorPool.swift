import CProto

/// The descriptors of `proto/` and of what it imports, as `scripts/generate-proto` has put them into the program:
/// what a server tells of its own services by reflection.
public struct DescriptorPool: Sendable {
  /// A file of the pool.
  public struct File: Sendable {
    /// Its path below `proto/`, as others import it.
    public var name: String
    /// The names of the files that it imports.
    public var dependencies: [String]
    /// The serialized `google.protobuf.FileDescriptorProto`.
    public var bytes: [UInt8]
  }

  private var files: [String: File] = [:]
  /// By full name: the name of the file that declares it.
  private var symbols: [String: String] = [:]
  /// The full names of all messages.
  private var messages: Set<String> = []

  /// The checked-in descriptors.
  public static let shared: DescriptorPool = {
    var count = 0
    let start = rota_descriptors(&count)
    return DescriptorPool(set: UnsafeRawBufferPointer(start: start, count: count))
  }()

  /// - Parameter set: A serialized `google.protobuf.FileDescriptorSet`. What is broken in it is left out.
  init(set: UnsafeRawBufferPointer) {
    WireFields.forEach(in: set) { field, bytes in
      if field == 1 { add(file: bytes) }
    }
  }

  /// A file by its name.
  public func file(named name: String) -> File? { files[name] }

  /// The file that declares a full name: that of a service, method, message, field, oneof, enum or enum value.
  public func file(containing symbol: String) -> File? { symbols[symbol].flatMap { files[$0] } }

  /// Whether a full name is that of a message.
  public func hasMessage(_ name: String) -> Bool { messages.contains(name) }

  /// A file and all that it needs, itself first, each once.
  public func withDependencies(_ file: File) -> [File] {
    var found = [file]
    var names: Set<String> = [file.name]
    var next = 0
    while next < found.count {
      for name in found[next].dependencies where names.insert(name).inserted {
        if let file = files[name] { found.append(file) }
      }
      next += 1
    }
    return found
  }

  // MARK: Reading descriptors

  // The numbers are those of the fields in google/protobuf/descriptor.proto.

  private mutating func add(file bytes: UnsafeRawBufferPointer) {
    var file = File(name: "", dependencies: [], bytes: Array(bytes))
    var package = ""
    WireFields.forEach(in: bytes) { field, value in
      switch field {
      case 1: file.name = WireFields.text(value)
      case 2: package = WireFields.text(value)
      case 3: file.dependencies.append(WireFields.text(value))
      default: break
      }
    }
    WireFields.forEach(in: bytes) { field, value in
      switch field {
      case 4: add(message: value, in: package, of: file.name)
      case 5: add(enumeration: value, in: package, of: file.name)
      case 6: add(parent: value, members: [2], in: package, of: file.name)
      default: break
      }
    }
    files[file.name] = file
  }

  private mutating func add(message: UnsafeRawBufferPointer, in scope: String, of file: String) {
    let name = add(parent: message, members: [2, 8], in: scope, of: file)
    messages.insert(name)
    WireFields.forEach(in: message) { field, value in
      switch field {
      case 3: add(message: value, in: name, of: file)
      case 4: add(enumeration: value, in: name, of: file)
      default: break
      }
    }
  }

  /// The values of an enum are named beside it, not inside.
  private mutating func add(enumeration: UnsafeRawBufferPointer, in scope: String, of file: String) {
    add(parent: enumeration, members: [], in: scope, of: file)
    WireFields.forEach(in: enumeration) { field, value in
      if field == 2 { add(parent: value, members: [], in: scope, of: file) }
    }
  }

  /// Adds a declaration, and the names of its members that are in these fields.
  /// - Returns: Its full name.
  @discardableResult
  private mutating func add(
    parent: UnsafeRawBufferPointer, members: Set<UInt64>, in scope: String, of file: String
  ) -> String {
    let name = [scope, WireFields.name(in: parent)].filter { !$0.isEmpty }.joined(separator: ".")
    symbols[name] = file
    WireFields.forEach(in: parent) { field, value in
      if members.contains(field) { symbols[name + "." + WireFields.name(in: value)] = file }
    }
    return name
  }
}

/// Walks over the fields of a serialized message: those of descriptors are few and of three kinds, for which the code
/// that protoc-c makes of descriptor.proto would be ten times as much.
private enum WireFields {
  /// Calls `body` with the number and bytes of each length-delimited field; stops at what is no message.
  static func forEach(in bytes: UnsafeRawBufferPointer, _ body: (UInt64, UnsafeRawBufferPointer) -> Void) {
    var rest = bytes[...]
    while let tag = varint(&rest) {
      switch tag & 7 {
      case 0: guard varint(&rest) != nil else { return }
      case 1: guard rest.count >= 8 else { return }; rest = rest.dropFirst(8)
      case 5: guard rest.count >= 4 else { return }; rest = rest.dropFirst(4)
      case 2:
        guard let count = varint(&rest), count <= UInt64(rest.count) else { return }
        body(tag >> 3, UnsafeRawBufferPointer(rebasing: rest.prefix(Int(count))))
        rest = rest.dropFirst(Int(count))
      default: return
      }
    }
  }

  /// Field 1 of a descriptor, which is the name in all of them.
  static func name(in bytes: UnsafeRawBufferPointer) -> String {
    var name = ""
    forEach(in: bytes) { if $0 == 1 { name = text($1) } }
    return name
  }

  static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

  private static func varint(_ rest: inout Slice<UnsafeRawBufferPointer>) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = rest.popFirst() else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}
