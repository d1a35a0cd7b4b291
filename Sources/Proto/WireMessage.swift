import CProto

/// A Swift value with a protobuf form: the messages of `proto/rota/v1`.
public protocol WireMessage: Sendable {
  /// How it is coded; made by this module only.
  static var codec: WireCodec<Self> { get }
}

extension WireMessage {
  /// Decodes a message. Unknown fields are ignored. The bytes are not kept.
  ///
  /// - Throws: `ProtoError` that names the field.
  public init(wire bytes: UnsafeRawBufferPointer) throws(ProtoError) {
    self = try Self.codec.decode(bytes)
  }

  /// Decodes a message. Unknown fields are ignored.
  ///
  /// - Throws: `ProtoError` that names the field.
  public init(wire bytes: [UInt8]) throws(ProtoError) {
    // The typed error is carried out by hand: `withUnsafeBytes` rethrows without its type.
    let result = bytes.withUnsafeBytes { buffer -> Result<Self, ProtoError> in
      Result { () throws(ProtoError) -> Self in try Self.codec.decode(buffer) }
    }
    self = try result.get()
  }

  /// The message's bytes; the same value gives the same bytes.
  public func wire() -> [UInt8] { Self.codec.encode(self) }
}

/// How messages of one type are coded.
public struct WireCodec<Message: Sendable>: Sendable {
  let decode: @Sendable (UnsafeRawBufferPointer) throws(ProtoError) -> Message
  let encode: @Sendable (Message) -> [UInt8]
}

extension WireCodec where Message: Mapped {
  /// The codec of a type that is mapped to a C message.
  static var mapped: WireCodec<Message> {
    WireCodec(
      decode: { bytes throws(ProtoError) in try unpack(Message.self, from: bytes) },
      encode: { message in pack(message) })
  }
}

/// A Swift type that corresponds to one C message.
protocol Mapped: Sendable {
  associatedtype Raw: CMessage

  /// Takes the values out of a C message; keeps no pointer.
  init(raw: UnsafePointer<Raw>) throws(ProtoError)

  /// Writes the values to a C message that has just been initialised; what it points to goes to the arena.
  func fill(_ raw: UnsafeMutablePointer<Raw>, _ arena: Arena)
}
