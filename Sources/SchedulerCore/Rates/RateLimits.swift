/// The bounds of rates and of what is kept to hold them.
public enum RateLimits {
  /// The most that a rate may allow in its period, and at once.
  public static let count = 1_000_000_000
  /// The shortest and the longest period, milliseconds.
  public static let periodMillis: ClosedRange<Int64> = 1_000...86_400_000
  /// Buckets that one server or one leader keeps; the clients beyond share one.
  public static let buckets = 10_000
  /// How often it is looked for buckets that are full again, and so need not be kept, while there is no room for more.
  public static let pruneMicros: Int64 = 1_000_000
  /// All servers together may hold this part of a burst as tokens that are not used yet: one in so many.
  public static let leasedShare = 20
  /// A server whose tokens have lasted for less asks for more of them the next time.
  public static let shortLeaseMicros: Int64 = 250_000
  /// The shortest time after which a server asks again for a client that was refused.
  public static let shortestPauseMicros: Int64 = 20_000
  /// How long a server that could not ask the leader goes by its own share before it tries to ask again.
  public static let aloneMicros: Int64 = 1_000_000
  /// The longest name of a client in a bucket's name, bytes.
  public static let nameBytes = 256
}
