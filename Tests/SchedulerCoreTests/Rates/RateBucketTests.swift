import SchedulerCore
import Testing

@Suite struct RateBucketTests {
  private static let second: Int64 = 1_000_000

  @Test(arguments: [
    ("1000/1m", SubmitRate(count: 1_000, periodMillis: 60_000)),
    ("5/1s+1", SubmitRate(count: 5, periodMillis: 1_000, burst: 1)),
    ("1/1d", SubmitRate(count: 1, periodMillis: 86_400_000)),
  ])
  func aRateIsReadAndWritten(_ text: String, _ rate: SubmitRate) throws {
    #expect(try SubmitRate(parsing: text) == rate)
    #expect(rate.description == text)
  }

  @Test(arguments: [
    "", "1000", "1000/", "/1m", "0/1m", "-1/1m", "+1/1m", "1/1m+0", "1/1m+", "1/1m/1m", "1/1m+1+1", "1/999ms",
    "1/2d",
    "1.5/1m", "2000000000/1m", "many/1m", "1/minute",
  ])
  func anythingElseIsNone(_ text: String) {
    #expect(throws: TextError.self) { try SubmitRate(parsing: text) }
  }

  @Test func aBurstThenTheRate() {
    var bucket = RateBucket(SubmitRate(count: 60, periodMillis: 60_000, burst: 10), at: 0)
    #expect(bucket.take(100, at: 0) == 10)
    #expect(bucket.take(1, at: 0) == 0)
    #expect(bucket.microsUntilToken(at: 0) == Self.second)
    #expect(bucket.take(1, at: Self.second - 1_000) == 0)
    #expect(bucket.take(1, at: Self.second) == 1)
    #expect(bucket.take(100, at: 4 * Self.second) == 3)
    #expect(!bucket.isFull(at: 13 * Self.second))
    #expect(bucket.isFull(at: 14 * Self.second))
    #expect(bucket.take(100, at: 1_000 * Self.second) == 10, "never more than the burst")
  }

  @Test func aClockThatGoesBackGivesNothing() {
    var bucket = RateBucket(SubmitRate(count: 1, periodMillis: 1_000), at: 10 * Self.second)
    #expect(bucket.take(1, at: 10 * Self.second) == 1)
    #expect(bucket.take(1, at: 0) == 0)
    #expect(bucket.take(1, at: 11 * Self.second) == 1)
  }

  @Test func whatIsMissingStaysMissingAtAnotherRate() {
    var bucket = RateBucket(SubmitRate(count: 100, periodMillis: 60_000), at: 0)
    #expect(bucket.take(40, at: 0) == 40)
    bucket.change(to: SubmitRate(count: 50, periodMillis: 60_000), at: 0)
    #expect(bucket.take(100, at: 0) == 10)
    bucket.change(to: SubmitRate(count: 1_000, periodMillis: 60_000), at: 0)
    #expect(bucket.take(2_000, at: 0) == 950)
  }

  @Test func noMoreThanABurstIsMissing() {
    var bucket = RateBucket(SubmitRate(count: 10, periodMillis: 10_000), at: 0)
    bucket.set(missing: 1e9, at: 0)
    #expect(bucket.microsUntilToken(at: 0) == Self.second)
    bucket.giveBack(100, at: 0)
    #expect(bucket.isFull(at: 0))
  }

  @Test func scopesAreReadAndWritten() throws {
    for scope in [RateScope.client("client/a"), .user(""), .user("a:b"), .namespace("n")] {
      #expect(RateScope(text: scope.text) == scope)
    }
    for text in ["", "user", "group:a", "user:" + String(repeating: "x", count: RateLimits.nameBytes)] {
      #expect(RateScope(text: text) == nil)
    }
  }
}
