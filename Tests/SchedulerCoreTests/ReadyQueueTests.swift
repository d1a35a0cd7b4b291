@testable import SchedulerCore
import Testing

/// The order of what waits: priorities and their aging, and what is put aside.
@Suite struct ReadyQueueTests {
  private func run(_ name: String, in namespace: String = "n") -> RunKey {
    RunKey(job: JobKey(namespace: namespace, jobID: name), runID: "r")
  }

  private func needs(_ label: String?) -> Requirement {
    Requirement(kind: .exec, constraints: label.map { [Constraint(label: $0, op: .exists)] } ?? [])
  }

  private func entry(
    _ name: String, priority: Int = 50, at millis: Int = 0, _ label: String? = nil,
    queue: String = "default", namespace: String = "n", user: String = ""
  ) -> ReadyQueue.Entry {
    ReadyQueue.Entry(
      run: run(name, in: namespace), queue: queue, userID: user, priority: priority,
      enqueuedAt: Timestamp(milliseconds: Int64(millis)), requirement: needs(label))
  }

  private func time(_ millis: Int) -> Timestamp { Timestamp(milliseconds: Int64(millis)) }

  /// What would be placed, one after the other.
  private func names(_ queue: ReadyQueue, at millis: Int = 0) -> [String] {
    var queue = queue
    var names: [String] = []
    queue.drain(limit: .max, now: time(millis)) {
      names.append($0.run.job.jobID)
      return .placed
    }
    return names
  }

  @Test func orderIsPriorityThenAgeThenKey() {
    var queue = ReadyQueue()
    queue.insert(entry("late", at: 2))
    queue.insert(entry("b", at: 1))
    queue.insert(entry("a", at: 1))
    queue.insert(entry("urgent", priority: 51, at: 29_000))
    queue.insert(entry("low", priority: 49, at: 0))
    #expect(names(queue, at: 29_000) == ["urgent", "a", "b", "late", "low"])
  }

  @Test func waitingMakesUpForPriority() {
    var queue = ReadyQueue(agingMillisPerPriorityPoint: 1_000)
    queue.insert(entry("old", priority: 1, at: 0))
    queue.insert(entry("late", priority: 100, at: 99_001))
    #expect(names(queue, at: 100_000) == ["old", "late"])
    queue.insert(entry("soon", priority: 100, at: 98_999))
    #expect(names(queue, at: 100_000) == ["soon", "old", "late"])
  }

  @Test func aBlockedHeadBlocksNobodyElse() {
    var queue = ReadyQueue()
    queue.insert(entry("gpu1", priority: 100, "gpu"))
    queue.insert(entry("gpu2", priority: 100, "gpu"))
    queue.insert(entry("plain", priority: 1))
    var offered: [String] = []
    let placed = queue.drain(limit: .max, now: time(0)) {
      offered.append($0.run.job.jobID)
      return $0.requirement == needs(nil) ? .placed : .noAgent
    }
    #expect(placed == 1 && offered == ["gpu1", "plain"])
    #expect(queue.count == 2 && queue.classCount == 1 && !queue.hasOpen)
    #expect(queue.isPutAside(needs("gpu"), in: "default") && !queue.isPutAside(needs(nil), in: "default"))
    // One that comes later waits with the others of its class.
    queue.insert(entry("gpu0", priority: 100, at: 1, "gpu"))
    #expect(!queue.hasOpen && names(queue).isEmpty)
    let blocked = queue.blocked
    #expect(blocked.map(\.requirement) == [needs("gpu")])
    for item in blocked { queue.open(classID: item.classID) }
    #expect(names(queue) == ["gpu1", "gpu2", "gpu0"])
  }

  @Test func aRoundOffersEachBlockedClassOnce() {
    var queue = ReadyQueue()
    for index in 0..<5 {
      for user in ["", "u", "v"] {
        queue.insert(entry("g\(index)\(user)", at: index, "gpu", user: user))
        queue.insert(entry("p\(index)\(user)", at: index, user: user))
      }
    }
    var offered: [Requirement] = []
    let placed = queue.drain(limit: .max, now: time(0)) {
      offered.append($0.requirement)
      return $0.requirement == needs(nil) ? .placed : .noAgent
    }
    #expect(placed == 15)
    #expect(offered.count { $0 == needs("gpu") } == 1)
    #expect(queue.count == 15)
  }

