/// Bounds that are the same for every client.
public enum EtcdLimits {
  /// Largest accepted response of one request, in bytes.
  public static let maxResponseBytes = 256 << 20
  /// Largest accepted message of a watch stream, in bytes. etcd fragments at 1.5 MiB before base64.
  public static let maxWatchMessageBytes = 64 << 20
  /// Most events gathered from the fragments of one watch response.
  public static let maxFragmentedEvents = 1_000_000
  /// Bytes of a watch stream buffered before etcd is made to wait.
  public static let watchBufferBytes = 4 << 20
  /// Bytes of an error body that are read.
  static let maxErrorBodyBytes = 64 << 10
  /// Deepest nesting that is skipped over in a response.
  static let maxDepth = 64
  /// Pauses between attempts, before jitter.
  static let retryPause: ClosedRange<Duration> = .milliseconds(25) ... .milliseconds(1_000)
  /// Pauses between reconnections of a watch, before jitter.
  static let watchPause: ClosedRange<Duration> = .milliseconds(25) ... .seconds(3)
  /// Shortest share of the deadline given to one of several endpoints.
  static let minAttempt: Duration = .milliseconds(500)
}

/// Exponential pauses with full jitter on their upper half.
struct Backoff {
  private let bounds: ClosedRange<Duration>
  private var step = 0

  init(_ bounds: ClosedRange<Duration>) { self.bounds = bounds }

  mutating func reset() { step = 0 }

  mutating func next() -> Duration {
    let full = min(bounds.upperBound, bounds.lowerBound * (1 << min(step, 20)))
    step += 1
    return full * Double.random(in: 0.5...1)
  }
}
