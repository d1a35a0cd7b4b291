import CProto
import CProtobufC

/// A generated C message.
protocol CMessage {
  /// Sets a message to its default, with its descriptor.
  static func initialise(_ message: UnsafeMutablePointer<Self>)
}

/// Decodes bytes into a Swift value. The C form lives in an arena that ends with the call.
func unpack<Message: Mapped>(
  _ type: Message.Type, from bytes: UnsafeRawBufferPointer
) throws(ProtoError) -> Message {
  guard bytes.count <= ProtoLimits.messageBytes else {
    throw ProtoError(
      .tooLarge, field: "", "a message of \(bytes.count) bytes; at most \(ProtoLimits.messageBytes) are taken"
    )
  }
  // Unpacked messages are several times as large as their bytes.
  let arena = Arena(expected: bytes.count * 6, limit: ProtoLimits.unpackedBytes)
  defer { withExtendedLifetime(arena) {} }
  var allocator = arena.allocator
  let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
  guard
    let message = protobuf_c_message_unpack(descriptor(of: Message.Raw.self), &allocator, bytes.count, start)
  else {
    throw ProtoError(
      .malformed, field: "", "the bytes are not a \(Message.self) message, or unpack to too much")
  }
  return try Message(raw: UnsafeRawPointer(message).assumingMemoryBound(to: Message.Raw.self))
}

/// Encodes a Swift value. The C form lives in an arena that ends with the call.
func pack<Message: Mapped>(_ message: Message) -> [UInt8] {
  let arena = Arena(expected: 0, limit: .max)
  defer { withExtendedLifetime(arena) {} }
  let raw = arena.message(message)
  let base = UnsafeRawPointer(raw).assumingMemoryBound(to: ProtobufCMessage.self)
  let size = protobuf_c_message_get_packed_size(base)
  return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    count = size == 0 ? 0 : protobuf_c_message_pack(base, buffer.baseAddress)
  }
}

/// The descriptor that a message of this type carries. The imported constant has no stable address in
/// Swift; the one that the generated initialiser stores has.
private func descriptor<Raw: CMessage>(of type: Raw.Type) -> UnsafePointer<ProtobufCMessageDescriptor>? {
  withUnsafeTemporaryAllocation(of: Raw.self, capacity: 1) { buffer in
    guard let message = buffer.baseAddress else { return nil }
    Raw.initialise(message)
    return UnsafeRawPointer(message).load(as: ProtobufCMessage.self).descriptor
  }
}
