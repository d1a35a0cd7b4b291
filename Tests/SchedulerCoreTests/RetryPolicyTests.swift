import Testing

@testable import SchedulerCore

/// What follows a failed attempt.
struct RetryPolicyTests {
  private static let now = Timestamp(milliseconds: 1_000_000)

  private static func end(
    _ reason: EndReason = .exited, code: Int? = nil, signal: Int? = nil, http: Int? = nil
  ) -> AttemptEnd {
    AttemptEnd(endedAt: now, reason: reason, exitCode: code, signal: signal, httpStatus: http)
  }

  private static func decide(
    _ end: AttemptEnd, _ spec: JobSpec, retryCount: Int = 0, age: Int64 = 0,
    random: Double = 0.5
  ) -> RetryDecision {
    RetryPolicy.decide(
      end, spec: spec, retryCount: retryCount, createdAt: now.adding(milliseconds: -age), now: now,
      randomUnit: random)
  }

  /// A job with retries, whose wait is a second.
  private static func job(_ change: (inout JobSpec) -> Void = { _ in }) -> JobSpec {
    var spec = JobSpec(task: .exec(argv: ["true"]))
    spec.maxRetries = 3
    spec.backoff = Backoff(curve: .list([1_000]), jitter: 0)
    change(&spec)
    return spec
  }

  private static func isRetried(_ end: AttemptEnd, _ spec: JobSpec) -> Bool {
    if case .retry = decide(end, spec) { true } else { false }
  }

  // MARK: Waits

  private func wait(_ backoff: Backoff, retryCount: Int, random: Double) -> Int64? {
    let spec = Self.job {
      $0.maxRetries = 100
      $0.backoff = backoff
    }
    guard
      case .retry(let time, _) = Self.decide(Self.end(code: 1), spec, retryCount: retryCount, random: random)
    else {
      return nil
    }
    return time.milliseconds - Self.now.milliseconds
  }

  @Test(arguments: [(0, 60_000), (1, 300_000), (2, 600_000), (3, 600_000), (99, 600_000)])
  func theStandardList(retryCount: Int, millis: Int) {
    #expect(wait(.standard, retryCount: retryCount, random: 0.5) == Int64(millis))
  }

  @Test(arguments: [(0, 1_000), (1, 2_000), (2, 4_000), (3, 5_000), (99, 5_000)])
  func exponential(retryCount: Int, millis: Int) {
    let backoff = Backoff(
      curve: .exponential(initialMillis: 1_000, multiplier: 2, maxMillis: 5_000), jitter: 0)
    #expect(wait(backoff, retryCount: retryCount, random: 0.9) == Int64(millis))
  }

  @Test(arguments: [(0.0, 54_000), (0.5, 60_000), (0.75, 63_000)])
  func jitter(random: Double, millis: Int) {
    #expect(wait(.standard, retryCount: 0, random: random) == Int64(millis))
  }

  @Test func oddCurvesDoNoHarm() {
    for jitter in [0.0, 1.0, .nan, -3.0, .infinity] {
      for curve in [
        Backoff.Curve.list([]), .list([0]), .list([.max]), .list([.min]),
        .exponential(initialMillis: 0, multiplier: .infinity, maxMillis: .max),
        .exponential(initialMillis: 1, multiplier: .nan, maxMillis: 1_000),
        .exponential(initialMillis: .max, multiplier: 100, maxMillis: .max),
        .exponential(initialMillis: 1, multiplier: 1, maxMillis: .max),
      ] {
        let millis = wait(Backoff(curve: curve, jitter: jitter), retryCount: 60, random: 0.999)
        #expect(millis.map { (0...DurationText.maxMillis).contains($0) } == true)
      }
    }
  }

