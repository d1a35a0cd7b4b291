/// Every bound of a connection, in one place. The defaults suit a control plane with thousands of peers.
public struct TransportLimits: Sendable {
  /// The largest message that is accepted, in bytes. Larger ones: RESOURCE_EXHAUSTED.
  public var maxReceiveMessageBytes = 4 * 1_024 * 1_024
  /// The largest message that may be sent, in bytes. Larger ones: RESOURCE_EXHAUSTED.
  public var maxSendMessageBytes = 4 * 1_024 * 1_024
  /// Compressed messages are decompressed as the application takes them; a batch of them is complete when it has this many
  /// bytes. With a last message of `maxReceiveMessageBytes`, that bounds what they can become at a time.
  public var decompressedBatchBytes = 64 * 1_024
  /// HTTP/2 flow-control window of each stream, in bytes: how much a peer may send ahead of the application.
  public var streamWindowBytes = 1_024 * 1_024
  /// HTTP/2 flow-control window of the connection, in bytes.
  public var connectionWindowBytes = 4 * 1_024 * 1_024
  /// What all streams of a connection may hold together that the application has not taken, in bytes, before the
  /// connection's window stays shut.
  public var connectionBufferBytes = 16 * 1_024 * 1_024
  /// Bytes of one call that may wait to be sent before its writers are suspended.
  public var sendBufferBytes = 256 * 1_024
  /// Client: what a call may have sent before the server's first answer and still be made again, when the server certainly
  /// did not begin to process it, in bytes. Any single message that may be sent at all fits the default.
  public var retryBufferBytes = 4 * 1_024 * 1_024
  /// The largest header list that is accepted, in bytes as RFC 9113, 6.5.2 counts them.
  public var maxHeaderListBytes = 16 * 1_024
  /// Server: streams a client may have open at a time. Client: calls that may be open or waiting at a time.
  public var maxConcurrentStreams = 1_000
  /// Client: streams to open at a time until the server's SETTINGS say how many it allows.
  public var assumedPeerConcurrentStreams = 100
  /// Streams that a client may reset, or make us reset by its errors, at once before the connection is closed (rapid reset,
  /// CVE-2023-44487 and CVE-2025-8671). Also how many handlers of calls that are gone may still run.
  public var streamResetBurst = 1_000
  /// Resets per second that refill the burst.
  public var streamResetsPerSecond = 100
  /// PING, SETTINGS, PRIORITY, empty DATA and tiny WINDOW_UPDATE frames that a peer may send at once.
  public var cheapFrameBurst = 2_000
  /// Such frames per second that refill the burst.
  public var cheapFramesPerSecond = 200
  /// PING and SETTINGS acknowledgements that may wait for a peer that does not read.
  public var maxOutboundAcks = 1_000
  /// Entries in one SETTINGS frame.
  public var maxSettingsEntries = 32
  /// CONTINUATION frames after one HEADERS frame (CVE-2024-28182).
  public var maxContinuationFrames = 8
  /// Server: how long a peer may take no part of what waits for it, although it answers PINGs, before that counts as
  /// stalled. When stalled calls hold more than `connectionBufferBytes`, or the socket takes nothing, the connection is closed.
  public var sendStallTimeout = Duration.seconds(60)
  /// Server: how long a call may be stalled within those bounds before it is reset; at least `sendStallTimeout`. Somebody who reads
  /// a log page by page takes his time.
  public var callStallTimeout = Duration.seconds(900)
  /// Bytes that one flush hands to the socket at most; also the high-water mark of the socket's own queue.
  public var flushBytes = 256 * 1_024

  /// The defaults.
  public init() {}
}

/// When to suspect that a peer is dead (gRFC A8).
public struct KeepaliveConfiguration: Sendable {
  /// Silence after which a PING is sent.
  public var interval: Duration
  /// Silence after the PING after which the connection is closed.
  public var timeout: Duration
  /// Client: ping even while no call is open. A server always pings.
  public var pingsWithoutCalls: Bool

  /// The defaults notice a dead peer within 10 seconds.
  public init(
    interval: Duration = .seconds(5), timeout: Duration = .milliseconds(4_500),
    pingsWithoutCalls: Bool = false
  ) {
    self.interval = interval
    self.timeout = timeout
    self.pingsWithoutCalls = pingsWithoutCalls
  }
}
