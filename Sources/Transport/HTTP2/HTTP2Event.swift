import CNghttp2
import NIOCore

/// What `HTTP2Session` found in the bytes it was fed, or did with the bytes it gave out.
enum HTTP2Event {
  /// A complete header block: a request, a response or trailers. `isOversized`: past the header list limit, cut.
  case headers(stream: Int32, fields: [HeaderField], endStream: Bool, isOversized: Bool)
  /// DATA payload; consecutive frames of one stream are joined.
  case data(stream: Int32, ByteBuffer)
  /// END_STREAM on a DATA frame.
  case endStream(Int32)
  /// Our END_STREAM was written.
  case endStreamSent(Int32)
  /// The stream is gone. Code 0 when both sides ended it in order.
  case streamClosed(Int32, code: UInt32)
  /// A request was dropped before a byte of it was written.
  case requestNotSent(Int32)
  /// The peer's SETTINGS arrived.
  case settings
  /// The answer to a PING.
  case pingAck(UInt64)
  /// HEADERS on a stream that is over, and not by our reset: a stream error STREAM_CLOSED (RFC 9113, 5.1).
  case headersOnClosedStream(Int32)
  /// The peer broke a rule that nghttp2 does not check: a connection error.
  case violation(code: UInt32, reason: String)
  /// The peer will not process streams after `lastStream`.
  case goAway(lastStream: Int32, code: UInt32, debug: String)
}

/// HTTP/2 error codes (RFC 9113, section 7) that this module sends.
enum HTTP2ErrorCode {
  static let noError: UInt32 = 0x0
  static let protocolError: UInt32 = 0x1
  static let internalError: UInt32 = 0x2
  static let flowControlError: UInt32 = 0x3
  static let streamClosed: UInt32 = 0x5
  static let frameSizeError: UInt32 = 0x6
  static let refusedStream: UInt32 = 0x7
  static let cancel: UInt32 = 0x8
  static let enhanceYourCalm: UInt32 = 0xb
}

/// A connection that cannot go on, in nghttp2's words.
struct HTTP2SessionError: Error, CustomStringConvertible {
  var operation: String
  /// An `nghttp2_error`.
  var code: Int
  var reason: String
  /// Too much of something that costs the peer little, rather than a broken rule.
  var isAbuse: Bool {
    let limits = [NGHTTP2_ERR_FLOODED, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, NGHTTP2_ERR_TOO_MANY_SETTINGS]
    return limits.contains { Int($0.rawValue) == code }
  }
  var description: String { "\(operation): \(reason) (nghttp2 error \(code))" }
}
