import CZlib
import NIOCore

/// gzip files in memory, by zlib. Pure.
enum GZip {
  /// zlib's largest window, and its sign for a gzip header and trailer.
  private static let windowBits = MAX_WBITS + 16
  private static let memoryLevel: Int32 = 8
  /// No deflate stream expands further (zlib's technical notes).
  private static let maxExpansion = 1_032
  /// Header, empty block and trailer.
  private static let smallestFile = 20

  /// The compressed form of a message; nil when it would not be smaller.
  ///
  /// - Throws: RESOURCE_EXHAUSTED when there is no memory for it.
  static func compress(_ message: ByteBuffer) throws(RPCError) -> ByteBuffer? {
    guard message.readableBytes > smallestFile else { return nil }
    var stream = z_stream()
    let started = deflateInit2_(
      &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, windowBits, memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    guard started == Z_OK else { throw outOfMemory }
    defer { deflateEnd(&stream) }
    var output = ByteBuffer()
    // One byte less than the message: what does not fit is not worth sending.
    let room = message.readableBytes - 1
    let result = message.withUnsafeReadableBytes { input in
      feed(&stream, input)
      var result = Z_OK
      output.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
        stream.next_out = target.bindMemory(to: Bytef.self).baseAddress
        stream.avail_out = UInt32(room)
        result = deflate(&stream, Z_FINISH)
        return room - Int(stream.avail_out)
      }
      return result
    }
    return result == Z_STREAM_END ? output : nil
  }

  /// The message in a gzip file of one or more members.
  ///
  /// The size is limited while inflating: memory follows what the file says its size is, when that is within the limit, and
  /// what comes out; for a file that claims more than the limit nothing is reserved at all.
  ///
  /// - Throws: RESOURCE_EXHAUSTED past `limit` bytes; INTERNAL for what is no complete gzip file.
  static func decompress(_ file: ByteBuffer, limit: Int) throws(RPCError) -> ByteBuffer {
    var stream = z_stream()
    guard
      inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw outOfMemory }
    defer { inflateEnd(&stream) }
    let claimed = claimedSize(file)
    // The bytes of a file that will be refused go to the same small place again and again.
    let keepsOutput = claimed <= limit
    var output = ByteBuffer()
    var total = 0
    let outcome = file.withUnsafeReadableBytes { input -> Result<Void, RPCError> in
      feed(&stream, input)
      while true {
        let step = nextStep(total: total, claimed: claimed, inputBytes: input.count, limit: limit)
        if !keepsOutput { output.clear() }
        var result = Z_OK
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: step) { target in
          stream.next_out = target.bindMemory(to: Bytef.self).baseAddress
          stream.avail_out = UInt32(step)
          result = inflate(&stream, Z_NO_FLUSH)
          return step - Int(stream.avail_out)
        }
        total += step - Int(stream.avail_out)
        guard total <= limit else { return .failure(oversize(limit)) }
        switch result {
        case Z_STREAM_END where stream.avail_in == 0: return .success(())
        case Z_STREAM_END: inflateReset(&stream)
        case Z_OK where stream.avail_in > 0 || stream.avail_out == 0: continue
        case Z_OK, Z_BUF_ERROR: return .failure(corrupt("it ends too early"))
        case Z_MEM_ERROR: return .failure(outOfMemory)
        default: return .failure(corrupt(stream.msg.map { String(cString: $0) } ?? "zlib error \(result)"))
        }
      }
    }
    try outcome.get()
    return output
  }

  /// How much room to give to the next piece of output: all that the file claims at first, then more by halves, and one
  /// byte past the limit at the most, which tells that the limit is passed.
  private static func nextStep(total: Int, claimed: Int, inputBytes: Int, limit: Int) -> Int {
    guard claimed <= limit else { return discardedStep }
    let plausible = min(claimed, inputBytes * maxExpansion)
    let wanted = total == 0 ? max(plausible, smallestFile) : max(total / 2, 64)
    return max(1, min(wanted, limit - total))
  }

  private static let discardedStep = 16 * 1_024

  /// The size in the trailer of the last member, modulo 2^32 (RFC 1952, ISIZE); zero when there is no room for one.
  private static func claimedSize(_ file: ByteBuffer) -> Int {
    let trailer = max(file.readerIndex, file.writerIndex - 4)
    return Int(file.getInteger(at: trailer, endianness: .little, as: UInt32.self) ?? 0)
  }

  private static func feed(_ stream: inout z_stream, _ input: UnsafeRawBufferPointer) {
    // zlib only reads from it.
    stream.next_in = UnsafeMutablePointer(
      mutating: input.bindMemory(to: Bytef.self).baseAddress)
    stream.avail_in = UInt32(input.count)
  }

  private static func oversize(_ limit: Int) -> RPCError {
    RPCError(
      .resourceExhausted, "received a compressed message of more than \(limit) bytes, which is the limit")
  }

  private static func corrupt(_ reason: String) -> RPCError {
    RPCError(.internalError, "received a compressed message that is no gzip file: \(reason)")
  }

  private static let outOfMemory = RPCError(.resourceExhausted, "no memory for gzip")
}

extension WireMessage {
  /// A message to send: compressed, unless that does not make it smaller. Errors as in `GZip.compress`.
  init(compressing message: ByteBuffer) throws(RPCError) {
    if let compressed = try GZip.compress(message) {
      self.init(bytes: compressed, isCompressed: true)
    } else {
      self.init(bytes: message)
    }
  }

  /// The message's own bytes, at most `limit` of them. Errors as in `GZip.decompress`.
  func decompressed(limit: Int) throws(RPCError) -> ByteBuffer {
    isCompressed ? try GZip.decompress(bytes, limit: limit) : bytes
  }
}