  @Test(arguments: [(5_000, 5_000), (0, 0), (-1, 0), (Int.max, 86_400_000)])
  func theTasksOwnWishComesBeforeTheBackoff(wish: Int, millis: Int) {
    var end = Self.end(code: 1)
    end.retryAfterMillis = Int64(wish)
    #expect(
      Self.decide(end, Self.job())
        == .retry(
          at: Self.now.adding(milliseconds: Int64(millis)),
          why: "retry 1 of 3 after exit code 1, when the task wished it"))
  }

  // MARK: Giving up

  @Test func givesUp() {
    var spec = JobSpec(task: .noop)
    #expect(
      Self.decide(Self.end(code: 1), spec) == .giveUp("the attempt failed and the job allows no retries"))
    spec.maxRetries = 1
    #expect(
      Self.decide(Self.end(code: 1), spec)
        == .retry(at: Self.now.adding(milliseconds: 60_000), why: "retry 1 of 1 after exit code 1"))
    #expect(
      Self.decide(Self.end(code: 1), spec, retryCount: 1)
        == .giveUp("the attempt failed and its only retry was used"))
    spec.maxRetries = 2
    #expect(
      Self.decide(Self.end(code: 1), spec, retryCount: 2)
        == .giveUp("the attempt failed and all 2 retries were used"))
  }

  @Test func aTaskThatSaysSoIsNotRetried() {
    var end = Self.end(code: 75)
    end.noRetry = true
    end.retryAfterMillis = 1
    let spec = Self.job { $0.retryOn = FailureFilter(exitCodes: [CodeRange(75)]) }
    #expect(
      Self.decide(end, spec) == .giveUp("exit code 75, and the task says that it must not be retried"))
  }

  // MARK: Filters

  /// Each kind of end, with the only reason that means it; nil where none does.
  private static let ends: [(end: AttemptEnd, reason: FailureFilter.Reason?)] = [
    (end(code: 1), .exited), (end(http: 503), .exited), (end(), .exited), (end(signal: 9), .signal),
    (end(.timeout), .timeout), (end(.startFailed), .startFailed), (end(.outOfMemory), .outOfMemory),
    (end(.agentStopped), .agentStopped), (end(.fenced), .agentStopped), (end(.cancelled), nil),
    (end(.agentLost), nil),
  ]

  @Test func aReasonMeansItsOwnEndsAlone() {
    for reason in FailureFilter.Reason.allCases {
      for (end, own) in Self.ends {
        #expect(FailureFilter(reasons: [reason]).matches(end) == (reason == own), "\(reason): \(end)")
      }
    }
  }

  @Test(arguments: [
    (74, false), (75, true), (76, false), (99, false), (100, true), (119, true), (120, false),
  ])
  func exitCodes(code: Int, isMeant: Bool) {
    let filter = FailureFilter(exitCodes: [CodeRange(75), CodeRange(100...119)])
    #expect(filter.matches(Self.end(code: code)) == isMeant)
    #expect(Self.isRetried(Self.end(code: code), Self.job { $0.retryOn = filter }) == isMeant)
    #expect(Self.isRetried(Self.end(code: code), Self.job { $0.noRetryOn = filter }) != isMeant)
    // A signal has no exit code, and an end that is not the task's own means none.
    #expect(!filter.matches(Self.end(signal: code)))
    #expect(!filter.matches(Self.end(.timeout, code: code)))
  }

  @Test(arguments: [(429, true), (430, false), (499, false), (500, true), (599, true), (200, false)])
  func statuses(status: Int, isMeant: Bool) {
    let filter = FailureFilter(httpStatuses: [CodeRange(429), CodeRange(500...599)])
    #expect(filter.matches(Self.end(code: 1, http: status)) == isMeant)
    // No answer came at all.
    #expect(!filter.matches(Self.end(code: 1)))
    // The exit code of a request is its agent's.
    #expect(!FailureFilter(exitCodes: [CodeRange(1)]).matches(Self.end(code: 1, http: status)))
  }

  @Test func neverWinsOverOnly() {
    let spec = Self.job {
      $0.retryOn = FailureFilter(exitCodes: [CodeRange(1...10)], reasons: [.timeout])
      $0.noRetryOn = FailureFilter(exitCodes: [CodeRange(7)])
    }
    #expect(Self.isRetried(Self.end(code: 6), spec) && Self.isRetried(Self.end(.timeout), spec))
    #expect(
      Self.decide(Self.end(code: 7), spec) == .giveUp("exit code 7 is in no_retry_on, so it is not retried"))
    #expect(
      Self.decide(Self.end(signal: 11), spec) == .giveUp("signal 11 is not in retry_on, so it is not retried")
    )
    #expect(
      Self.decide(Self.end(code: 1, http: 500), spec)
        == .giveUp("HTTP status 500 is not in retry_on, so it is not retried"))
  }

  // MARK: The total timeout

  @Test(arguments: [(0, true), (3_999, true), (4_000, false), (4_999, false), (5_000, false), (9_000, false)])
  func noAttemptBeginsPastTheTotalTimeout(age: Int, isRetried: Bool) {
    let spec = Self.job { $0.totalTimeoutMillis = 5_000 }
    guard case .giveUp(let why) = Self.decide(Self.end(code: 1), spec, age: Int64(age)) else {
      #expect(isRetried)
      return
    }
    #expect(!isRetried && why.contains("the total timeout of 5s is over"))
  }

  @Test func theTotalTimeoutIsNamedBeforeAllElse() {
    let spec = Self.job {
      $0.totalTimeoutMillis = 5_000
      $0.noRetryOn = FailureFilter(reasons: [.timeout])
    }
    #expect(
      Self.decide(Self.end(.timeout), spec, age: 5_000) == .giveUp("the total timeout of 5s is over"))
  }
}
