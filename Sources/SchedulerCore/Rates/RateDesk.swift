/// What one server knows of the rates that it holds: tokens that it has leased, and what it has let pass.
///
/// Pure: it says when the leader is to be asked, and is told the answer. Without a leader each server goes by its own
/// share, the rate divided by the number of servers.
public struct RateDesk: Sendable {
  /// What becomes of a submission.
  public enum Verdict: Hashable, Sendable {
    /// It may pass.
    case taken
    /// The leader is to be asked this; then `take` again.
    case ask(TokenRequest)
    /// The leader is being asked already; when it has answered `take` again.
    case wait
    /// It is refused; when to try again, microseconds from now.
    case refused(retryMicros: Int64)
  }

  private struct Entry: Sendable {
    /// The cluster's bucket, as far as this server knows.
    var known: RateBucket
    /// Tokens leased and not used.
    var held = 0
    var leasedAt: Int64 = 0
    /// How many tokens more than needed at once are asked for.
    var ahead = 0
    /// Submissions that wait for the leader.
    var waiting = 0
    var isAsking = false
    var refusedUntil: Int64 = 0
    /// Until then the leader is not asked; nil where it has answered last.
    var aloneUntil: Int64?
    /// The bucket of this server's share, while there is no leader.
    var share: RateBucket?

    func isIdle(at now: Int64) -> Bool {
      held == 0 && waiting == 0 && !isAsking && refusedUntil <= now && known.isFull(at: now)
    }
  }

  private var entries: [RateScope: Entry] = [:]
  private var prunedAt: Int64?
  private let limit: Int

  /// Makes a desk without tokens.
  /// - Parameter limit: How many clients it keeps apart; those beyond share what they have.
  public init(limit: Int = RateLimits.buckets) { self.limit = limit }

  /// How many clients it keeps apart.
  public var count: Int { entries.count }

  /// Whose bucket a submission goes by: its own, or the one of all clients for whom there is no room. For namespaces there
  /// always is: those that have a rate are bounded by themselves.
  /// - Returns: A scope to be used until the submission has been decided.
  public mutating func place(for scope: RateScope, at now: Int64) -> RateScope {
    guard entries[scope] == nil, entries.count >= limit, !scope.isNamespace else { return scope }
    if prunedAt.map({ now - $0 >= RateLimits.pruneMicros }) ?? true {
      prunedAt = now
      entries = entries.filter { !$0.value.isIdle(at: now) }
    }
    return entries.count < limit ? scope : .client("")
  }

  /// A submission wants to pass.
  /// - Parameters:
  ///   - hasWaited: Whether it was told to ask or to wait before.
  ///   - servers: How many servers there are.
  public mutating func take(
    _ scope: RateScope, _ rate: SubmitRate, hasWaited: Bool, servers: Int, at now: Int64
  ) -> Verdict {
    var entry = entries[scope] ?? Entry(known: RateBucket(rate, at: now))
    defer { entries[scope] = entry }
    entry.known.change(to: rate, at: now)
    if hasWaited { entry.waiting = max(0, entry.waiting - 1) }
    if entry.held > 0 {
      entry.held -= 1
      return .taken
    }
    if entry.refusedUntil > now { return .refused(retryMicros: entry.refusedUntil - now) }
    if let until = entry.aloneUntil, until > now { return Self.takeAlone(&entry, rate, servers, now) }
    entry.waiting += 1
    if entry.isAsking { return .wait }
    entry.isAsking = true
    entry.ahead = Self.ahead(entry, now)
    return .ask(
      TokenRequest(
        scope: scope, waiting: entry.waiting, ahead: entry.ahead, missing: entry.known.missing(at: now)))
  }

  /// Whether a client's submissions go by this server's own share.
  public func isAlone(_ scope: RateScope, at now: Int64) -> Bool {
    (entries[scope]?.aloneUntil).map { $0 > now } ?? false
  }

  /// Notes what the leader has answered; nil where it could not be asked.
  public mutating func answered(_ scope: RateScope, _ grant: TokenGrant?, at now: Int64) {
    guard var entry = entries[scope] else { return }
    entry.isAsking = false
    if let grant {
      entry.held += max(0, grant.tokens)
      entry.known.set(missing: grant.missing, at: now)
      entry.leasedAt = now
      entry.aloneUntil = nil
      entry.share = nil
      if grant.retryMicros > 0 { entry.refusedUntil = now + grant.retryMicros }
    } else {
      entry.aloneUntil = now + RateLimits.aloneMicros
    }
    entries[scope] = entry
  }

  /// A submission that has passed has come to nothing by another limit.
  public mutating func giveBack(_ scope: RateScope) {
    entries[scope]?.held += 1
  }

  /// The faster the last tokens were used up, the more are leased with one call, so that calls stay rare.
  private static func ahead(_ entry: Entry, _ now: Int64) -> Int {
    guard entry.leasedAt > 0, now - entry.leasedAt < RateLimits.shortLeaseMicros else { return 0 }
    return min(max(1, entry.ahead * 2), RateLimits.count)
  }

  private static func takeAlone(
    _ entry: inout Entry, _ rate: SubmitRate, _ servers: Int, _ now: Int64
  ) -> Verdict {
    let part = rate.divided(by: servers)
    var share = entry.share ?? RateBucket(part, at: now)
    if entry.share == nil { share.set(missing: entry.known.missing(at: now) / Double(servers), at: now) }
    if share.rate != part {
      // The number of servers has changed. A larger share is not there at once: somebody else had it.
      let level = share.level(at: now)
      share = RateBucket(part, at: now)
      share.set(missing: Double(part.burst) - level, at: now)
    }
    defer { entry.share = share }
    guard share.take(1, at: now) == 1 else {
      return .refused(retryMicros: max(RateLimits.shortestPauseMicros, share.microsUntilToken(at: now)))
    }
    // The others are believed to do the same.
    entry.known.set(missing: entry.known.missing(at: now) + Double(servers), at: now)
    return .taken
  }
}

extension SubmitRate {
  /// One of so many equal parts. The period grows where the count does not divide.
  fileprivate func divided(by parts: Int) -> SubmitRate {
    guard parts > 1 else { return self }
    return SubmitRate(count: count, periodMillis: periodMillis * Int64(parts), burst: max(1, burst / parts))
  }
}
