/// What a request's header block says.
struct RequestHead: Sendable {
  var path: String
  /// Nanoseconds from now; nil when the caller set no deadline.
  var timeoutNanoseconds: Int64?
  /// How the caller may compress its messages.
  var encoding: MessageEncoding
  /// Whether the caller can read gzip.
  var acceptsGZip: Bool
  var metadata: Metadata

  /// Why a request does not reach a handler.
  enum Rejection: Error, Equatable {
    /// Not gRPC: answer with a plain HTTP status.
    case http(status: Int)
    /// gRPC: answer with trailers only.
    case grpc(code: StatusCode, message: String)
  }

  /// Checks a request as gRPC over HTTP/2, "Requests", asks. nghttp2 has checked the pseudo-headers already.
  init(fields: [HeaderField]) throws(Rejection) {
    guard fields.value(of: ":method") == "POST" else { throw .http(status: 405) }
    guard let contentType = fields.value(of: "content-type"), RequestHead.isGRPC(contentType) else {
      throw .http(status: 415)
    }
    guard let path = fields.value(of: ":path") else { throw .http(status: 400) }
    let encodingName = fields.value(of: "grpc-encoding")
    guard let encoding = MessageEncoding(header: encodingName) else {
      throw .grpc(
        code: .unimplemented,
        message:
          "grpc-encoding '\((encodingName ?? "").prefix(32))' is not supported; accepted: \(MessageEncoding.accepted)"
      )
    }
    self.encoding = encoding
    acceptsGZip = MessageEncoding.gzip.isAccepted(by: fields.value(of: "grpc-accept-encoding"))
    self.path = path
    if let text = fields.value(of: "grpc-timeout") {
      guard let timeout = GRPCTimeout.decode(text) else {
        throw .grpc(
          code: .internalError,
          message:
            "grpc-timeout '\(text.prefix(32))' is malformed: expected up to 8 digits and one of H M S m u n")
      }
      timeoutNanoseconds = timeout
    }
    metadata = Metadata(receivedFields: fields)
  }

  /// `application/grpc`, with an optional `+proto`-like suffix or parameters. Another word, such as grpc-web, is not.
  static func isGRPC(_ contentType: String) -> Bool {
    let prefix = "application/grpc"
    let lowercased = contentType.lowercased()
    guard lowercased.hasPrefix(prefix) else { return false }
    guard let next = lowercased.utf8.dropFirst(prefix.utf8.count).first else { return true }
    return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
  }
}

/// The header blocks that this module writes.
enum GRPCHeaders {
  static func request(
    path: String, scheme: String, authority: String, userAgent: String, timeoutNanoseconds: Int64?,
    encoding: MessageEncoding, metadata: Metadata
  ) throws(RPCError) -> [HeaderField] {
    var fields = [
      HeaderField(":method", "POST"), HeaderField(":scheme", scheme), HeaderField(":path", path),
      HeaderField(":authority", authority), HeaderField("te", "trailers"),
      HeaderField("content-type", "application/grpc"), HeaderField("user-agent", userAgent),
      acceptEncoding,
    ]
    if encoding != .identity { fields.append(HeaderField("grpc-encoding", encoding.rawValue)) }
    if let timeoutNanoseconds {
      fields.append(HeaderField("grpc-timeout", GRPCTimeout.encode(nanoseconds: timeoutNanoseconds)))
    }
    try metadata.append(to: &fields)
    return fields
  }

  private static let acceptEncoding = HeaderField("grpc-accept-encoding", MessageEncoding.accepted)

  private static let responseStart = [
    HeaderField(":status", "200"), HeaderField("content-type", "application/grpc"),
  ]

  static func response(encoding: MessageEncoding, metadata: Metadata) throws(RPCError) -> [HeaderField] {
    var fields = responseStart
    if encoding != .identity { fields.append(HeaderField("grpc-encoding", encoding.rawValue)) }
    try metadata.append(to: &fields)
    return fields
  }

  private static let trailersOK = [HeaderField("grpc-status", "0")]

  static func trailers(_ status: RPCStatus) throws(RPCError) -> [HeaderField] {
    if status.code == .ok, status.message.isEmpty, status.metadata.isEmpty { return trailersOK }
    var fields = [HeaderField("grpc-status", String(status.code.rawValue))]
    if !status.message.isEmpty {
      fields.append(HeaderField("grpc-message", PercentEncoding.encode(clipped(status.message))))
    }
    try status.metadata.append(to: &fields)
    return fields
  }

  static func trailersOnly(_ status: RPCStatus) throws(RPCError) -> [HeaderField] {
    responseStart + (try trailers(status))
  }

  /// Trailers-only for a request that is refused before it reaches a handler.
  static func rejection(_ rejection: RequestHead.Rejection) -> [HeaderField] {
    switch rejection {
    case .http(let status):
      return [HeaderField(":status", String(status))]
    case .grpc(let code, let message):
      var fields = responseStart
      fields.append(HeaderField("grpc-status", String(code.rawValue)))
      fields.append(HeaderField("grpc-message", PercentEncoding.encode(clipped(message))))
      if code == .unimplemented { fields.append(acceptEncoding) }
      return fields
    }
  }

  /// Messages longer than this are cut: they share the header list with everything else and peers limit it.
  private static let maxMessageBytes = 1_024

  private static func clipped(_ message: String) -> String {
    guard message.utf8.count > maxMessageBytes else { return message }
    return String(decoding: message.utf8.prefix(maxMessageBytes), as: UTF8.self) + "…"
  }
}

extension RPCStatus {
  /// The status in a trailer block; nil when it has none.
  init?(trailers fields: [HeaderField]) {
    guard let text = fields.value(of: "grpc-status") else { return nil }
    let message = fields.value(of: "grpc-message").map(PercentEncoding.decode) ?? ""
    guard let number = Int(text) else {
      self.init(.unknown, "grpc-status '\(text.prefix(32))' is not a number")
      return
    }
    self.init(StatusCode(rawValue: number), message, metadata: Metadata(receivedFields: fields))
  }

  /// The status of a response that is not gRPC (grpc/doc/http-grpc-status-mapping.md).
  init(httpStatus: String) {
    let code: StatusCode =
      switch httpStatus {
      case "400": .internalError
      case "401": .unauthenticated
      case "403": .permissionDenied
      case "404": .unimplemented
      case "429", "502", "503", "504": .unavailable
      default: .unknown
      }
    self.init(code, "the server answered with HTTP status \(httpStatus) instead of gRPC")
  }
}

extension RPCError {
  /// The status of a call whose stream was reset (gRPC over HTTP/2, "Errors").
  static func streamReset(code: UInt32) -> RPCError {
    switch code {
    case 0x7: .refused("the peer refused the stream (REFUSED_STREAM)")
    case 0x8: RPCError(.cancelled, "the peer cancelled the call")
    case 0xb: RPCError(.resourceExhausted, "the peer asks to calm down (ENHANCE_YOUR_CALM)")
    case 0xc: RPCError(.permissionDenied, "the peer wants better transport security (INADEQUATE_SECURITY)")
    default: RPCError(.internalError, "the peer reset the stream with HTTP/2 error code \(code)")
    }
  }
}