  @Test func theRoundEndsWhereNoSlotIsFree() {
    var queue = ReadyQueue()
    for index in 0..<3 { queue.insert(entry("j\(index)", at: index, "l\(index)")) }
    var offered = 0
    let placed = queue.drain(limit: .max, now: time(0)) { _ in
      offered += 1
      return offered == 2 ? .noSlot : .placed
    }
    #expect(placed == 1 && offered == 2 && queue.hasOpen)
    #expect(names(queue) == ["j1", "j2"])
  }

  @Test func insertingAgainMovesAndRemovingForgets() {
    var queue = ReadyQueue()
    queue.insert(entry("a"))
    queue.insert(entry("a", priority: 1, "gpu", queue: "q", user: "u"))
    #expect(queue.count == 1 && queue.classCount == 1)
    #expect(queue.waiting(in: "q").count == 1 && queue.waiting(in: "default").count == 0)
    #expect(queue.queues == ["q"])
    #expect(queue.remove(run("a")) == true)
    #expect(queue.remove(run("a")) == false)
    #expect(queue.isEmpty && queue.classCount == 0 && !queue.contains(run("a")) && !queue.hasOpen)
  }

  @Test func aClosedQueueBlocksNoOther() {
    var queue = ReadyQueue()
    var spec = QueueSpec()
    spec.priority = 90
    queue.configure("first", spec)
    queue.insert(entry("a", queue: "first"))
    queue.insert(entry("b", queue: "second"))
    var offered: [String] = []
    queue.drain(limit: .max, now: time(0)) {
      offered.append($0.run.job.jobID)
      return $0.queue == "first" ? .queueClosed : .placed
    }
    #expect(offered == ["a", "b"] && queue.count == 1 && !queue.hasOpen)
    #expect(names(queue).isEmpty && queue.isPutAside(needs(nil), in: "first"))
    queue.open(queue: "first")
    #expect(queue.hasOpen && names(queue) == ["a"])
  }

  @Test func aClosedNamespaceBlocksNoOther() {
    var queue = ReadyQueue()
    for name in ["a", "b"] {
      for namespace in ["full", "free"] {
        queue.insert(entry(name, namespace: namespace))
        queue.insert(entry(name + "1", queue: "other", namespace: namespace))
      }
    }
    var placed: [String] = []
    queue.drain(limit: .max, now: time(0)) {
      guard $0.run.job.namespace == "free" else { return .namespaceClosed }
      placed.append($0.run.job.jobID)
      return .placed
    }
    #expect(placed.sorted() == ["a", "a1", "b", "b1"] && !queue.hasOpen)
    queue.open(namespace: "full")
    #expect(names(queue).sorted() == ["a", "a1", "b", "b1"])
  }

  @Test func whatTheQueueAsksIsAskedBesides() {
    var queue = ReadyQueue()
    queue.insert(entry("a", "gpu", queue: "q"))
    var spec = QueueSpec()
    spec.agents = [Constraint(label: "pool", op: .exists)]
    queue.configure("q", spec)
    let both = Requirement(
      kind: .exec,
      constraints: [Constraint(label: "gpu", op: .exists), Constraint(label: "pool", op: .exists)])
    #expect(queue.requirement(of: run("a")) == both)
    #expect(queue.requirement(needs("gpu"), in: "q") == both)
    #expect(queue.requirement(needs("gpu"), in: "default") == needs("gpu"))
    var offered: [Requirement] = []
    queue.drain(limit: 1, now: time(0)) {
      offered.append($0.requirement)
      return .noAgent
    }
    #expect(offered == [both])
    queue.configure("q", nil)
    #expect(queue.requirement(of: run("a")) == needs("gpu") && queue.hasOpen)
  }

