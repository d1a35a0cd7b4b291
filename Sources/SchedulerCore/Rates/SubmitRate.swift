/// How much of something is allowed: so many in each period, and so many at once.
public struct SubmitRate: Hashable, Sendable, CustomStringConvertible {
  /// How many in each period, 1 to `RateLimits.count`.
  public var count: Int
  /// The period, within `RateLimits.periodMillis`.
  public var periodMillis: Int64
  /// How many at once, after a time without any; 1 to `RateLimits.count`.
  public var burst: Int

  /// What a client may submit where nothing else is said.
  public static let standard = SubmitRate(count: 1_000, periodMillis: 60_000)

  /// Makes a rate; the parts are taken as they are.
  /// - Parameter burst: As many as in a period when nil.
  public init(count: Int, periodMillis: Int64, burst: Int? = nil) {
    self.count = count
    self.periodMillis = periodMillis
    self.burst = burst ?? count
  }

  private static let form = "COUNT/TIME or COUNT/TIME+BURST was expected, as 1000/1m or 1000/1m+200"

  /// Reads `1000/1m`, or `1000/1m+200` where no more than 200 may come at once.
  public init(parsing text: String) throws(TextError) {
    let halves = text.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2 else { throw TextError(Self.form) }
    let parts = halves[1].split(separator: "+", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count) else { throw TextError(Self.form) }
    let count = try Self.number(halves[0])
    let burst = parts.count == 2 ? try Self.number(parts[1]) : nil
    let millis = try DurationText.parse(String(parts[0]))
    guard RateLimits.periodMillis.contains(millis) else {
      throw TextError("the time has to be 1s to 1d: " + Self.form)
    }
    self.init(count: count, periodMillis: millis, burst: burst)
  }

  private static func number(_ text: Substring) throws(TextError) -> Int {
    guard let number = Int(text), (1...RateLimits.count).contains(number),
      text.utf8.first != UInt8(ascii: "+")
    else { throw TextError("a whole number from 1 to \(RateLimits.count) is missing: " + form) }
    return number
  }

  /// As `init(parsing:)` reads it.
  public var description: String {
    let text = "\(count)/\(DurationText.format(milliseconds: periodMillis))"
    return burst == count ? text : text + "+\(burst)"
  }

  /// How many microseconds one token takes.
  var microsPerToken: Double { Double(periodMillis) * 1_000 / Double(count) }
}
