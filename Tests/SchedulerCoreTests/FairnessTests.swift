@testable import SchedulerCore
import Testing

/// Who gets how much of what is given out, and that nobody is passed over for ever.
@Suite struct FairnessTests {
  /// Runs that never end to wait: whatever is given out is followed by another of the same kind.
  private struct Backlog {
    struct Kind: Hashable {
      var queue = "default"
      var namespace = "n"
      var user = ""
      var priority = 50
    }

    var ready = ReadyQueue()
    var served: [Kind: Int] = [:]
    private var made = 0
    private var kinds: [RunKey: Kind] = [:]

    mutating func add(_ kind: Kind, count: Int = 1, at now: Timestamp) {
      for _ in 0..<count {
        made += 1
        let key = RunKey(job: JobKey(namespace: kind.namespace, jobID: "j\(made)"), runID: "r")
        kinds[key] = kind
        ready.insert(
          ReadyQueue.Entry(
            run: key, queue: kind.queue, userID: kind.user, priority: kind.priority, enqueuedAt: now,
            requirement: Requirement(kind: .exec, constraints: [])))
      }
    }

    /// Gives one out, and has another of its kind wait.
    mutating func dispatch(at now: Timestamp, refill: Bool = true) -> Kind? {
      var given: RunKey?
      ready.drain(limit: 1, now: now) {
        given = $0.run
        return .placed
      }
      guard let given, let kind = kinds.removeValue(forKey: given) else { return nil }
      served[kind, default: 0] += 1
      if refill { add(kind, at: now) }
      return kind
    }
  }

  private func time(_ millis: Int) -> Timestamp { Timestamp(milliseconds: 1_000_000_000 + Int64(millis)) }

