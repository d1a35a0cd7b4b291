import NIOCore

/// The five bytes before each message: a compression flag and a big-endian length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
enum MessagePrefix {
  static let byteCount = 5

  /// What a message costs on the wire.
  static func wireBytes(_ message: ByteBuffer) -> Int { byteCount + message.readableBytes }
}

/// Cuts a stream of DATA payload into messages, however it is split. Pure.
///
/// A message whose prefix announces more than the limit is refused when the prefix is complete; nothing is reserved for it.
/// Compressed messages stay so: who takes them decompresses them, one at a time.
struct LengthPrefixedReader {
  private var buffer = ByteBuffer()
  private let maxMessageBytes: Int
  /// What the peer's `grpc-encoding` says.
  private let encoding: MessageEncoding

  init(maxMessageBytes: Int, encoding: MessageEncoding = .identity) {
    self.maxMessageBytes = maxMessageBytes
    self.encoding = encoding
  }

  /// Bytes of the message that is not complete yet, its prefix included.
  var pendingBytes: Int { buffer.readableBytes }

  /// The memory behind that, bytes.
  var heldBytes: Int { buffer.readableBytes == 0 ? 0 : buffer.storageCapacity }

  mutating func append(_ bytes: ByteBuffer) {
    guard buffer.readableBytes > 0 else {
      buffer = bytes
      return
    }
    if buffer.readerIndex > 0 {
      // What was read before lies in the same memory, and messages cut from it share it: writing behind the rest
      // would keep all of that, and copy it for each message that somebody holds.
      var rest = ByteBufferAllocator().buffer(capacity: buffer.readableBytes + bytes.readableBytes)
      rest.writeImmutableBuffer(buffer)
      buffer = rest
    }
    buffer.writeImmutableBuffer(bytes)
  }

  /// The next complete message; nil when more bytes are needed.
  mutating func next() throws(RPCError) -> WireMessage? {
    guard let flag: UInt8 = buffer.getInteger(at: buffer.readerIndex),
      let length: UInt32 = buffer.getInteger(at: buffer.readerIndex + 1)
    else { return nil }
    guard flag == 0 || (flag == 1 && encoding != .identity) else {
      throw RPCError(
        .internalError,
        flag == 1
          ? "received a message with the compression flag, but grpc-encoding is identity"
          : "received a message with compression flag \(flag); expected 0 or 1")
    }
    guard Int(length) <= maxMessageBytes else {
      throw RPCError(
        .resourceExhausted, "received a message of \(length) bytes; the limit is \(maxMessageBytes) bytes")
    }
    guard buffer.readableBytes >= MessagePrefix.byteCount + Int(length) else { return nil }
    buffer.moveReaderIndex(forwardBy: MessagePrefix.byteCount)
    guard let bytes = buffer.readSlice(length: Int(length)) else { return nil }
    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
    return WireMessage(bytes: bytes, isCompressed: flag == 1)
  }

  /// All complete messages.
  mutating func takeMessages() throws(RPCError) -> MessageBatch {
    var messages = MessageBatch()
    while let message = try next() { messages.append(message.bytes, isCompressed: message.isCompressed) }
    return messages
  }
}
