/// Bounds that are the same for every engine; those that an owner may tune are in
/// ``CurlEngine/Configuration``.
public enum CurlLimits {
  /// Longest URL accepted, in bytes.
  public static let maxURLBytes = 64 << 10
  /// Most redirects followed when a request asks for it.
  public static let maxRedirects = 10
  /// Most response header bytes kept (all lines of one response).
  public static let maxHeaderBytes = 256 << 10
  /// Easy handles kept for reuse.
  public static let pooledHandles = 128
  /// libcurl's receive buffer per transfer, in bytes.
  public static let receiveBufferBytes = 64 << 10
  /// How often queued requests are checked for an expired timeout.
  static let queueCheckInterval: Duration = .milliseconds(20)
  /// Longest sleep of the engine thread when nothing is due.
  static let maxPollMilliseconds: Int32 = 60_000
  /// TCP keep-alive: idle seconds before the first probe, and between probes.
  static let keepAliveIdleSeconds = 20
  static let keepAliveIntervalSeconds = 5
}
