import SchedulerCore
import Testing

/// Servers and a leader, by turns, on one clock.
private struct Cluster {
  var rate: SubmitRate
  var book: RateBook? = RateBook()
  var desks: [RateDesk]
  var calls = 0
  let scope = RateScope.user("u")

  init(servers: Int, _ rate: SubmitRate) {
    self.rate = rate
    desks = Array(repeating: RateDesk(), count: servers)
  }

  /// One submission at a server: when it has to come again, microseconds; nil when it has passed.
  mutating func submit(_ server: Int, at now: Int64) -> Int64? {
    var hasWaited = false
    while true {
      let verdict = desks[server].take(
        scope, rate, hasWaited: hasWaited, servers: desks.count, at: now)
      switch verdict {
      case .taken: return nil
      case .refused(let micros): return micros
      case .ask(let request):
        calls += 1
        let grant = book?.lease(request, rate, to: "s\(server)", of: desks.count, at: now)
        desks[server].answered(scope, grant, at: now)
        hasWaited = true
      case .wait:
        Issue.record("nobody else asks")
        return nil
      }
    }
  }
}

@Suite struct RateLeaseTests {
  private static let second: Int64 = 1_000_000

  /// Every server is flooded; whoever is refused comes again at once, at random.
  private func flood(_ cluster: inout Cluster, seconds: Int64, from start: Int64 = 0, seed: UInt64) -> Int {
    var random = SplitMix(seed: seed)
    var passed = 0
    var now = start
    while now < start + seconds * Self.second {
      let server = Int.random(in: 0..<cluster.desks.count, using: &random)
      if cluster.submit(server, at: now) == nil { passed += 1 }
      now += Int64.random(in: 100...3_000, using: &random)
    }
    return passed
  }

  @Test(arguments: [1, 3, 10, 50])
  func theSumIsWithinATenth(_ servers: Int) {
    for seed in 1...5 as ClosedRange<UInt64> {
      let rate = SubmitRate(count: 1_000, periodMillis: 60_000)
      var cluster = Cluster(servers: servers, rate)
      let passed = flood(&cluster, seconds: 30, seed: seed)
      let allowed = 1_000 + 500
      #expect(abs(passed - allowed) * 10 <= allowed, "\(passed) of \(allowed), seed \(seed)")
      #expect(passed <= allowed, "a token is used once")
    }
  }

  /// Servers that hold tokens keep few of them from the others.
  @Test func oneServerFindsNearlyAllThatOthersLeave() {
    let rate = SubmitRate(count: 1_000, periodMillis: 60_000)
    var cluster = Cluster(servers: 10, rate)
    for server in 0..<10 {
      for _ in 0..<60 { _ = cluster.submit(server, at: 0) }
    }
    var rest = 0
    while cluster.submit(0, at: 0) == nil { rest += 1 }
    #expect((350...400).contains(rest), "\(rest) of 400")
  }

  @Test func callsAreFarFewerThanSubmissions() {
    let rate = SubmitRate(count: 100_000, periodMillis: 60_000)
    var cluster = Cluster(servers: 3, rate)
    var passed = 0
    for index in 0..<30_000 where cluster.submit(index % 3, at: Int64(index) * 100) == nil { passed += 1 }
    #expect(passed == 30_000)
    #expect(cluster.calls < 300, "\(cluster.calls)")
  }

  /// A refused server asks again when there is something, not before.
  @Test func refusalsAreRemembered() {
    var cluster = Cluster(servers: 1, SubmitRate(count: 60, periodMillis: 60_000, burst: 1))
    #expect(cluster.submit(0, at: 0) == nil)
    #expect(cluster.submit(0, at: 0) == Self.second)
    let calls = cluster.calls
    #expect(cluster.submit(0, at: 400_000) == 600_000)
    #expect(cluster.calls == calls)
    #expect(cluster.submit(0, at: Self.second) == nil)
  }

  @Test(arguments: [2, 3, 7])
  func withoutALeaderEachServerHasItsShare(_ servers: Int) {
    let rate = SubmitRate(count: 1_000, periodMillis: 60_000)
    var cluster = Cluster(servers: servers, rate)
    cluster.book = nil
    let passed = flood(&cluster, seconds: 30, seed: 1)
    #expect(abs(passed - 1_500) * 10 <= 1_500, "\(passed)")
  }

