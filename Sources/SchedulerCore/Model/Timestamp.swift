/// A point in time of the wall clock: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
public struct Timestamp: Hashable, Sendable, Comparable {
  /// Microseconds since the epoch.
  public var microseconds: Int64

  /// Makes a time from microseconds since the epoch.
  public init(microseconds: Int64) { self.microseconds = microseconds }
  /// Makes a time from milliseconds since the epoch.
  public init(milliseconds: Int64) { self.microseconds = milliseconds * 1_000 }

  /// Milliseconds since the epoch, rounded down.
  public var milliseconds: Int64 {
    microseconds >= 0 ? microseconds / 1_000 : (microseconds - 999) / 1_000
  }

  /// The earlier first.
  public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

  /// A time so many milliseconds later.
  public func adding(milliseconds: Int64) -> Timestamp {
    Timestamp(microseconds: microseconds + milliseconds * 1_000)
  }
}
