import Testing

@testable import SchedulerCore

/// Slots, who holds them, and who is offered the next one.
struct LimitBookTests {
  private static let group = LimitBook.Key.group(GroupKey(namespace: "default", name: "g"))

  private static func run(_ number: Int, job: String = "j") -> RunKey {
    RunKey(job: JobKey(namespace: "default", jobID: job), runID: "r\(1_000 + number)")
  }

  private static func entry(
    _ run: RunKey, priority: Int = 50, at millis: Int64 = 0, label: String? = nil
  ) -> ReadyQueue.Entry {
    let constraints = label.map { [Constraint(label: $0, op: .exists)] } ?? []
    return ReadyQueue.Entry(
      run: run, priority: priority, enqueuedAt: Timestamp(milliseconds: millis),
      requirement: Requirement(kind: .noop, constraints: constraints))
  }

  @Test func aSlotIsOfferedToTheFirstOfThoseThatWait() {
    var book = LimitBook()
    let claims = [LimitBook.Claim(Self.group, limit: 1)]
    book.take(Self.run(0), claims)
    let goes1 = book.wait(Self.entry(Self.run(1), at: 2), claims)
    #expect(!goes1)
    let goes2 = book.wait(Self.entry(Self.run(2), at: 1), claims)
    #expect(!goes2)
    let goes3 = book.wait(Self.entry(Self.run(3), priority: 51, at: 3), claims)
    #expect(!goes3)
    let offers4 = book.takeOffers()
    #expect(offers4.isEmpty && book.parkedCount == 3)
    book.leave(Self.run(0))
    let offers5 = book.takeOffers()
    #expect(offers5.map(\.run) == [Self.run(3)])
    book.take(Self.run(3), claims)
    book.leave(Self.run(3))
    let offers6 = book.takeOffers()
    #expect(offers6.map(\.run) == [Self.run(2)])
    // Cancelled before an agent took it: the slot goes to the next one.
    book.leave(Self.run(2))
    let offers7 = book.takeOffers()
    #expect(offers7.map(\.run) == [Self.run(1)])
    book.leave(Self.run(1))
    #expect(book.isEmpty && book.parkedCount == 0)
  }

  /// What no agent can take must not keep the slot from those that ask for something else.
  @Test func everyRequirementIsOfferedTheSlot() {
    var book = LimitBook()
    let claims = [LimitBook.Claim(Self.group, limit: 1)]
    book.take(Self.run(0), claims)
    _ = book.wait(Self.entry(Self.run(1), label: "gpu"), claims)
    _ = book.wait(Self.entry(Self.run(2), label: "gpu"), claims)
    _ = book.wait(Self.entry(Self.run(3)), claims)
    book.leave(Self.run(0))
    let offers8 = book.takeOffers()
    #expect(Set(offers8.map(\.run)) == [Self.run(1), Self.run(3)])
    book.take(Self.run(3), claims)
    book.park(Self.entry(Self.run(1), label: "gpu"), claims)
    let offers9 = book.takeOffers()
    #expect(offers9.isEmpty)
    book.leave(Self.run(3))
    let offers10 = book.takeOffers()
    #expect(offers10.map(\.run) == [Self.run(1)])
  }

  /// One whose queue is paused must not, either.
  @Test func everyQueueIsOfferedTheSlot() {
    var book = LimitBook()
    let claims = [LimitBook.Claim(Self.group, limit: 1)]
    book.take(Self.run(0), claims)
    var paused = Self.entry(Self.run(1), priority: 100)
    paused.queue = "paused"
    _ = book.wait(paused, claims)
    _ = book.wait(Self.entry(Self.run(2)), claims)
    book.leave(Self.run(0))
    let offered = Set(book.takeOffers().map(\.run))
    #expect(offered == [Self.run(1), Self.run(2)])
  }

  @Test func aRunNeedsAllOfItsSlots() {
    var book = LimitBook()
    let job = JobKey(namespace: "default", jobID: "j")
    let both = [LimitBook.Claim(Self.group, limit: 1), LimitBook.Claim(.job(job), limit: 1)]
    book.take(Self.run(0), [both[1]])
    book.take(Self.run(0, job: "other"), [both[0]])
    let goes11 = book.wait(Self.entry(Self.run(1)), both)
    #expect(!goes11)
    #expect(book.fullKeys(for: Self.run(1)) == [Self.group, .job(job)])
    book.leave(Self.run(0))
    let offers12 = book.takeOffers()
    #expect(offers12.isEmpty)
    #expect(book.fullKeys(for: Self.run(1)) == [Self.group])
    book.leave(Self.run(0, job: "other"))
    let offers13 = book.takeOffers()
    #expect(offers13.map(\.run) == [Self.run(1)])
  }

  @Test func theSmallestLimitCountsUnlessThereIsAnOverride() {
    var book = LimitBook()
    let wide = [LimitBook.Claim(Self.group, limit: 3)]
    let narrow = [LimitBook.Claim(Self.group, limit: 1)]
    book.take(Self.run(0), wide)
    #expect(book.limit(of: Self.group) == 3 && book.hasRoom(for: wide) && !book.hasRoom(for: narrow))
    let goes14 = book.wait(Self.entry(Self.run(1)), narrow)
    #expect(!goes14)
    #expect(!book.hasRoom(for: wide), "who waits with a smaller limit counts")
    book.override(Self.group, 2)
    let offers15 = book.takeOffers()
    #expect(offers15.map(\.run) == [Self.run(1)])
    book.override(Self.group, nil)
    book.leave(Self.run(1))
    #expect(book.limit(of: Self.group) == 3)
  }