  private func expectShares(
    _ backlog: Backlog, of total: Int, _ weights: [Backlog.Kind: Int],
    _ location: SourceLocation = #_sourceLocation
  ) {
    let sum = weights.values.reduce(0, +)
    for (kind, weight) in weights {
      let expected = Double(total) * Double(weight) / Double(sum)
      let found = Double(backlog.served[kind] ?? 0)
      #expect(
        abs(found - expected) <= 0.05 * expected, "\(kind): \(found) of \(expected)", sourceLocation: location
      )
    }
  }

  @Test(arguments: [1, 2, 3]) func sharesAreKeptWithinFivePercent(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var backlog = Backlog()
    var weights: [Backlog.Kind: Int] = [:]
    // Queues of random weights, in each of which namespaces of random weights wait.
    for queue in ["a", "b", "c"] {
      var spec = QueueSpec()
      spec.weight = Int.random(in: 50...300, using: &random)
      for namespace in ["x", "y"] {
        spec.fairnessWeights[namespace] = Int.random(in: 50...300, using: &random)
      }
      backlog.ready.configure(queue, spec)
      let sum = spec.fairnessWeights.values.reduce(0, +)
      for (namespace, weight) in spec.fairnessWeights {
        let kind = Backlog.Kind(queue: queue, namespace: namespace)
        weights[kind] = spec.weight * 10_000 * weight / sum
        backlog.add(kind, count: 3, at: time(0))
      }
    }
    for step in 0..<10_000 { _ = backlog.dispatch(at: time(step)) }
    expectShares(backlog, of: 10_000, weights)
  }

  @Test func usersOfANamespaceShareAlike() {
    var backlog = Backlog()
    var weights: [Backlog.Kind: Int] = [:]
    for namespace in ["x", "y"] {
      for user in 0..<(namespace == "x" ? 1 : 4) {
        let kind = Backlog.Kind(namespace: namespace, user: "u\(user)")
        weights[kind] = namespace == "x" ? 400 : 100
        backlog.add(kind, count: user == 0 ? 500 : 2, at: time(0))
      }
    }
    for step in 0..<10_000 { _ = backlog.dispatch(at: time(step)) }
    expectShares(backlog, of: 10_000, weights)
  }

  @Test func aFloodDelaysTheOthersByTheirSharesOnly() {
    var backlog = Backlog()
    backlog.add(.init(namespace: "flood"), count: 20_000, at: time(0))
    // Nineteen others come with ten each, while the flood is being worked off.
    for step in 0..<1_000 { _ = backlog.dispatch(at: time(step), refill: false) }
    for index in 0..<19 { backlog.add(.init(namespace: "n\(index)"), count: 10, at: time(1_000)) }
    var last = 0
    for step in 1..<2_000 {
      if backlog.dispatch(at: time(1_000 + step), refill: false)?.namespace != "flood" { last = step }
    }
    // 190 of theirs, and as many of the flood as of each of them.
    #expect(last <= 201, "the last of them had to wait for \(last) turns")
  }

  @Test func restingSavesNoTurnsUp() {
    var backlog = Backlog()
    backlog.add(.init(namespace: "busy"), count: 5, at: time(0))
    for step in 0..<5_000 { _ = backlog.dispatch(at: time(step)) }
    backlog.add(.init(namespace: "rested"), count: 5, at: time(5_000))
    backlog.served = [:]
    for step in 0..<100 { _ = backlog.dispatch(at: time(5_000 + step)) }
    #expect(abs((backlog.served[.init(namespace: "rested")] ?? 0) - 50) <= 1)
  }

  @Test func leavingAndComingBackGainsNothing() {
    var backlog = Backlog()
    backlog.add(.init(namespace: "steady"), count: 5, at: time(0))
    // Has never more than one that waits, so that it is forgotten in between if it may be.
    var isThere = false
    for step in 0..<1_000 {
      if !isThere { backlog.add(.init(namespace: "lone"), at: time(step)) }
      let kind = backlog.dispatch(at: time(step), refill: false)
      isThere = kind?.namespace != "lone"
      if isThere { backlog.add(.init(namespace: "steady"), at: time(step)) }
    }
    let lone = backlog.served[.init(namespace: "lone")] ?? 0
    #expect(lone <= 501, "\(lone) of 1,000")
  }

  // MARK: Priority and aging

  /// However fast runs are given out, those of a low priority get their part in the end, and only a part.
  @Test(arguments: [5, 20, 250]) func nothingStarves(millisBetween: Int) {
    var backlog = Backlog()
    let (high, low) = (Backlog.Kind(priority: 60), Backlog.Kind(namespace: "m", priority: 50))
    backlog.add(high, count: 3, at: time(0))
    backlog.add(low, count: 12_000, at: time(0))
    var first: Int?
    var lateLow = 0
    let end = 700_000 / millisBetween
    for step in 0..<end {
      let now = step * millisBetween
      let kind = backlog.dispatch(at: time(now), refill: false)
      if let kind, kind == high { backlog.add(high, at: time(now)) }
      if kind == low { first = first ?? now }
      if kind == low, now > 500_000 { lateLow += 1 }
    }
    // Ten points of priority are five minutes.
    #expect(first.map { (299_000...301_000).contains($0) } == true, "\(first ?? -1)")
    let share = Double(lateLow) / (200_000 / Double(millisBetween))
    #expect((0.05...0.2).contains(share), "\(share)")
  }

  @Test func aQueueOfLowPriorityIsNotPassedOverForEver() {
    var backlog = Backlog()
    var spec = QueueSpec()
    spec.priority = 100
    backlog.ready.configure("urgent", spec)
    spec.priority = 40
    backlog.ready.configure("slow", spec)
    backlog.add(.init(queue: "urgent"), count: 3, at: time(0))
    backlog.add(.init(queue: "slow"), at: time(0))
    var served: Int?
    for step in 0..<4_000 where served == nil {
      if backlog.dispatch(at: time(step * 1_000))?.queue == "slow" { served = step }
    }
    // Sixty points are half an hour.
    #expect(served.map { (1_795...1_805).contains($0) } == true, "\(served ?? -1)")
  }

  @Test func aFloodOfOnePriorityDoesNotAgePastAHigherOne() {
    var backlog = Backlog()
    backlog.add(.init(namespace: "flood", priority: 50), count: 30_000, at: time(0))
    // It has been served for twenty minutes, slowly, and its runs have waited for as long.
    for step in 0..<6_000 { _ = backlog.dispatch(at: time(step * 200), refill: false) }
    backlog.add(.init(namespace: "late", priority: 60), at: time(1_200_000))
    let next = (0..<3).map { backlog.dispatch(at: time(1_200_000 + $0), refill: false)?.namespace }
    #expect(next.contains("late"))
  }

  @Test func whatWaitsGoesThoughNewerOnesKeepComing() {
    var random = SplitMix(seed: 7)
    var backlog = Backlog()
    let waiting = Backlog.Kind(queue: "q0", namespace: "patient", user: "p", priority: 45)
    backlog.add(waiting, at: time(0))
    var served: Int?
    for step in 0..<6_000 where served == nil {
      for _ in 0..<2 {
        backlog.add(
          .init(
            queue: "q\(Int.random(in: 0..<3, using: &random))",
            namespace: "n\(Int.random(in: 0..<5, using: &random))",
            user: "u\(Int.random(in: 0..<5, using: &random))",
            priority: Int.random(in: 40...60, using: &random)), at: time(step * 100))
      }
      if backlog.dispatch(at: time(step * 100), refill: false) == waiting { served = step }
    }
    #expect(served != nil, "still waiting after ten minutes")
  }
}
