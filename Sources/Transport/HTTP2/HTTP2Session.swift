import CNghttp2
import NIOCore

/// One HTTP/2 connection as a codec: feed bytes in, take events and bytes out. No IO, no clock.
///
/// Ownership: this object owns its `nghttp2_session`, which knows it by an unretained pointer, and deletes it in `deinit`.
/// It is bound to one event loop. nghttp2's callbacks only record events; whoever feeds or drains looks at them
/// afterwards, so nothing here calls back into nghttp2 from a callback (but for `submit_trailer`, which may).
final class HTTP2Session {
  enum Role { case client, server }

  let role: Role
  private let session: OpaquePointer
  private let maxHeaderListBytes: Int
  private var events: [HTTP2Event] = []
  /// The header block that is being received; HTTP/2 allows only one at a time.
  private var fields: [HeaderField] = []
  private var headerBytes = 0
  /// DATA that is still being joined.
  private var openData = ByteBuffer()
  private var openDataStream: Int32 = 0
  private var bodies: [Int32: OutboundBody] = [:]
  private var nameValueScratch: [UInt8] = []
  /// Bytes to write to the socket.
  private var output = ByteBuffer()
  private var isOutputTaken = false
  /// Past this many bytes of output, DATA frames wait for the next drain.
  private var outputLimit = 0
  private var isBlocked = false
  /// DATA payload moved to `output`, per stream, since `takeSentBytes`.
  private var sentBytes: [(stream: Int32, count: Int)] = []
  /// Frames received since the session began.
  private(set) var frameCount = 0
  /// Frames that cost the peer nothing since `takeCheapFrames` (see `FloodGuard`).
  private var cheapFrames = 0
  /// Streams that the peer reset, or made us reset, since `takeResets`.
  private var resets = 0
  private var ended = EndedStreams()
  /// Streams whose reset answers a frame that nghttp2 found invalid.
  private var blamed: Set<Int32> = []
  /// A SETTINGS frame arrived after which nothing has been sent yet.
  private var hasFreshSettings = false

  init(role: Role, limits: TransportLimits) throws {
    self.role = role
    self.maxHeaderListBytes = limits.maxHeaderListBytes
    self.session = try HTTP2Session.makeSession(role: role, limits: limits)
    nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
    try submitSettings(limits)
  }

  deinit {
    nghttp2_session_del(session)
  }

  // MARK: Bytes in, bytes out

