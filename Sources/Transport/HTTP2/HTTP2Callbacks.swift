import CNghttp2

// C thunks. `userData` is the `HTTP2Session`, unretained: the session deletes its `nghttp2_session` in `deinit`, so no
// callback can outlive it. Pointers to headers and data die when a thunk returns; what has to live is copied.

private func owner(_ userData: UnsafeMutableRawPointer?) -> HTTP2Session? {
  userData.map { Unmanaged<HTTP2Session>.fromOpaque($0).takeUnretainedValue() }
}

private func onBeginFrame(
  _: OpaquePointer?, header: UnsafePointer<nghttp2_frame_hd>?, userData: UnsafeMutableRawPointer?
) -> Int32 {
  guard let header else { return 0 }
  owner(userData)?.beginFrame(header.pointee)
  return 0
}

private func onInvalidFrame(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, error: Int32, userData: UnsafeMutableRawPointer?
) -> Int32 {
  guard let frame else { return 0 }
  owner(userData)?.invalidFrameReceived(frame)
  return 0
}

private func onBeginHeaders(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, userData: UnsafeMutableRawPointer?
) -> Int32 {
  owner(userData)?.beginHeaders()
  return 0
}

private func onHeader(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, name: UnsafePointer<UInt8>?, nameLength: Int,
  value: UnsafePointer<UInt8>?, valueLength: Int, flags: UInt8, userData: UnsafeMutableRawPointer?
) -> Int32 {
  owner(userData)?.addHeader(
    name: UnsafeBufferPointer(start: name, count: nameLength),
    value: UnsafeBufferPointer(start: value, count: valueLength))
  return 0
}

private func onFrameReceived(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, userData: UnsafeMutableRawPointer?
) -> Int32 {
  guard let frame else { return 0 }
  owner(userData)?.frameReceived(frame)
  return 0
}

private func onDataChunk(
  _: OpaquePointer?, flags: UInt8, stream: Int32, data: UnsafePointer<UInt8>?, length: Int,
  userData: UnsafeMutableRawPointer?
) -> Int32 {
  owner(userData)?.dataReceived(stream: stream, UnsafeBufferPointer(start: data, count: length))
  return 0
}

private func onFrameSent(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, userData: UnsafeMutableRawPointer?
) -> Int32 {
  guard let frame else { return 0 }
  owner(userData)?.frameSent(frame)
  return 0
}

private func onFrameNotSent(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, error: Int32, userData: UnsafeMutableRawPointer?
) -> Int32 {
  guard let frame else { return 0 }
  owner(userData)?.frameNotSent(frame)
  return 0
}

private func onStreamClose(
  _: OpaquePointer?, stream: Int32, code: UInt32, userData: UnsafeMutableRawPointer?
) -> Int32 {
  owner(userData)?.streamClosed(stream, code: code)
  return 0
}

private func onSendData(
  _: OpaquePointer?, frame: UnsafeMutablePointer<nghttp2_frame>?, header: UnsafePointer<UInt8>?, length: Int,
  source: UnsafeMutablePointer<nghttp2_data_source>?, userData: UnsafeMutableRawPointer?
) -> Int32 {
  guard let frame, let header, let session = owner(userData) else { return HTTP2Session.callbackFailure }
  return session.writeDataFrame(
    stream: frame.pointee.hd.stream_id, header: header, length: length,
    paddingLength: frame.pointee.data.padlen)
}

/// nghttp2's data provider: says how much of the body the next DATA frame takes. `onSendData` then moves it.
func readBody(
  _: OpaquePointer?, stream: Int32, buffer: UnsafeMutablePointer<UInt8>?, length: Int,
  flags: UnsafeMutablePointer<UInt32>?, source: UnsafeMutablePointer<nghttp2_data_source>?,
  userData: UnsafeMutableRawPointer?
) -> Int {
  guard let flags, let session = owner(userData) else { return Int(HTTP2Session.callbackFailure) }
  return session.planDataFrame(stream: stream, capacity: length, flags: &flags.pointee)
}

extension HTTP2Session {
  static let callbackFailure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue

  static func installCallbacks(_ callbacks: OpaquePointer?) {
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, onBeginFrame)
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, onInvalidFrame)
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, onBeginHeaders)
    nghttp2_session_callbacks_set_on_header_callback(callbacks, onHeader)
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, onFrameReceived)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onDataChunk)
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, onFrameSent)
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, onFrameNotSent)
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onStreamClose)
    nghttp2_session_callbacks_set_send_data_callback(callbacks, onSendData)
  }
}
