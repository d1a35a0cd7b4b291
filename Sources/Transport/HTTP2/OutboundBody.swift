import NIOCore

/// The bytes of one stream that wait for the peer's flow-control window, and how the stream ends after them.
///
/// Owned by its `HTTP2Session`, on the session's event loop.
final class OutboundBody {
  enum End {
    /// More may come.
    case open
    /// END_STREAM on the last DATA frame.
    case endStream
    /// Trailers follow the last DATA frame.
    case trailers([HeaderField])
  }

  /// Messages up to this size are copied next to each other; larger ones are kept as they are.
  private static let copyLimit = 8 * 1_024

  private var chunks = CircularBuffer<ByteBuffer>()
  /// The chunk that small messages are copied to. Not yet in `chunks`.
  private var tail = ByteBuffer()
  private(set) var byteCount = 0
  var end = End.open
  /// nghttp2 was told that there is nothing to send for now.
  var isDeferred = false

  func append(contentsOf messages: MessageBatch) {
    for message in messages { append(message.bytes, isCompressed: message.isCompressed) }
  }

  private func append(_ message: ByteBuffer, isCompressed: Bool) {
    byteCount += MessagePrefix.wireBytes(message)
    tail.writeInteger(UInt8(isCompressed ? 1 : 0))
    tail.writeInteger(UInt32(message.readableBytes))
    if message.readableBytes <= OutboundBody.copyLimit {
      tail.writeImmutableBuffer(message)
      if tail.readableBytes > 2 * OutboundBody.copyLimit { sealTail() }
    } else {
      sealTail()
      chunks.append(message)
    }
  }

  private func sealTail() {
    guard tail.readableBytes > 0 else { return }
    chunks.append(tail)
    tail = ByteBuffer()
  }

  /// Moves exactly `count` bytes, at most `byteCount`, to `output`.
  func move(_ count: Int, to output: inout ByteBuffer) {
    var left = count
    while left > 0 {
      if chunks.isEmpty {
        left -= OutboundBody.move(left, from: &tail, to: &output)
        if tail.readableBytes == 0 { tail.clear() }
      } else {
        left -= OutboundBody.move(left, from: &chunks[chunks.startIndex], to: &output)
        if chunks[chunks.startIndex].readableBytes == 0 { chunks.removeFirst() }
      }
    }
    byteCount -= count
  }

  private static func move(_ count: Int, from source: inout ByteBuffer, to output: inout ByteBuffer) -> Int {
    let part = min(count, source.readableBytes)
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: part) { target in
      source.readWithUnsafeReadableBytes { bytes in
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(part)))
        return part
      }
    }
    return part
  }
}