  /// Parses what the peer sent. Afterwards `takeEvents()` tells what it was.
  func receive(_ bytes: ByteBuffer) throws(HTTP2SessionError) {
    let result = bytes.withUnsafeReadableBytes { bytes in
      nghttp2_session_mem_recv(session, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
    }
    closeData()
    guard result >= 0 else { throw error("receiving", Int32(result)) }
  }

  /// Fills the output with up to about `limit` bytes of frames. Returns whether it stopped at the limit.
  func drain(limit: Int) throws(HTTP2SessionError) -> Bool {
    if isOutputTaken {
      // By now the socket has mostly let go of the last output, so that its storage can be used again.
      if output.capacity > HTTP2Session.keptOutputCapacity { output = ByteBuffer() } else { output.clear() }
      isOutputTaken = false
    }
    outputLimit = limit
    isBlocked = false
    defer { if output.readableBytes < limit { hasFreshSettings = false } }
    while output.readableBytes < limit, !isBlocked {
      var data: UnsafePointer<UInt8>?
      let before = output.readableBytes
      let count = nghttp2_session_mem_send(session, &data)
      guard count >= 0 else { throw error("sending", Int32(count)) }
      if count > 0 {
        output.writeBytes(UnsafeRawBufferPointer(start: data, count: count))
      } else if output.readableBytes == before, !isBlocked {
        return false
      }
    }
    return true
  }

  private static let keptOutputCapacity = 64 * 1_024

  /// The bytes to write since the last call, if any.
  func takeOutput() -> ByteBuffer? {
    guard !isOutputTaken, output.readableBytes > 0 else { return nil }
    isOutputTaken = true
    return output
  }

  func takeEvents() -> [HTTP2Event] {
    defer { events.removeAll(keepingCapacity: true) }
    return events
  }

  func takeSentBytes() -> [(stream: Int32, count: Int)] {
    defer { sentBytes.removeAll(keepingCapacity: true) }
    return sentBytes
  }

  func takeCheapFrames() -> Int {
    defer { cheapFrames = 0 }
    return cheapFrames
  }

  func takeResets() -> Int {
    defer { resets = 0 }
    return resets
  }

  /// Whether the connection has come to its end: nothing to expect and nothing to say.
  var isFinished: Bool {
    nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
  }

  // MARK: Streams

  /// Starts a request; `body` may be filled later. Returns the stream's number.
  func submitRequest(_ fields: [HeaderField], body: OutboundBody) throws(HTTP2SessionError) -> Int32 {
    let stream = withNameValues(fields) { nameValues in
      var provider = nghttp2_data_provider(source: nghttp2_data_source(), read_callback: readBody)
      return nghttp2_submit_request(session, nil, nameValues.baseAddress, nameValues.count, &provider, nil)
    }
    guard stream > 0 else { throw error("starting a request", stream) }
    bodies[stream] = body
    return stream
  }

  /// Starts a response. Without a body, the headers end the stream.
  func submitResponse(stream: Int32, _ fields: [HeaderField], body: OutboundBody?) throws(HTTP2SessionError) {
    let result = withNameValues(fields) { nameValues in
      guard body != nil else {
        return nghttp2_submit_response(session, stream, nameValues.baseAddress, nameValues.count, nil)
      }
      var provider = nghttp2_data_provider(source: nghttp2_data_source(), read_callback: readBody)
      return nghttp2_submit_response(session, stream, nameValues.baseAddress, nameValues.count, &provider)
    }
    guard result == 0 else { throw error("starting a response", result) }
    bodies[stream] = body
  }

  /// To be called when the body of a stream got bytes or an end.
  func bodyChanged(stream: Int32) throws(HTTP2SessionError) {
    guard let body = bodies[stream], body.isDeferred else { return }
    body.isDeferred = false
    let result = nghttp2_session_resume_data(session, stream)
    guard result == 0 else { throw error("resuming a body", result) }
  }

  /// Resets a stream. One that is gone already is left alone.
  func reset(stream: Int32, code: UInt32) {
    nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code)
  }

  /// Whether the peer has yet to end this stream.
  func isRemoteOpen(stream: Int32) -> Bool {
    nghttp2_session_get_stream_remote_close(session, stream) == 0
  }

  func consumeStream(_ stream: Int32, bytes: Int) {
    nghttp2_session_consume_stream(session, stream, bytes)
  }

  func consumeConnection(bytes: Int) {
    nghttp2_session_consume_connection(session, bytes)
  }

  // MARK: Connection

  func submitPing(_ payload: UInt64) {
    withUnsafeBytes(of: payload.bigEndian) { bytes in
      _ = nghttp2_submit_ping(session, 0, bytes.bindMemory(to: UInt8.self).baseAddress)
    }
  }

  /// Announces that a GOAWAY will follow, so that streams already on their way are still served (RFC 9113, 6.8).
  func submitShutdownNotice() {
    nghttp2_submit_shutdown_notice(session)
  }

  /// GOAWAY after which only the streams that have begun go on.
  func submitGoAway() {
    let last = nghttp2_session_get_last_proc_stream_id(session)
    nghttp2_submit_goaway(session, 0, last, HTTP2ErrorCode.noError, nil, 0)
  }

  /// GOAWAY that ends everything now.
  func terminate(code: UInt32) {
    nghttp2_session_terminate_session(session, code)
  }

  private func error(_ operation: String, _ code: Int32) -> HTTP2SessionError {
    HTTP2SessionError(operation: operation, code: Int(code), reason: String(cString: nghttp2_strerror(code)))
  }

