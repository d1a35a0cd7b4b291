import Logging
import NIOCore
import SchedulerCore

/// Always has, or looks for, a session with the leader.
///
/// It looks often at first, since work waits for agents to be back after a leader was lost, and ever more seldom when
/// none turns up: many agents look at once.
struct SessionLoop: Sendable {
  let session: AgentSession
  let group: any EventLoopGroup
  let logger: Logger

  /// Runs until the task is cancelled.
  func run() async throws {
    var last: LeaderFinder.Leader?
    var wait = AgentLimits.reconnectMinMillis
    var poll = LeaderPoll(ttlMillis: session.ttlMillis)
    while true {
      try Task.checkCancellation()
      guard await session.core.incarnation != nil, let leader = await find() else {
        try await Task.sleep(for: jittered(poll.next()))
        continue
      }
      // A new leader is tried at once, the same one again with growing waits.
      if leader != last { wait = AgentLimits.reconnectMinMillis }
      last = leader
      let started = ContinuousClock.now
      let ending = try await session.run(with: leader, group: group)
      logger.warning(
        "no session with the leader",
        metadata: ["why": "\(ending.why)", "leader": "\(leader.host):\(leader.port)"])
      if ContinuousClock.now - started > .seconds(5) {
        wait = AgentLimits.reconnectMinMillis
        poll = LeaderPoll(ttlMillis: session.ttlMillis)
      }
      // Where it is asked to come back, not before: it has its turn, and others theirs.
      let asked = ending.retryMillis.map { Duration.milliseconds($0) * Double.random(in: 1...1.2) }
      try await pause(max(jittered(wait), asked ?? .zero), unlessReplaced: leader, &poll)
      wait = min(2 * wait, AgentLimits.reconnectMaxMillis)
    }
  }

  /// Waits, but not on when another server leads.
  private func pause(
    _ length: Duration, unlessReplaced leader: LeaderFinder.Leader, _ poll: inout LeaderPoll
  ) async throws {
    let until = ContinuousClock.now + length
    while ContinuousClock.now < until {
      try await Task.sleep(for: min(until - ContinuousClock.now, jittered(poll.next())))
      if ContinuousClock.now < until, let now = await find(), now != leader { return }
    }
  }

  private func find() async -> LeaderFinder.Leader? {
    do { return try await session.finder.find() } catch {
      logger.debug("the leader cannot be looked up", metadata: ["error": "\(error)"])
      return nil
    }
  }
}

/// How long to wait before the leader is looked up again, milliseconds.
struct LeaderPoll {
  private let slowest: Int64
  private var interval: Int64
  /// How much more may be waited before it gets slower.
  private var patience = AgentLimits.leaderPollPatience.nanoseconds / 1_000_000

  init(ttlMillis: Int64) {
    interval = ttlMillis / AgentLimits.leaderPollsPerTTL
    slowest = ttlMillis / AgentLimits.leaderChecksPerTTL
  }

  mutating func next() -> Int64 {
    if patience <= 0 { interval = min(2 * interval, slowest) }
    patience -= interval
    return interval
  }
}
