import CNghttp2

extension HTTP2Session {
  /// An `nghttp2_session` with every limit set explicitly; the caller owns it.
  static func makeSession(role: Role, limits: TransportLimits) throws -> OpaquePointer {
    var callbacks: OpaquePointer?
    var option: OpaquePointer?
    var session: OpaquePointer?
    defer {
      nghttp2_session_callbacks_del(callbacks)
      nghttp2_option_del(option)
    }
    nghttp2_session_callbacks_new(&callbacks)
    nghttp2_option_new(&option)
    guard callbacks != nil, option != nil else { throw outOfMemory }
    installCallbacks(callbacks)
    nghttp2_option_set_no_auto_window_update(option, 1)
    // A server remembers the latest closed streams, no more than may be open: DATA on one of them is an error, and nghttp2
    // tells nobody of DATA on a stream that it has forgotten.
    if role == .client { nghttp2_option_set_no_closed_streams(option, 1) }
    nghttp2_option_set_max_outbound_ack(option, limits.maxOutboundAcks)
    nghttp2_option_set_max_settings(option, limits.maxSettingsEntries)
    nghttp2_option_set_max_continuations(option, limits.maxContinuationFrames)
    nghttp2_option_set_peer_max_concurrent_streams(option, UInt32(limits.assumedPeerConcurrentStreams))
    nghttp2_option_set_max_reserved_remote_streams(option, 0)
    // A second line behind the connection's own limit, which also counts the resets that the peer's errors cause.
    nghttp2_option_set_stream_reset_rate_limit(
      option, 2 * UInt64(limits.streamResetBurst), 2 * UInt64(limits.streamResetsPerSecond))
    let result =
      switch role {
      case .client: nghttp2_session_client_new2(&session, callbacks, nil, option)
      case .server: nghttp2_session_server_new2(&session, callbacks, nil, option)
      }
    guard result == 0, let session else { throw outOfMemory }
    return session
  }

  private static let outOfMemory = HTTP2SessionError(
    operation: "creating a session", code: Int(NGHTTP2_ERR_NOMEM.rawValue), reason: "out of memory")
}