  private func submitSettings(_ limits: TransportLimits) throws(HTTP2SessionError) {
    var entries = [
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
        value: UInt32(limits.streamWindowBytes)),
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
        value: UInt32(limits.maxHeaderListBytes)),
    ]
    switch role {
    case .client:
      entries.append(
        nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0))
    case .server:
      entries.append(
        nghttp2_settings_entry(
          settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
          value: UInt32(limits.maxConcurrentStreams)))
    }
    let result = nghttp2_submit_settings(session, 0, entries, entries.count)
    guard result == 0 else { throw error("submitting SETTINGS", result) }
    nghttp2_session_set_local_window_size(session, 0, 0, Int32(limits.connectionWindowBytes))
  }

  /// Lays the fields out as `nghttp2_nv`. nghttp2 copies them before the call returns.
  private func withNameValues<R>(_ fields: [HeaderField], _ body: (UnsafeBufferPointer<nghttp2_nv>) -> R) -> R
  {
    nameValueScratch.removeAll(keepingCapacity: true)
    for field in fields {
      nameValueScratch.append(contentsOf: field.name.utf8)
      nameValueScratch.append(contentsOf: field.value.utf8)
    }
    return nameValueScratch.withUnsafeMutableBufferPointer { scratch in
      withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: fields.count) { nameValues in
        var offset = 0
        for (index, field) in fields.enumerated() {
          let nameLength = field.name.utf8.count
          let valueLength = field.value.utf8.count
          let start = scratch.baseAddress.map { $0 + offset }
          nameValues.initializeElement(
            at: index,
            to: nghttp2_nv(
              name: start, value: start.map { $0 + nameLength }, namelen: nameLength, valuelen: valueLength,
              flags: 0))
          offset += nameLength + valueLength
        }
        return body(UnsafeBufferPointer(rebasing: nameValues[..<fields.count]))
      }
    }
  }
}

// MARK: - What the callbacks record

extension HTTP2Session {
  func beginHeaders() {
    fields = []
    headerBytes = 0
  }

