import NIOCore

/// A token bucket over frames that cost us work and the peer nothing: PING, SETTINGS, PRIORITY, RST_STREAM, empty DATA,
/// window updates of a few bytes. Pure.
struct FloodGuard {
  private let burst: Double
  private let perSecond: Double
  private var tokens: Double
  private var updated: NIODeadline

  init(burst: Int, perSecond: Int, now: NIODeadline) {
    self.burst = Double(burst)
    self.perSecond = Double(perSecond)
    tokens = Double(burst)
    updated = now
  }

  /// False when the peer has used up its allowance.
  mutating func spend(_ count: Int, now: NIODeadline) -> Bool {
    let elapsed = Double((now - updated).nanoseconds) / 1e9
    updated = now
    tokens = min(burst, tokens + elapsed * perSecond) - Double(count)
    return tokens >= 0
  }
}
