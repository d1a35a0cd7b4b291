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
struct LengthPrefixedReader {
  private var buffer = ByteBuffer()
  private let maxMessageBytes: Int
  /// Whether the peer announced an encoding (other than identity) that could explain a set compression flag.
  private let encodingAnnounced: Bool

  init(maxMessageBytes: Int, encodingAnnounced: Bool = false) {
    self.maxMessageBytes = maxMessageBytes
    self.encodingAnnounced = encodingAnnounced
  }

  /// Bytes of the message that is not complete yet, its prefix included.
  var pendingBytes: Int { buffer.readableBytes }

  mutating func append(_ bytes: ByteBuffer) {
    if buffer.readableBytes == 0 {
      buffer = bytes
    } else {
      var bytes = bytes
      buffer.writeBuffer(&bytes)
    }
  }

  /// The next complete message; nil when more bytes are needed.
  mutating func next() throws(RPCError) -> ByteBuffer? {
    guard let flag: UInt8 = buffer.getInteger(at: buffer.readerIndex),
      let length: UInt32 = buffer.getInteger(at: buffer.readerIndex + 1)
    else { return nil }
    guard flag == 0 else {
      throw flag == 1 && encodingAnnounced
        ? RPCError(.unimplemented, "compressed messages are not supported")
        : RPCError(.internalError, "message with compression flag \(flag) but no grpc-encoding")
    }
    guard Int(length) <= maxMessageBytes else {
      throw RPCError(
        .resourceExhausted, "received a message of \(length) bytes; the limit is \(maxMessageBytes) bytes")
    }
    guard buffer.readableBytes >= MessagePrefix.byteCount + Int(length) else { return nil }
    buffer.moveReaderIndex(forwardBy: MessagePrefix.byteCount)
    let message = buffer.readSlice(length: Int(length))
    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
    return message
  }

  /// All complete messages.
  mutating func takeMessages() throws(RPCError) -> [ByteBuffer] {
    var messages: [ByteBuffer] = []
    while let message = try next() { messages.append(message) }
    return messages
  }
}