  /// What was spent under the old leader, and without one, is spent.
  @Test func anotherLeaderGivesNoSecondBurst() {
    let rate = SubmitRate(count: 1_000, periodMillis: 60_000)
    var cluster = Cluster(servers: 3, rate)
    var passed = flood(&cluster, seconds: 10, seed: 1)
    cluster.book = nil
    passed += flood(&cluster, seconds: 5, from: 10 * Self.second, seed: 2)
    cluster.book = RateBook()
    passed += flood(&cluster, seconds: 10, from: 15 * Self.second, seed: 3)
    // A burst, and 25 s of the rate.
    #expect(abs(passed - 1_417) * 10 <= 1_417, "\(passed)")
  }

  /// A server that is gone leaves its share to the others from then on, not its burst besides.
  @Test func fewerServersGetNoBurst() {
    let rate = SubmitRate(count: 600, periodMillis: 60_000, burst: 120)
    var cluster = Cluster(servers: 3, rate)
    cluster.book = nil
    _ = flood(&cluster, seconds: 10, seed: 1)
    cluster.desks.removeLast()
    let passed = flood(&cluster, seconds: 5, from: 10 * Self.second, seed: 2)
    #expect(passed < 60, "\(passed)")
  }

  @Test func aTokenGivenBackIsThere() {
    var cluster = Cluster(servers: 1, SubmitRate(count: 1, periodMillis: 60_000))
    #expect(cluster.submit(0, at: 0) == nil)
    cluster.desks[0].giveBack(cluster.scope)
    #expect(cluster.submit(0, at: 0) == nil)
    #expect(cluster.submit(0, at: 0) != nil)
  }

  /// While one asks, the others wait, and are asked for together.
  @Test func thoseThatWaitAreAskedForTogether() {
    let rate = SubmitRate(count: 100, periodMillis: 60_000)
    var desk = RateDesk()
    let scope = RateScope.user("u")
    let first = desk.take(scope, rate, hasWaited: false, servers: 1, at: 0)
    #expect(first == .ask(TokenRequest(scope: scope, waiting: 1, ahead: 0, missing: 0)))
    for _ in 0..<5 { #expect(desk.take(scope, rate, hasWaited: false, servers: 1, at: 0) == .wait) }
    desk.answered(scope, TokenGrant(tokens: 1, retryMicros: 0, missing: 7), at: 0)
    #expect(desk.take(scope, rate, hasWaited: true, servers: 1, at: 0) == .taken)
    guard case .ask(let request) = desk.take(scope, rate, hasWaited: true, servers: 1, at: 0) else {
      Issue.record("it has to ask")
      return
    }
    #expect(request.waiting == 5)
    #expect(request.missing == 7)
  }

  @Test func bucketsAreBounded() {
    let rate = SubmitRate(count: 10, periodMillis: 1_000)
    var book = RateBook(limit: 3)
    var desk = RateDesk(limit: 3)
    func ask(_ name: String, at now: Int64) -> Int {
      let request = TokenRequest(scope: .user(name), waiting: 10, ahead: 0, missing: 0)
      return book.lease(request, rate, to: "s", of: 1, at: now).tokens
    }
    for name in ["a", "b", "c"] {
      #expect(ask(name, at: 0) == 10)
      #expect(desk.place(for: .user(name), at: 0) == .user(name))
      _ = desk.take(.user(name), rate, hasWaited: false, servers: 1, at: 0)
    }
    #expect(ask("d", at: 0) == 10)
    #expect(ask("e", at: 0) == 0, "those beyond share one")
    #expect(book.count == 3)
    #expect(desk.place(for: .user("d"), at: 0) == .client(""))
    #expect(desk.place(for: .user("a"), at: 0) == .user("a"))
    #expect(desk.place(for: .namespace("n"), at: 0) == .namespace("n"))
    // Full again: there is room.
    #expect(ask("d", at: 5 * Self.second) == 10)
    #expect(book.count == 1)
  }
}