  // MARK: Random

  /// What the book is for, from outside: a queue, agents that take some kinds of runs only, and ends.
  private struct World {
    var book = LimitBook()
    var random: SplitMix
    var claims: [RunKey: [LimitBook.Claim]] = [:]
    var entries: [RunKey: ReadyQueue.Entry] = [:]
    var queue: Set<RunKey> = []
    var holding: Set<RunKey> = []
    var limits: [LimitBook.Key: Int] = [:]
    var created = 0

    init(seed: UInt64) { random = SplitMix(seed: seed) }

    mutating func create() {
      let job = JobKey(namespace: "default", jobID: "j\(Int.random(in: 0..<3, using: &random))")
      created += 1
      let run = RunKey(job: job, runID: "r\(100_000 + created)")
      var claims: [LimitBook.Claim] = []
      if Bool.random(using: &random) {
        let name = "g\(Int.random(in: 0..<3, using: &random))"
        claims.append(limited(.group(GroupKey(namespace: "default", name: name))))
      }
      if claims.isEmpty || Bool.random(using: &random) { claims.append(limited(.job(job))) }
      self.claims[run] = claims
      entries[run] = LimitBookTests.entry(
        run, priority: Int.random(in: 1...100, using: &random),
        at: Int64.random(in: 0..<1_000_000, using: &random),
        label: Bool.random(using: &random) ? "gpu" : nil)
      wait(run)
    }

    private mutating func limited(_ key: LimitBook.Key) -> LimitBook.Claim {
      let limit = limits[key] ?? Int.random(in: 1...4, using: &random)
      limits[key] = limit
      return LimitBook.Claim(key, limit: limit)
    }

    mutating func wait(_ run: RunKey) {
      guard let entry = entries[run], let claims = claims[run] else { return }
      if book.wait(entry, claims) { queue.insert(run) } else { queue.remove(run) }
    }

    /// An agent looks at the queue in some order.
    mutating func place(withGPU: Bool) {
      for entry in book.takeOffers() { queue.insert(entry.run) }
      for run in queue.sorted().shuffled(using: &random) {
        guard let entry = entries[run], let claims = claims[run] else { continue }
        guard book.hasRoom(for: claims) else {
          book.park(entry, claims)
          queue.remove(run)
          continue
        }
        guard withGPU || entry.requirement.constraints.isEmpty else { continue }
        book.take(run, claims)
        queue.remove(run)
        holding.insert(run)
      }
    }

    /// A run ends, or its agent is lost and it waits again.
    mutating func end(_ run: RunKey, waitsAgain: Bool) {
      holding.remove(run)
      if waitsAgain { return wait(run) }
      book.leave(run)
      claims[run] = nil
    }

    mutating func check(_ sourceLocation: SourceLocation = #_sourceLocation) {
      for (key, limit) in limits {
        let used = holding.count { claims[$0]?.contains { $0.key == key } ?? false }
        #expect(used <= limit && used == book.holderCount(of: key), sourceLocation: sourceLocation)
      }
      for entry in book.takeOffers() { queue.insert(entry.run) }
      let parked = claims.keys.filter { !queue.contains($0) && !holding.contains($0) }
      #expect(parked.count == book.parkedCount, sourceLocation: sourceLocation)
      for run in parked {
        guard let claims = claims[run], book.hasRoom(for: claims) else { continue }
        let rivals = queue.contains {
          self.claims[$0]?.map(\.key) == claims.map(\.key)
            && entries[$0]?.requirement == entries[run]?.requirement
        }
        #expect(
          rivals, "neither \(run), which could go, nor one like it is offered",
          sourceLocation: sourceLocation)
      }
    }
  }

  @Test(arguments: 1...20)
  func noLimitIsExceededAndNoSlotIsLost(seed: UInt64) {
    var world = World(seed: seed)
    for _ in 0..<400 {
      switch Int.random(in: 0..<10, using: &world.random) {
      case 0..<4: world.create()
      case 4: world.place(withGPU: true)
      case 5, 6: world.place(withGPU: false)
      case 7, 8:
        if let run = world.holding.sorted().randomElement(using: &world.random) {
          world.end(run, waitsAgain: Bool.random(using: &world.random))
        }
      default:
        if let run = world.claims.keys.filter({ !world.holding.contains($0) }).sorted().first {
          world.book.leave(run)
          world.queue.remove(run)
          world.claims[run] = nil
        }
      }
      world.check()
    }
    // All agents are there and nothing new comes: everything has its turn.
    for _ in 0..<2_000 where !world.claims.isEmpty {
      world.place(withGPU: true)
      world.check()
      for run in world.holding { world.end(run, waitsAgain: false) }
    }
    #expect(world.claims.isEmpty && world.book.isEmpty && world.book.parkedCount == 0)
  }
}