  @Test func aQueuesNewPriorityCountsForWhatWaits() {
    var queue = ReadyQueue()
    for index in 0..<3 {
      queue.insert(entry("x\(index)", at: index, queue: "x"))
      queue.insert(entry("y\(index)", at: index, queue: "y"))
    }
    var spec = QueueSpec()
    spec.priority = 60
    queue.configure("y", spec)
    #expect(names(queue, at: 10) == ["y0", "y1", "y2", "x0", "x1", "x2"])
  }

  /// Against a model that knows of no order: what waits, what is offered and what is put aside.
  @Test(arguments: [1, 2, 3]) func losesNothing(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var queue = ReadyQueue()
    var model: [RunKey: ReadyQueue.Entry] = [:]
    let labels: [String?] = [nil, "a", "b"]
    let (queues, namespaces, users) = (["q", "r", "s"], ["m", "n"], ["", "u", "v"])
    for step in 0..<3_000 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5:
        let namespace = namespaces[Int.random(in: 0..<2, using: &random)]
        let made = entry(
          "j\(Int.random(in: 0..<80, using: &random))", priority: Int.random(in: 49...51, using: &random),
          at: step, labels[Int.random(in: 0..<3, using: &random)],
          queue: queues[Int.random(in: 0..<3, using: &random)], namespace: namespace,
          user: users[Int.random(in: 0..<3, using: &random)])
        queue.insert(made)
        model[made.run] = made
      case 5, 6:
        let key = run(
          "j\(Int.random(in: 0..<80, using: &random))", in: namespaces[Int.random(in: 0..<2, using: &random)])
        #expect(queue.remove(key) == (model.removeValue(forKey: key) != nil))
      case 7:
        var spec = QueueSpec()
        spec.priority = Int.random(in: 49...52, using: &random)
        queue.configure(queues[Int.random(in: 0..<3, using: &random)], spec)
      default:
        // All come back, then one round in which some of everything is refused.
        for name in queues { queue.open(queue: name) }
        for name in namespaces { queue.open(namespace: name) }
        for item in queue.blocked { queue.open(classID: item.classID) }
        let (label, closed) = (labels[Int.random(in: 0..<3, using: &random)], queues[0])
        let limit = Int.random(in: 1...90, using: &random)
        let isFull = Bool.random(using: &random)
        func mayGo(_ entry: ReadyQueue.Entry) -> Bool {
          entry.requirement != needs(label) && entry.queue != closed
            && !(isFull && entry.run.job.namespace == "m")
        }
        let free = model.values.filter(mayGo).count
        let placed = queue.drain(limit: limit, now: time(step)) { offered in
          #expect(model[offered.run] == offered)
          if offered.queue == closed { return .queueClosed }
          if isFull && offered.run.job.namespace == "m" { return .namespaceClosed }
          if offered.requirement == needs(label) { return .noAgent }
          model[offered.run] = nil
          return .placed
        }
        #expect(placed == min(limit, free))
        if limit > free { #expect(!queue.hasOpen) }
      }
      #expect(queue.count == model.count)
      for name in queues {
        #expect(queue.waiting(in: name).count == model.values.count { $0.queue == name })
      }
    }
    for key in model.keys {
      let wasThere = queue.remove(key)
      #expect(wasThere)
    }
    #expect(queue.isEmpty && queue.classCount == 0 && queue.queues.isEmpty && !queue.hasOpen)
  }

  @Test func manyClassesAreFine() {
    var queue = ReadyQueue()
    for index in 0..<2_000 { queue.insert(entry("j\(index)", at: index, "l\(index % 1_000)")) }
    #expect(queue.classCount == 1_000)
    #expect(queue.drain(limit: .max, now: time(0)) { _ in .noAgent } == 0)
    for item in queue.blocked { queue.open(classID: item.classID) }
    #expect(queue.drain(limit: .max, now: time(0)) { _ in .placed } == 2_000)
    #expect(queue.isEmpty && queue.classCount == 0)
  }
}
