/// A token bucket: it holds `rate.burst` tokens at most, and `rate.count` of them come back in each period.
///
/// Time is microseconds of any clock that does not go back.
public struct RateBucket: Hashable, Sendable {
  /// What it goes by.
  public private(set) var rate: SubmitRate
  private var tokens: Double
  private var filledAt: Int64

  /// Makes a full bucket.
  public init(_ rate: SubmitRate, at now: Int64) {
    self.rate = rate
    tokens = Double(rate.burst)
    filledAt = now
  }

  /// How many tokens there are.
  public func level(at now: Int64) -> Double {
    let passed = Double(max(0, now - filledAt))
    return min(Double(rate.burst), tokens + passed / rate.microsPerToken)
  }

  /// How many tokens are missing.
  public func missing(at now: Int64) -> Double { Double(rate.burst) - level(at: now) }

  /// Whether none is missing: then the bucket says no more than a new one.
  public func isFull(at now: Int64) -> Bool { missing(at: now) <= 0 }

  /// Takes as many tokens as there are, up to `wanted`. Returns how many.
  public mutating func take(_ wanted: Int, at now: Int64) -> Int {
    refill(at: now)
    // What an instant's rounding has left off is not to keep a token back.
    let taken = min(max(0, wanted), max(0, Int((tokens + 1e-6).rounded(.down))))
    tokens -= Double(taken)
    return taken
  }

  /// Puts tokens back that were not used.
  public mutating func giveBack(_ count: Int, at now: Int64) {
    refill(at: now)
    tokens = min(Double(rate.burst), tokens + Double(count))
  }

  /// Sets how many tokens are missing; at most a whole burst can be.
  public mutating func set(missing: Double, at now: Int64) {
    filledAt = max(filledAt, now)
    tokens = Double(rate.burst) - min(max(0, missing), Double(rate.burst))
  }

  /// Goes by another rate from now on. What is missing stays missing.
  public mutating func change(to rate: SubmitRate, at now: Int64) {
    guard rate != self.rate else { return }
    let missing = missing(at: now)
    self.rate = rate
    set(missing: missing, at: now)
  }

  /// How long until there is a token, microseconds; 0 where there is one.
  public func microsUntilToken(at now: Int64) -> Int64 {
    let short = 1 - level(at: now)
    return short <= 1e-6 ? 0 : Int64((short * rate.microsPerToken).rounded(.up))
  }

  private mutating func refill(at now: Int64) {
    tokens = level(at: now)
    filledAt = max(filledAt, now)
  }
}
