/// The leader's buckets: the tokens of the whole cluster, which servers lease in batches.
///
/// A leader begins with full buckets and, when a server asks for the first time, believes what that server knows of the
/// bucket from the last leader; so a change of the leader gives nobody a second burst.
public struct RateBook: Sendable {
  private struct Entry: Sendable {
    var bucket: RateBucket
    /// The servers that have told what they knew.
    var known: Set<String> = []
  }

  private var entries: [RateScope: Entry] = [:]
  /// Who finds no room shares this one.
  private var others: Entry?
  private var prunedAt: Int64?
  private let limit: Int

  /// Makes an empty book.
  /// - Parameter limit: How many buckets it keeps.
  public init(limit: Int = RateLimits.buckets) { self.limit = limit }

  /// How many buckets it keeps.
  public var count: Int { entries.count }

  /// Answers a server.
  /// - Parameters:
  ///   - rate: What is allowed in the request's scope.
  ///   - server: Who asks.
  ///   - servers: How many servers there are: together they may hold a part of the burst that is not used yet.
  public mutating func lease(
    _ request: TokenRequest, _ rate: SubmitRate, to server: String, of servers: Int, at now: Int64
  ) -> TokenGrant {
    let hasRoom = entries[request.scope] != nil || request.scope.isNamespace || makeRoom(at: now)
    var entry = (hasRoom ? entries[request.scope] : others) ?? Entry(bucket: RateBucket(rate, at: now))
    entry.bucket.change(to: rate, at: now)
    if entry.known.insert(server).inserted {
      entry.bucket.set(missing: max(entry.bucket.missing(at: now), request.missing), at: now)
    }
    let ahead = min(max(0, request.ahead), rate.burst / (RateLimits.leasedShare * max(1, servers)))
    let tokens = entry.bucket.take(max(0, request.waiting) + ahead, at: now)
    let pause =
      tokens >= request.waiting
      ? 0 : max(RateLimits.shortestPauseMicros, entry.bucket.microsUntilToken(at: now))
    if hasRoom { entries[request.scope] = entry } else { others = entry }
    return TokenGrant(tokens: tokens, retryMicros: pause, missing: entry.bucket.missing(at: now))
  }

  /// Drops the buckets that are full, where there is no room. Returns whether there is room now.
  private mutating func makeRoom(at now: Int64) -> Bool {
    guard entries.count >= limit else { return true }
    if let prunedAt, now - prunedAt < RateLimits.pruneMicros { return false }
    prunedAt = now
    entries = entries.filter { !$0.value.bucket.isFull(at: now) }
    return entries.count < limit
  }
}