  func addHeader(name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) {
    // The size of a field as RFC 9113, 6.5.2 counts it.
    headerBytes += name.count + value.count + 32
    guard headerBytes <= maxHeaderListBytes else { return }
    fields.append(
      HeaderField(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
  }

  /// nghttp2 quietly drops HEADERS on streams that it has forgotten; RFC 9113 asks for an error. It does not call this for
  /// DATA that it drops, so that DATA is judged by the closed streams that nghttp2 remembers.
  func beginFrame(_ header: nghttp2_frame_hd) {
    let type = nghttp2_frame_type(rawValue: UInt32(header.type))
    guard role == .server, type == NGHTTP2_HEADERS, header.stream_id % 2 == 1 else { return }
    let stream = nghttp2_session_find_stream(session, header.stream_id)
    let state = stream.map { nghttp2_stream_get_state($0) }
    let isLive = state != nil && state != NGHTTP2_STREAM_STATE_IDLE && state != NGHTTP2_STREAM_STATE_CLOSED
    switch ended.headersReceived(on: header.stream_id, isLive: isLive) {
    case .proceed: break
    case .streamClosed:
      cheapFrames += 1
      record(.headersOnClosedStream(header.stream_id))
    case .neverOpened:
      record(
        .violation(
          code: HTTP2ErrorCode.protocolError,
          reason: "HEADERS on stream \(header.stream_id), which is lower than an earlier one"))
    }
  }

  func invalidFrameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
    blamed.insert(frame.pointee.hd.stream_id)
  }

  func frameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
    frameCount &+= 1
    let header = frame.pointee.hd
    switch nghttp2_frame_type(rawValue: UInt32(header.type)) {
    case NGHTTP2_DATA:
      let endStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
      if endStream { record(.endStream(header.stream_id)) } else if header.length == 0 { cheapFrames += 1 }
    case NGHTTP2_HEADERS:
      let endStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
      record(
        .headers(
          stream: header.stream_id, fields: fields, endStream: endStream,
          isOversized: headerBytes > maxHeaderListBytes))
      fields = []
    case NGHTTP2_SETTINGS:
      guard header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 else { return }
      cheapFrames += 1
      hasFreshSettings = true
      record(.settings)
    case NGHTTP2_PING:
      guard header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 else {
        cheapFrames += 1
        return
      }
      let payload = withUnsafeBytes(of: frame.pointee.ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
      record(.pingAck(UInt64(bigEndian: payload)))
    case NGHTTP2_GOAWAY:
      let goAway = frame.pointee.goaway
      let debug = UnsafeBufferPointer(start: goAway.opaque_data, count: min(goAway.opaque_data_len, 256))
      record(
        .goAway(
          lastStream: goAway.last_stream_id, code: goAway.error_code,
          debug: String(decoding: debug, as: UTF8.self)))
    case NGHTTP2_WINDOW_UPDATE:
      // No gRPC message is smaller than its prefix; nobody needs such updates.
      if frame.pointee.window_update.window_size_increment < MessagePrefix.byteCount { cheapFrames += 1 }
    case NGHTTP2_PRIORITY:
      cheapFrames += 1
    case NGHTTP2_RST_STREAM:
      resets += 1
    default:
      break
    }
  }

  func dataReceived(stream: Int32, _ bytes: UnsafeBufferPointer<UInt8>) {
    if openData.readableBytes > 0, openDataStream != stream { closeData() }
    openDataStream = stream
    openData.writeBytes(bytes)
  }

  private func closeData() {
    guard openData.readableBytes > 0 else { return }
    events.append(.data(stream: openDataStream, openData))
    openData = ByteBuffer()
  }

  private func record(_ event: HTTP2Event) {
    closeData()
    events.append(event)
  }

  func frameSent(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    let type = nghttp2_frame_type(rawValue: UInt32(header.type))
    if type == NGHTTP2_RST_STREAM {
      resetSent(header.stream_id, code: frame.pointee.rst_stream.error_code)
    }
    guard type == NGHTTP2_DATA || type == NGHTTP2_HEADERS,
      header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    else { return }
    record(.endStreamSent(header.stream_id))
  }

  private func resetSent(_ stream: Int32, code: UInt32) {
    ended.resetByUs(stream)
    let isBlamed = blamed.remove(stream) != nil
    // nghttp2 resets a stream whose window a new setting lifts too high; RFC 9113, 6.9.2 wants a connection error.
    if code == HTTP2ErrorCode.flowControlError, hasFreshSettings, !isBlamed {
      record(.violation(code: code, reason: "a new initial window lifts a stream's window above 2^31-1"))
    }
    switch code {
    case HTTP2ErrorCode.protocolError, HTTP2ErrorCode.flowControlError, HTTP2ErrorCode.streamClosed,
      HTTP2ErrorCode.frameSizeError, HTTP2ErrorCode.refusedStream:
      resets += 1
    default: break
    }
  }

  func frameNotSent(_ frame: UnsafePointer<nghttp2_frame>) {
    guard nghttp2_frame_type(rawValue: UInt32(frame.pointee.hd.type)) == NGHTTP2_HEADERS,
      frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
    else { return }
    bodies[frame.pointee.hd.stream_id] = nil
    record(.requestNotSent(frame.pointee.hd.stream_id))
  }

  func streamClosed(_ stream: Int32, code: UInt32) {
    bodies[stream] = nil
    blamed.remove(stream)
    record(.streamClosed(stream, code: code))
  }

  /// How many bytes the next DATA frame of a stream takes.
  func planDataFrame(stream: Int32, capacity: Int, flags: inout UInt32) -> Int {
    guard let body = bodies[stream] else { return Int(HTTP2Session.callbackFailure) }
    let count = min(capacity, body.byteCount)
    guard count == body.byteCount else {
      flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
      return count
    }
    switch body.end {
    case .open:
      guard count > 0 else {
        body.isDeferred = true
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      }
      flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    case .endStream:
      flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue | NGHTTP2_DATA_FLAG_EOF.rawValue
    case .trailers(let fields):
      flags |=
        NGHTTP2_DATA_FLAG_NO_COPY.rawValue | NGHTTP2_DATA_FLAG_EOF.rawValue
        | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      let result = withNameValues(fields) { nameValues in
        nghttp2_submit_trailer(session, stream, nameValues.baseAddress, nameValues.count)
      }
      guard result == 0 else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
    }
    return count
  }

  /// Writes a DATA frame that `planDataFrame` announced.
  func writeDataFrame(stream: Int32, header: UnsafePointer<UInt8>, length: Int, paddingLength: Int) -> Int32 {
    // No padding callback is installed, so there is no padding to write.
    guard let body = bodies[stream], paddingLength == 0, length <= body.byteCount else {
      return HTTP2Session.callbackFailure
    }
    guard output.readableBytes < outputLimit else {
      isBlocked = true
      return NGHTTP2_ERR_WOULDBLOCK.rawValue
    }
    output.writeBytes(UnsafeRawBufferPointer(start: header, count: 9))
    guard length > 0 else { return 0 }
    body.move(length, to: &output)
    sentBytes.append((stream, length))
    return 0
  }
}
